"""What the channel says and hears: shell text in, frames out. Pure; no sockets here.

The container's exec service hands over a terminal with a shell behind it and nothing else that can be
relied on: no exit status, no argument splitting, no message boundaries, sometimes a character lost. So
everything that goes in is short lines of printable ASCII, and everything that comes out is a line that
starts with a nonce. Both directions are summed up with CRCs, and nothing counts before it is proven:

- The loader, the first line's shell text, is sent back whole and compared before anything else is sent.
- The program follows in lines, `p TEXT`, and a mark with its CRC; the box runs it if that is right.
- A line of stdin is `CRC NUMBER dTEXT`, or `CRC NUMBER q` at the end. The box passes lines on in order and
  asks again from the first that did not arrive as it was sent.

Frames, each `@NONCE KIND ...` on a line of its own:

    r TOOLS LOADER      the loader runs; b: base64, h: od, each with c: cksum or s: sha256sum; p: python3;
                        u: none of them
    b                   the program arrived damaged; once more
    s                   the program runs
    o|e SEQ LENGTH TEXT stdout or stderr, encoded
    E o|e COUNT         that stream has ended after COUNT lines
    k o|e CRC           of its encoded lines
    a COUNT COUNT       lines of stdin passed on so far; twice, so that no digit is lost unnoticed
    n COUNT COUNT       likewise, and what was sent after them has to be sent again
    x STATUS STATUS     the command ended; the frame comes twice, in case that one is lost
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from dataclasses import dataclass, field

from fwdctl.channel.script import ESCAPED, HEXADECIMAL, LOADER, PYTHON, SHA256, TOOLS

FRAME_BYTES = 40
"""Longest message sent: portals and clients saw input beyond 50 characters cut (azure-sdk-for-node#5127)."""
LINE_CHARS = 1900
"""Longest input line; a terminal in canonical mode takes 4095, and two lines are under way."""

END_OF_STDIN = "q"


def program_lines(text: str, tools: str) -> bytes:
    """The program and its end mark, which stands there thrice so that a lost character cannot hide it."""
    lines = [f"p {text[at : at + LINE_CHARS]}" for at in range(0, len(text), LINE_CHARS)]
    end = f". {checksum(text.encode(), tools)}"
    return ("\n".join([*lines, end, end, end]) + "\n").encode()


def stdin_line(number: int, content: str, tools: str) -> bytes:
    """A line that the box proves; `content` is `q` or `d` and escaped data."""
    text = f"{number} {content}"
    return f"{checksum(text.encode(), tools)} {text}\n".encode()


def stdin_contents(data: bytes) -> list[str]:
    """Data in lines that the box decodes and passes on to the command."""
    contents, content = [], "d"
    for byte in data:
        if len(content) + len(ESCAPED[byte]) > LINE_CHARS:
            contents.append(content)
            content = "d"
        content += ESCAPED[byte]
    return [*contents, content]


def messages(data: bytes) -> list[bytes]:
    """Cut what is sent into messages that no hop shortens."""
    return [data[at : at + FRAME_BYTES] for at in range(0, len(data), FRAME_BYTES)]


_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class Checksum:
    """A checksum as it runs, by what the box has: POSIX `cksum`, SHA-256, or with python3 zlib's CRC.

    The first is zlib's with the bits of every byte, and of the result, mirrored.
    """

    def __init__(self, tools: str) -> None:
        self._plain = tools == PYTHON
        self._sha256 = hashlib.sha256() if tools.endswith(SHA256) else None
        self._crc = 0 if self._plain else 0xFFFFFFFF
        self._size = 0

    def add(self, data: bytes) -> None:
        if self._sha256 is not None:
            self._sha256.update(data)
        self._crc = zlib.crc32(data if self._plain else data.translate(_REVERSED), self._crc)
        self._size += len(data)

    @property
    def value(self) -> str:
        """Of all bytes so far, as the box prints it; `cksum` sums up their number behind them."""
        if self._sha256 is not None:
            return self._sha256.hexdigest()
        if self._plain:
            return str(self._crc)
        tail = self._size.to_bytes((self._size.bit_length() + 7) // 8, "little")
        return str(int(f"{zlib.crc32(tail.translate(_REVERSED), self._crc):032b}"[::-1], 2))


def checksum(data: bytes, tools: str) -> str:
    """Of data that is there as a whole."""
    running = Checksum(tools)
    running.add(data)
    return running.value


class DamagedError(Exception):
    """The frames cannot be what the box has sent."""


@dataclass
class Stream:
    """One output stream as far as it has come; `take` checks order and length, `check` the whole."""

    tools: str
    checksum: Checksum = field(init=False)
    count: int = 0
    announced: bool = False
    checked: bool = False

    def __post_init__(self) -> None:
        self.checksum = Checksum(self.tools)

    def take(self, words: list[str]) -> bytes:
        """Decode the next line, given as [sequence, length, text]."""
        sequence, length, text = words
        if sequence != str(self.count + 1) or length != str(len(text)):
            raise DamagedError(f"line {self.count + 1} is missing or incomplete")
        self.count += 1
        try:
            hexadecimal = self.tools.startswith(HEXADECIMAL)
            data = bytes.fromhex(text) if hexadecimal else base64.b64decode(text, validate=True)
        except (ValueError, binascii.Error) as error:
            raise DamagedError(f"line {self.count} is not decodable") from error
        self.checksum.add(text.encode() + b"\n")
        return data

    def end(self, count: str) -> None:
        """Compare with the number of lines that the box has counted."""
        if count != str(self.count):
            raise DamagedError(f"{count} lines were sent and {self.count} arrived")
        self.announced = True

    def check(self, crc: str) -> None:
        """Compare with the box's CRC."""
        if crc != self.checksum.value:
            raise DamagedError("the checksum differs")
        self.checked = True


@dataclass
class Frames:
    """Reads the terminal's output and keeps what the frames of one nonce say.

    Attributes:
        nonce: marks this conversation.
        tools: what the box has, as the loader says; empty until it listens.
        refused: how often the program arrived damaged.
        started: the program runs.
        status: exit status of the command once it has ended.
        acknowledged: lines of stdin passed on.
        asked: how often lines of stdin were asked for again.
    """

    nonce: str
    tools: str = ""
    refused: int = 0
    started: bool = False
    status: int | None = None
    acknowledged: int = 0
    asked: int = 0
    _streams: dict[str, Stream] = field(default_factory=dict)
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
            elif self.tools and self.nonce.encode() in text:
                raise DamagedError("a frame lost its beginning")
        return outputs

    def _frame(self, text: str) -> list[tuple[str, bytes]]:
        kind, _, rest = text.partition(" ")
        try:
            if kind in {"o", "e"}:
                return [(kind, self._streams[kind].take(rest.split(" ", 2)))]
            self._control(kind, rest)
        except (ValueError, KeyError) as error:
            raise DamagedError(f"frame {kind!r} is incomplete") from error
        return []

    def _control(self, kind: str, rest: str) -> None:
        if kind == "r":
            self._listens(*rest.split(" ", 1))
        elif kind == "s":
            self.started = True
        elif kind in {"a", "n"}:
            self.acknowledged = _same(rest)
            self.asked += kind == "n"
        elif kind in {"E", "k"}:
            letter, value = rest.split(" ")
            stream = self._streams[letter]
            stream.end(value) if kind == "E" else stream.check(value)
        elif kind == "x":
            self._ended(rest)
        elif kind == "b":
            self.refused += 1
        else:
            raise DamagedError(f"frame {kind!r} is unknown")

    def _listens(self, tools: str, loader: str = "") -> None:
        if loader != LOADER or tools not in TOOLS:
            raise DamagedError("the first line is not what was sent")
        self.tools = tools
        self._streams = {"o": Stream(tools), "e": Stream(tools)}

    def _ended(self, rest: str) -> None:
        status = _same(rest)
        for name, stream in (("stdout", self._streams["o"]), ("stderr", self._streams["e"])):
            if not (stream.announced and stream.checked):
                raise DamagedError(f"the end of {name} is missing")
        self.status = status


def _same(rest: str) -> int:
    number, again = rest.split(" ")
    if number != again:
        raise DamagedError("a number is incomplete")
    return int(number)
