"""A program with a terminal inside a node."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from fwdlab.nodes.nodes import Node, Process

_CHUNK = 65536
_END_SECONDS = 2.0


def _fulfil(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Terminal:
    """The master side of a terminal, and the process that has it as its controlling terminal.

    Args:
        node: where the process runs.
        process: session leader.
        master: open file of the master side; this object closes it.
    """

    def __init__(self, node: Node, process: Process, master: int) -> None:
        self._node = node
        self._process = process
        self._master = master
        self._closed = False
        self._loop = asyncio.get_running_loop()
        os.set_blocking(master, False)

    async def read(self) -> bytes:
        """What was printed; empty at the end."""
        while not self._closed:
            try:
                return os.read(self._master, _CHUNK)
            except BlockingIOError:
                if self._process.ended.done():
                    return b""  # a child in the background may keep the terminal open for ever
                future = self._loop.create_future()
                self._loop.add_reader(self._master, _fulfil, future)
                await self._until(future, self._loop.remove_reader)
            except OSError:
                return b""  # EIO: the last one that had the terminal open is gone
        return b""

    async def write(self, data: bytes) -> None:
        """Type something; does nothing once the program has ended."""
        rest = memoryview(data)
        while rest and not self._closed:
            try:
                rest = rest[os.write(self._master, rest) :]
            except BlockingIOError:
                if self._process.ended.done():
                    return
                future = self._loop.create_future()
                self._loop.add_writer(self._master, _fulfil, future)
                await self._until(future, self._loop.remove_writer)
            except OSError:
                return

    async def _until(self, future: asyncio.Future[None], stop: Callable[[int], bool]) -> None:
        """Wait until the terminal is ready or the program has ended."""
        try:
            either: list[asyncio.Future[Any]] = [future, self._process.ended]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not self._closed:
                stop(self._master)

    async def wait(self) -> int:
        """Exit status as a shell gives it: 128 and the number for a signal."""
        code = await asyncio.shield(self._process.ended)
        return code if code >= 0 else 128 - code

    async def close(self) -> None:
        """Hang up, and kill what does not go."""
        if self._closed:
            return
        self._closed = True
        for remove in (self._loop.remove_reader, self._loop.remove_writer):
            remove(self._master)
        os.close(self._master)  # the kernel sends SIGHUP to the foreground group
        if not self._process.ended.done():
            await self._node.kill(self._process, signal.SIGHUP)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._process.ended), _END_SECONDS)
                return
            await self._node.kill(self._process, signal.SIGKILL)
