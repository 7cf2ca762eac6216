"""Is a target alive? One short conversation, whatever the protocol, within one deadline."""

from __future__ import annotations

import re
import socket
import ssl
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from configuration import Forward

SERVER_ERRORS = 500
CONNECT_SECONDS = 2.0  # for TCP itself, which is two attempts
_ALERTS = ("SSLV3_ALERT", "TLSV1_", "TLSV13_")  # how OpenSSL calls what the other side sent


class _Talk:
    """A connection whose every step shares one deadline."""

    def __init__(self, address: str, seconds: float) -> None:
        host, _, port = address.rpartition(":")
        self._deadline = time.monotonic() + seconds
        self.socket = socket.create_connection((host, int(port)), min(seconds, CONNECT_SECONDS))

    def secure(self, context: ssl.SSLContext, name: str) -> None:
        self._wait()
        self.socket = context.wrap_socket(self.socket, server_hostname=name or None)

    def send(self, data: bytes) -> None:
        self._wait()
        self.socket.sendall(data)

    def receive(self, least: int, end: bytes = b"") -> bytes:
        """At least so many bytes, or all up to `end`; fewer where the peer closes."""
        data = b""
        while len(data) < least and (not end or end not in data):
            self._wait()
            more = self.socket.recv(4096)
            if not more:
                break
            data += more
        return data

    def close(self) -> None:
        self.socket.close()

    def _wait(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self.socket.settimeout(left)


def _any_certificate() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False  # the certificate is for the client to judge: it knows the name
    context.verify_mode = ssl.CERT_NONE
    return context


def _client_hello(name: str) -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    handshake = _any_certificate().wrap_bio(incoming, outgoing, server_hostname=name or None)
    with suppress(ssl.SSLWantReadError):
        handshake.do_handshake()
    return outgoing.read()


# MS-TDS, 2.2.6.5: PRELOGIN with VERSION and ENCRYPTION (not supported), answered by a packet of type 4.
_TDS_PRELOGIN = bytes.fromhex("1201001a0000010000000b00060100110001ff00000000000002")
# PostgreSQL, protocol-message-formats: SSLRequest. Answered by S, N or E.
_POSTGRES_SSL = bytes.fromhex("0000000804d2162f")


def _http(talk: _Talk, forward: Forward, host: str) -> str:
    lines = [f"GET {forward.check_path} HTTP/1.1", f"Host: {host}", "User-Agent: fwdctl", "Connection: close"]
    talk.send("\r\n".join([*lines, "", ""]).encode("ascii"))
    line = talk.receive(4096, b"\n").partition(b"\n")[0]
    status = re.match(rb"HTTP/1\.\d (\d{3})\b", line)
    if status is None:
        return f"GET {forward.check_path} was not answered in HTTP"
    return "" if int(status[1]) < SERVER_ERRORS else f"GET {forward.check_path} answered {int(status[1])}"


def _https(talk: _Talk, forward: Forward, host: str) -> str:
    try:
        talk.secure(_any_certificate(), forward.server_name)
        return _http(talk, forward, host)
    except ssl.SSLError as error:
        if (error.reason or "").startswith(
            _ALERTS
        ):  # it insists on a name, a certificate, a version: it lives
            return ""
        raise


def _tls(talk: _Talk, forward: Forward, _host: str) -> str:
    talk.send(_client_hello(forward.server_name))
    answer = talk.receive(3)
    # RFC 8446, 5.1: a record of type handshake (22) or alert (21), major version 3.
    return "" if answer[:1] in {b"\x15", b"\x16"} and answer[1:2] == b"\x03" else "no TLS answer"


def _mssql(talk: _Talk, _forward: Forward, _host: str) -> str:
    talk.send(_TDS_PRELOGIN)
    return "" if talk.receive(1)[:1] == b"\x04" else "no answer to a pre-login of SQL Server"


def _postgres(talk: _Talk, _forward: Forward, _host: str) -> str:
    talk.send(_POSTGRES_SSL)
    return "" if talk.receive(1)[:1] in {b"S", b"N", b"E"} else "no answer to PostgreSQL's SSLRequest"


def _banner(talk: _Talk, _forward: Forward, _host: str) -> str:
    return "" if talk.receive(1) else "the connection was closed without a word"


_CONVERSATIONS = {
    "http": _http, "https": _https, "tls": _tls, "mssql": _mssql, "postgres": _postgres, "banner": _banner
}  # fmt: skip


def check_target(forward: Forward, address: str, seconds: float, host: str = "") -> str:
    """Test one address of a target as its forward says; '' when it is well, else what went wrong."""
    if forward.check == "none":
        return ""
    try:
        converse = _CONVERSATIONS.get(forward.check)
        with closing(_Talk(address, seconds)) as talk:
            return converse(talk, forward, host or address.rpartition(":")[0]) if converse else ""
    except (OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
