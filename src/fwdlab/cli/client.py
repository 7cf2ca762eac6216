"""Talks to a running lab over its HTTPS endpoint, as the commands of `fwdctl lab` do."""

from __future__ import annotations

import http.client
import json
import ssl
import time
import urllib.parse
from typing import TYPE_CHECKING, Any

from fwdlab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fwdlab.process.state import LabState

_DEPLOYMENT_API = "2021-04-01"


class LabClient:
    """One lab; every call is one request with a time limit, and no proxy is ever used."""

    def __init__(self, state: LabState, ca_bundle: Path) -> None:
        self.state = state
        self._tls = ssl.create_default_context(cafile=str(ca_bundle))
        self._address = urllib.parse.urlsplit(state.base_url)

    def control(self, method: str, path: str, body: Any = None, *, seconds: float = 30) -> Any:
        """Call a private route of the lab, e.g. `/lab/status`; the decoded answer.

        Raises:
            LabError: what the lab answered as an error, or `lab_unreachable`.
        """
        return self._call(method, path, body, self.state.control_token, seconds)

    def arm(self, method: str, path: str, body: Any = None, *, seconds: float = 30) -> Any:
        """Call the ARM interface with a token of the lab's own identity."""
        token = self.control("POST", "/lab/token")["token"]
        return self._call(method, path, body, token, seconds)

    def deploy(
        self,
        name: str,
        template: dict[str, Any],
        parameters: dict[str, Any],
        location: str,
        *,
        progress: Callable[[str], None] = lambda _: None,
        seconds: float = 120,
    ) -> dict[str, Any]:
        """Deploy a subscription-scope template through ARM's deployments interface and wait for its end.

        Args:
            name: the deployment's name.
            template: ARM JSON.
            parameters: `{name: {"value": …}}`.
            location: where the deployment's record is kept.
            progress: told the type of each resource that has been created.
            seconds: give up after this time.

        Returns:
            The deployment's outputs, `{name: {"type", "value"}}`.

        Raises:
            LabError: `deployment_failed` with ARM's innermost error.
        """
        subscription = self.state.environment["AZURE_SUBSCRIPTION_ID"]
        path = f"/subscriptions/{subscription}/providers/Microsoft.Resources/deployments/{name}"
        query = f"?api-version={_DEPLOYMENT_API}"
        token = self.control("POST", "/lab/token")["token"]
        body = {
            "location": location,
            "properties": {"mode": "Incremental", "template": template, "parameters": parameters},
        }
        self._call("PUT", path + query, body, token, 30)
        return self._deployed(path, query, token, progress, seconds)

    def _deployed(
        self, path: str, query: str, token: str, progress: Callable[[str], None], seconds: float
    ) -> dict[str, Any]:
        """Follow a deployment to its end; its outputs."""
        deadline = time.monotonic() + seconds
        seen: set[str] = set()
        while True:
            document = self._call("GET", path + query, None, token, 30)["properties"]
            for operation in self._call("GET", f"{path}/operations{query}", None, token, 30)["value"]:
                _report(operation, seen, progress)
            if document["provisioningState"] == "Succeeded":
                outputs: dict[str, Any] = document.get("outputs", {})
                return outputs
            if document["provisioningState"] in {"Failed", "Canceled"}:
                raise LabError("deployment_failed", innermost(document.get("error", {})))
            if time.monotonic() > deadline:
                raise LabError("deployment_timeout", f"the deployment did not end within {seconds:.0f} s")
            time.sleep(0.05)

    def _call(self, method: str, path: str, body: Any, token: str, seconds: float) -> Any:
        host, port = self._address.hostname or "127.0.0.1", self._address.port
        connection = http.client.HTTPSConnection(host, port, timeout=seconds, context=self._tls)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise LabError(
                "lab_unreachable",
                f"the lab '{self.state.name}' does not answer at {self.state.base_url}: {error}",
                "See 'fwdctl lab log', or start afresh with 'fwdctl lab down' and 'fwdctl lab up'",
            ) from error
        finally:
            connection.close()
        document = json.loads(text) if text else None
        if answer.status >= http.client.BAD_REQUEST:
            error_document = (document or {}).get("error", {})
            raise LabError(
                error_document.get("code", f"http_{answer.status}"),
                _words(path, error_document) or f"{method} {path}: HTTP {answer.status}",
                error_document.get("suggestion", ""),
            )
        return document


def _words(path: str, error: dict[str, Any]) -> str:
    """What went wrong: a private route says it in the lab's own words, ARM in its own way."""
    return str(error.get("message", "")) if path.startswith("/lab/") else innermost(error)


def innermost(error: dict[str, Any]) -> str:
    """`CODE: message` of the innermost error, as azd prints it; JSON inside messages is looked into."""
    details = error.get("details") or []
    if details:
        return innermost(details[0])
    message = str(error.get("message", ""))
    try:
        inner = json.loads(message)
    except ValueError:
        inner = None
    if isinstance(inner, dict) and isinstance(inner.get("error", inner), dict):
        return innermost(inner.get("error", inner))
    return f"{error.get('code', 'Unknown')}: {message}" if error else ""


def _report(operation: dict[str, Any], seen: set[str], progress: Callable[[str], None]) -> None:
    properties = operation["properties"]
    target = properties.get("targetResource") or {}
    identity = str(target.get("id"))
    if properties["provisioningState"] == "Succeeded" and identity not in seen:
        seen.add(identity)
        progress(f"{target.get('resourceType')} {target.get('resourceName')}")
