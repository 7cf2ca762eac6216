"""A small process that nodes are forked from, so that the lab's own process, which has threads, never forks.

Started by `nodes.factory` with a bare interpreter. Standard library only.
"""

from __future__ import annotations

import os
import select
import signal
import socket

from fwdlab.nodes import init, messages
from fwdlab.process import syscalls


def main(descriptor: int) -> None:
    """Serve requests `{"id"}` with one socket each: the new node's own end."""
    syscalls.die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end = socket.socket(fileno=descriptor)
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
        init.serve(socket.socket(fileno=node_end))
    finally:
        os._exit(1)  # whatever happened, a child of fork must never return into its caller
