"""The HTTP session of ARM requests."""

from __future__ import annotations

import os
from typing import Any

import requests
from requests.adapters import DEFAULT_CA_BUNDLE_PATH, HTTPAdapter

from fwdctl import trust


def session() -> requests.Session:
    """A session that trusts what az trusts: REQUESTS_CA_BUNDLE, or what comes with `requests`.

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
        bundle = DEFAULT_CA_BUNDLE_PATH if verify is True else verify
        if bundle and not os.path.isdir(bundle):  # noqa: PTH112 - on the way of every request
            pool.pop("ca_certs", None)
            pool["ssl_context"] = trust.context(bundle, "REQUESTS_CA_BUNDLE")
        return host, pool

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave a context as it is that has its certificates; the way to a proxy by TLS has none."""
        proxy_by_tls = conn.proxy is not None and conn.proxy.scheme == "https"
        if "ssl_context" not in conn.conn_kw or proxy_by_tls:
            super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]
