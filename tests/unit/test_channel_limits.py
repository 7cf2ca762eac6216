"""How long a command may take: its own seconds in all attempts together, and a box's start is none of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

from fwdctl.channel import Channel, Request, Ticket, script
from fwdctl.channel import run as module

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from fwdctl.channel import Outcome

START_SECONDS = 120.0


class Box:
    """A box on a clock of its own: each start takes two minutes, and `says` is what its shell answers."""

    def __init__(self, says: Callable[[Box], bytes] = lambda _: b"") -> None:
        self.now = 0.0
        self.starts = 0
        self.sent = b""
        self.says = says

    def start(self) -> Ticket:
        self.now += START_SECONDS
        self.starts += 1
        self.sent = b""
        return Ticket("ws://x", "p")

    def connect(self, _: Ticket) -> Box:
        return self

    def send(self, message: str | bytes) -> None:
        self.sent += message if isinstance(message, bytes) else message.encode()

    def recv(self, timeout: float | None = None) -> bytes:
        answer = self.says(self)
        if not answer:
            assert timeout is not None
            self.now += timeout
            raise TimeoutError
        return answer

    def close(self) -> None:
        """Nothing to close."""

    @property
    def nonce(self) -> bytes:
        """From the greeting; empty before it came."""
        return self.sent.partition(b'"$l" sh ')[2].partition(b" ")[0]

    @property
    def has_program(self) -> bool:
        """Whether its end marks have come."""
        return b"\n. " in self.sent


READY = f"@N r bc {script.LOADER}\n".encode()
NOTHING = b"@N E o 0\n@N k o 4294967295\n@N E e 0\n@N k e 4294967295\n"


def runs(box: Box) -> bytes:
    """The command ends as soon as its program has come."""
    script = READY + (b"@N s\n" + NOTHING + b"@N x 0 0\n") * box.has_program
    return script.replace(b"@N", b"@" + box.nonce) if box.nonce else b"# "


def hangs(box: Box) -> bytes:
    """The program runs and says nothing more."""
    if not box.nonce:
        return b"# "
    if not box.has_program:
        return READY.replace(b"@N", b"@" + box.nonce)
    first = b"heard" not in box.sent
    box.sent += b"heard"
    return b"@N s\n".replace(b"N", box.nonce) if first else b""


def run(box: Box, monkeypatch: pytest.MonkeyPatch, timeout: float | None) -> Outcome:
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: box.now))
    return Channel(box.start, box.connect).run(Request(("true",), timeout=timeout))


def test_a_box_may_take_longer_to_start_than_the_command_may_run(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = run(Box(runs), monkeypatch, timeout=2.0)
    assert (outcome.state, outcome.status) == ("completed", 0)


def test_a_command_that_hangs_has_its_whole_time_after_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    box = Box(hangs)
    assert run(box, monkeypatch, timeout=45.0).state == "timeout"
    assert (box.starts, box.now) == (1, START_SECONDS + 45.0)
    assert box.sent.endswith(b" kill\n")


def test_time_that_ends_before_the_program_was_sent_is_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    box = Box()
    outcome = run(box, monkeypatch, timeout=5.0)
    assert (outcome.state, box.starts) == ("not_started", 1)
    assert "time limit" in outcome.detail


def test_the_attempts_share_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    box = Box()
    assert run(box, monkeypatch, timeout=15.0).state == "not_started"
    assert (box.starts, box.now) == (2, 2 * START_SECONDS + 15.0)


def test_no_limit_waits_for_a_shell_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    box = Box()
    assert run(box, monkeypatch, timeout=None).state == "not_started"
    assert box.starts == 2
