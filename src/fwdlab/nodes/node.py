"""A node as the lab's process sees it: asked to do something, removed. No namespace is entered here."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket as sockets
from typing import TYPE_CHECKING, Any

from fwdlab.machine.ports import Completed, Process
from fwdlab.nodes.requester import Requester

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MOST_ORPHANS = 64


class Children:
    """The forks of the fork server: whoever waits for one is told of its end."""

    def __init__(self, end: sockets.socket) -> None:
        self.fork_server = Requester(end, self._on_event)
        self._watchers: dict[int, Callable[[int], None]] = {}
        self._ended_early: dict[int, int] = {}

    def watch(self, pid: int, tell: Callable[[int], None]) -> None:
        """Tell the exit code, negative for a signal, of a fork that somebody has just been told of."""
        if pid in self._ended_early:
            tell(self._ended_early.pop(pid))
        else:
            self._watchers[pid] = tell

    def _on_event(self, message: dict[str, Any]) -> None:
        if "exit" in message:
            tell = self._watchers.pop(message["exit"], None)
            if tell is not None:
                tell(message["code"])
            elif len(self._ended_early) < _MOST_ORPHANS:
                # Before the answer to `spawn` was looked at, or one that nobody asks about any more.
                self._ended_early[message["exit"]] = message["code"]
        elif message.get("gone"):
            while self._watchers:
                self._watchers.popitem()[1](-signal.SIGKILL)


class Node:
    """A set of namespaces with a first process that does what is asked.

    Every method raises OSError as the system call in the node does, or when the node is gone.

    Attributes:
        pid: its first process, as the lab's process sees it.
        environment: what programs in it get.
        network: its network namespace, an open file.
        gone: its first process has ended.
    """

    def __init__(self, name: str, pid: int, children: Children, environment: Mapping[str, str]) -> None:
        self.name = name
        self.pid = pid
        self._children = children
        self.environment = {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8", "HOSTNAME": name, **environment}
        self.gone = False
        self._pidfd = os.pidfd_open(pid)
        self._processes: dict[Process, int] = {}
        """Those that run, with their numbers as the fork server sees them."""
        self.network = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        children.watch(pid, lambda _code: self._end())

    async def start(
        self,
        argv: Sequence[str],
        *,
        log: str,
        environment: Mapping[str, str] | None = None,
        directory: str = "/",
    ) -> Process:
        """Start a program; its output is added to the node's file `log`. `environment` replaces the node's.

        Raises:
            FileNotFoundError: when the program cannot be run.
        """
        own = self.environment if environment is None else environment
        process, _ = await self._spawn(argv, own, directory=directory, log=log)
        return process

    async def start_in_terminal(
        self, argv: Sequence[str], *, rows: int, cols: int, environment: Mapping[str, str]
    ) -> tuple[Process, int]:
        """Start a program with a terminal of its own; the process, and the terminal's master side.

        Raises:
            FileNotFoundError: when the program cannot be run.
        """
        process, (master,) = await self._spawn(
            argv, {**self.environment, **environment}, terminal=(rows, cols)
        )
        return process, master

    async def run(self, argv: Sequence[str], *, stdin: bytes = b"", files: Sequence[int] = ()) -> Completed:
        """Run a program and collect its output; it is killed when the caller is cancelled.

        `stdin` is what it reads; `files` become its files 3, 4 and so on.

        Raises:
            FileNotFoundError: when the program cannot be run.
        """
        with contextlib.ExitStack() as stack:
            given, out, err = (
                stack.enter_context(os.fdopen(os.memfd_create(name, os.MFD_CLOEXEC), "w+b", buffering=0))
                for name in ("stdin", "stdout", "stderr")
            )
            given.write(stdin)
            given.seek(0)
            standard = (given.fileno(), out.fileno(), err.fileno())
            process, _ = await self._spawn(argv, self.environment, (*standard, *files))
            try:
                code = await asyncio.shield(process.ended)
            except BaseException:
                await self.kill(process, signal.SIGKILL)
                raise
            out.seek(0)
            err.seek(0)
            return Completed(code, out.read(), err.read())

    async def _spawn(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        files: Sequence[int] = (),
        *,
        directory: str = "/",
        **how: Any,
    ) -> tuple[Process, list[int]]:
        request = {"argv": list(argv), "environment": dict(environment), "directory": directory, **how}
        answer, received = await self._ask("spawn", request, files)
        process = Process(answer["inside"], asyncio.get_running_loop().create_future())
        self._processes[process] = answer["pid"]
        self._children.watch(answer["pid"], lambda code: self._ended(process, code))
        if answer["failed"]:
            for file in received:
                os.close(file)
            raise FileNotFoundError(f"{argv[0]} cannot be run in {self.name}: {answer['failed']}")
        return process, received

    async def kill(self, process: Process, number: int = signal.SIGTERM) -> None:
        """Signal a program and everything in its session's group; nothing happens when it has ended."""
        if process.ended.done():
            return
        with contextlib.suppress(ConnectionError, TimeoutError):
            await self._ask("kill", {"pid": self._processes[process], "signal": int(number)})

    async def _ask(
        self, operation: str, request: dict[str, Any], files: Sequence[int] = ()
    ) -> tuple[dict[str, Any], list[int]]:
        if self.gone:
            raise ConnectionResetError("the node is gone")
        return await self._children.fork_server.ask({"op": operation, "node": self.pid, **request}, files)

    async def _open(self, path: str, flags: int, mode: int = 0o644) -> int:
        _, received = await self._ask("open", {"path": path, "flags": flags, "mode": mode})
        return received[0]

    async def read(self, path: str) -> bytes:
        """Content of a small file of the node."""
        with os.fdopen(await self._open(path, os.O_RDONLY), "rb") as file:
            return file.read()

    async def write(self, path: str, content: bytes, mode: int = 0o644, *, append: bool = False) -> None:
        """Write a file of the node; directories above it are made."""
        flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if append else os.O_TRUNC)
        with os.fdopen(await self._open(path, flags, mode), "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)

    async def socket(
        self, kind: sockets.SocketKind, address: str, port: int = 0, *, listen: bool = False, mark: int = 0
    ) -> sockets.socket:
        """A bound socket of the node's network namespace that does not block; `mark` is its packets'."""
        return await self._socket(kind=int(kind), address=address, port=port, listen=listen, mark=mark)

    async def listen(self, path: str) -> sockets.socket:
        """A listening unix socket in the node's file system that does not block."""
        return await self._socket(kind=int(sockets.SOCK_STREAM), path=path, listen=True)

    async def _socket(self, **how: Any) -> sockets.socket:
        _, received = await self._ask("socket", how)
        made = sockets.socket(fileno=received[0])
        made.setblocking(False)  # noqa: FBT003 - the standard library's own signature
        return made

    def _ended(self, process: Process, code: int) -> None:
        self._processes.pop(process, None)
        if not process.ended.done():
            process.ended.set_result(code)

    def _end(self) -> None:
        """Its first process has ended, and with it all others."""
        self.gone = True
        for process in list(self._processes):
            self._ended(process, -signal.SIGKILL)

    def destroy(self) -> None:
        """Kill everything in the node; its namespaces go with it."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        self._end()
        for descriptor in (self._pidfd, self.network):
            os.close(descriptor)
