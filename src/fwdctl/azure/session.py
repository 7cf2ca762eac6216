"""The HTTP session of ARM requests."""

from __future__ import annotations

import os
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from fwdctl import trust


def session() -> requests.Session:
    """A session that trusts what `trust.arm_context` says.

    Requests through it raise FwdctlError `ca_bundle_unreadable` too.
    """
    made = requests.Session()
    made.headers["User-Agent"] = "fwdctl"
    made.mount("https://", _SharedTrust())
    return made


class _SharedTrust(HTTPAdapter):
    """Verifies with a context that is read already, through the hooks that `requests` has for that."""

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        """Where to connect, and the context to verify with."""
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        pool.pop("ca_certs", None)
        pool.pop("ca_cert_dir", None)
        pool["ssl_context"] = trust.arm_context(os.environ)
        return host, pool

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave the context as it is; the way to a proxy by TLS has none."""
        if conn.proxy is not None and conn.proxy.scheme == "https":
            super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]
