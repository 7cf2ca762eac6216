"""The lab's own certificate authority, its server certificate, and the bundle that clients trust."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Certificates:
    """Files of one lab, in PEM; the bundle holds the system's roots and the lab's authority."""

    authority: Path
    chain: Path
    key: Path
    bundle: Path

    @classmethod
    def within(cls, directory: Path) -> Certificates:
        return cls(*(directory / name for name in ("ca.pem", "cert.pem", "key.pem", "bundle.pem")))

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.chain, self.key)
        return context


def issue_certificates(directory: Path, environ: Mapping[str, str]) -> Certificates:
    """Make the files in a directory of mode 0700.

    The user's environment names roots that the user trusts already (REQUESTS_CA_BUNDLE, SSL_CERT_FILE).
    """
    from fwdlab.clients.issuing import issue

    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    files = Certificates.within(directory)
    issue(files.authority, files.chain, files.key)
    files.bundle.write_bytes(b"\n".join([_roots(environ, files).strip(), files.authority.read_bytes()]))
    return files


def _roots(environ: Mapping[str, str], files: Certificates) -> bytes:
    """What the user trusts: a bundle named by the user (not this one), else the system's, else certifi's."""
    paths = [
        environ.get("REQUESTS_CA_BUNDLE"),
        environ.get("SSL_CERT_FILE"),
        ssl.get_default_verify_paths().cafile,
    ]
    for path in paths:
        if path and Path(path).is_file() and Path(path).resolve() != files.bundle.resolve():
            return Path(path).read_bytes()
    import certifi

    return Path(certifi.where()).read_bytes()
