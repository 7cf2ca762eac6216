"""The few system calls that Python has no function for. Standard library only.

Each raises OSError with the kernel's errno; `filename` says what was refused.
"""

from __future__ import annotations

import ctypes
import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

CLONE_NEWNS = 0x0002_0000
CLONE_NEWUTS = 0x0400_0000
CLONE_NEWIPC = 0x0800_0000
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWPID = 0x2000_0000
CLONE_NEWNET = 0x4000_0000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x4_0000

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_ARGUMENTS = slice(45, 47)
"""Begin and end of the command line in memory, in /proc/PID/stat behind the name (proc_pid_stat(5))."""
_SYS_MOUNT_SETATTR = 442  # the same number on every architecture
_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_MOUNT_ATTR_RDONLY = 0x1

_libc = ctypes.CDLL(None, use_errno=True)


class _MountAttributes(ctypes.Structure):
    _fields_ = [
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    ]


def _check(result: int, step: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), step)


def unshare(flags: int, step: str = "unshare") -> None:
    _check(_libc.unshare(ctypes.c_int(flags)), step)


def setns(descriptor: int, kind: int) -> None:
    _check(_libc.setns(ctypes.c_int(descriptor), ctypes.c_int(kind)), "setns")


def mount(source: str, target: str, kind: str | None = None, flags: int = 0, data: str = "") -> None:
    result = _libc.mount(
        source.encode(),
        target.encode(),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        data.encode() if data else None,
    )
    _check(result, f"mount {target}")


def mount_proc() -> None:
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)


def make_private() -> None:
    """Keep every later mount to this mount namespace."""
    mount("none", "/", None, MS_REC | MS_PRIVATE)


def make_read_only() -> None:
    """Make every present mount of this mount namespace read-only (mount_setattr(2), Linux 5.12)."""
    attributes = _MountAttributes(attr_set=_MOUNT_ATTR_RDONLY)
    result = _libc.syscall(
        ctypes.c_long(_SYS_MOUNT_SETATTR),
        ctypes.c_int(_AT_FDCWD),
        ctypes.c_char_p(b"/"),
        ctypes.c_uint(_AT_RECURSIVE),
        ctypes.byref(attributes),
        ctypes.c_size_t(ctypes.sizeof(attributes)),
    )
    _check(result, "make mounts read-only")


def die_with_parent(parent: int | None = None) -> None:
    """Have the kernel kill this process when its parent ends (PR_SET_PDEATHSIG).

    Args:
        parent: the parent's process number if it is visible from here; when the parent has already ended,
            this process ends at once, because the kernel would never tell.
    """
    result = _libc.prctl(ctypes.c_int(_PR_SET_PDEATHSIG), ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)
    _check(result, "prctl PR_SET_PDEATHSIG")
    if parent is not None and os.getppid() != parent:
        os._exit(1)


def rename_process(argv: Sequence[str]) -> None:
    """Let this process be listed with another command line, as much of it as there is room for."""
    _check(_libc.prctl(ctypes.c_int(_PR_SET_NAME), argv[0].rpartition("/")[2].encode()), "prctl PR_SET_NAME")
    with open("/proc/self/stat", "rb") as file:  # noqa: PTH123 - pathlib is not worth its import here
        begin, end = map(int, file.read().rpartition(b")")[2].split()[_ARGUMENTS])
    text = "\0".join(argv).encode()[: end - begin - 1]
    ctypes.memmove(begin, text.ljust(end - begin, b"\0"), end - begin)


def reap() -> list[tuple[int, int]]:
    """Collect the children that have ended: process number and exit code, negative for a signal."""
    ended: list[tuple[int, int]] = []
    while True:
        try:
            child, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if child == 0:
            return ended
        ended.append((child, os.waitstatus_to_exitcode(status)))
