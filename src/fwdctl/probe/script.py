r"""The shell script that runs in a box: all checks of all its paths, with whatever tools the image has.

It needs a POSIX shell and, for each kind of check, one of the tools in `_TOOLS`, or python3. A tool that
fails for itself (it crashes, lacks an option, was built without something) is replaced by the next one. Names
go through getent, as workloads' own look-ups do, or python3 or nslookup. It prints what the tools said, one
line for each look-up and each connection, and judges nothing:

    name INDEX,INDEX TOOL STATUS ADDRESS,ADDRESS,
    sample INDEX KIND TOOL STATUS \t @CODE CONNECT TLS ADDRESS \t SERVER \t LOCATION \t HEX \t TEXT
    end

SERVER is the value of the header in which the forward's servers name themselves. HEX are the first bytes of
an answer that is not HTTP; then `~` in the place of the numbers says that TCP was established. If no tool
could make the check, the line is of KIND `tcp-only` with what a mere connection gave, and TEXT begins with
what each tool said; where that failed too, TOOL is `none` and STATUS 127.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fwdctl.probe.talk import opening

if TYPE_CHECKING:
    from fwdctl.probe.model import Path

LANES = 24
"""Look-ups and connections that a box makes side by side."""

_PYTHON = r"""
import http.client, socket, ssl, sys, time
kind, host, port, path, name, header, limit = sys.argv[1:]
asked = sys.stdin.buffer.read()
code, opened, secured, peer, seen, status, said = "000", 0.0, 0.0, "", b"", 0, ["", "", ""]
began = time.monotonic()
left = lambda: max(0.01, began + float(limit) - time.monotonic())
try:
    link = socket.create_connection((host, int(port)), left())
    opened, peer = max(time.monotonic() - began, 1e-6), link.getpeername()[0]
    link.settimeout(left())
    if kind == "https":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        link = context.wrap_socket(link, server_hostname=name or None)
        secured = time.monotonic() - began
    if kind in ("http", "https"):
        talk = http.client.HTTPConnection(host, int(port))
        talk.sock = link
        talk.request("GET", path, headers={"Connection": "close", "User-Agent": "fwdctl"})
        link.settimeout(left())
        answer = talk.getresponse()
        code = str(answer.status)
        said[:2] = [key and answer.headers.get(key) or "" for key in (header, "Location")]
    elif kind != "tcp":
        link.sendall(asked)
        link.settimeout(left())
        seen = link.recv(99)
except socket.gaierror as error:
    status, said[2] = 6, str(error)
except (TimeoutError, socket.timeout):
    status, said[2] = 28, "timed out"
except (OSError, http.client.HTTPException) as error:
    status, said[2] = 1, str(error) or type(error).__name__
said = [" ".join(text.split())[:150].encode("ascii", "replace").decode() for text in said]
numbers = "@%s %f %f %s" % (code, opened, secured, peer)
print(numbers, said[0], said[1], " ".join("%02x" % byte for byte in seen), said[2], status, sep="\t")
"""

_PYTHON_NAMES = """
import socket, sys
try: print(*{a[4][0] for a in socket.getaddrinfo(sys.argv[1], None, socket.AF_INET)}, sep="\\n")
except socket.gaierror as error: sys.exit(2 if error.errno in (-2, -5) else 3)
"""

_START = r"""
export LC_ALL=C
L=$T
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
has() { command -v "$1" >/dev/null 2>&1; }
if timeout 9 sh -c : 2>/dev/null; then limit() { timeout "$L" "$@"; }
elif timeout -t 9 sh -c : 2>/dev/null; then limit() { timeout -t "$L" "$@"; }
else limit() { "$@"; }; fi
"""

_NAME = r"""
name() {
  look=none r= c=127
  for t in getent @PYTHON@ nslookup; do
    has $t || continue
    look=$t
    case $t in
      getent)
        r=$(limit getent ahostsv4 "$2" 2>/dev/null); c=$?
        [ $c = 0 ] || [ $c = 2 ] || [ $c = 124 ] || { r=$(limit getent hosts "$2" 2>/dev/null); c=$?; } ;;
      python3) r=$(L=$((T+25)); limit python3 -c "$names" "$2" 2>/dev/null); c=$? ;;
      nslookup)
        r=$(limit nslookup "$2" 2>&1); c=$?
        case $r in
          *Name:*) r=$(printf '%s\n' "${r#*Name:}" | while read -r k x y _; do
            case $k-$x in Address*-*:) x=$y ;; esac
            case $k-$x in Address*-*.*.*.*) printf '%s\n' "$x" ;; esac
            done) ;;
          *NXDOMAIN*) r= c=2 ;;
          *) r= ;;
        esac ;;
    esac
    case $c in 0|2|124|143) break ;; esac
  done
  a=$(printf '%s\n' "$r" | while read -r x _; do printf '%s,' "$x"; done)
  printf 'name %s %s %s %s\n' "$1" "$look" "$c" "$a"
}
"""

_SAMPLE = r"""
nl='
'
broke() {
  case $t-$c in
    curl-1) case $o in *HTTP/0.9*) return 1 ;; esac ;;
    *-12[67]|*-13[1-9]|curl-[2-5]|curl-2[367]|curl-4[138]|curl-5[3489]|curl-66|curl-77|wget*-[23]) ;;
    python3-0) return 1 ;;
    python3-*) o=${o##*"$nl"} ;;
    *-0|*-124|*-143|curl-*) return 1 ;;
    *)
      case $o in
        *HTTP/[12]*) return 1 ;;
        *'nvalid option'*|*'nrecognized option'*|*'nknown option'*|*sage:*|*'/dev/tcp'*'No such file'*) ;;
        *) return 1 ;;
      esac ;;
  esac
  m="$m${m:+; }${t%-*} ended with $c${o:+: }${o%%"$nl"*}"
}
try() {
  for t in $2; do
    has "${t%-*}" || continue
    o= c=0
    case $1-$t in
@BRANCHES@
    esac
    broke || return 0
  done
  t=none c=127 o=
  return 1
}
sample() {
  w= s= r= x= e= m=
  if ! eval "try $k \"\$$k\""; then
    e=${m:-no tool for $k}
    [ $k = tcp ] || { try tcp "$tcp" && k=tcp-only e="$e; "; }
  fi
  [ "$t" = python3 ] && { printf 'sample %s %s python3 %s\t%.800s\t%.200s\n' $i $k $c "$o" "$e"; return; }
  while read -r l; do
    case $l in
      $header:*) s=${l#*:} ;;
      [Ll][Oo][Cc][Aa][Tt][Ii][Oo][Nn]:*) r=${l#*:} ;;
      @*|'~') w=$l ;;
      [0-9a-f][0-9a-f]|[0-9a-f][0-9a-f]' '[0-9a-f]*) x="$x$l " ;;
      *HTTP/[12]*) [ -n "$w" ] || w="@${l##*HTTP/}" ;;
      *'... connected.'*) e="${e}connected. " ;;
      *refused*|*imed' out'*|*imeout*|*unreachable*|*route*|*eset*|*losed*) e="$e$l " ;;
      *resol*|curl:*|*rror*|*CONNECTED*|*OpenSSL*|*alert*|*ession*) e="$e$l " ;;
    esac
  done <<EOF
$o
EOF
  printf 'sample %s %s %s %s\t%.70s\t%.150s\t%.150s\t%.300s\t%.250s\n' \
    $i $k "${t%-*}" $c "$w" "$s" "$r" "$x" "$e"
}
"""

_WEB = r"""
web() {
  o=$(curl -q -g -sS -k --http1.1 -H 'Connection: close' -A fwdctl -o /dev/null -D - -m "$T" -w \
    '\n@%{http_code} %{time_connect} %{time_appconnect} %{remote_ip}' "$@" 2>&1 </dev/null); c=$?
}
"""

_TALK = r"""
say='printf "~\n" >&4; printf %b "$2"; exec dd bs=99 count=1 >&5 2>/dev/null'
talk() {
  { has od && has dd; } || { o='no od or dd' c=127; return; }
  o=$({ { limit "$@"; printf '!!%s\n' $? >&4; } 5>&1 | od -An -v -tx1; } 4>&1 2>&1 </dev/null)
  c=${o#*!!} c=${c%%[!0-9]*} c=${c:-127}
}
"""

_HTTP = r"""
http*-curl)
  web ${n:+--connect-to "::$h:$p"} --request-target "$u" "$1://${n:-$h}:$p/" ;;
http*-wget)
  if [ -n "$n" ]; then o='it cannot ask for another name' c=127
  else
    o=$(limit wget -S -O /dev/null -t 1 -T "$T" --max-redirect=0 --no-check-certificate \
      "$1://$h:$p$u" 2>&1 </dev/null); c=$?
  fi ;;
http-wget-b) o=$(limit wget -S -O /dev/null "http://$h:$p$u" 2>&1 </dev/null); c=$? ;;
"""

_BRANCHES = {
    "tcp": r"""
tcp-bash) o=$(limit bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$h" "$p" 2>&1 </dev/null); c=$? ;;
tcp-nc) o=$(limit nc -z -w "$T" "$h" "$p" 2>&1 </dev/null); c=$? ;;
tcp-nc-e) o=$(limit nc -w "$T" "$h" "$p" -e sh -c : 2>&1 </dev/null); c=$? ;;
tcp-curl) web "telnet://$h:$p" ;;
""",
    "http": _HTTP,
    "https": _HTTP,
    "tls": r"""
tls-curl) web ${n:+--connect-to "::$h:$p"} "https://${n:-$h}:$p/" ;;
tls-openssl)
  o=$(limit openssl s_client -connect "$h:$p" ${n:+-servername "$n"} 2>&1 </dev/null); c=$? ;;
""",
    "talk": r"""
*-bash) talk bash -c 'exec 3<>"/dev/tcp/$0/$1" || exit 7; exec <&3 >&3; '"$say" "$h" "$p" "$q" ;;
*-nc-e) talk nc -w "$T" "$h" "$p" -e sh -c "$say" "$h" "$p" "$q" ;;
""",
    "python": r"""
*-python3)
  # Its own limit begins when it runs: many of them at once take long to start.
  o=$(L=$((T+25)); printf %b "$q" |
    limit python3 -c "$python" "$1" "$h" "$p" "$u" "$sni" "$key" "$T" 2>&1); c=$?
  [ $c != 0 ] || o=${o%%"$nl"*} ;;
""",
}

_TALKERS = "bash nc-e"
_TOOLS = {
    "tcp": "bash nc nc-e curl",
    "http": "curl wget wget-b",
    "https": "curl wget",
    "tls": f"{_TALKERS} curl openssl",
    "mssql": _TALKERS,
    "postgres": _TALKERS,
    "banner": _TALKERS,
}
"""In order of preference; what follows a hyphen is a way to use the tool: `wget-b` and `nc-e` are BusyBox's.

python3 comes last, because its program has to be sent along. Its name may be a host's that has no tool."""


def script(paths: Sequence[Path], timeout: float, *, python: bool = False) -> str:
    """The script for the paths of one box; a path's INDEX is its place in the sequence.

    Connections are made side by side, `LANES` at most, so that a dead path delays no other. Only what these
    paths need is in it: the way into the box takes forty characters at a time. With `python`, the programs
    for python3 are brought along, for boxes that have nothing else.
    """
    tested = {index: path for index, path in enumerate(paths) if not path.skip}
    kinds = sorted({path.kind for path in tested.values() if path.samples} | {"tcp"})
    lines = [f"T={max(1, round(timeout))}", _lean(_START)]
    if python:
        lines += [f"python={shlex.quote(_PYTHON.strip())}", f"names={shlex.quote(_PYTHON_NAMES.strip())}"]
    if any(path.address for path in tested.values()):
        lines.append(_lean(_NAME).replace("@PYTHON@", "python3" if python else ""))
    lines += [f"{kind}='{_TOOLS[kind]}{' python3' if python else ''}'" for kind in kinds]
    talks = any("bash" in _TOOLS[kind] for kind in kinds if kind != "tcp")
    parts = list(dict.fromkeys(_BRANCHES[kind] for kind in kinds if kind in _BRANCHES))
    parts += [_BRANCHES["talk"]] * talks + [_BRANCHES["python"]] * python
    lines += [_lean(_WEB), *([_lean(_TALK)] if talks else [])]
    lines.append(_lean(_SAMPLE.replace("@BRANCHES@", "".join(parts))))
    lines += [_function(index, path) for index, path in tested.items() if path.samples]
    lines += [f"{{ {'; '.join(lane)}; }} &" for lane in _lanes(tested)]
    return "\n".join([*lines, "wait", "echo end", ""])


def rounds(paths: Sequence[Path]) -> int:
    """Look-ups and connections that follow one another at most; each may take the whole time limit."""
    return max(map(len, _lanes({n: path for n, path in enumerate(paths) if not path.skip})), default=0)


def _lanes(paths: dict[int, Path]) -> list[list[str]]:
    """What is done one after the other, by lane; each name is looked up once."""
    names: dict[str, list[str]] = {}
    for index, path in paths.items():
        if path.address:
            names.setdefault(path.host, []).append(str(index))
    jobs = [f"name {','.join(indexes)} {shlex.quote(host)}" for host, indexes in names.items()]
    jobs += [f"path{index}" for index, path in paths.items() for _ in range(path.samples)]
    return [jobs[lane::LANES] for lane in range(min(LANES, len(jobs)))]


def _function(index: int, path: Path) -> str:
    """A shell function that makes one connection of a path."""
    values = {
        "i": str(index),
        "k": path.kind,
        "h": path.host,
        "p": str(path.port),
        "u": path.forward.check_path,
        "n": path.forward.server_name,
        "sni": path.sni,
        "header": _any_case(path.header),
        "key": path.header,
        "q": _escaped(opening(path.kind, path.sni)),
    }
    settings = " ".join(f"{name}={shlex.quote(text) if text else ''}" for name, text in values.items())
    return f"path{index}() {{ {settings}; sample; }}"


def _escaped(data: bytes) -> str:
    """What `printf %b` turns back into the bytes."""
    return "".join(chr(byte) if chr(byte).isalnum() and byte < 128 else f"\\0{byte:03o}" for byte in data)  # noqa: PLR2004


def _any_case(header: str) -> str:
    """A shell pattern for a header's name; what is special in a pattern becomes `?`."""
    return "".join(
        f"[{c.upper()}{c.lower()}]" if c.isalpha() else c if c.isdigit() or c == "-" else "?" for c in header
    )


def _lean(text: str) -> str:
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("#"))
