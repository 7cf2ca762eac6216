"""The forwarder agent's checks and cycle, with real sockets on loopback and a kernel that only remembers."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import json
import socket
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

CLOUD_INIT = Path(__file__).resolve().parents[2] / "infra" / "cloud-init"


def load(path: str) -> Any:
    name = f"checked_{Path(path).stem}"
    spec = importlib.util.spec_from_file_location(name, CLOUD_INIT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


agent = load("forwarder/agent.py")
demo = load("onprem-server/server.py")


class Kernel:
    """Answers what was written, as iptables-save would, and forgets when told to."""

    def __init__(self) -> None:
        self.chains: dict[str, dict[str, list[str]]] = {"nat": {}, "filter": {}}
        self.jumps: list[str] = []
        self.forwarding = False
        self.refuses = False
        self.writes = 0

    def read(self) -> dict[str, tuple[int, int]]:
        rules = [rule for table in self.chains.values() for chain in table.values() for rule in chain]
        return dict.fromkeys([*self.jumps, *rules], (0, 0))

    def write(self, plan: dict[str, dict[str, list[str]]]) -> None:
        if self.refuses:
            raise OSError("iptables-restore ended with 4: no permission")
        self.writes += 1
        for table, chains in plan.items():
            self.chains[table].update(chains)
        self.jumps = [f"-A {hook} -j {chain}" for _, hook, chain in agent.JUMPS]

    def ensure_forwarding(self) -> bool:
        was, self.forwarding = self.forwarding, True
        return was

    def flush(self) -> None:
        self.chains = {"nat": {}, "filter": {}}
        self.jumps = []


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def demo_server() -> Iterator[str]:
    [server] = demo.start([0], "127.0.0.1")
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
def tls_server(folder: Path) -> Iterator[str]:
    certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection, context.wrap_socket(connection, server_side=True) as secured:
                    secured.recv(1)

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


def check(kind: str, target: str, path: str = "/") -> str:
    answer: str = agent.check_target(agent.Forward("f", 1, (target,), "roundRobin", kind, path), target, 1.0)
    return answer


@pytest.mark.parametrize("kind", ["tcp", "http", "none"])
def test_a_working_server_passes(kind: str) -> None:
    with demo_server() as target:
        assert check(kind, target) == ""


@pytest.mark.parametrize("kind", ["tcp", "http", "tls"])
def test_a_closed_port_fails_with_the_reason(kind: str) -> None:
    assert check(kind, f"127.0.0.1:{free_port()}").startswith("ConnectionRefusedError: ")


def test_none_never_connects() -> None:
    assert check("none", f"127.0.0.1:{free_port()}") == ""


@pytest.mark.parametrize(
    ("status", "error"), [(204, ""), (302, ""), (404, "GET /h answered 404"), (503, "GET /h answered 503")]
)
def test_http_status_decides(status: int, error: str) -> None:
    with answering(status) as target:
        assert check("http", target, "/h") == error


@pytest.mark.parametrize("kind", ["http", "tls"])
def test_a_server_that_never_answers_fails_in_time_though_it_connects(kind: str) -> None:
    with silent() as target:
        assert check("tcp", target) == ""
        assert "timed out" in check(kind, target)


def test_tls_handshake_passes_with_any_certificate(tmp_path: Path) -> None:
    with tls_server(tmp_path) as target:
        assert check("tls", target) == ""


def test_tls_against_plain_text_fails() -> None:
    with demo_server() as target:
        assert check("tls", target).startswith(("SSLError", "SSLEOFError", "SSLZeroReturnError"))


def new_target() -> Any:
    return agent.Target(agent.Forward("web", 8000, (), "roundRobin", "tcp", "/"), "10.9.0.1:80")


def test_a_target_falls_after_two_failures_in_a_row_and_rises_after_one_success() -> None:
    target = new_target()
    states = []
    for error in ["", "refused", "", "refused", "refused", ""]:
        target.record(error)
        states.append(target.state)
    assert states == ["up", "up", "up", "up", "down", "up"]
    assert target.last_error == "refused"
    assert target.since


def test_the_very_first_failure_counts_at_once() -> None:
    target = new_target()
    target.record("refused")
    assert target.state == "down"


def build(*targets: str, kind: str = "tcp") -> tuple[Any, Kernel]:
    document = {
        "version": 1,
        "hash": "0123456789abcdef",
        "healthPort": 18099,
        "inbound": ["10.0.1.0/26"],
        "forwards": [{"name": "web", "port": 8000, "targets": list(targets), "check": kind}],
    }
    kernel = Kernel()
    return agent.Agent(agent.parse_config(document), kernel), kernel


def test_health_follows_the_targets() -> None:
    with contextlib.ExitStack() as servers:
        first = servers.enter_context(demo_server())
        agent_, kernel = build(first, f"127.0.0.1:{free_port()}")
        assert agent_.answer("/forward/web")[0] == 503
        agent_.cycle()
        assert agent_.answer("/forward/web") == (200, {"healthy": True, "rulesInPlace": True})
        assert kernel.chains["nat"]["FWDCTL-8000"] == [
            f"-A FWDCTL-8000 -p tcp -j DNAT --to-destination {first}"
        ]
        servers.close()
        agent_.cycle()
        assert agent_.answer("/forward/web")[0] == 200
        agent_.cycle()
        assert agent_.answer("/forward/web")[0] == 503
        assert kernel.chains["nat"]["FWDCTL-8000"] == []
        assert agent_.answer("/live")[0] == 200
        assert agent_.repairs == 0


def test_a_forward_is_healthy_only_once_its_rules_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    agent_, kernel = build(f"127.0.0.1:{port}")
    agent_.cycle()
    seen: list[int] = []
    write = kernel.write
    monkeypatch.setattr(
        kernel, "write", lambda plan: (seen.append(agent_.answer("/forward/web")[0]), write(plan))
    )
    with socket.create_server(("127.0.0.1", port)):
        agent_.cycle()
    assert seen == [503]
    assert agent_.answer("/forward/web")[0] == 200


def test_a_suspected_target_is_checked_again_soon() -> None:
    with contextlib.ExitStack() as servers:
        agent_, _ = build(servers.enter_context(demo_server()))
        agent_.cycle()
        assert agent_.pause() == 5
        servers.close()
        agent_.cycle()
        assert agent_.pause() == 1
        agent_.cycle()
        assert agent_.pause() == 1  # down, but servers may be starting along with the agent
        agent_.started -= 60
        assert agent_.pause() == 5


def test_an_unchanged_cycle_writes_nothing() -> None:
    agent_, kernel = build("127.0.0.1:9", kind="none")
    for _ in range(3):
        agent_.cycle()
    assert kernel.writes == 1


def test_removed_rules_and_forwarding_are_seen_put_back_and_counted() -> None:
    agent_, kernel = build("127.0.0.1:9", kind="none")
    agent_.cycle()
    wanted = kernel.read()
    kernel.flush()
    kernel.forwarding = False
    agent_.cycle()
    assert kernel.read() == wanted
    assert kernel.forwarding
    assert agent_.repairs == 2
    assert agent_.answer("/forward/web")[0] == 200


def test_a_kernel_that_refuses_makes_the_forward_unhealthy_and_the_agent_stay_alive() -> None:
    agent_, kernel = build("127.0.0.1:9", kind="none")
    agent_.cycle()
    kernel.flush()
    kernel.refuses = True
    agent_.cycle()
    assert agent_.answer("/forward/web") == (503, {"healthy": False, "rulesInPlace": False})
    assert agent_.answer("/live")[0] == 200
    assert "no permission" in agent_.last_error
    kernel.refuses = False
    agent_.cycle()
    assert agent_.answer("/forward/web")[0] == 200


def test_a_cycle_that_hangs_is_not_live() -> None:
    agent_, _ = build("127.0.0.1:9", kind="none")
    agent_.cycle()
    agent_.last_cycle -= 1000
    assert agent_.answer("/live")[0] == 503
    assert agent_.answer("/forward/web")[0] == 503


def test_unknown_paths() -> None:
    agent_, _ = build("127.0.0.1:9", kind="none")
    assert agent_.answer("/forward/other")[0] == 404
    assert agent_.answer("/")[0] == 404


def test_status_names_hash_rules_and_targets() -> None:
    agent_, kernel = build("127.0.0.1:9", kind="none")
    agent_.cycle()
    status = agent_.answer("/status")[1]
    assert json.loads(json.dumps(status)) == status
    assert status["hash"] == "0123456789abcdef"
    [forward] = status["forwards"]
    assert (forward["name"], forward["port"], forward["rulesInPlace"]) == ("web", 8000, True)
    [target] = forward["targets"]
    assert (target["address"], target["state"], target["connections"]) == ("127.0.0.1:9", "up", 0)
    kernel.flush()
    [forward] = agent_.answer("/status")[1]["forwards"]
    assert forward["rulesInPlace"] is False


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


def test_a_check_without_end_counts_as_a_failure_and_does_not_hold_up_the_cycle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    end = threading.Event()

    def endless(*_: Any) -> str:
        end.wait(30)
        return ""

    monkeypatch.setattr(agent, "SLOWEST_VERDICT", 0.05)
    monkeypatch.setattr(agent, "check_target", endless)
    agent_, _ = build("127.0.0.1:9")
    try:
        agent_.cycle()
        assert agent_.answer("/forward/web")[0] == 503
        assert agent_.targets[0].last_error == "no verdict within 0.05 s"
    finally:
        end.set()
        agent_.pool.shutdown()
