"""A TLS connection that one thread alone uses: nothing is lost, nothing hangs, closing closes."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import struct
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from websockets.sync.server import serve

from fwdctl.channel.socket import Ticket, connect
from fwdctl.channel.tls import ENOUGH, plain_end
from fwdlab.clients.certs import issue_certificates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwdlab.clients.certs import Certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return issue_certificates(tmp_path_factory.mktemp("tls"), os.environ)


@pytest.fixture
def ends(certificates: Certificates) -> Iterator[tuple[socket.socket, ssl.SSLSocket]]:
    """Our plain end, and the server's TLS end."""
    near, far = socket.socketpair()
    served: list[ssl.SSLSocket] = []
    context = certificates.server_context()
    thread = threading.Thread(target=lambda: served.append(context.wrap_socket(far, server_side=True)))
    thread.start()
    client = ssl.create_default_context(cafile=str(certificates.bundle))
    plain = plain_end(client.wrap_socket(near, server_hostname="127.0.0.1"))
    thread.join(10)
    plain.settimeout(20)
    served[0].settimeout(20)
    yield plain, served[0]
    plain.close()
    served[0].close()


def read_all(end: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = end.recv(65536)
        assert part
        data += part
    return data


def test_more_than_the_buffers_hold_comes_through_both_ways_at_once(
    ends: tuple[socket.socket, ssl.SSLSocket],
) -> None:
    plain, server = ends
    up, down = os.urandom(5 * ENOUGH), os.urandom(5 * ENOUGH)
    got: list[bytes] = []
    writer = threading.Thread(target=plain.sendall, args=(up,))
    reader = threading.Thread(target=lambda: got.append(read_all(plain, len(down))))
    writer.start()
    reader.start()
    # The server's own end is used by one thread too: first it reads, then it writes.
    assert read_all(server, len(up)) == up
    server.sendall(down)
    writer.join(20)
    reader.join(20)
    assert got == [down]


def test_what_was_said_before_the_end_is_delivered(ends: tuple[socket.socket, ssl.SSLSocket]) -> None:
    plain, server = ends
    server.sendall(b"last words")
    server.close()
    assert read_all(plain, 10) == b"last words"
    assert plain.recv(1) == b""


def test_closing_our_end_closes_the_connection(ends: tuple[socket.socket, ssl.SSLSocket]) -> None:
    plain, server = ends
    plain.close()
    with contextlib.suppress(OSError):  # how a peer without a farewell looks to newer releases of OpenSSL
        assert server.recv(1) == b""


def test_the_farewell_may_be_answered(ends: tuple[socket.socket, ssl.SSLSocket]) -> None:
    """The web socket client loses what came with a farewell if its answer to that fails."""
    plain, server = ends
    server.sendall(b"last words")
    server.close()
    time.sleep(0.2)
    plain.sendall(b"farewell")
    assert read_all(plain, 10) == b"last words"
    plain.sendall(b"farewell")
    assert plain.recv(1) == b""


def test_what_was_sent_before_closing_arrives(ends: tuple[socket.socket, ssl.SSLSocket]) -> None:
    """Such as the word that ends a command in the box."""
    plain, server = ends
    data = os.urandom(250_000)  # more than goes into the connection while the server does not read
    plain.sendall(data)
    plain.close()
    time.sleep(0.2)
    assert read_all(server, len(data)) == data


@pytest.mark.skipif(sys.platform == "win32", reason="descriptors are small numbers on POSIX only")
def test_descriptors_beyond_1023(certificates: Certificates, request: pytest.FixtureRequest) -> None:
    """Which `select` does not take."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limits[0] < 1200:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1200, limits[1]))
    taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(1024)]
    try:
        plain, server = request.getfixturevalue("ends")
        server.sendall(b"hello")
        assert read_all(plain, 5) == b"hello"
    finally:
        for descriptor in taken:
            os.close(descriptor)
        if limits[0] < 1200:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_reset_connection_delivers_what_it_said(certificates: Certificates) -> None:
    context = ssl.create_default_context(cafile=str(certificates.bundle))
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve_once() -> None:
            connection = certificates.server_context().wrap_socket(listening.accept()[0], server_side=True)
            # Else they may wait for the acknowledgement of the session tickets, and go with the reset.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(b"last words")
            connection.recv(1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()

        thread = threading.Thread(target=serve_once)
        thread.start()
        connection = socket.create_connection(listening.getsockname(), timeout=20)
        plain = plain_end(context.wrap_socket(connection, server_hostname="127.0.0.1"))
        plain.settimeout(20)
        plain.sendall(b"x" * ENOUGH)
        thread.join(20)
        assert read_all(plain, 10) == b"last words"
        assert plain.recv(1) == b""
        plain.close()


def test_many_connections_in_a_row_all_open(certificates: Certificates) -> None:
    """The handshake's own messages after the handshake were what connections hung in."""
    environ = {"SSL_CERT_FILE": str(certificates.bundle)}
    with serve(
        lambda connection: connection.send(connection.recv()),
        "127.0.0.1",
        0,
        ssl=certificates.server_context(),
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port = server.socket.getsockname()[1]
        for number in range(60):
            opened = connect(Ticket(f"wss://127.0.0.1:{port}/", f"password {number}"), environ)
            assert opened.recv(timeout=20) == f"password {number}"
            opened.close()
        server.shutdown()
        thread.join(10)
