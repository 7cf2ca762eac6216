from __future__ import annotations

import contextlib
import ssl
import stat
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from fwdlab.clients.certs import issue_certificates

if TYPE_CHECKING:
    from pathlib import Path


def test_the_server_certificate_names_the_lab_and_arm(tmp_path: Path) -> None:
    files = issue_certificates(tmp_path, {})
    leaf = x509.load_pem_x509_certificate(files.chain.read_bytes())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) == {
        "localhost",
        "management.azure.com",
        "*.vault.azure.net",
    }
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert stat.S_IMODE(files.key.stat().st_mode) == 0o600
    spare = datetime.now(UTC) - timedelta(days=30), datetime.now(UTC) + timedelta(days=30)
    assert leaf.not_valid_before_utc < spare[0] < spare[1] < leaf.not_valid_after_utc  # if the clock jumps


def test_the_authority_is_good_for_the_served_names_only(tmp_path: Path) -> None:
    files = issue_certificates(tmp_path, {})
    authority = x509.load_pem_x509_certificate(files.authority.read_bytes())
    allowed = authority.extensions.get_extension_for_class(x509.NameConstraints)
    assert allowed.critical
    assert len(allowed.value.permitted_subtrees or []) == 4


def test_the_bundle_holds_the_users_roots_and_the_labs(tmp_path: Path) -> None:
    other = issue_certificates(tmp_path / "other", {}).authority
    files = issue_certificates(tmp_path / "lab", {"REQUESTS_CA_BUNDLE": str(other)})
    bundle = files.bundle.read_bytes()
    assert other.read_bytes().strip() in bundle
    assert files.authority.read_bytes().strip() in bundle
    context = ssl.create_default_context(cafile=str(files.bundle))
    assert len(context.get_ca_certs()) == 2


def test_the_bundle_does_not_grow_when_the_user_has_this_labs_environment(tmp_path: Path) -> None:
    first = issue_certificates(tmp_path, {})
    before = first.bundle.read_bytes()
    again = issue_certificates(tmp_path, {"REQUESTS_CA_BUNDLE": str(first.bundle)})
    begin = b"-----BEGIN CERTIFICATE-----"  # a signature's length differs from time to time
    assert again.bundle.read_bytes().count(begin) == before.count(begin)


def test_a_client_that_trusts_the_authority_trusts_a_vaults_name(tmp_path: Path) -> None:
    files = issue_certificates(tmp_path, {})
    client = ssl.create_default_context(cafile=str(files.authority))
    for name, trusted in (("kv.vault.azure.net", True), ("kv.example.com", False)):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        asks = client.wrap_bio(incoming, outgoing, server_hostname=name)
        answers = files.server_context().wrap_bio(outgoing, incoming, server_side=True)
        with contextlib.suppress(ssl.SSLWantReadError):
            asks.do_handshake()
        with contextlib.suppress(ssl.SSLWantReadError):
            answers.do_handshake()
        if trusted:
            asks.do_handshake()
        else:
            with pytest.raises(ssl.SSLCertVerificationError):
                asks.do_handshake()
