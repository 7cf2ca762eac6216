"""How requests reach Azure Resource Manager: one session, waits that Ctrl-C ends."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from azure.core.pipeline.transport import RequestsTransport
from requests.adapters import HTTPAdapter

from fwdctl import trust

if TYPE_CHECKING:
    from fwdctl.runtime import Runtime

CONNECT_TIMEOUT, READ_TIMEOUT = 5.0, 30.0
TICK = 0.5
"""Longest sleep at a stretch, in seconds."""


class Transport(RequestsTransport):  # type: ignore[misc]  # it is imported late, so untyped
    """Azure's transport over `requests`, with our certificates and waits."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(session=new_session(), connection_timeout=CONNECT_TIMEOUT, read_timeout=READ_TIMEOUT)
        self._runtime = runtime

    def send(self, request: Any, **options: Any) -> Any:
        """Send a request.

        Raises:
            AzureError: no answer.
            FwdctlError: `ca_bundle_unreadable` (exit code 2).
        """
        started = time.perf_counter()
        response: Any = super().send(request, **options)
        if self._runtime.debug:
            spent = (time.perf_counter() - started) * 1000
            path = urlsplit(request.url).path
            self._runtime.stderr.write(f"{request.method} {path} {response.status_code} {spent:.0f} ms\n")
        return response

    def sleep(self, duration: float) -> None:
        while duration > 0:
            self._runtime.sleep(min(duration, TICK))
            duration -= TICK


def new_session() -> requests.Session:
    session = requests.Session()
    session.mount("https://", _SharedTrust())
    session.auth = lambda request: request  # else `requests` takes ~/.netrc's password for the token
    return session


class _SharedTrust(HTTPAdapter):
    """Verifies with a context that is read already, through the hooks that `requests` has for that."""

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        pool.pop("ca_certs", None)
        pool.pop("ca_cert_dir", None)
        pool["ssl_context"] = trust.arm_context(os.environ)
        return host, pool

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave the context as it is; the way to a proxy by TLS has none."""
        if conn.proxy is not None and conn.proxy.scheme == "https":
            super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]
