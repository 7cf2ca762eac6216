"""The exec service of a container as Azure runs it, on plain ws://: password first, then a terminal with /bin/sh.

Faults that were seen in the service can be switched on. One connection is one shell.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
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


@dataclass(frozen=True)
class Damage:
    """What happens to one byte of a stream: lost, doubled, or another in its place.

    Attributes:
        position: counted over one connection.
        put: what comes in its place; None for the byte twice.
    """

    position: int
    put: bytes | None = b""


@dataclass(slots=True)
class Faults:
    """What goes wrong.

    Attributes:
        empty_first: an empty message before any other.
        text: output as text messages instead of binary ones.
        split: output in messages of this size.
        output: damage to what the shell says.
        input: damage to what it is told.
        cut_output: connection closed after this many bytes of output.
        connections: how many first connections are damaged or cut; later ones are sound.
        max_message: longer messages from the client are cut to this length.
        silent: the shell never answers.
        shell: which program it has as its shell; the server's if empty.
    """

    empty_first: bool = False
    text: bool = False
    split: int = 0
    output: tuple[Damage, ...] = ()
    input: tuple[Damage, ...] = ()
    cut_output: int | None = None
    connections: int = 1 << 30
    max_message: int = 1 << 30
    silent: bool = False
    shell: tuple[str, ...] = ()
    seen: int = field(default=0, init=False)


@dataclass
class AciExecServer:
    """A running server; `ticket` is what the exec call would answer, with faults of its own or the server's."""

    port: int = 0
    faults: Faults = field(default_factory=Faults)
    shell: tuple[str, ...] = ("/bin/sh",)
    environ: dict[str, str] = field(default_factory=dict)
    connections: int = 0
    pids: list[int] = field(default_factory=list)
    finished: threading.Event = field(default_factory=threading.Event)
    _tickets: dict[str, Faults] = field(default_factory=dict)

    def ticket(self, faults: Faults | None = None) -> Ticket:
        path = f"/exec/{id(faults)}"
        if faults is not None:
            self._tickets[path] = faults
        return Ticket(f"ws://127.0.0.1:{self.port}{path}", PASSWORD)

    def handle(self, socket: ServerConnection) -> None:
        if socket.recv() != PASSWORD:
            socket.close(1008)
            return
        self.connections += 1
        faults = self._tickets.get(socket.request.path if socket.request else "", self.faults)
        faults.seen += 1
        sound = faults.seen > faults.connections
        if sound:
            faults = replace(faults, output=(), input=(), cut_output=None)
        if faults.empty_first:
            socket.send(b"")
        if faults.silent:
            with suppress(ConnectionClosed):
                while True:
                    socket.recv()
            return
        shell = faults.shell or self.shell
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir("/")
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # which Python ignores, and children inherit that
            os.execve(  # noqa: S606 - no shell in between is wanted
                shell[0], list(shell), {"PATH": os.environ["PATH"], "TERM": "xterm", **self.environ}
            )
        self.pids.append(pid)
        writer = threading.Thread(target=_input, args=(socket, terminal, pid, faults), daemon=True)
        writer.start()
        try:
            _output(socket, terminal, faults)
        finally:
            socket.close()
            writer.join(5)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGHUP)
            os.close(terminal)
            os.waitpid(pid, 0)
            self.finished.set()


def _output(socket: ServerConnection, terminal: int, faults: Faults) -> None:
    seen = 0
    with suppress(OSError, ConnectionClosed):
        while data := os.read(terminal, 65536):
            said, seen = _damaged(data, seen, faults.output), seen + len(data)
            if faults.cut_output is not None and seen >= faults.cut_output:
                return
            size = faults.split or len(said) or 1
            for at in range(0, len(said), size):
                piece = said[at : at + size]
                socket.send(piece.decode("latin-1") if faults.text else piece)


def _input(socket: ServerConnection, terminal: int, pid: int, faults: Faults) -> None:
    seen = 0
    with suppress(OSError, ConnectionClosed):
        for message in socket:
            data = message.encode() if isinstance(message, str) else message
            data = data[: faults.max_message]
            told, seen = _damaged(data, seen, faults.input), seen + len(data)
            while told:
                select.select([], [terminal], [], 5)
                told = told[os.write(terminal, told) :]
    # The client is gone: the terminal hangs up, as in the service.
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGHUP)


def _damaged(data: bytes, seen: int, damages: tuple[Damage, ...]) -> bytes:
    """The next bytes of a stream of which `seen` have gone by."""
    pieces = [bytes([byte]) for byte in data]
    for damage in damages:
        at = damage.position - seen
        if 0 <= at < len(pieces):
            pieces[at] = pieces[at] * 2 if damage.put is None else damage.put
    return b"".join(pieces)


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
