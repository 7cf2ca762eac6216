"""Azure Resource Manager and the exec socket verify with the same certificates, read once."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from requests.exceptions import SSLError

from fwdctl import trust
from fwdctl.azure.transport import new_session as session
from fwdctl.errors import FwdctlError
from fwdlab.clients.certs import issue_certificates

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fwdlab.clients.certs import Certificates


class Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return issue_certificates(tmp_path_factory.mktemp("tls"), os.environ)


@pytest.fixture
def address(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in (*trust.EXEC_BUNDLES, "SSL_CERT_DIR", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hello)
    server.socket = certificates.server_context().wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    trust._read.cache_clear()
    yield f"https://localhost:{server.server_port}/"
    trust._read.cache_clear()
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_a_bundle_is_read_once_for_arm_and_exec(
    address: str, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.bundle))
    before = trust.exec_context(os.environ)
    with session() as arm:
        assert [arm.get(address, timeout=10).status_code for _ in range(2)] == [204, 204]
    assert trust._read.cache_info().misses == 1
    assert trust.exec_context(os.environ) is before


def test_an_unknown_authority_is_not_trusted(address: str) -> None:
    with session() as arm, pytest.raises(SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        arm.get(address, timeout=10)


def test_another_host_s_certificate_is_not_trusted(
    address: str, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.bundle))
    find = socket.getaddrinfo
    monkeypatch.setattr("socket.getaddrinfo", lambda _, *more, **named: find("localhost", *more, **named))
    with session() as arm, pytest.raises(SSLError, match="Hostname mismatch"):
        arm.get(address.replace("localhost", "elsewhere.test"), timeout=10)


def test_without_a_bundle_both_trust_the_system_and_the_roots_of_requests(
    address: str, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python's own store is empty on macOS until somebody fills it; `requests` brings its own."""
    for store in ("system", "requests"):
        with monkeypatch.context() as patch:
            trust._read.cache_clear()
            patch.setattr(ssl.SSLContext, "load_default_certs", lambda *_, **__: None)
            if store == "system":
                fill = lambda self, *_, **__: self.load_verify_locations(certificates.bundle)  # noqa: E731
                patch.setattr(ssl.SSLContext, "load_default_certs", fill)
            else:
                patch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(certificates.bundle))
            with session() as arm:
                assert arm.get(address, timeout=10).status_code == 204
            assert trust.exec_context({}) is trust.arm_context({})


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_arm_and_exec_obey_what_requests_obeys(
    address: str, certificates: Certificates, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, str(certificates.bundle))
    with session() as arm:
        assert arm.get(address, timeout=10).status_code == 204
    assert trust.exec_context(os.environ) is trust.arm_context(os.environ)


def test_a_folder_of_certificates(
    address: str, certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
    with session() as arm, pytest.raises(SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        arm.get(address, timeout=10)
    openssl = shutil.which("openssl") or pytest.skip("openssl is not installed")
    argv = [openssl, "x509", "-noout", "-hash", "-in", str(certificates.authority)]
    named = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    (tmp_path / f"{named}.0").write_bytes(certificates.authority.read_bytes())
    with session() as arm:
        assert arm.get(address, timeout=10).status_code == 204
    assert trust.exec_context(os.environ) is trust.arm_context(os.environ)


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("content", [None, "no certificate"])
def test_an_unreadable_bundle_is_named(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, name: str
) -> None:
    bundle = tmp_path / "ca.pem"
    if content is not None:
        bundle.write_text(content)
    monkeypatch.setenv(name, str(bundle))
    with session() as arm, pytest.raises(FwdctlError) as caught:
        arm.get(address, timeout=10)
    assert (caught.value.code, caught.value.exit_code) == ("ca_bundle_unreadable", 2)
    assert f"{name} names {bundle}" in caught.value.message
