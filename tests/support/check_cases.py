"""What counts as alive: one table for the forwarders' agent and for the probe, with every tool of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from support import check_servers as server

if TYPE_CHECKING:
    from support.check_servers import Behaviour

LIMIT = 3.0
"""Seconds that a whole check may take."""
LATE = 6.0
"""Seconds after which a server that is too late says something."""


@dataclass(frozen=True)
class Case:
    """A server's behaviour, and the checks by which it is alive or not.

    Attributes:
        server_name: of the forward.
    """

    name: str
    behaviour: Behaviour | None
    alive: str = ""
    dead: str = ""
    server_name: str = ""

    @property
    def expected(self) -> dict[str, bool]:
        return dict.fromkeys(self.alive.split(), True) | dict.fromkeys(self.dead.split(), False)


# MS-TDS: packet type 4, then a VERSION option.
_PRELOGIN = bytes.fromhex("0401002b00000100000000010006010007ff") + bytes(25)
_EVERY = "http https tls mssql postgres banner"

CASES = (
    Case("closed port", None, dead=f"tcp {_EVERY}"),
    Case("silent", server.silent, "tcp", _EVERY),
    Case("closes at once", server.closes, "tcp", _EVERY),
    Case("HTTP 200", server.replies(server.OK), "tcp http", "https tls mssql postgres"),
    Case("HTTP 302", server.replies(server.http("302 Found", "Location: /login")), "http"),
    Case("HTTP 401", server.replies(server.http("401 Unauthorized")), "http"),
    Case("HTTP 404", server.replies(server.http("404 Not Found")), "http"),
    Case("HTTP 499", server.replies(server.http("499 Odd")), "http"),
    Case("HTTP 500", server.replies(server.http("500 Internal Server Error")), "", "http"),
    Case("HTTP 503", server.replies(server.http("503 Service Unavailable")), "", "http"),
    Case("HTTP, first byte soon", server.replies(server.OK, LIMIT / 4), "http"),
    Case("HTTP, first byte too late", server.replies(server.OK, LATE), "tcp", "http"),
    Case("not HTTP", server.replies(b"hello\r\nfriend\r\n\r\n"), "tcp", "http https tls mssql postgres"),
    Case("speaks first", server.greets(b"220 mail.example ESMTP\r\n"), "tcp banner", "tls mssql postgres"),
    Case("speaks first, too late", server.greets(b"SSH-2.0-x\r\n", LATE), "tcp", "banner"),
    Case("MySQL speaks first", server.greets(b"\x4a\x00\x00\x00\x0a8.0.36\x00"), "banner"),
    Case("TLS and HTTP 200", server.secured(server.OK), "tcp tls https", "http mssql postgres"),
    Case("TLS and HTTP 401", server.secured(server.http("401 Unauthorized")), "https"),
    Case("TLS and HTTP 503", server.secured(server.http("503 Service Unavailable")), "tls", "https"),
    Case("TLS and no HTTP", server.secured(b"hello\r\n\r\n"), "tls", "https"),
    Case("TLS that insists on a name", server.secured(server.OK, server.wants_name), "tls https"),
    Case(
        "TLS with the name that it insists on",
        server.secured(server.OK, server.wants_name),
        "tls https",
        server_name="shop.example",
    ),
    Case(  # only who asks for its name gets as far as HTTP
        "TLS with its name and HTTP 503",
        server.secured(server.http("503 Service Unavailable"), server.wants_name),
        "tls",
        "https",
        server_name="shop.example",
    ),
    Case("TLS that insists on a certificate", server.secured(b"", server.wants_certificate), "tls https"),
    Case("TLS 1.0 only", server.secured(server.OK, server.only_tls_1_0), "tls https"),
    Case("SQL Server", server.replies(_PRELOGIN), "tcp mssql", "http tls postgres"),
    Case("PostgreSQL with TLS", server.replies(b"S"), "postgres", "mssql tls"),
    Case("PostgreSQL without TLS", server.replies(b"N"), "postgres"),
    Case("PostgreSQL with an error", server.replies(b"E\x00\x00\x00\x05x"), "postgres"),
)
