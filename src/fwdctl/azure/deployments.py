"""What became of an environment's last deployment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fwdctl.azure.documents import tag_of

if TYPE_CHECKING:
    from fwdctl.azure.clients import Clients

TAG = "azd-env-name"


@dataclass(frozen=True)
class Last:
    """The newest deployment; `error` is empty where it did not fail."""

    name: str
    error: str


def last(clients: Clients, environment: str) -> Last | None:
    """The newest of the subscription's deployments with an azd environment's tag, as azd looks for it.

    Raises:
        FwdctlError: no permission, no answer.
    """
    path = f"/subscriptions/{clients.subscription_id}/providers/Microsoft.Resources/deployments"
    own = [each for each in clients.list(path) if tag_of(each, TAG) == environment]
    if not own:
        return None
    newest = max(own, key=lambda each: str(each["properties"].get("timestamp", "")))
    properties = newest["properties"]
    failed = properties.get("provisioningState") == "Failed"
    return Last(newest["name"], _innermost(properties.get("error") or {}) if failed else "")


def _innermost(error: dict[str, Any]) -> str:
    """Code and words of the error that the others only pass on."""
    while error.get("details"):
        error = error["details"][0]
    message = " ".join(str(error.get("message") or "no explanation given").split())
    return f"{error.get('code') or 'Failed'}: {message}"
