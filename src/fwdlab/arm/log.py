"""The request log: what was asked and answered, never a token, never a body."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

from fwdlab.arm import clock

if TYPE_CHECKING:
    from pathlib import Path


class RequestLog:
    """JSON lines in a file of mode 0600.

    Each line has `n` (counts from 1), `time` (seconds since the epoch), `method`, `path`, `query`, `status`,
    `ms`. Lines of other kinds have `event` instead of a method.
    """

    def __init__(self, path: Path) -> None:
        path.touch(mode=0o600)
        self._path = path
        self._file = path.open("ab", buffering=0)
        self._starts = [self._file.tell()]
        """Where in the file each line begins, and the next one will."""
        self._changed = asyncio.Event()

    def request(self, *, method: str, path: str, query: str, status: int, seconds: float) -> None:
        self._add(
            {"method": method, "path": path, "query": query, "status": status, "ms": round(seconds * 1000, 1)}
        )

    def event(self, event: str, **values: Any) -> None:
        """Record something else, e.g. a host that the proxy refused."""
        self._add({"event": event, **values})

    def tail(self, *, after: int = 0) -> list[dict[str, Any]]:
        if after >= self._count:
            return []
        with self._path.open("rb") as file:
            file.seek(self._starts[after])
            return [json.loads(line) for line in file]

    async def wait(self, after: int, seconds: float) -> list[dict[str, Any]]:
        """Lines past number `after`; waits for at most `seconds` until there is one."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._count <= after:
                    await self._changed.wait()
        return self.tail(after=after)

    def close(self) -> None:
        self._file.close()

    @property
    def _count(self) -> int:
        return len(self._starts) - 1

    def _add(self, values: dict[str, Any]) -> None:
        line = {"n": self._count + 1, "time": round(clock.seconds(), 3), **values}
        data = json.dumps(line).encode() + b"\n"
        written = 0
        with contextlib.suppress(OSError):
            written = self._file.write(data)
        if written < len(data):  # the disk is full: the request counts more than its line
            with contextlib.suppress(OSError):
                self._file.truncate(self._starts[-1])
            return
        self._starts.append(self._starts[-1] + len(data))
        self._changed.set()
        self._changed = asyncio.Event()
