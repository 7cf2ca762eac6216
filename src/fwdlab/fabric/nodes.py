"""Nodes as the lab's process sees them: created, asked to do something, removed. No namespace is entered here."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fwdlab.errors import LabError
from fwdlab.machine import wire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PLATFORM_ADDRESS = "168.63.129.16"
"""Azure's virtual public address for DNS and health probes (virtual-network/what-is-ip-address-168-63-129-16)."""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_START_SECONDS = 10.0
_GRACE_SECONDS = 0.2


@dataclass(frozen=True)
class Completed:
    """A program that ran to its end; `returncode` is negative when a signal ended it."""

    returncode: int
    stdout: bytes
    stderr: bytes


class Peer:
    """One end of a socket to a small process: requests with answers, and events."""

    def __init__(self, end: socket.socket, on_event: Callable[[dict[str, Any]], None]) -> None:
        end.setblocking(False)
        self._end = end
        self._on_event = on_event
        self._next = 0
        self._waiting: dict[int, asyncio.Future[tuple[dict[str, Any], list[int]]]] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(end.fileno(), self._read)

    async def ask(
        self, request: dict[str, Any], files: Sequence[int] = ()
    ) -> tuple[dict[str, Any], list[int]]:
        """Send a request and wait for its answer.

        Raises:
            OSError: when the operation failed there, or the other end is gone.
            TimeoutError: after ten seconds.
        """
        self._next += 1
        number = self._next
        future: asyncio.Future[tuple[dict[str, Any], list[int]]] = self._loop.create_future()
        self._waiting[number] = future
        try:
            wire.send(self._end, {**request, "id": number}, tuple(files))
            answer, received = await asyncio.wait_for(future, _START_SECONDS)
        finally:
            self._waiting.pop(number, None)
        if "error" in answer:
            raise OSError(answer.get("errno", 0), answer["error"])
        return answer, received

    def _read(self) -> None:
        while True:
            try:
                received = wire.receive(self._end)
            except BlockingIOError:
                return
            except OSError:
                received = None
            if received is None:
                self.close()
                return
            message, files = received
            future = self._waiting.get(message.get("id", 0))
            if future is not None and not future.done():
                future.set_result((message, files))
                continue
            for file in files:
                os.close(file)
            if "id" not in message:
                self._on_event(message)

    def close(self) -> None:
        """Let go of the other end; whoever waits gets an error."""
        if self._end.fileno() < 0:
            return
        self._loop.remove_reader(self._end.fileno())
        self._end.close()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ConnectionResetError("the node is gone"))
        self._on_event({"gone": True})


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
        timeout: float = 10.0,  # noqa: ASYNC109 - kills what runs, which a caller's timeout would not
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
        self, kind: socket.SocketKind, address: str, port: int = 0, *, listen: bool = False, mark: int = 0
    ) -> socket.socket:
        """A bound socket of the node's network namespace that does not block.

        Raises:
            OSError: as bind(2) in the node.
        """
        request = {"op": "socket", "kind": int(kind), "address": address, "port": port}
        _, received = await self.peer.ask({**request, "listen": listen, "mark": mark})
        made = socket.socket(fileno=received[0])
        made.setblocking(False)
        return made

    async def listen(self, path: str) -> socket.socket:
        """A listening unix socket in the node's file system.

        Raises:
            OSError: as bind(2) in the node.
        """
        _, received = await self.peer.ask({"op": "listen", "path": path})
        made = socket.socket(fileno=received[0])
        made.setblocking(False)
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


class Nursery:
    """Creates nodes by way of the zygote.

    Args:
        run_dir: an existing directory of the lab; nodes mount over an empty directory in it, which shows
            nothing to the host.
    """

    def __init__(self, run_dir: Path) -> None:
        self._scratch = run_dir / "node"
        self._scratch.mkdir(parents=True, exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None
        self._peer: Peer | None = None

    def start(self) -> None:
        """Start the zygote."""
        here, there = wire.pair()
        source = str(Path(__file__).resolve().parents[2])
        program = (
            f"import sys; sys.path.insert(0, {source!r}); from fwdlab.machine.zygote import main;"
            f" main({there.fileno()})"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", program],
            stdin=subprocess.DEVNULL,
            pass_fds=(there.fileno(),),
            env={"PATH": _PATH},
            cwd="/",
        )
        there.close()
        self._peer = Peer(here, lambda _message: None)

    async def create(
        self,
        name: str,
        *,
        private_files: bool = True,
        files: Mapping[str, str] | None = None,
        programs: Mapping[str, str] | None = None,
        sysctls: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Node:
        """Make a node.

        Args:
            name: host name.
            private_files: False for one that keeps the lab's view of the file system.
            files: first content of files below /etc, by path.
            programs: scripts below /usr/local, by path.
            sysctls: by path below /proc/sys.
            environment: added to what every program in it gets.

        Raises:
            LabError: `node_failed` with the step that the kernel refused.
        """
        if self._peer is None:
            raise LabError("lab_closed", "the lab's data plane does not run")
        here, there = wire.pair()
        settings = {
            "name": name[:64],
            "private_files": private_files,
            "scratch": str(self._scratch),
            "files": dict(files or {}),
            "programs": dict(programs or {}),
            "keep": sorted({sys.base_prefix, str(Path(sys.executable).resolve().parent.parent)}),
            "sysctls": dict(sysctls or {}),
        }
        try:
            answer, _ = await self._peer.ask({"node": settings}, (there.fileno(),))
        except OSError as error:
            here.close()
            raise LabError("node_failed", f"{name}: {error}") from error
        finally:
            there.close()
        return await _adopt(name, answer["pid"], here, environment or {})

    def close(self) -> None:
        """End the zygote; nodes that are left die with it."""
        if self._peer:
            self._peer.close()
            self._peer = None
        if self._process:
            self._process.kill()
            self._process.wait(5)
            self._process = None
        with contextlib.suppress(OSError):
            self._scratch.rmdir()


async def _adopt(name: str, pid: int, end: socket.socket, environment: Mapping[str, str]) -> Node:
    loop = asyncio.get_running_loop()
    first: asyncio.Future[dict[str, Any]] = loop.create_future()
    events: list[Callable[[dict[str, Any]], None]] = []

    def on_event(message: dict[str, Any]) -> None:
        if not first.done():
            first.set_result(message)
        elif events:
            events[0](message)

    peer = Peer(end, on_event)
    pidfd = os.pidfd_open(pid)
    try:
        message = await asyncio.wait_for(first, _START_SECONDS)
        if "ready" not in message:
            raise LabError("node_failed", f"{name}: {message.get('error', 'its first process ended')}")
        network = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except BaseException:
        peer.close()
        os.close(pidfd)
        raise
    own = {"PATH": _PATH, "HOME": "/root", "LANG": "C.UTF-8", "HOSTNAME": name, **environment}
    node = Node(name, pid, pidfd, own, network, peer)
    events.append(node.on_event)
    return node


def etc_files(name: str) -> dict[str, str]:
    """What every node finds in /etc instead of the host's files."""
    return {
        "/etc/resolv.conf": f"nameserver {PLATFORM_ADDRESS}\noptions timeout:2 attempts:2\n",
        "/etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {name}\n",
        "/etc/hostname": f"{name}\n",
        "/etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n",
        "/etc/environment": "",
    }
