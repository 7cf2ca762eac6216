"""Azure Resource Manager and the exec socket verify with the same certificates, read once."""

from __future__ import annotations

import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from requests.exceptions import SSLError

from fwdctl import trust
from fwdctl.azure.session import session
from fwdctl.errors import FwdctlError
from fwdlab.certs import ensure_certificates

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fwdlab.certs import Certificates


class Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return ensure_certificates(tmp_path_factory.mktemp("tls"), os.environ)


@pytest.fixture
def address(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in (*trust.BUNDLES, "CURL_CA_BUNDLE", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hello)
    server.socket = certificates.server_context().wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"https://localhost:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_a_bundle_is_read_once_for_arm_and_exec(
    address: str, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.bundle))
    trust._read.cache_clear()
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


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_an_unreadable_bundle_is_named(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    bundle = tmp_path / "ca.pem"
    if content is not None:
        bundle.write_text(content)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    with session() as arm, pytest.raises(FwdctlError) as caught:
        arm.get(address, timeout=10)
    assert (caught.value.code, caught.value.exit_code) == ("ca_bundle_unreadable", 2)
    assert f"REQUESTS_CA_BUNDLE names {bundle}" in caught.value.message


def test_a_folder_of_certificates_is_left_to_requests(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
    with session() as arm, pytest.raises(SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        arm.get(address, timeout=10)
