r"""The shell script that runs in a box: all checks of all its paths, with whatever tools the image has.

It needs a POSIX shell and one of curl, wget, python3 (HTTP), bash, nc, curl, python3 (TCP), curl, openssl,
python3 (TLS); names go through getent, as workloads' own look-ups do, or python3. It prints what the tools
said, one line for each look-up and each connection, and judges nothing:

    name INDEX TOOL STATUS ADDRESS,ADDRESS,
    sample INDEX KIND TOOL STATUS \t @CODE CONNECT TLS ADDRESS \t SERVER \t TEXT
    end

SERVER is the value of the header in which the forward's servers name themselves.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwdctl.probe.model import Path

_PYTHON = r"""
import http.client, socket, ssl, sys, time
kind, host, port, path, header, limit = sys.argv[1:]
code, opened, secured, peer, server, text, status = "000", 0.0, 0.0, "", "", "", 0
began = time.monotonic()
try:
    link = socket.create_connection((host, int(port)), float(limit))
    opened, peer = max(time.monotonic() - began, 1e-6), link.getpeername()[0]
    if kind == "tls":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        link = context.wrap_socket(link, server_hostname=host)
        secured = time.monotonic() - began
    if kind == "http":
        talk = http.client.HTTPConnection(host, int(port), timeout=float(limit))
        talk.sock = link
        talk.request("GET", path, headers={"Connection": "close", "User-Agent": "fwdctl"})
        answer = talk.getresponse()
        code, server = str(answer.status), " ".join((header and answer.headers.get(header) or "").split())
except socket.gaierror as error:
    status, text = 6, str(error)
except (TimeoutError, socket.timeout):
    status, text = 28, "timed out"
except (OSError, http.client.HTTPException) as error:
    status, text = 1, str(error) or type(error).__name__
print("@%s %f %f %s\t%s\t%s\t%d" % (code, opened, secured, peer, server, text, status))
"""

_START = r"""
has() { command -v "$1" >/dev/null 2>&1; }
first() { f=none; for t; do has "$t" && { f=$t; return; }; done; }
if has timeout; then limit() { timeout "$T" "$@"; }; else limit() { "$@"; }; fi
"""

_NAME = r"""
first getent @PYTHON@; look=$f
name() {
  case $look in
    getent)
      r=$(limit getent ahostsv4 "$2" 2>/dev/null); c=$?
      [ $c = 0 ] || [ $c = 2 ] || [ $c = 124 ] || { r=$(limit getent hosts "$2" 2>/dev/null); c=$?; } ;;
    python3)
      r=$(limit python3 -c "$names" "$2" 2>/dev/null); c=$? ;;
    *) r= c=127 ;;
  esac
  a=$(printf '%s\n' "$r" | while read -r x _; do printf '%s,' "$x"; done)
  printf 'name %s %s %s %s\n' "$1" "$look" "$c" "$a"
}
"""

_SAMPLE = r"""
web() {
  o=$(curl -sS -k -0 -A fwdctl --noproxy '*' -o /dev/null -D - -m "$T" --connect-timeout "$T" -w \
    '\n@%{http_code} %{time_connect} %{time_appconnect} %{remote_ip}' "$1" 2>&1 </dev/null); c=$?
}
sample() {
  i=$1 k=$2 h=$3 p=$4 u=$5 w= s= e= c=0 o=
  eval "t=\$$k"
  case $k-$t in
@BRANCHES@
    *) c=127 ;;
  esac
  while read -r l; do
    case $l in
      $header:*) s=${l#*:} ;;
      @*) w=$l ;;
      *HTTP/[12]*) [ -n "$w" ] || w="@${l##*HTTP/}" ;;
      *refused*|*'timed out'*|*imeout*|*unreachable*|*route*|*eset*) e="$e$l " ;;
      *resol*|curl:*|*error*|*CONNECTED*) e="$e$l " ;;
    esac
  done <<EOF
$o
EOF
  printf 'sample %s %s %s %s\t%s\t%s\t%s\n' "$i" "$k" "$t" "$c" "$w" "$s" "$e"
}
"""

_TOOLS = {"http": "curl wget", "tls": "curl openssl", "tcp": "bash nc curl"}
"""In order of preference; python3 comes last, because its program has to be sent along."""

_BRANCHES = {
    "http": r"""
    http-curl) web "http://$h:$p$u" ;;
    http-wget)
      export no_proxy='*'
      o=$(wget -S -O /dev/null -T "$T" -t 1 "http://$h:$p$u" 2>&1 </dev/null); c=$? ;;
""",
    "tls": r"""
    tls-curl) web "https://$h:$p/" ;;
    tls-openssl) o=$(limit openssl s_client -connect "$h:$p" -servername "$h" 2>&1 </dev/null); c=$? ;;
""",
    "tcp": r"""
    tcp-bash) o=$(limit bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$h" "$p" 2>&1 </dev/null); c=$? ;;
    tcp-nc) o=$(limit nc -z -w "$T" "$h" "$p" 2>&1 </dev/null); c=$? ;;
    tcp-curl) web "telnet://$h:$p" ;;
""",
    "python": r"""
    *-python3)
      o=$(python3 -c "$python" "$k" "$h" "$p" "$u" "$header_name" "$T" 2>&1 </dev/null); c=$?
      printf 'sample %s %s %s %s\t%s\n' "$i" "$k" "$t" "$c" "$o"
      return ;;
""",
}

_PYTHON_NAMES = """
import socket, sys
try: print(*{a[4][0] for a in socket.getaddrinfo(sys.argv[1], None, socket.AF_INET)}, sep="\\n")
except socket.gaierror as error: sys.exit(2 if error.errno in (-2, -5) else 3)
"""


def script(paths: Sequence[Path], timeout: float, *, python: bool = False) -> str:
    """The script for the paths of one box; a path's INDEX is its place in the sequence.

    Samples run side by side, so that a dead path costs `timeout` seconds once. Only what these paths need is
    in it: the way into the box takes forty characters at a time. With `python`, the programs for python3 are
    brought along, for boxes that have nothing else.
    """
    lines = [f"T={max(1, round(timeout))}", _lean(_START)]
    if python:
        lines += [f"python={shlex.quote(_PYTHON)}", f"names={shlex.quote(_PYTHON_NAMES)}"]
    if any(path.address for path in paths):
        lines.append(_lean(_NAME).replace("@PYTHON@", "python3" if python else ""))
    kinds = sorted({path.kind for path in paths if path.samples and not path.skip})
    lines += [f"first {_TOOLS[kind]}{' python3' if python else ''}; {kind}=$f" for kind in kinds]
    branches = "".join(_BRANCHES[kind] for kind in [*kinds, *(["python"] if python else [])])
    lines.append(_lean(_SAMPLE.replace("@BRANCHES@", branches)))
    header = None
    for index, path in enumerate(paths):
        if path.skip:
            continue
        if path.header != header:
            header = path.header
            lines.append(f"header={shlex.quote(_any_case(header))} header_name={shlex.quote(header)}")
        host = shlex.quote(path.host)
        if path.address:
            lines.append(f"name {index} {host} &")
        where = f"{host} {path.port} {shlex.quote(path.forward.check_path)}"
        lines += [f"sample {index} {path.kind} {where} &"] * path.samples
    return "\n".join([*lines, "wait", "echo end", ""])


def _any_case(header: str) -> str:
    """A shell pattern for a header's name; what is special in a pattern becomes `?`."""
    return "".join(
        f"[{c.upper()}{c.lower()}]" if c.isalpha() else c if c.isdigit() or c == "-" else "?" for c in header
    )


def _lean(text: str) -> str:
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())
