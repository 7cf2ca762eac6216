"""CONNECT proxy on loopback, for azd: it knows built-in clouds only.

`management.azure.com` leads to the lab. Other hosts of Azure and Microsoft are refused and named, so that no
request and no credential leaves by mistake. Every other host is passed through to where it would have gone,
because pip inside azd's hooks needs its index; through the user's own proxy where one was set. It serves only
who knows its password, and leads to no port but 80 and 443 and to no address of this machine.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ipaddress
import secrets
import socket
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
USER = "lab"
_PORTS = {80, 443}
_LAB_PORT = 443
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


def basic(user: str, password: str) -> str:
    """The value of `Proxy-Authorization`."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def refusal(host: str, port: int) -> str:
    """Why the proxy leads nobody there; empty where it does."""
    found = verdict(host)
    if found == "refuse":
        return f"The fwdctl lab does not serve {host} and lets nothing out to it."
    if port not in _PORTS or (found == "lab" and port != _LAB_PORT):
        return f"The fwdctl lab leads to no port {port} of {host}."
    return _own(host) if found == "pass" else ""


def _own(address: str) -> str:
    """Why an address, or a name that means one, is none to be led to."""
    try:
        own = ipaddress.ip_address(address)
    except ValueError:
        return f"{address} is this machine." if address.lower().rstrip(".") == "localhost" else ""
    own = getattr(own, "ipv4_mapped", None) or own
    if own.is_loopback or own.is_link_local or own.is_unspecified or own.is_multicast:
        return f"{address} is an address of this machine or its link."
    return ""


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
            authorization = basic(unquote(parts.username), unquote(parts.password or ""))
        return cls(parts.hostname, parts.port or 80, authorization)


@dataclass
class Proxy:
    """The proxy.

    Attributes:
        lab_port: TLS port of the lab on 127.0.0.1.
        password: of the user `lab`.
        log: told `verdict` and host of every request.
        port: where it listens, once started.
    """

    lab_port: int
    password: str
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
        text = head.decode("latin-1")
        method, _, rest = text.partition(" ")
        target = rest.partition(" ")[0]
        host, _, port = target.rpartition(":")
        if method != "CONNECT" or not port.isdecimal():
            self.log("refuse", f"{method} {target}")
            await _answer(writer, 405, "Only CONNECT is supported.")
            return
        name = host.strip("[]")
        if not secrets.compare_digest(_authorization(text), basic(USER, self.password)):
            self.log("refuse", f"{name}, without the proxy's password")
            wanted = "Take the address of the proxy from `fwdctl lab env`."
            await _answer(writer, 407, wanted, 'Proxy-Authenticate: Basic realm="fwdctl lab"\r\n')
            return
        refused = refusal(name, int(port))
        self.log("refuse" if refused else verdict(name), name)
        if refused:
            await _answer(writer, 403, refused)
            return
        try:
            remote = await asyncio.wait_for(self._open(verdict(name), name, int(port)), _SECONDS)
        except PermissionError as error:
            await _answer(writer, 403, str(error))
            return
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
            return await _connect(await _address(host, port), port)
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


def _authorization(head: str) -> str:
    """The value of a request's `Proxy-Authorization`, empty for none."""
    for line in head.split("\r\n")[1:]:
        name, _, value = line.partition(":")
        if name.strip().lower() == "proxy-authorization":
            return value.strip().encode("ascii", "replace").decode()
    return ""


async def _address(host: str, port: int) -> str:
    """Where a host is.

    Raises:
        PermissionError: it is on this machine.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    for address in addresses:
        if reason := _own(address.partition("%")[0]):
            raise PermissionError(f"{host}: {reason}")
    return addresses[0]


async def _connect(address: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(address, port)


async def _answer(writer: asyncio.StreamWriter, status: int, text: str, header: str = "") -> None:
    body = (text + "\n").encode()
    head = f"HTTP/1.1 {status} fwdctl-lab\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
    writer.write(f"{head}{header}Connection: close\r\n\r\n".encode() + body)
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
