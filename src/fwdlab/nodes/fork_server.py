"""A small process that nodes and their programs are forked from: the lab's own has threads and never forks.

It is a fork of the lab's process, made before that has threads, sockets or credentials; so they share the
memory of what both have loaded. It is in a node's namespaces only while it does what is asked for there, and
nothing there may make it wait. One thread, standard library only.

Requests carry `id` and `op`; the answer has the same `id` and either `error` or what was asked for.
`{"exit": PID, "code": N}` tells of the end of a program or of a node's first process.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from typing import TYPE_CHECKING, Any

from fwdlab.nodes import interpreter, messages, operations
from fwdlab.process import syscalls

if TYPE_CHECKING:
    from collections.abc import Callable

_SPACES = operations.SPACES | syscalls.CLONE_NEWPID
_started: list[tuple[int, socket.socket]] = []
"""Number of the fork server and this process's end of the socket to it, until somebody has taken them."""


def start() -> None:
    """Fork the fork server of this process.

    Comes before anything that a node must not have: threads, open files, secrets in memory.
    """
    interpreter.preload()
    here, there = messages.pair()
    child = os.fork()
    if child:
        there.close()
        _started.append((child, here))
        return
    try:
        _prepare(there.detach())
        _ForkServer(socket.socket(fileno=3)).serve()
    finally:
        os._exit(1)


def take() -> tuple[int, socket.socket]:
    """Number of the fork server that `start` has made, and the socket to it."""
    return _started.pop()


def _prepare(descriptor: int) -> None:
    """Keep no file but the socket, as number 3, and the log."""
    syscalls.die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):
        os.dup2(nothing, standard)
    os.dup2(descriptor, 3)
    os.closerange(4, 4096)
    syscalls.rename_process(["fork-server"])


class _ForkServer:
    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._nodes: dict[int, int] = {}
        """Descriptors of the nodes' first processes."""
        # The host's own ones would not let it come back.
        syscalls.unshare(syscalls.CLONE_NEWNET | syscalls.CLONE_NEWUTS)
        spaces = (f"/proc/self/ns/{name}" for name in ("ipc", "mnt", "net", "pid", "uts"))
        self._home = [os.open(space, os.O_RDONLY | os.O_CLOEXEC) for space in spaces]

    def serve(self) -> None:
        """Answer until the other end closes."""
        wake, waker = os.pipe()
        for descriptor in (wake, waker):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        while True:
            ready, _, _ = select.select([self._end.fileno(), wake], [], [])
            if wake in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(wake, 4096)
                self._reap()
            if self._end.fileno() in ready:
                received = messages.receive(self._end)
                if received is None:
                    return
                self._answer(*received)

    def _reap(self) -> None:
        for child, code in syscalls.reap():
            if child in self._nodes:
                os.close(self._nodes.pop(child))
            messages.send(self._end, {"exit": child, "code": code})

    def _answer(self, request: dict[str, Any], files: list[int]) -> None:
        out: list[int] = []
        if request["op"] == "create":
            self._create(request)
        else:
            answer = _answered(request, lambda: self._perform(request, files, out))
            messages.send(self._end, answer, tuple(out))
        for file in (*files, *out):
            os.close(file)

    def _perform(self, request: dict[str, Any], files: list[int], out: list[int]) -> dict[str, Any]:
        if request["op"] == "kill":
            with contextlib.suppress(ProcessLookupError):
                os.killpg(request["pid"], request["signal"])
            return {}
        try:
            syscalls.setns(self._nodes[request["node"]], _SPACES)
            return operations.OPERATIONS[request["op"]](request, files, out)
        finally:
            self._come_home()

    def _come_home(self) -> None:
        for space in self._home:
            syscalls.setns(space, 0)

    def _create(self, settings: dict[str, Any]) -> None:
        """Fork the first process of a new node; it says itself when all is built."""
        syscalls.unshare(syscalls.CLONE_NEWPID)
        child = os.fork()
        if child == 0:
            try:
                self._first_process(settings)
            finally:
                os._exit(1)  # whatever happened, a child of fork must never return into its caller
        # Without this, the next fork would land in the same pid namespace.
        self._come_home()
        self._nodes[child] = os.pidfd_open(child)

    def _first_process(self, settings: dict[str, Any]) -> None:
        syscalls.die_with_parent()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        number = int(os.readlink("/proc/self"))  # noqa: PTH115 - the number outside: this is still its /proc

        def perform() -> dict[str, Any]:
            operations.build(settings)
            return {"pid": number}

        answer = _answered(settings, perform)
        messages.send(self._end, answer)
        if "error" not in answer:
            operations.stay()


def _answered(request: dict[str, Any], work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        answer = work()
    except OSError as error:
        reason = error.strerror or str(error)
        text = f"{error.filename}: {reason}" if error.filename else reason
        answer = {"error": text, "errno": error.errno or 0}
    except (ValueError, KeyError) as error:
        answer = {"error": str(error)}
    return {**answer, "id": request["id"]}
