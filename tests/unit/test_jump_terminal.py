"""`jump exec` and `jump shell` at a terminal: what the remote program prints stands there as it printed it."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from fwdctl import deployment
from fwdctl.deployment import Box, Deployment, Hub, Spoke
from fwdctl.main import main
from fwdctl.runtime import Runtime
from support.aci_exec_server import AciExecServer, aci_exec_server
from support.fake_arm import CONTAINERS, container_group, fake_arm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytest.importorskip("termios", reason="needs a POSIX terminal")
pytestmark = pytest.mark.timeout(30)

SPOKE = Box("spoke", "ci-spoke", "jump")
DEPLOYMENT = Deployment("rg-dev", None, Hub(None), (Spoke("spoke", SPOKE),), (), "x")
GROUP = f"{CONTAINERS}/ci-spoke"


class Screen:
    """A terminal; a thread collects what is written to it and types answers."""

    def __init__(self) -> None:
        self._keyboard, slave = os.openpty()
        self._answers: list[tuple[bytes, bytes]] = []
        self.seen = b""
        self.stdin = os.fdopen(slave)
        self.stdout = os.fdopen(os.dup(slave), "w")
        self.stderr = os.fdopen(os.dup(slave), "w")
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def answer(self, text: bytes, keys: bytes) -> None:
        """Type `keys` once `text` has been shown."""
        self._answers.append((text, keys))

    def close(self) -> bytes:
        """Everything that was written."""
        for stream in (self.stdin, self.stdout, self.stderr):
            stream.close()
        self._thread.join(10)
        os.close(self._keyboard)
        return self.seen

    def _read(self) -> None:
        while True:
            try:
                self.seen += os.read(self._keyboard, 4096)
            except OSError:  # nobody has the terminal any more
                return
            if self._answers and self._answers[0][0] in self.seen:
                os.write(self._keyboard, self._answers.pop(0)[1])


@pytest.fixture
def shells() -> Iterator[AciExecServer]:
    with aci_exec_server() as server:
        yield server


@pytest.fixture
def fwdctl(shells: AciExecServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., bytes]]:
    """Run a command at a terminal, with a jump box that is stopped; what the terminal got."""
    ticket = shells.ticket()
    stopped = (409, {"error": {"code": "ContainerGroupStopped", "message": "is stopped."}}, {})
    with fake_arm() as arm:
        arm.on(
            "POST",
            f"{GROUP}/containers/jump/exec",
            stopped,
            {"webSocketUri": ticket.uri, "password": ticket.password},
        )
        arm.on(
            "GET",
            GROUP,
            container_group("ci-spoke", "Stopped"),
            container_group("ci-spoke", "Pending"),
            container_group("ci-spoke", "Running"),
        )
        arm.on("POST", f"{GROUP}/start", (204, None, {}))
        arm.on("POST", f"{GROUP}/stop", (204, None, {}))
        monkeypatch.setattr(deployment, "load", lambda *_, **__: (DEPLOYMENT, arm.client()))

        def run(*words: str, answers: tuple[tuple[bytes, bytes], ...] = ()) -> bytes:
            screen = Screen()
            for text, keys in answers:
                screen.answer(text, keys)
            streams = {"stdin": screen.stdin, "stdout": screen.stdout, "stderr": screen.stderr}
            code = main(list(words), Runtime(environ={"TERM": "xterm"}, **streams))  # type: ignore[arg-type]
            seen = screen.close()
            assert code == 0, seen
            assert arm.calls[-1] == ("POST", f"{GROUP}/stop")
            return seen

        yield run


def test_no_spinner_runs_over_what_a_command_prints(fwdctl: Callable[..., bytes]) -> None:
    program = "echo one; sleep 0.5; printf prompt"
    seen = fwdctl("jump", "exec", "spoke", "--start", "--", "sh", "-c", program)
    before, output, after = seen.partition(b"one\r\nprompt")
    assert output, seen
    assert b"Starting spoke" in before
    assert b"\x1b[?25h" in before[before.rindex(b"Starting") :], "the spinner was not taken away"
    assert after.startswith(b"\r\n"), "the spinner would wipe the last line"
    assert b"Stopping spoke" in after


def test_a_whole_last_line_is_followed_by_nothing_of_ours(fwdctl: Callable[..., bytes]) -> None:
    seen = fwdctl("jump", "exec", "spoke", "--start", "--", "echo", "whole")
    assert b"\n" not in seen.partition(b"whole\r\n")[2].partition(b"Stopping")[0]


def test_no_spinner_runs_over_a_shell(fwdctl: Callable[..., bytes]) -> None:
    prompt = b"$ " if os.geteuid() else b"# "
    keys = ((prompt, b"sleep 0.5; echo a$((40 + 2))z\r"), (b"a42z", b"exit\r"))
    seen = fwdctl("jump", "shell", "spoke", "--start", answers=keys)
    session = seen[: seen.rindex(b"a42z")]
    session = session[session.index(b"$((40") :]
    assert b"\x1b[2K" not in session
    assert b"Starting" not in session
    assert b"Stopping spoke" in seen
