"""Servers that behave in one way each, on loopback, for tests of what counts as alive."""

from __future__ import annotations

import contextlib
import datetime as dt
import socket
import ssl
import threading
import time
import warnings
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Behaviour = Callable[[socket.socket], None]

OK = b"HTTP/1.1 200 OK\r\nX-Served-By: server65\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def http(status: str, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers, "Content-Length: 0", "Connection: close", "", ""]
    return "\r\n".join(lines).encode()


def replies(answer: bytes, pause: float = 0.0) -> Behaviour:
    """Says something once it has heard something."""

    def behave(connection: socket.socket) -> None:
        if connection.recv(4096):
            time.sleep(pause)
            connection.sendall(answer)

    return behave


def greets(words: bytes, pause: float = 0.0) -> Behaviour:
    """Speaks first, and waits for the client's turn."""

    def behave(connection: socket.socket) -> None:
        time.sleep(pause)
        connection.sendall(words)
        connection.recv(4096)

    return behave


def silent(connection: socket.socket) -> None:
    """Takes connections and says nothing until the client leaves."""
    while connection.recv(4096):
        pass


def closes(_: socket.socket) -> None:
    """Takes a connection and closes it."""


def secured(answer: bytes, change: Callable[[ssl.SSLContext], None] = lambda _: None) -> Behaviour:
    """Makes a TLS handshake, as `change` wants it, then replies."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_certificate())
    change(context)

    def behave(connection: socket.socket) -> None:
        with connection.dup() as plain:
            try:
                with context.wrap_socket(connection, server_side=True) as talk:
                    if talk.recv(4096):
                        talk.sendall(answer)
            except OSError:  # the alert is sent; to close before all is read would take it back
                plain.shutdown(socket.SHUT_WR)
                silent(plain)

    return behave


def wants_name(context: ssl.SSLContext) -> None:
    """Refuses who does not ask for shop.example."""

    def choose(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> int | None:
        return None if name == "shop.example" else ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

    context.sni_callback = choose


def wants_certificate(context: ssl.SSLContext) -> None:
    context.load_verify_locations(_certificate())
    context.verify_mode = ssl.CERT_REQUIRED


def only_tls_1_0(context: ssl.SSLContext) -> None:
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1


@contextlib.contextmanager
def serving(behave: Behaviour | None) -> Iterator[int]:
    """The port of a server, each of whose connections goes like this; a closed port for None."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if behave is None:
            yield int(listener.getsockname()[1])
            return
        listener.listen(64)
        thread = threading.Thread(target=_accept, args=(listener, behave), daemon=True)
        thread.start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def _accept(listener: socket.socket, behave: Behaviour) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_talk, args=(connection, behave), daemon=True).start()


def _talk(connection: socket.socket, behave: Behaviour) -> None:
    connection.settimeout(20)
    with contextlib.suppress(OSError), connection:
        behave(connection)


@cache
def _folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="fwdctl-servers-")


@cache
def _certificate() -> Path:
    """A self-signed certificate of shop.example with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "shop.example")])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now - dt.timedelta(days=1))
    signed = builder.not_valid_after(now + dt.timedelta(days=1)).sign(key, hashes.SHA256())
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    file = Path(_folder().name) / "server.pem"
    file.write_bytes(signed.public_bytes(serialization.Encoding.PEM) + private)
    return file
