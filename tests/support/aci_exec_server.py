"""The exec service of a container as Azure runs it, on plain ws://: password first, then a terminal with /bin/sh.

Faults that were seen in the service can be switched on. One connection is one shell.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

from fwdctl.channel import Ticket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from websockets.sync.server import ServerConnection

pty = pytest.importorskip("pty", reason="a container's terminal cannot be imitated on Windows")
PASSWORD = "p w[[EOM]]"


@dataclass
class Faults:
    """What goes wrong.

    Attributes:
        empty_first: an empty message before any other.
        text: output as text messages instead of binary ones.
        split: output in messages of this size.
        drop_output: position of an output byte that is lost, counted over one connection.
        drop_input: likewise of an input byte.
        cut_output: connection closed after this many bytes of output.
        connections: how many first connections have the faults drop_* and cut_*; later ones are sound.
        max_message: longer messages from the client are cut to this length.
        silent: the shell never answers.
    """

    empty_first: bool = False
    text: bool = False
    split: int = 0
    drop_output: int | None = None
    drop_input: int | None = None
    cut_output: int | None = None
    connections: int = 1 << 30
    max_message: int = 1 << 30
    silent: bool = False


@dataclass
class AciExecServer:
    """A running server; `ticket` is what the exec call would answer."""

    port: int = 0
    faults: Faults = field(default_factory=Faults)
    shell: tuple[str, ...] = ("/bin/sh",)
    environ: dict[str, str] = field(default_factory=dict)
    connections: int = 0
    pids: list[int] = field(default_factory=list)
    finished: threading.Event = field(default_factory=threading.Event)

    def ticket(self) -> Ticket:
        return Ticket(f"ws://127.0.0.1:{self.port}/exec", PASSWORD)

    def handle(self, socket: ServerConnection) -> None:
        if socket.recv() != PASSWORD:
            socket.close(1008)
            return
        self.connections += 1
        faulty = self.connections <= self.faults.connections
        if self.faults.empty_first:
            socket.send(b"")
        if self.faults.silent:
            with suppress(ConnectionClosed):
                while True:
                    socket.recv()
            return
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir("/")
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # which Python ignores, and children inherit that
            os.execve(  # noqa: S606 - no shell in between is wanted
                self.shell[0], list(self.shell), {"PATH": os.environ["PATH"], "TERM": "xterm", **self.environ}
            )
        self.pids.append(pid)
        writer = threading.Thread(
            target=self._input, args=(socket, terminal, pid), kwargs={"faulty": faulty}, daemon=True
        )
        writer.start()
        try:
            self._output(socket, terminal, faulty=faulty)
        finally:
            socket.close()
            writer.join(5)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGHUP)
            os.close(terminal)
            os.waitpid(pid, 0)
            self.finished.set()

    def _output(self, socket: ServerConnection, terminal: int, *, faulty: bool) -> None:
        seen = 0
        with suppress(OSError, ConnectionClosed):
            while data := os.read(terminal, 65536):
                if faulty:
                    data, seen = _without(data, seen, self.faults.drop_output)
                    cut = self.faults.cut_output
                    if cut is not None and seen >= cut:
                        return
                size = self.faults.split or len(data) or 1
                for at in range(0, len(data), size):
                    piece = data[at : at + size]
                    socket.send(piece.decode("latin-1") if self.faults.text else piece)

    def _input(self, socket: ServerConnection, terminal: int, pid: int, *, faulty: bool) -> None:
        seen = 0
        with suppress(OSError, ConnectionClosed):
            for message in socket:
                data = message.encode() if isinstance(message, str) else message
                data = data[: self.faults.max_message]
                if faulty:
                    data, seen = _without(data, seen, self.faults.drop_input)
                while data:
                    select.select([], [terminal], [], 5)
                    data = data[os.write(terminal, data) :]
        # The client is gone: the terminal hangs up, as in the service.
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGHUP)


def _without(data: bytes, seen: int, position: int | None) -> tuple[bytes, int]:
    """Lose the byte at one position of a stream of which `seen` bytes have gone by."""
    end = seen + len(data)
    if position is not None and seen <= position < end:
        at = position - seen
        data = data[:at] + data[at + 1 :]
    return data, end


@contextmanager
def aci_exec_server() -> Iterator[AciExecServer]:
    """Run the service on a free port of loopback."""
    fake = AciExecServer()
    with serve(fake.handle, "127.0.0.1", 0, compression=None) as server:
        fake.port = server.socket.getsockname()[1]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield fake
        finally:
            server.shutdown()
            thread.join(5)
