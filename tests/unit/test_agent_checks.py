"""Whether a target is alive: one table of cases, with real servers on loopback."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from fwdctl.probe.model import Options
from support.agent_program import agent_module, demo_module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

checks = agent_module("checks")
configuration = agent_module("configuration")
demo = demo_module()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def demo_server() -> Iterator[str]:
    ports = demo.Ports("127.0.0.1")
    ports.follow({0})
    server = ports.servers[0]
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def answering(status: int) -> Iterator[str]:
    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = HTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def silent() -> Iterator[str]:
    """Accepts connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@contextlib.contextmanager
def saying(*parts: bytes, pause: float = 0.0, listens: bool = True) -> Iterator[str]:
    """A server that says these parts, with a pause before each, once it has heard something."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    if listens:
                        connection.recv(4096)
                    for part in parts:
                        time.sleep(pause)
                        connection.sendall(part)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@contextlib.contextmanager
def tls_server(
    folder: Path, change: Callable[[ssl.SSLContext], None] = lambda _: None, answer: bytes = b""
) -> Iterator[str]:
    """Completes one handshake, or refuses it as `change` makes it; then sends `answer`."""
    certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    change(context)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection, context.wrap_socket(connection, server_side=True) as secured:
                    secured.recv(4096)
                    secured.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join(5)


def certificate(folder: Path) -> None:
    """A self-signed certificate for another name than 127.0.0.1."""
    import datetime as dt

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "elsewhere.example")])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + dt.timedelta(days=1))
    (folder / "cert.pem").write_bytes(
        builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


def check(kind: str, target: str, path: str = "/", seconds: float = 1.0, name: str = "") -> str:
    forward = configuration.Forward("f", 1, (target,), "roundRobin", kind, path, name)
    answer: str = checks.check_target(forward, target, seconds)
    return answer


@pytest.mark.parametrize("kind", ["tcp", "http", "none"])
def test_a_working_server_passes(kind: str) -> None:
    with demo_server() as target:
        assert check(kind, target) == ""


@pytest.mark.parametrize("kind", [kind for kind in configuration.CHECKS if kind != "none"])
def test_a_closed_port_fails_with_the_reason(kind: str) -> None:
    assert check(kind, f"127.0.0.1:{free_port()}").startswith("ConnectionRefusedError: ")


def test_none_never_connects() -> None:
    assert check("none", f"127.0.0.1:{free_port()}") == ""


@pytest.mark.parametrize("status", [204, 302, 401, 403, 404, 405])
def test_an_answer_below_500_is_life(status: int) -> None:
    with answering(status) as target:
        assert check("http", target, "/h") == ""


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_error_is_not(status: int) -> None:
    with answering(status) as target:
        assert check("http", target, "/h") == f"GET /h answered {status}"


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("http", b"HTTP/1.1 200 OK\r\n"),
        ("mssql", b"\x04\x01\x00\x25"),
        ("postgres", b"S"),
        ("postgres", b"N"),
        ("tls", b"\x15\x03\x01\x00\x02\x02\x46"),
    ],
)
def test_a_protocols_own_answer_is_life(kind: str, said: bytes) -> None:
    with saying(said) as target:
        assert check(kind, target) == ""


@pytest.mark.parametrize(
    ("kind", "said", "error"),
    [
        ("http", b"SSH-2.0-x\r\n", "not answered in HTTP"),
        ("mssql", b"HTTP/1.1 400 Bad Request\r\n", "no answer to a pre-login"),
        ("mssql", b"", "no answer to a pre-login"),
        ("postgres", b"HTTP", "SSLRequest"),
        ("tls", b"HTTP/1.1 400 Bad Request\r\n", "no TLS answer"),
        ("banner", b"", "without a word"),
    ],
)
def test_another_protocols_answer_is_not(kind: str, said: bytes, error: str) -> None:
    with saying(said, listens=kind != "banner") as target:
        assert error in check(kind, target)


@pytest.mark.parametrize("said", [b"SSH-2.0-OpenSSH_9.2\r\n", b"220 mail ESMTP\r\n", b"J\x00\x00\x00\n8.0"])
def test_a_server_that_speaks_first_has_a_banner(said: bytes) -> None:
    with saying(said, listens=False) as target:
        assert check("banner", target) == ""


@pytest.mark.parametrize("kind", ["http", "https", "tls", "mssql", "postgres", "banner"])
def test_a_server_that_never_answers_fails_in_time_though_it_connects(kind: str) -> None:
    with silent() as target:
        assert check("tcp", target) == ""
        assert "timed out" in check(kind, target, seconds=0.3)


def test_a_server_that_dribbles_has_one_deadline_for_the_whole_check() -> None:
    with saying(*[b"H"] * 100, pause=0.1) as target:
        begin = time.monotonic()
        assert "timed out" in check("http", target, seconds=0.5)
        assert time.monotonic() - begin < 5  # a hundred bytes take ten seconds


def _needs_a_client_certificate(context: ssl.SSLContext) -> None:
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # which refuses within the handshake


def _insists_on_a_name(context: ssl.SSLContext) -> None:
    context.sni_callback = lambda _socket, name, _context: (
        None if name == "db.example" else ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
    )


@pytest.mark.parametrize(
    "change", [lambda _: None, _needs_a_client_certificate, _insists_on_a_name], ids=["any", "client", "name"]
)
@pytest.mark.parametrize("kind", ["tls", "https"])
def test_a_tls_server_lives_whatever_it_insists_on(
    tmp_path: Path, change: Callable[[ssl.SSLContext], None], kind: str
) -> None:
    with tls_server(tmp_path, change, b"HTTP/1.1 200 OK\r\n\r\n") as target:
        assert check(kind, target) == ""


def test_the_servers_name_is_sent(tmp_path: Path) -> None:
    names: list[str | None] = []

    def note(context: ssl.SSLContext) -> None:
        context.sni_callback = lambda _socket, name, _context: names.append(name)

    with tls_server(tmp_path, note) as target:
        assert check("tls", target, name="db.example") == ""
    assert names == ["db.example"]


def test_demo_server_says_who_answered_whom() -> None:
    with demo_server() as target:
        host, port = target.split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=5)
        for path in ("/", "/any/path?x=1"):
            connection.request("GET", path)
            response = connection.getresponse()
            body = json.loads(response.read())
            assert response.status == 200
            assert response.getheader("X-Fwdctl-Server") == socket.gethostname()
            assert body == {"server": socket.gethostname(), "client": "127.0.0.1", "port": int(port)}
        connection.close()


def test_the_time_limits_are_those_of_a_probe_and_short_where_nobody_accepts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Options("spoke").timeout == agent_module("targets").CHECK_SECONDS
    limits: list[float] = []

    def connect(_address: tuple[str, int], seconds: float) -> socket.socket:
        limits.append(seconds)
        raise TimeoutError("timed out")

    monkeypatch.setattr("socket.create_connection", connect)
    assert "timed out" in check("http", "198.51.100.1:80", seconds=5.0)
    assert "timed out" in check("http", "198.51.100.1:80", seconds=1.0)
    assert limits == [2.0, 1.0]
