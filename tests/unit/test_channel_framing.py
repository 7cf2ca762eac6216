"""What the channel says and hears: no single lost byte passes for a result."""

from __future__ import annotations

import base64
import os
import subprocess
import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fwdctl.channel import framing


def cksum(*parts: bytes) -> int:
    running = framing.Checksum()
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
    assert cksum(data[:cut], data[cut:]) == int(answer.stdout.split()[0])


@posix
@given(st.binary(max_size=200))
@settings(deadline=None, max_examples=40)
def test_escape_is_undone_by_printf(data: bytes) -> None:
    text = framing.escape(data)
    assert all(" " <= char <= "~" for char in text)
    answer = subprocess.run(
        ["/bin/sh", "-c", 'printf %b "$1"', "sh", text], capture_output=True, check=True, timeout=10
    )
    assert answer.stdout == data


def test_nothing_sent_is_longer_than_a_message_or_a_terminal_line() -> None:
    text = framing.program((b"x" * 10_000,))
    sent = framing.greeting("0123456789ab", len(text)) + framing.program_lines(text)
    assert max(len(line) for line in sent.split(b"\n")) < 4095
    assert max(len(message) for message in framing.messages(sent)) <= 40
    assert b"".join(framing.messages(sent)) == sent
    assert b"!" not in framing.greeting("n", 1)


FRAMES = b"""noise
@n r
@n s b
@n o 1 4 aGk=
@n E o 1
@n k o 1834268446 5
@n E e 0
@n k e 4294967295 0
@n x 3 3
"""


@given(st.integers(1, 40))
def test_frames_arrive_at_any_boundary(size: int) -> None:
    data = FRAMES.replace(b"1834268446", str(cksum(b"aGk=\n")).encode()).replace(b"\n", b"\r\n")
    frames = framing.Frames("n")
    outputs = [output for at in range(0, len(data), size) for output in frames.feed(data[at : at + size])]
    assert (frames.status, outputs) == (3, [("o", b"hi")])


def test_no_lost_byte_changes_a_result() -> None:
    """Every single byte in turn: it is noticed, or it did not matter."""
    data = FRAMES.replace(b"1834268446", str(cksum(b"aGk=\n")).encode()).replace(b"x 3 3", b"x 137 137")
    for at in range(len(data)):
        frames = framing.Frames("n")
        with suppress(framing.DamagedError):
            outputs = frames.feed(data[:at] + data[at + 1 :])
            if frames.status is not None:
                assert (frames.status, outputs) == (137, [("o", b"hi")])


def test_what_was_handed_on_is_not_held() -> None:
    frames = framing.Frames("n")
    frames.feed(b"@n r\n@n s b\n")
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
    frames.feed(b"# " + framing.greeting("abc", 5).replace(b"\n", b"\r\n"))
    assert not frames.ready


@pytest.mark.parametrize(
    "line",
    [
        b"@n o 2 4 aGk=",
        b"@n o 1 5 aGk=",
        b"@n o 1 4 aGk",
        b"@n o 1 4 a?k=",
        b"@n o",
        b"@n E o 4",
        b"@n k o 1 2",
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
    frames.feed(b"@n r\n@n s b\n")
    with pytest.raises(framing.DamagedError):
        frames.feed(line + b"\n")
