"""What the rooms of a machine ask of the node that it runs on; `nodes.node.Node` does it."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Completed:
    """A program that ran to its end; `returncode` is negative when a signal ended it."""

    returncode: int
    stdout: bytes
    stderr: bytes


@dataclass(eq=False)
class Process:
    """A program that runs, by the node's own number; `ended` holds its exit code, negative for a signal."""

    pid: int
    ended: asyncio.Future[int]


class Machine(Protocol):
    """Where programs run and files stand. Every method raises OSError as the system call does."""

    name: str
    environment: dict[str, str]

    async def run(self, argv: Sequence[str]) -> Completed:
        """Run a program to its end."""

    async def start(
        self,
        argv: Sequence[str],
        *,
        log: str,
        environment: Mapping[str, str] | None = None,
        directory: str = "/",
    ) -> Process:
        """Start a program; its output is added to the file `log`."""

    async def kill(self, process: Process, number: int = signal.SIGTERM) -> None:
        """Signal a program and all that it started, if it still runs."""

    async def read(self, path: str) -> bytes:
        """Content of a file."""

    async def write(self, path: str, content: bytes, mode: int = 0o644, *, append: bool = False) -> None:
        """Write a file and the directories above it."""

    async def listen(self, path: str) -> socket.socket:
        """A listening unix socket."""
