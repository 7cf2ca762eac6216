"""What the channel says and hears: no single lost byte passes for a result."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fwdctl.channel import framing, script
from fwdctl.channel.run import STDIN_WINDOW

if TYPE_CHECKING:
    from pathlib import Path


def cksum(*parts: bytes) -> str:
    running = framing.Checksum("bc")
    for part in parts:
        running.add(part)
    return running.value


posix = pytest.mark.skipif(os.name != "posix", reason="cksum and sh are the references")


@posix
@given(st.binary(max_size=5000))
@settings(deadline=None, max_examples=40)
def test_cksum_is_posix(data: bytes) -> None:
    cut = len(data) // 3
    answer = subprocess.run(["cksum"], input=data, capture_output=True, check=True, timeout=10)
    assert cksum(data[:cut], data[cut:]) == answer.stdout.split()[0].decode()


@posix
@given(st.binary(max_size=200))
@settings(deadline=None, max_examples=40)
def test_escape_is_undone_by_printf(data: bytes) -> None:
    text = script.escape(data)
    assert all(" " <= char <= "~" for char in text)
    answer = subprocess.run(
        ["/bin/sh", "-c", 'printf %b "$1"', "sh", text], capture_output=True, check=True, timeout=10
    )
    assert answer.stdout == data


def test_nothing_sent_is_longer_than_a_message_or_a_terminal_line() -> None:
    text = script.program((b"x" * 10_000,), "p", has_stdin=True)
    greeting = script.greeting("0123456789ab", "01234567")
    stdin = [framing.stdin_line(9_999_999, each, "bc") for each in framing.stdin_contents(bytes(10_000))]
    sent = greeting + framing.program_lines(text, "p") + b"".join(stdin)
    assert max(len(line) for line in sent.split(b"\n")) < 4095
    assert STDIN_WINDOW * max(len(line) for line in stdin) < 4096
    assert max(len(message) for message in framing.messages(sent)) <= 40
    assert b"".join(framing.messages(sent)) == sent
    assert sent.decode().replace("\n", "").isprintable()
    assert b"!" not in greeting


def test_what_is_sent_stays_small() -> None:
    """Each 40 characters are a message of the service."""
    assert len(script.greeting("0123456789ab", "01234567")) < 600
    assert len(script.program((b"true",), "bc", has_stdin=True)) < 1500


def test_stdin_comes_out_of_its_lines_in_order() -> None:
    data = bytes(range(256)) * 50
    contents = framing.stdin_contents(data)
    assert "".join(each.removeprefix("d") for each in contents) == script.escape(data)
    assert all(each.startswith("d") for each in contents)


SHELLS = [("/bin/sh",), ("dash",), ("bash",), ("busybox", "ash"), ("mksh",), ("ksh",)]


@posix
@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
@pytest.mark.parametrize("tools", sorted(script.TOOLS - {script.NO_TOOLS}))
def test_every_shell_proves_what_it_is_sent(shell: tuple[str, ...], tools: str, tmp_path: Path) -> None:
    """The program and a line of stdin, each damaged once and then right, in a box that has just these tools."""
    if shutil.which(shell[0]) is None:
        pytest.skip(f"{shell[0]} is not installed")
    needed = {"b": "dd base64", "h": "dd od", "p": "python3", "c": "cksum", "s": "sha256sum"}
    for tool in ["sleep", "kill", "cat", *" ".join(needed[letter] for letter in tools).split()]:
        found = sys.executable if tool == "python3" else shutil.which(tool)
        (tmp_path / tool).symlink_to(found or "/")
    program = script.program((b"cat",), tools, has_stdin=True)
    right = framing.program_lines(program, tools)
    stdin = [framing.stdin_line(1, r"da\0377\n", tools), framing.stdin_line(2, "q", tools)]
    sent = [right.replace(b"exec", b"exce", 1), right, stdin[0].replace(b"a", b"b", 1), *stdin, b"ww leave\n"]
    argv = [shutil.which(shell[0]), *shell[1:], "-c", script.LOADER, "sh", "n", "ww", script.LOADER]
    answer = subprocess.run(
        argv, input=b"".join(sent), capture_output=True, check=True, timeout=30, env={"PATH": str(tmp_path)}
    )
    frames = framing.Frames("n")
    assert (frames.feed(answer.stdout), answer.stderr) == ([("o", b"a\xff\n")], b"")
    assert (frames.tools, frames.refused, frames.started, frames.status) == (tools, 1, True, 0)
    assert (frames.acknowledged, frames.asked) == (2, 1)


READY = f"@n r bc {script.LOADER}\n".encode()
FRAMES = (
    b"noise\n"
    + READY
    + b"""@n s
@n o 1 4 aGk=
@n a 1 1
@n E o 1
@n k o CRC
@n E e 0
@n k e 4294967295
@n x 137 137
@n x 137 137
""".replace(b"CRC", cksum(b"aGk=\n").encode())
)


@given(st.integers(1, 40))
def test_frames_arrive_at_any_boundary(size: int) -> None:
    data = FRAMES.replace(b"\n", b"\r\n")
    frames = framing.Frames("n")
    outputs = [output for at in range(0, len(data), size) for output in frames.feed(data[at : at + size])]
    assert (frames.status, outputs) == (137, [("o", b"hi")])


@pytest.mark.parametrize("put", [b"", None, b"X", b"1", b" ", b"\n", b"@"], ids=str)
def test_no_damaged_byte_changes_a_result(put: bytes | None) -> None:
    """Every single byte in turn: it is noticed, or it did not matter."""
    noticed = 0
    for at in range(len(FRAMES)):
        frames = framing.Frames("n")
        try:
            byte = FRAMES[at : at + 1]
            outputs = frames.feed(FRAMES[:at] + (byte * 2 if put is None else put) + FRAMES[at + 1 :])
        except framing.DamagedError:
            noticed += 1
            continue
        if frames.status is not None:
            assert (frames.status, outputs) == (137, [("o", b"hi")])
            assert frames.acknowledged <= 1
    assert noticed > len(FRAMES) / 2


def test_what_was_handed_on_is_not_held() -> None:
    frames = framing.Frames("n")
    frames.feed(READY + b"@n s\n")
    line = base64.b64encode(bytes(57)).decode()
    tracemalloc.start()
    try:
        for number in range(1, 10_001):
            frames.feed(f"@n o {number} {len(line)} {line}\n".encode())
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 57 * 10_000 / 4


def test_echoed_input_is_no_frame() -> None:
    frames = framing.Frames("abc")
    frames.feed(b"# " + script.greeting("abc", "w").replace(b"\n", b"\r\n"))
    assert not frames.tools


@pytest.mark.parametrize(
    "line",
    [
        b"@n o 2 4 aGk=",
        b"@n o 1 5 aGk=",
        b"@n o 1 4 aGk",
        b"@n o 1 4 a?k=",
        b"@n o",
        b"@n E o 4",
        b"@n k o 1",
        b"@n k o",
        b"@n a 1",
        b"@n a 1 2",
        b"@n n 1 11",
        b"@n E z 0",
        b"@n x 0 0",
        b"@n x 0",
        b"@n x 137 17",
        b"@n x",
        b"@n y",
        b" n o 1 4 aGk=".replace(b" ", b"", 1),
    ],
)
def test_damaged_frames_are_noticed(line: bytes) -> None:
    frames = framing.Frames("n")
    frames.feed(READY + b"@n s\n")
    with pytest.raises(framing.DamagedError):
        frames.feed(line + b"\n")
