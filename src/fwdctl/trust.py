"""Which certificate authorities are trusted, read once for each bundle: that takes 25 to 40 ms."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from fwdctl.errors import UsageError

ARM_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""What `requests` obeys, in its order."""
EXEC_BUNDLES = ("WEBSOCKET_CLIENT_CA_BUNDLE", *ARM_BUNDLES, "SSL_CERT_FILE")
_ONE_AT_A_TIME = threading.Lock()


def arm_context(environ: Mapping[str, str]) -> ssl.SSLContext:
    """For requests to Azure: verify against the bundle that `requests` honours.

    Raises:
        FwdctlError: `ca_bundle_unreadable` (exit code 2).
    """
    return _context(environ, ARM_BUNDLES)


def exec_context(environ: Mapping[str, str]) -> ssl.SSLContext:
    """For the exec socket: verify against the bundle that az honours.

    The Azure CLI reads WEBSOCKET_CLIENT_CA_BUNDLE and SSL_CERT_FILE for the exec socket and
    REQUESTS_CA_BUNDLE for everything else; whoever set one of them meant it for all.

    Raises:
        FwdctlError: `ca_bundle_unreadable` (exit code 2).
    """
    return _context(environ, EXEC_BUNDLES)


def _context(environ: Mapping[str, str], names: Sequence[str]) -> ssl.SSLContext:
    name = next((name for name in names if environ.get(name)), "")
    bundle = environ.get(name)
    try:
        with _ONE_AT_A_TIME:
            return _read(bundle)
    except OSError as error:
        raise UsageError(
            "ca_bundle_unreadable",
            f"{name} names {bundle}, which cannot be read as certificates: {error}.",
            f"Correct or unset {name}.",
        ) from error


@lru_cache
def _read(bundle: str | None) -> ssl.SSLContext:
    """A file, a folder with names as `openssl rehash` makes them, or the system's and those of `requests`."""
    if bundle is not None and Path(bundle).is_dir():
        return ssl.create_default_context(capath=bundle)
    if bundle is not None:
        return ssl.create_default_context(cafile=bundle)
    from requests.adapters import DEFAULT_CA_BUNDLE_PATH

    context = ssl.create_default_context()
    context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
    return context
