"""What the channel says and hears: shell text in, frames out. Pure; no sockets here.

The container's exec service hands over a terminal with a shell behind it and nothing else that can be
relied on: no exit status, no argument splitting, no message boundaries, sometimes a character lost. So
everything that goes in is short lines of printable ASCII, and everything that comes out is a line that
starts with a nonce, carries a sequence number and its own length, and is summed up by a CRC at the end of
each stream.

Frames, each `@NONCE KIND ...` on a line of its own:

    r                   the shell has read the first line and listens
    b LENGTH            the program arrived damaged and was not run
    u                   the box has none of the tools that the program's encoder needs
    s ENCODING          the program runs; b: base64, h: hexadecimal
    o|e SEQ LENGTH TEXT stdout or stderr, encoded
    E o|e COUNT         that stream has ended after COUNT lines
    k o|e CRC BYTES     POSIX cksum over its encoded lines, `-` where the box has no cksum
    a                   a line of stdin was passed on
    x STATUS STATUS     the command ended; twice, so that no digit is lost unnoticed
"""

from __future__ import annotations

import base64
import binascii
import zlib
from dataclasses import dataclass, field

FRAME_BYTES = 40
"""Longest message sent: portals and clients saw input beyond 50 characters cut (azure-sdk-for-node#5127)."""
LINE_CHARS = 500
"""Longest input line; a terminal in canonical mode takes 4095."""
KILL = b"k\n"
LEAVE = b"x\n"
END_OF_STDIN = b"q\n"

_ENCODER = r"""
e() {
  set -f
  IFS='
'
  k=$({
    i=0
    while c=$(dd bs=12288 count=1 2>/dev/null | b); [ -n "$c" ]; do
      for l in $c; do
        i=$((i+1))
        printf '@%s %s %s %s %s\n' "$n" "$1" "$i" "${#l}" "$l" >&3
        printf '%s\n' "$l"
      done
    done
    printf '@%s E %s %s\n' "$n" "$1" "$i" >&3
  } | sum)
  printf '@%s k %s %s\n' "$n" "$1" "${k:--}" >&3
}
"""

_PYTHON_ENCODER = r"""
e() {
  python3 -c '
import base64, os, sys
n, s = sys.argv[1:]
i = 0
for c in iter(lambda: os.read(0, 12288), b""):
    for a in range(0, len(c), 57):
        l = base64.b64encode(c[a:a + 57]).decode()
        i += 1
        os.write(3, f"@{n} {s} {i} {len(l)} {l}\n".encode())
os.write(3, f"@{n} E {s} {i}\n@{n} k {s} -\n".encode())
' "$n" "$1"
}
"""

_PROGRAM = r"""
exec 3>&1
h() { command -v "$1" >/dev/null 2>&1; }
no() { printf '@%s u\n' "$n"; exit; }
f=b
@TOOLS@
@ENCODER@
printf '@%s s %s\n' "$n" $f
r() {
  # The shell's own remarks (`Killed`) are none of the command's output.
  s=$({ { { (exec "$@" 2>&5 3>&- 4>&- 5>&-); printf '%s\n' $? >&4; } 2>/dev/null | e o; } 5>&1 | e e; } 4>&1)
  printf '@%s x %s %s\n' "$n" "$s" "$s" >&3
}
d() {
  trap '' PIPE TERM HUP
  while IFS= read -r l; do
    case $l in
      d*) printf %b "${l#d}" 2>/dev/null; printf '@%s a\n' "$n" >&3 ;;
      q) exec >&- ;;
      x) exit ;;
      k) break ;;
    esac
  done
  kill -TERM 0
  sleep 1
  kill -KILL 0
}
d | r "$@"
"""

_TOOLS = """
h dd || no
if h cksum; then
sum() { cksum; }
else
sum() { while read -r _; do :; done; }
fi
if h base64; then
b() { base64; }
elif h od; then
f=h
b() { od -An -v -tx1; }
else
no
fi
"""


def quote(word: bytes) -> bytes:
    """One shell word, whatever bytes it has (NUL, which no argument can hold, excepted)."""
    return b"'" + word.replace(b"'", b"'\\''") + b"'"


def escape(data: bytes) -> str:
    r"""Printable ASCII that `printf %b` turns back into the bytes: `\n`, `\0ooo`."""
    plain = range(0x20, 0x7F)
    special = {0x0A: "\\n", 0x5C: "\\\\"}
    return "".join(special.get(byte) or (chr(byte) if byte in plain else f"\\0{byte:03o}") for byte in data)


def program(argv: tuple[bytes, ...], *, python: bool = False) -> str:
    """The escaped shell program that runs `argv` (without NUL) and reports in frames.

    With `python` it encodes with python3, for boxes without dd and base64 or od. That is not sent to others,
    because every 40 characters are a message.
    """
    encoder, tools = (_PYTHON_ENCODER, "h python3 || no") if python else (_lean(_ENCODER), _TOOLS)
    text = _lean(_PROGRAM).replace("@TOOLS@", tools.strip()).replace("@ENCODER@", encoder.strip())
    words = b" ".join(quote(word) for word in argv)
    return escape(b"n=$1; set -- " + words + b"\n" + text.encode())


def _lean(text: str) -> str:
    """Shell text without its indentation and comments."""
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("#"))


def greeting(nonce: str, length: int) -> bytes:
    """First line: quieten the terminal, then run a shell that reads a program of `length` characters.

    Neither `!` (history) nor a tab (completion) may stand in it, because an interactive bash reads it.
    The nonce is never behind an `@` in it, so that its echo is no frame.
    """
    loop = "p=;while IFS= read -r l;do case $l in .)break;;esac;p=$p$l;done;"
    check = '[ ${#p} = "$2" ]||{ printf "@%s b %s\\n" "$1" ${#p};exit;};'
    run = 'eval "$(printf %b "$p")"'
    return (
        f" stty raw -echo 2>/dev/null;printf '\\n@%s r\\n' {nonce};"
        f"exec /bin/sh -c '{loop}{check}{run}' sh {nonce} {length}\n"
    ).encode()


def program_lines(text: str) -> bytes:
    """The program and its end mark, which stands there thrice so that a lost character cannot hide it."""
    lines = [text[at : at + LINE_CHARS] for at in range(0, len(text), LINE_CHARS)]
    return ("\n".join([*lines, ".", ".", "."]) + "\n").encode()


def stdin_lines(data: bytes) -> list[bytes]:
    """Lines that the box decodes and passes on to the command."""
    room = LINE_CHARS // 5  # a byte takes up to five characters
    return [f"d{escape(data[at : at + room])}\n".encode() for at in range(0, len(data), room)]


def messages(data: bytes) -> list[bytes]:
    """Cut what is sent into messages that no hop shortens."""
    return [data[at : at + FRAME_BYTES] for at in range(0, len(data), FRAME_BYTES)]


_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class Checksum:
    """POSIX `cksum` as it runs: zlib's CRC with the bits of every byte, and of the result, mirrored."""

    def __init__(self) -> None:
        self._crc = 0xFFFFFFFF
        self._size = 0

    def add(self, data: bytes) -> None:
        self._crc = zlib.crc32(data.translate(_REVERSED), self._crc)
        self._size += len(data)

    @property
    def value(self) -> int:
        """Of all bytes so far; their number is summed up behind them."""
        tail = self._size.to_bytes((self._size.bit_length() + 7) // 8, "little")
        return int(f"{zlib.crc32(tail.translate(_REVERSED), self._crc):032b}"[::-1], 2)


class DamagedError(Exception):
    """The frames cannot be what the box has sent."""


@dataclass
class Stream:
    """One output stream as far as it has come; `take` checks order and length, `check` the whole."""

    checksum: Checksum = field(default_factory=Checksum)
    count: int = 0
    checked: bool = False
    announced: int | None = None

    def take(self, words: list[str], *, hexadecimal: bool) -> bytes:
        """Decode the next line, given as [sequence, length, text]."""
        sequence, length, text = words
        if sequence != str(self.count + 1) or length != str(len(text)):
            raise DamagedError(f"line {self.count + 1} is missing or incomplete")
        self.count += 1
        try:
            data = bytes.fromhex(text) if hexadecimal else base64.b64decode(text, validate=True)
        except (ValueError, binascii.Error) as error:
            raise DamagedError(f"line {self.count} is not decodable") from error
        self.checksum.add(text.encode() + b"\n")
        return data

    def end(self, count: str) -> None:
        """Compare with the number of lines that the box has counted."""
        if count != str(self.count):
            raise DamagedError(f"{count} lines were sent and {self.count} arrived")
        self.announced = self.count

    def check(self, crc: str) -> None:
        """Compare with the box's CRC; `-` means that it has none."""
        if crc != "-" and crc.split(" ", maxsplit=1)[0] != str(self.checksum.value):
            raise DamagedError("the checksum differs")
        self.checked = True


@dataclass
class Frames:
    """Reads the terminal's output and keeps what the frames of one nonce say.

    Attributes:
        nonce: marks this conversation.
        ready: the shell listens.
        refused: why the box did not run the program; empty while it may.
        started: the program runs.
        status: exit status of the command once it has ended.
        acknowledged: lines of stdin passed on.
    """

    nonce: str
    ready: bool = False
    refused: str = ""
    started: bool = False
    status: int | None = None
    acknowledged: int = 0
    stdout: Stream = field(default_factory=Stream)
    stderr: Stream = field(default_factory=Stream)
    _hexadecimal: bool = False
    _rest: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> list[tuple[str, bytes]]:
        """Take what arrived, at any boundary; give decoded output in order, as ("o" or "e", bytes).

        Raises:
            DamagedError: something was lost on the way.
        """
        self._rest += data
        *lines, rest = bytes(self._rest).split(b"\n")
        self._rest = bytearray(rest)
        mark = f"@{self.nonce} ".encode()
        outputs = []
        for line in lines:
            text = line.strip(b"\r")
            if text.startswith(mark):
                outputs += self._frame(text[len(mark) :].decode("ascii", "replace"))
            elif self.started and self.nonce.encode() in text:
                raise DamagedError("a frame lost its beginning")
        return outputs

    def _frame(self, text: str) -> list[tuple[str, bytes]]:
        kind, _, rest = text.partition(" ")
        try:
            if kind in {"o", "e"}:
                stream = self._stream(kind)
                return [(kind, stream.take(rest.split(" ", 2), hexadecimal=self._hexadecimal))]
            self._control(kind, rest)
        except ValueError as error:
            raise DamagedError(f"frame {kind!r} is incomplete") from error
        return []

    def _control(self, kind: str, rest: str) -> None:
        if kind == "r":
            self.ready = True
        elif kind == "s":
            self.started, self._hexadecimal = True, rest == "h"
        elif kind == "a":
            self.acknowledged += 1
        elif kind in {"E", "k"}:
            letter, value = rest.split(" ", 1)
            stream = self._stream(letter)
            stream.end(value) if kind == "E" else stream.check(value)
        elif kind == "x":
            self._ended(rest)
        elif kind == "b":
            self.refused = "damaged"
        elif kind == "u":
            self.refused = "unsupported"
        else:
            raise DamagedError(f"frame {kind!r} is unknown")

    def _ended(self, rest: str) -> None:
        status, again = rest.split(" ")
        if status != again:
            raise DamagedError("the exit status is incomplete")
        for name, stream in (("stdout", self.stdout), ("stderr", self.stderr)):
            if stream.announced is None or not stream.checked:
                raise DamagedError(f"the end of {name} is missing")
        self.status = int(status)

    def _stream(self, letter: str) -> Stream:
        if letter not in {"o", "e"}:
            raise DamagedError(f"stream {letter!r} is unknown")
        return self.stdout if letter == "o" else self.stderr
