"""A small process that nodes are forked from, so that the lab's own process, which has threads, never forks.

It is a fork of the lab's process, made before that has threads, sockets or credentials; so they share the
memory of what both have loaded. Standard library only.
"""

from __future__ import annotations

import os
import select
import signal
import socket

from fwdlab.nodes import init, interpreter, messages
from fwdlab.process import syscalls

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
        main(there.detach())
    finally:
        os._exit(1)


def take() -> tuple[int, socket.socket]:
    """Number of the fork server that `start` has made, and the socket to it."""
    return _started.pop()


def main(descriptor: int) -> None:
    """Serve requests `{"id"}` with one socket each: the new node's own end."""
    syscalls.die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):
        os.dup2(nothing, standard)
    os.dup2(descriptor, 3)
    os.closerange(4, 4096)
    syscalls.rename_process(["fork-server"])
    end = socket.socket(fileno=3)
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    while True:
        ready, _, _ = select.select([end], [], [], 1.0)
        syscalls.reap()
        if not ready:
            continue
        received = messages.receive(end)
        if received is None:
            return
        request, (node_end,) = received
        try:
            answer: dict[str, object] = {"pid": _fork(node_end, own, end)}
        except OSError as error:
            answer = {"error": str(error)}
        messages.send(end, {"id": request["id"], **answer})
        os.close(node_end)


def _fork(node_end: int, own: int, end: socket.socket) -> int:
    """Fork the first process of a new pid namespace; its number as seen from here."""
    syscalls.unshare(syscalls.CLONE_NEWPID)
    try:
        child = os.fork()
    finally:
        # Without this, the next node would land in the same pid namespace.
        if os.getpid() != 1:
            syscalls.setns(own, syscalls.CLONE_NEWPID)
    if child:
        return child
    try:
        syscalls.die_with_parent()
        os.close(own)
        end.close()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        syscalls.rename_process(["init"])
        init.serve(socket.socket(fileno=node_end))
    finally:
        os._exit(1)  # whatever happened, a child of fork must never return into its caller
