"""`jump shell`: keys and output pass through, and the terminal is as before afterwards."""

from __future__ import annotations

import os
import select
import threading
import time

import pytest

from fwdctl.channel.socket import connect
from support.aci_exec_server import aci_exec_server

termios = pytest.importorskip("termios")


def _read_until(descriptor: int, text: bytes) -> bytes:
    seen = b""
    while text not in seen:
        seen += os.read(descriptor, 4096)
    return seen


@pytest.mark.parametrize("ending", [b"exit\r", b"\x04"], ids=["exit", "Ctrl-D"])
def test_a_shell_ends_with_the_remote_one_and_restores_the_terminal(ending: bytes) -> None:
    from fwdctl.channel.terminal import attach

    keyboard, terminal = os.openpty()
    screen, output = os.pipe()
    before = termios.tcgetattr(terminal)
    with aci_exec_server() as server:
        socket = connect(server.ticket(), {})
        thread = threading.Thread(target=attach, args=(socket, terminal, output), daemon=True)
        thread.start()
        os.write(keyboard, b"echo $((40 + 2))x; sleep 0\r")
        assert b"42x" in _read_until(screen, b"42x")
        os.write(keyboard, b"echo go$((1 + 1)); sleep 300\r")
        _read_until(screen, b"go2")
        # Ctrl-C ends the remote command, not us. A shell may miss one between two commands, and forgets what it
        # had read when one comes: so again until it answers.
        while not select.select([screen], [], [], 0)[0] or b"still 2here" not in os.read(screen, 4096):
            os.write(keyboard, b"\x03")
            time.sleep(0.2)
            os.write(keyboard, b"echo still $((1 + 1))here\r")
            time.sleep(0.2)
        os.write(keyboard, ending)
        thread.join(30)
        assert not thread.is_alive()
    assert termios.tcgetattr(terminal) == before
    for descriptor in (keyboard, terminal, screen, output):
        os.close(descriptor)
