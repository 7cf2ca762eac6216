"""What runs in the box: the loader that is typed at its shell, and the program that the loader is sent."""

from __future__ import annotations

PYTHON, HEXADECIMAL, SHA256, NO_TOOLS = "p", "h", "s", "u"
TOOLS = frozenset({"bc", "bs", "hc", "hs", PYTHON, NO_TOOLS})
"""What a box may have to sum up and to encode with; `framing` says what the letters mean."""

_LOADER = r"""
n=$1;w=$2;t=u;c=cksum;k=c;
h(){ command -v $1 >/dev/null 2>&1;};
h $c||{ c=sha256sum;k=s;};
if h $c&&h dd&&h base64;then t=b$k;
elif h $c&&h dd&&h od;then t=h$k;
elif h python3;then t=p;c="python3 -c print(__import__(\"zlib\").crc32(open(0,\"rb\").read()))";fi;
printf "\n@%s r %s %s\n" $n $t "$3";
[ $t = u ]&&exit;
while p=;do while IFS= read -r l||exit;do case $l in .*)break;;esac;p=$p${l#??};done;
s=$(printf %s "$p"|$c);
[ ". ${s%% *}" = "$l" ]&&break;
[ "$p" ]&&printf "@%s b\n" $n;
done;
eval "$(printf %b "$p")"
"""
LOADER = "".join(_LOADER.splitlines())
"""Tools first, then the program until it is what was sent. A `'` cannot stand in it."""

_BASES = {"b": "base64", "h": "od -An -v -tx1", "p": ""}
_SHELL_ENCODER = r"""
e() {
  set -f
  IFS='
'
  k=$({
    i=0
    while o=$(dd bs=12288 count=1 2>/dev/null | @BASE@); [ -n "$o" ]; do
      for l in $o; do
        i=$((i+1))
        printf '@%s %s %s %s %s\n' "$n" "$1" "$i" "${#l}" "$l" >&3
        printf '%s\n' "$l"
      done
    done
    printf '@%s E %s %s\n' "$n" "$1" "$i" >&3
  } | $c)
  printf '@%s k %s %s\n' "$n" "$1" "${k%% *}" >&3
}
"""

_PYTHON_ENCODER = r"""
e() {
  python3 -c '
import base64, os, sys, zlib
n, s = sys.argv[1:]
i = k = 0
for c in iter(lambda: os.read(0, 12288), b""):
    for a in range(0, len(c), 57):
        l = base64.b64encode(c[a:a + 57]).decode()
        i += 1
        k = zlib.crc32(l.encode() + b"\n", k)
        os.write(3, f"@{n} {s} {i} {len(l)} {l}\n".encode())
os.write(3, f"@{n} E {s} {i}\n@{n} k {s} {k}\n".encode())
' "$n" "$1"
}
"""

_PROGRAM = r"""
exec 3>&1
@ENCODER@
printf '@%s s\n' "$n"
g() {
  m "$1"
  exec "$@" @STDIN@
}
m() {
  x=127
  case $1 in
    */*)
      [ -f "$1" ] && [ -x "$1" ] && return
      [ -e "$1" ] && x=126 ;;
    *)
      IFS=:
      for q in $PATH; do [ -f "${q:-.}/$1" ] && [ -x "${q:-.}/$1" ] && return; done ;;
  esac
  printf "The box has no program '%s' that can be run.\n" "$1" >&2
  exit $x
}
r() {
  # The shell's own remarks (`Killed`) are none of the command's output.
  s=$({ { { (g "$@" 2>&5 3>&- 4>&- 5>&-); printf '%s\n' $? >&4; } 2>/dev/null | e o; } 5>&1 | e e; } 4>&1)
  printf '@%s x %s %s\n' "$n" "$s" "$s" "$n" "$s" "$s" >&3
}
d() {
  trap '' PIPE TERM HUP
  i=0
  while IFS= read -r l; do
    a=n
    t=${l#* }
    case $l in
      ''|[.p]*) continue ;;
      "$w leave") exit ;;
      "$w kill") break ;;
      "$w ask") ;;
      *)
        s=$(printf %s "$t" | $c)
        if [ "${s%% *}" = "${l%% *}" ]; then
          [ "${t%% *}" = $((i+1)) ] || continue
          a=a
          i=$((i+1))
          case $t in
            *" q") exec >&- ;;
            *) printf %b "${t#* d}" 2>/dev/null ;;
          esac
        fi ;;
    esac
    printf '@%s %s %s %s\n' "$n" $a $i $i >&3
  done
  kill -TERM 0
  sleep 1
  kill -KILL 0
}
d | r "$@"
"""

_SPECIAL = {0x0A: "\\n", 0x5C: "\\\\"}
_PLAIN = range(0x20, 0x7F)
ESCAPED = [_SPECIAL.get(byte) or (chr(byte) if byte in _PLAIN else f"\\0{byte:03o}") for byte in range(256)]


def quote(word: bytes) -> bytes:
    """One shell word, whatever bytes it has (NUL, which no argument can hold, excepted)."""
    return b"'" + word.replace(b"'", b"'\\''") + b"'"


def escape(data: bytes) -> str:
    r"""Printable ASCII that `printf %b` turns back into the bytes: `\n`, `\0ooo`."""
    return "".join(ESCAPED[byte] for byte in data)


def program(argv: tuple[bytes, ...], tools: str, *, has_stdin: bool) -> str:
    """The escaped shell program that runs `argv` (without NUL) and reports in frames.

    Every 40 characters are a message, so a box gets only what suits its tools.
    """
    encoder = _PYTHON_ENCODER.strip() if tools == PYTHON else _lean(_SHELL_ENCODER)
    text = _lean(_PROGRAM).replace("@ENCODER@", encoder.replace("@BASE@", _BASES[tools[0]]))
    text = text.replace("@STDIN@", "" if has_stdin else "</dev/null")
    words = b" ".join(quote(word) for word in argv)
    return escape(b"set -- " + words + b"\n" + text.encode())


def _lean(text: str) -> str:
    """Shell text without its indentation and comments."""
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("#"))


def greeting(nonce: str, word: str) -> bytes:
    """First line: quieten the terminal, then run the loader.

    Neither `!` (history) nor a tab (completion) may stand in it, because an interactive bash reads it.
    The nonce is never behind an `@` in it, so that its echo is no frame.
    """
    return (
        f' stty raw -echo 2>/dev/null;l=\'{LOADER}\';exec /bin/sh -c "$l" sh {nonce} {word} "$l"\n'.encode()
    )
