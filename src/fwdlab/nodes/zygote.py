"""A small process that nodes are forked from, so that the lab's own process, which has threads, never forks.

Started by `fabric.nodes` with a bare interpreter. Standard library only.
"""

from __future__ import annotations

import os
import select
import signal
import socket
from typing import Any

from fwdlab.nodes import init, wire
from fwdlab.process import kernel


def main(descriptor: int) -> None:
    """Serve requests `{"id", "node": settings}` with one socket each: the new node's own end."""
    kernel.die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end = socket.socket(fileno=descriptor)
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    while True:
        ready, _, _ = select.select([end], [], [], 1.0)
        _reap()
        if not ready:
            continue
        received = wire.receive(end)
        if received is None:
            return
        message, files = received
        wire.send(end, _answer(message, files, own, end))
        for file in files:
            os.close(file)


def _answer(message: dict[str, Any], files: list[int], own: int, end: socket.socket) -> dict[str, Any]:
    try:
        return {"id": message["id"], "pid": _fork(message["node"], files[0], own, end)}
    except OSError as error:
        return {"id": message["id"], "error": str(error)}


def _fork(settings: dict[str, Any], descriptor: int, own: int, end: socket.socket) -> int:
    """Fork the first process of a new pid namespace; its number as seen from here."""
    kernel.unshare(kernel.CLONE_NEWPID)
    try:
        child = os.fork()
    finally:
        # Without this, the next node would land in the same pid namespace.
        if os.getpid() != 1:
            kernel.setns(own, kernel.CLONE_NEWPID)
    if child:
        return child
    try:
        kernel.die_with_parent()
        os.close(own)
        end.close()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        init.run(socket.socket(fileno=os.dup(descriptor)), settings)
    finally:
        os._exit(1)  # whatever happened, a child of fork must never return into its caller


def _reap() -> None:
    while True:
        try:
            child, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if child == 0:
            return
