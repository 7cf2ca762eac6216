"""A node as the lab's process sees it: asked to do something, removed. No namespace is entered here."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket as sockets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fwdlab.nodes.peer import Peer

PLATFORM_ADDRESS = "168.63.129.16"
"""Source of DNS and health probes in Azure (virtual-network/what-is-ip-address-168-63-129-16)."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_GRACE_SECONDS = 0.2


@dataclass(frozen=True)
class Completed:
    """A program that ran to its end; `returncode` is negative when a signal ended it."""

    returncode: int
    stdout: bytes
    stderr: bytes


@dataclass
class Process:
    """A program that runs in a node; `ended` holds its exit code, negative for a signal."""

    pid: int
    ended: asyncio.Future[int]


@dataclass
class Node:
    """A set of namespaces with a first process that does what is asked.

    Attributes:
        name: host name.
        pid: its first process, as the lab's process sees it.
        environment: what programs in it get.
        network: its network namespace, an open file.
        gone: its first process has ended.
    """

    name: str
    pid: int
    pidfd: int
    environment: dict[str, str]
    network: int
    peer: Peer = field(repr=False)
    gone: bool = False
    _processes: dict[int, Process] = field(default_factory=dict, repr=False)
    _ended_early: dict[int, int] = field(default_factory=dict, repr=False)

    async def spawn(
        self,
        argv: Sequence[str],
        *,
        files: Sequence[int] = (),
        environment: Mapping[str, str] | None = None,
        directory: str = "/",
        terminal: tuple[int, int] | None = None,
    ) -> tuple[Process, int]:
        """Start a program in the node.

        Args:
            argv: program and arguments.
            files: become its files 0, 1, 2 and so on; the caller keeps and closes its own.
            environment: replaces the node's own.
            directory: where it starts.
            terminal: rows and columns of a new controlling terminal, instead of `files`.

        Returns:
            The process and the terminal's master side, -1 without one.

        Raises:
            FileNotFoundError: when the program cannot be run.
            OSError: when the node is gone.
        """
        answer, received = await self.peer.ask(
            {
                "op": "spawn",
                "argv": list(argv),
                "environment": dict(self.environment if environment is None else environment),
                "directory": directory,
                "terminal": terminal,
            },
            files,
        )
        process = Process(answer["pid"], asyncio.get_running_loop().create_future())
        if process.pid in self._ended_early:
            process.ended.set_result(self._ended_early.pop(process.pid))
        else:
            self._processes[process.pid] = process
        if answer["failed"]:
            for file in received:
                os.close(file)
            raise FileNotFoundError(f"{argv[0]} cannot be run in {self.name}: {answer['failed']}")
        return process, received[0] if received else -1

    async def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout: float = 10.0,
        files: Sequence[int] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Completed:
        """Run a program in the node and collect its output.

        Args:
            argv: program and arguments.
            stdin: what it reads.
            timeout: seconds; then it is killed.
            files: become its files 3, 4 and so on.
            environment: added to the node's own.

        Raises:
            FileNotFoundError: when the program cannot be run.
            TimeoutError: after `timeout`.
        """
        given = _memory_file(stdin)
        pipes = [os.pipe(), os.pipe()]
        collectors = [_Collector(reader) for reader, _ in pipes]
        try:
            process, _ = await self.spawn(
                argv,
                files=(given, pipes[0][1], pipes[1][1], *files),
                environment={**self.environment, **(environment or {})},
            )
        except BaseException:
            for collector in collectors:
                collector.close()
            raise
        finally:
            os.close(given)
            for _, writer in pipes:
                os.close(writer)
        try:
            code = await asyncio.wait_for(asyncio.shield(process.ended), timeout)
            # A program that it left in the background may hold its output open for ever.
            await asyncio.wait([c.ended for c in collectors], timeout=_GRACE_SECONDS)
        except BaseException:
            await self.kill(process, signal.SIGKILL)
            raise
        finally:
            for collector in collectors:
                collector.close()
        return Completed(code, *(bytes(c.data) for c in collectors))

    async def kill(self, process: Process, number: int = signal.SIGTERM) -> None:
        """Signal a program and everything in its session's group; nothing happens when it has ended."""
        if process.ended.done():
            return
        with contextlib.suppress(ConnectionError, asyncio.TimeoutError):
            await self.peer.ask({"op": "kill", "pid": process.pid, "signal": int(number), "group": True})

    async def open(self, path: str, flags: int = os.O_RDONLY, mode: int = 0o644) -> int:
        """Open a file of the node; directories above it are made when `flags` has O_CREAT.

        Raises:
            OSError: as open(2) in the node.
        """
        _, received = await self.peer.ask({"op": "open", "path": path, "flags": flags, "mode": mode})
        return received[0]

    async def read(self, path: str) -> bytes:
        """Content of a small file of the node.

        Raises:
            OSError: as open(2) in the node.
        """
        with os.fdopen(await self.open(path), "rb") as file:
            return file.read()

    async def write(self, path: str, content: bytes, mode: int = 0o644, *, append: bool = False) -> None:
        """Write a file of the node.

        Raises:
            OSError: as open(2) in the node.
        """
        flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if append else os.O_TRUNC)
        with os.fdopen(await self.open(path, flags, mode), "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)

    async def socket(
        self, kind: sockets.SocketKind, address: str, port: int = 0, *, listen: bool = False, mark: int = 0
    ) -> sockets.socket:
        """A bound socket of the node's network namespace that does not block.

        Raises:
            OSError: as bind(2) in the node.
        """
        request = {"op": "socket", "kind": int(kind), "address": address, "port": port}
        _, received = await self.peer.ask({**request, "listen": listen, "mark": mark})
        made = sockets.socket(fileno=received[0])
        made.setblocking(False)  # noqa: FBT003 - the standard library's own signature
        return made

    async def listen(self, path: str) -> sockets.socket:
        """A listening unix socket in the node's file system.

        Raises:
            OSError: as bind(2) in the node.
        """
        _, received = await self.peer.ask({"op": "listen", "path": path})
        made = sockets.socket(fileno=received[0])
        made.setblocking(False)  # noqa: FBT003 - the standard library's own signature
        return made

    def on_event(self, message: dict[str, Any]) -> None:
        """Take note of a program's end, or of the node's."""
        if "exit" in message:
            process = self._processes.pop(message["exit"], None)
            if process is None:
                # Before the answer to `spawn` was looked at, or an orphan that nobody asks about.
                if len(self._ended_early) < 64:  # noqa: PLR2004 - orphans must not pile up
                    self._ended_early[message["exit"]] = message["code"]
            elif not process.ended.done():
                process.ended.set_result(message["code"])
        elif message.get("gone"):
            self.gone = True
            for process in self._processes.values():
                if not process.ended.done():
                    process.ended.set_result(-signal.SIGKILL)
            self._processes.clear()

    def destroy(self) -> None:
        """Kill everything in the node; its namespaces go with it."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        self.peer.close()
        for descriptor in (self.pidfd, self.network):
            os.close(descriptor)


class _Collector:
    """Reads a pipe to its end without blocking."""

    def __init__(self, reader: int) -> None:
        self.data = bytearray()
        self._reader = reader
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        os.set_blocking(reader, False)
        self._loop.add_reader(reader, self._read)

    def _read(self) -> None:
        try:
            part = os.read(self._reader, 65536)
        except BlockingIOError:
            return
        if part:
            self.data += part
        else:
            self.close()

    def close(self) -> None:
        if not self.ended.done():
            self._loop.remove_reader(self._reader)
            os.close(self._reader)
            self.ended.set_result(None)


def _memory_file(content: bytes) -> int:
    descriptor = os.memfd_create("stdin", os.MFD_CLOEXEC)
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
