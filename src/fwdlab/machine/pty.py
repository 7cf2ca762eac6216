"""A program on a pseudo-terminal inside a node."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from fwdlab.machine.ports import Machine, Process

_CHUNK = 65536
_END_SECONDS = 2.0


def _fulfil(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Pty:
    """The master side of a terminal (closed by this object), and the session leader that it controls."""

    def __init__(self, machine: Machine, process: Process, master: int) -> None:
        self._machine = machine
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
                await self._ready(self._loop.add_reader, self._loop.remove_reader)
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
                await self._ready(self._loop.add_writer, self._loop.remove_writer)
            except OSError:
                return

    async def _ready(self, add: Callable[..., Any], remove: Callable[[int], bool]) -> None:
        """Wait until the terminal is ready or the program has ended."""
        ready: asyncio.Future[None] = self._loop.create_future()
        add(self._master, _fulfil, ready)
        try:
            either: list[asyncio.Future[Any]] = [ready, self._process.ended]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not self._closed:
                remove(self._master)

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
            await self._machine.kill(self._process, signal.SIGHUP)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_END_SECONDS):
                    await asyncio.shield(self._process.ended)
                return
            await self._machine.kill(self._process, signal.SIGKILL)
