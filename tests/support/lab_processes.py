"""The processes of a running lab and what they cost."""

from __future__ import annotations

import contextlib
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
