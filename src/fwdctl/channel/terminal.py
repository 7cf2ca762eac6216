"""Join the local terminal to a remote shell until that shell ends."""

from __future__ import annotations

import os
import select
import sys
import threading

from fwdctl.channel import framing
from fwdctl.channel.socket import ClosedError, Socket
from fwdctl.errors import FwdctlError, UsageError


def needs_posix() -> FwdctlError:
    """Why there is no shell on Windows: its consoles have no raw mode of this kind."""
    return UsageError(
        "shell_not_on_windows",
        "`jump shell` needs a POSIX terminal.",
        "Use it in WSL, or `az container exec --exec-command /bin/sh`.",
    )


def attach(socket: Socket, stdin: int, stdout: int) -> None:
    """Pass keys and output on, byte for byte, in raw mode; the terminal's mode is restored on any exit.

    The service takes a window size at the start only; it has no message for a later one (azure-cli 2.91,
    container/custom.py sends none either).

    Raises:
        FwdctlError: `shell_not_on_windows` (exit code 2).
    """
    if sys.platform == "win32":
        raise needs_posix()
    import termios
    import tty

    before = termios.tcgetattr(stdin)
    ended, wake = os.pipe()
    listener = threading.Thread(target=_listen, args=(socket, stdout, wake), name="fwdctl-shell", daemon=True)
    try:
        tty.setraw(stdin, termios.TCSADRAIN)  # what was typed already is kept
        listener.start()
        _type(socket, stdin, ended)
    finally:
        termios.tcsetattr(stdin, termios.TCSADRAIN, before)
        socket.close()
        if listener.is_alive():
            listener.join(2.0)
        os.close(ended)


def _type(socket: Socket, stdin: int, ended: int) -> None:
    while True:
        readable, _, _ = select.select([stdin, ended], [], [])
        if ended in readable:
            return
        keys = os.read(stdin, 1024)
        if not keys:
            return
        try:
            for message in framing.messages(keys):
                socket.send(message)
        except ClosedError:
            return


def _listen(socket: Socket, stdout: int, wake: int) -> None:
    """Copy output until the connection ends, then close `wake`, which `select` sees as readable."""
    try:
        while True:
            message = socket.recv()
            data = message.encode() if isinstance(message, str) else message
            while data:
                data = data[os.write(stdout, data) :]
    except (ClosedError, OSError):
        return
    finally:
        os.close(wake)
