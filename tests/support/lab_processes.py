"""The processes of labs, and what they cost."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path


def children_of(pid: int) -> list[int]:
    """Every descendant of a process, the process first; those that end meanwhile are left out."""
    found = [pid]
    for each in found:
        for task in Path(f"/proc/{each}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += [int(child) for child in task.read_text().split()]
    return found


def processes_of(name: str, supervisor: int) -> list[int]:
    """Every process of a lab: the supervisor, its descendants, and the janitor, which is nobody's child."""
    words = b"\0fwdlab.control.background\0" + name.encode() + b"\0"
    found = children_of(supervisor)
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if words in (process / "cmdline").read_bytes() and int(process.name) not in found:
                found.append(int(process.name))
    return found


def memory_of(pids: list[int]) -> int:
    """Bytes of memory, each shared page divided by the number of processes that share it (proportional size)."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total * 1024


def service_processes(home: Path) -> set[int]:
    """Every process of every lab with its files below a directory, whoever is its parent now."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            ours = f"XDG_STATE_HOME={home}/state".encode() in (process / "environ").read_bytes().split(b"\0")
            if ours and b"fwdlab.control.background" in (process / "cmdline").read_bytes():
                found.add(int(process.name))
    return found


def wait_for(condition: object, *, seconds: float = 10) -> bool:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
