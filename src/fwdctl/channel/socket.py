"""Open the exec service's web socket: TLS as the Azure CLI checks it, proxies, errors in words."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

from fwdctl.errors import FwdctlError, InconclusiveError
from fwdctl.trust import exec_context

OPEN_TIMEOUT = 15.0


@dataclass(frozen=True)
class Ticket:
    """Where a started exec is to be picked up: once, within a minute or so.

    Attributes:
        uri: `wss://...`.
        password: the first message.
    """

    uri: str
    password: str

    def __repr__(self) -> str:
        """Without the password, for logs and tracebacks."""
        return f"Ticket({self.uri.partition('?')[0]!r})"


class Socket(Protocol):
    """What the channel needs of a web socket."""

    def send(self, message: str | bytes) -> None:
        """Send one message, text or binary by type."""

    def recv(self, timeout: float | None = None) -> str | bytes:
        """Wait for the next message; TimeoutError after `timeout` seconds, ClosedError at the end."""

    def close(self) -> None:
        """Close; never raises."""


class ClosedError(Exception):
    """The other side closed the connection, or it broke."""


class WebSocket:
    """The `websockets` client with our own errors."""

    def __init__(self, connection: Any) -> None:
        from websockets.exceptions import ConnectionClosed

        self._connection = connection
        self._closed = ConnectionClosed

    def send(self, message: str | bytes) -> None:
        try:
            self._connection.send(message)
        except (self._closed, OSError) as error:
            raise ClosedError(str(error)) from error

    def recv(self, timeout: float | None = None) -> str | bytes:
        try:
            message: str | bytes = self._connection.recv(timeout=timeout)
        except TimeoutError:  # an OSError too, but only of this wait
            raise
        except (self._closed, OSError) as error:
            raise ClosedError(str(error)) from error
        return message

    def close(self) -> None:
        """Close at once; the service does not always answer a closing handshake."""
        self._connection.close()


def connect(ticket: Ticket, environ: Mapping[str, str]) -> WebSocket:
    """Open the socket and hand over the password.

    Raises:
        FwdctlError: `exec_tls_untrusted`, `exec_unreachable` or `exec_refused` (exit code 5).
    """
    from websockets.exceptions import InvalidHandshake, InvalidProxy, InvalidURI, ProxyError

    host = urlsplit(ticket.uri).hostname or ""
    try:
        wrapped = WebSocket(_open(ticket.uri, host, environ))
    except ssl.SSLCertVerificationError as error:
        raise InconclusiveError(
            "exec_tls_untrusted",
            f"The certificate of the exec service at {host} is not trusted: {error.verify_message}.",
            "Set REQUESTS_CA_BUNDLE to a bundle that has the authority of your proxy.",
        ) from error
    except (InvalidProxy, ProxyError) as error:
        raise _failed(
            "exec_proxy_failed", f"The proxy does not lead to the exec service at {host}", error
        ) from error
    except (InvalidHandshake, InvalidURI) as error:
        raise _failed("exec_refused", f"The exec service at {host} refused the connection", error) from error
    except (OSError, TimeoutError) as error:
        raise _failed("exec_unreachable", f"The exec service at {host} cannot be reached", error) from error
    try:
        wrapped.send(ticket.password)
    except ClosedError as error:
        raise _failed("exec_refused", f"The exec service at {host} closed the connection", error) from error
    return wrapped


def _open(uri: str, host: str, environ: Mapping[str, str]) -> Any:
    from websockets.sync.client import connect as open_socket

    from fwdctl.channel.tls import Connection

    opened = open_socket(
        uri,
        ssl=exec_context(environ) if uri.lower().startswith("wss:") else None,
        proxy=None if is_loopback(host) else True,
        compression=None,
        open_timeout=OPEN_TIMEOUT,
        close_timeout=1.0,
        max_size=None,
        create_connection=Connection,
    )
    return opened.__enter__()  # newer releases of the client demand it; `WebSocket.close` ends it


def _failed(code: str, text: str, error: Exception) -> FwdctlError:
    detail = " ".join(str(error).split()) or type(error).__name__
    return InconclusiveError(
        code, f"{text}: {detail}.", "Check the network's way out (HTTPS_PROXY, firewall) and try again."
    )


def prepare(environ: Mapping[str, str]) -> None:
    """Do what `connect` needs first, import and certificates, while something else waits."""
    from fwdctl.channel import tls  # noqa: F401 - for its place in sys.modules, and the client's

    # Whatever is wrong with the bundle is reported by `connect`.
    with suppress(FwdctlError):
        exec_context(environ)


def is_loopback(host: str) -> bool:
    """Whether no proxy can be meant for this host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
