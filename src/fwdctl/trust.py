"""Which certificate authorities are trusted, read once for each bundle: that takes 25 ms."""

from __future__ import annotations

import ssl
import threading
from functools import lru_cache
from typing import TYPE_CHECKING

from fwdctl.errors import ExitCode, FwdctlError

if TYPE_CHECKING:
    from collections.abc import Mapping

BUNDLES = ("WEBSOCKET_CLIENT_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
_ONE_AT_A_TIME = threading.Lock()


def exec_context(environ: Mapping[str, str]) -> ssl.SSLContext:
    """For the exec socket: verify against the bundle that az honours, else the system's.

    The Azure CLI reads WEBSOCKET_CLIENT_CA_BUNDLE and SSL_CERT_FILE for the exec socket and
    REQUESTS_CA_BUNDLE for everything else; whoever set one of them meant it for all.

    Raises:
        FwdctlError: `ca_bundle_unreadable` (exit code 2).
    """
    for name in BUNDLES:
        if bundle := environ.get(name):
            return context(bundle, name)
    return context(None, "")


def context(bundle: str | None, name: str) -> ssl.SSLContext:
    """Verify against the certificates in a file, or the system's.

    Args:
        bundle: the file.
        name: what named it, for the message.

    Raises:
        FwdctlError: `ca_bundle_unreadable` (exit code 2).
    """
    try:
        with _ONE_AT_A_TIME:
            return _read(bundle)
    except (OSError, ssl.SSLError) as error:
        raise FwdctlError(
            "ca_bundle_unreadable",
            f"{name} names {bundle}, which cannot be read as certificates: {error}.",
            f"Correct or unset {name}.",
            exit_code=ExitCode.USAGE,
        ) from error


@lru_cache
def _read(bundle: str | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=bundle)
