"""Requests to a small process over a socket, their answers, and the events that it tells."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from fwdlab.nodes import messages

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

_ANSWER_SECONDS = 10.0
_GONE = "the node is gone"


class Requester:
    """This process's end of the socket; `on_event` is told `{"gone": True}` when the other end closes."""

    def __init__(self, end: socket.socket, on_event: Callable[[dict[str, Any]], None]) -> None:
        end.setblocking(False)  # noqa: FBT003 - the standard library's own signature
        self._end = end
        self._on_event = on_event
        self._next = 0
        self._waiting: dict[int, asyncio.Future[tuple[dict[str, Any], list[int]]]] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(end.fileno(), self._read)

    async def ask(
        self, request: dict[str, Any], files: Sequence[int] = ()
    ) -> tuple[dict[str, Any], list[int]]:
        """Send a request and wait for its answer.

        Raises:
            OSError: when the operation failed there, or the other end is gone.
            TimeoutError: after ten seconds.
        """
        if self._end.fileno() < 0:
            raise ConnectionResetError(_GONE)
        self._next += 1
        number = self._next
        future = self._waiting[number] = self._loop.create_future()
        try:
            messages.send(self._end, {**request, "id": number}, tuple(files))
            async with asyncio.timeout(_ANSWER_SECONDS):
                answer, received = await future
        finally:
            self._waiting.pop(number, None)
        if "error" in answer:
            raise OSError(answer.get("errno", 0), answer["error"])
        return answer, received

    def _read(self) -> None:
        while True:
            try:
                received = messages.receive(self._end)
            except BlockingIOError:
                return
            except OSError:
                received = None
            if received is None:
                self.close()
                return
            message, files = received
            future = self._waiting.get(message.get("id", 0))
            if future is not None and not future.done():
                future.set_result((message, files))
                continue
            for file in files:
                os.close(file)
            if "id" not in message:
                self._on_event(message)

    def close(self) -> None:
        """Let go of the other end; whoever waits gets an error."""
        if self._end.fileno() < 0:
            return
        self._loop.remove_reader(self._end.fileno())
        self._end.close()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ConnectionResetError(_GONE))
        self._on_event({"gone": True})
