"""Issues the certificates of a lab. Apart from `certs`, because the library beneath takes 8 MB of memory."""

from __future__ import annotations

import ipaddress
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from pathlib import Path

SERVED_NAMES = ("localhost", "management.azure.com", "*.vault.azure.net")
_LIFE = timedelta(days=365)


def issue(authority_file: Path, chain: Path, key_file: Path) -> None:
    """Make an authority that signs once, and the server's certificate and key."""
    authority_key = ec.generate_private_key(ec.SECP256R1())  # thrown away: nothing else can be signed later
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fwdctl lab")])
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    authority = (
        _builder(name, name, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(_allowed_names(), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    leaf = (
        _builder(subject, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName(_names(ipaddress.IPv4Address("127.0.0.1"))), critical=False
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(issuer_id, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    _write_private(
        key_file,
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )
    chain.write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    authority_file.write_bytes(authority.public_bytes(serialization.Encoding.PEM))


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _LIFE)  # the machine's clock may be set back
        .not_valid_after(now + _LIFE)
    )


def _names(loopback: ipaddress.IPv4Address | ipaddress.IPv4Network) -> list[x509.GeneralName]:
    constrains = isinstance(loopback, ipaddress.IPv4Network)  # a constraint holds for what is below a name
    names = [name.removeprefix("*.") if constrains else name for name in SERVED_NAMES]
    return [*(x509.DNSName(name) for name in names), x509.IPAddress(loopback)]


def _allowed_names() -> x509.NameConstraints:
    """Whoever trusts the authority trusts it for these names only."""
    loopback = ipaddress.IPv4Network("127.0.0.1/32")
    return x509.NameConstraints(permitted_subtrees=_names(loopback), excluded_subtrees=None)


def _write_private(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
