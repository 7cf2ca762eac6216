"""The agent's HTTP server: one thread, so that many slow clients cost next to nothing."""

from __future__ import annotations

import asyncio
import json
import subprocess
from typing import TYPE_CHECKING, Any, Protocol

from configuration import log
from rules import PROBE_SOURCE

if TYPE_CHECKING:
    from collections.abc import Collection

SLOW_CLIENT_SECONDS = 5.0
MOST_CLIENTS = 256
NEVER_REFUSED = (PROBE_SOURCE, "127.0.0.1")  # the load balancer's probe and the health extension
# Before Python 3.11 asyncio has a TimeoutError of its own.
BROKEN = (OSError, EOFError, ValueError, IndexError, asyncio.TimeoutError, asyncio.LimitOverrunError)
PORTS_SECONDS = 0.25  # between two looks at which ports are wanted


class Answers(Protocol):
    """What the server asks."""

    def ports(self) -> Collection[int]:
        """Where to listen."""

    def answer(self, path: str, port: int) -> tuple[int, dict[str, Any] | str]:
        """HTTP status and body of a path, for the port that a client came to."""


class HealthServer:
    """Answers HTTP/1.0, one request a connection, on every port that is wanted."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._servers: dict[int, asyncio.base_events.Server] = {}
        self._refused: dict[int, str] = {}
        self._clients = 0

    async def run(self) -> None:
        """Listen until killed."""
        while True:
            wanted = set(self._answers.ports())
            for port in self._servers.keys() - wanted:
                self._servers.pop(port).close()
            for port in wanted - self._servers.keys():
                await self._listen(port)
            await asyncio.sleep(PORTS_SECONDS)

    async def _listen(self, port: int) -> None:
        try:
            self._servers[port] = await asyncio.start_server(self._serve, "0.0.0.0", port, backlog=128)  # noqa: S104
        except OSError as error:
            if self._refused.get(port) != str(error):
                log(f"health port {port}: {error}")
            self._refused[port] = str(error)
        else:
            self._refused.pop(port, None)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client. What goes wrong with it is one line in the journal at most."""
        self._clients += 1
        peer = writer.get_extra_info("peername") or ("?", 0)
        try:
            if self._clients <= MOST_CLIENTS or peer[0] in NEVER_REFUSED:
                await asyncio.wait_for(self._exchange(reader, writer), SLOW_CLIENT_SECONDS)
        except BROKEN as error:
            log(f"health connection of {peer[0]}: {type(error).__name__}")
            writer.transport.abort()
        finally:
            self._clients -= 1
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        path = request.split(b" ", 2)[1].decode("ascii", "replace")
        port = writer.get_extra_info("sockname")[1]
        loop = asyncio.get_running_loop()
        status, body = await loop.run_in_executor(None, self._answer, path, port)
        kind = "application/json" if body.startswith("{") else "text/plain; version=0.0.4"
        head = f"HTTP/1.0 {status} -\r\nContent-Type: {kind}\r\nContent-Length: {len(body.encode())}\r\n\r\n"
        writer.write((head + body).encode())
        await writer.drain()

    def _answer(self, path: str, port: int) -> tuple[int, str]:
        """As the agent says; what it cannot find out is a 500 with the reason."""
        document: dict[str, Any] | str
        try:
            status, document = self._answers.answer(path, port)
        except (OSError, subprocess.SubprocessError) as error:
            status, document = 500, {"error": str(error)}
        return status, document if isinstance(document, str) else json.dumps(document) + "\n"
