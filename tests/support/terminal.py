"""A program at a terminal of its own, for what only happens where somebody sits at one."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

CTRL_C, DOWN, ENTER = "\x03", "\x1b[B", "\r"
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """Runs a program with a controlling terminal, reads what it prints and types."""

    def __init__(self, argv: list[str], *, environ: dict[str, str], cwd: Path) -> None:
        self._raw = ""
        self._master, slave = pty.openpty()
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self._process = subprocess.Popen(
            ["setsid", "--ctty", *argv],
            env={**environ, "TERM": "xterm"},
            cwd=cwd,
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)

    @property
    def shown(self) -> str:
        """Everything that it has printed, without control sequences."""
        return _CONTROL.sub("", self._raw)

    def close(self) -> None:
        """End the program if it still runs."""
        self._process.kill()
        self._process.wait(timeout=10)
        os.close(self._master)

    def until(self, text: str, *, seconds: float = 90) -> None:
        """Read until the program has printed something."""
        deadline = time.monotonic() + seconds
        while text not in self.shown:
            assert time.monotonic() < deadline, f"'{text}' did not come:\n{self.shown}"
            assert self._read(), f"it ended without '{text}':\n{self.shown}"

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._master, text.encode())

    def end(self, *, seconds: float = 90) -> int:
        """Read to the end; the exit code."""
        deadline = time.monotonic() + seconds
        while self._read():
            assert time.monotonic() < deadline, f"it did not end:\n{self.shown}"
        return self._process.wait(timeout=10)

    def _read(self) -> bool:
        """Read what there is within a moment; whether there may be more."""
        if not select.select([self._master], [], [], 0.2)[0]:
            return True
        try:
            data = os.read(self._master, 65536)
        except OSError:  # the last program at the terminal has ended
            return False
        self._raw += data.decode(errors="replace")
        return bool(data)
