"""The request log: what was asked and answered, never a token, never a body."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_TAIL = 2000


class RequestLog:
    """JSON lines in a file, and the latest of them in memory.

    Each line has `n` (counts from 1), `time` (seconds since the epoch), `method`, `path`, `query`, `status`,
    `ms`. Lines of other kinds have `event` instead of a method.

    Args:
        path: the file, None for memory only; made with mode 0600.
    """

    def __init__(self, path: Path | None) -> None:
        self._file = None
        if path is not None:
            path.touch(mode=0o600)
            self._file = path.open("a", buffering=1, encoding="utf-8")
        self._lines: deque[dict[str, Any]] = deque(maxlen=_TAIL)
        self._count = 0
        self._changed = asyncio.Event()

    def request(self, *, method: str, path: str, query: str, status: int, seconds: float) -> None:
        """Record one answered request."""
        self._add(
            {"method": method, "path": path, "query": query, "status": status, "ms": round(seconds * 1000, 1)}
        )

    def event(self, event: str, **values: Any) -> None:
        """Record something else, e.g. a host that the proxy refused."""
        self._add({"event": event, **values})

    def tail(self, count: int | None = None, *, after: int = 0) -> list[dict[str, Any]]:
        """The latest lines, oldest first: all, or `count` of them, or those past number `after`."""
        found = [line for line in self._lines if line["n"] > after]
        return found if count is None else found[len(found) - min(count, len(found)) :]

    async def wait(self, after: int, seconds: float) -> list[dict[str, Any]]:
        """Lines past number `after`; waits for at most `seconds` until there is one."""
        deadline = time.monotonic() + seconds
        while self._count <= after:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            try:
                await asyncio.wait_for(self._changed.wait(), left)
            except asyncio.TimeoutError:
                break
        return self.tail(after=after)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _add(self, values: dict[str, Any]) -> None:
        self._count += 1
        line = {"n": self._count, "time": round(time.time(), 3), **values}
        self._lines.append(line)
        if self._file is not None:
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._changed.set()
        self._changed = asyncio.Event()
