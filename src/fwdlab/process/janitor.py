"""Removes a lab's files when its process ends, however it ends."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def start(remove: Callable[[], None]) -> None:
    """Fork a process that waits for this one to end and then removes its files.

    A process that is killed cannot clean up after itself, so another one has to. It is forked before anything
    large is imported and holds no file of the lab open. An ordinary end goes the same way: one mechanism.
    """
    parent = os.pidfd_open(os.getpid())
    if os.fork():
        os.close(parent)
        return
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # Keep nothing that could hold up others: not the lock, not the pipe that says "ready", not the log.
    keep = parent
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    os.closerange(3, keep)
    os.closerange(keep + 1, 4096)
    with contextlib.suppress(BaseException):
        select.select([keep], [], [])
        signal.alarm(30)  # whatever happens, do not stay
        # The supervisor's children die with it, but a moment later; the lock says when the last one has.
        remove()
    os._exit(0)
