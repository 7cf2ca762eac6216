"""CONNECT proxy on loopback, for azd: it knows built-in clouds only.

`management.azure.com` leads to the lab. Other hosts of Azure and Microsoft are refused and named, so that no
request and no credential leaves by mistake. Every other host is passed through to where it would have gone,
because pip inside azd's hooks needs its index; through the user's own proxy where one was set.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

LAB_HOSTS = frozenset({"management.azure.com"})
# Domains of Azure and Microsoft services that clients of ARM talk to; an entry covers its subdomains.
REFUSED = (
    "azure.com", "azure.net", "azure.cn", "azure.us", "azure-api.net", "azurecr.io", "azureedge.net",
    "azurewebsites.net", "microsoft.com", "microsoftonline.com", "microsoftonline.us", "microsoftazure.de",
    "chinacloudapi.cn", "windows.net", "windowsazure.com", "live.com", "msauth.net", "msftauth.net",
    "msidentity.com", "visualstudio.com", "aka.ms",
)  # fmt: skip
_HEAD_LIMIT = 16384
_SECONDS = 15.0
_BLOCK = 65536


def verdict(host: str) -> str:
    """What becomes of a host: `lab`, `refuse` or `pass`."""
    name = host.lower().rstrip(".")
    if name in LAB_HOSTS:
        return "lab"
    if any(name == domain or name.endswith("." + domain) for domain in REFUSED):
        return "refuse"
    return "pass"


@dataclass(frozen=True)
class Upstream:
    """The user's own proxy; `authorization` is the value of `Proxy-Authorization`, empty for none."""

    host: str
    port: int
    authorization: str = ""

    @classmethod
    def parse(cls, url: str) -> Upstream | None:
        """From the value of HTTPS_PROXY; None when it is empty or no plain-HTTP proxy."""
        parts = urlsplit(url if "//" in url else f"http://{url}")
        if not url or parts.scheme != "http" or not parts.hostname:
            return None
        authorization = ""
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            authorization = "Basic " + base64.b64encode(pair.encode()).decode()
        return cls(parts.hostname, parts.port or 80, authorization)


@dataclass
class Proxy:
    """The proxy.

    Attributes:
        lab_port: TLS port of the lab on 127.0.0.1.
        log: told `verdict` and host of every request.
        port: where it listens, once started.
    """

    lab_port: int
    upstream: Upstream | None = None
    log: Callable[[str, str], None] = lambda verdict, host: None  # noqa: ARG005 - a default that ignores
    port: int = 0
    _server: asyncio.Server | None = None
    _connections: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> None:
        """Listen on a free port of 127.0.0.1."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_HEAD_LIMIT)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """End it and all tunnels."""
        if self._server is not None:
            self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
        try:
            await self._serve(reader, writer)
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client went away or never sent a whole request
        except asyncio.CancelledError:
            pass  # stop(): asyncio's stream callback would log a cancelled handler as an error
        finally:
            await _close(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _SECONDS)
        method, _, rest = head.decode("latin-1").partition(" ")
        target = rest.partition(" ")[0]
        host, _, port = target.rpartition(":")
        if method != "CONNECT" or not port.isdigit():
            self.log("refuse", f"{method} {target}")
            await _answer(writer, 405, "Only CONNECT is supported.")
            return
        name = host.strip("[]")
        decision = verdict(name)
        self.log(decision, name)
        if decision == "refuse":
            await _answer(writer, 403, f"The fwdctl lab does not serve {name} and lets nothing out to it.")
            return
        try:
            remote = await asyncio.wait_for(self._open(decision, name, int(port)), _SECONDS)
        except (TimeoutError, OSError) as error:
            await _answer(writer, 502, f"{name}: {type(error).__name__}")
            return
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await writer.drain()
        await _tunnel((reader, writer), remote)

    async def _open(
        self, decision: str, host: str, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if decision == "lab":
            return await asyncio.open_connection("127.0.0.1", self.lab_port)
        if self.upstream is None:
            return await asyncio.open_connection(host, port)
        reader, writer = await asyncio.open_connection(self.upstream.host, self.upstream.port)
        authorization = self.upstream.authorization
        extra = f"Proxy-Authorization: {authorization}\r\n" if authorization else ""
        writer.write(
            f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{extra}\r\n".encode("latin-1")
        )
        await writer.drain()
        status = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)
        if len(status) < 2 or status[1] != b"200":  # noqa: PLR2004 - a status line has two words or more
            await _close(writer)
            raise OSError("The upstream proxy refused.")
        return reader, writer


async def _answer(writer: asyncio.StreamWriter, status: int, text: str) -> None:
    body = (text + "\n").encode()
    head = f"HTTP/1.1 {status} fwdctl-lab\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
    writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
    await writer.drain()


async def _tunnel(
    one: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    other: tuple[asyncio.StreamReader, asyncio.StreamWriter],
) -> None:
    try:
        await asyncio.gather(_copy(one[0], other[1]), _copy(other[0], one[1]))
    finally:
        await _close(other[1])


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_BLOCK):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError, RuntimeError):
        if writer.can_write_eof():
            writer.write_eof()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError, asyncio.TimeoutError):
        await asyncio.wait_for(writer.wait_closed(), 1.0)
