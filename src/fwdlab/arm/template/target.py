"""What the engine needs of the control plane."""

from __future__ import annotations

from typing import Any, Protocol


class Target(Protocol):
    """The resource providers; all methods raise `ArmError`."""

    def tenant_id_of(self, subscription_id: str) -> str | None:
        """The tenant of a subscription, None where there is no such subscription."""

    async def put(self, resource_id: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create or replace a resource, wait until it is provisioned, and return its document."""

    async def get(self, resource_id: str) -> dict[str, Any]: ...

    async def action(self, resource_id: str, action: str, body: Any) -> Any:
        """The body of the answer to an action such as `listKeys`."""

    async def check(self, resource_id: str, body: dict[str, Any]) -> None:
        """Preflight: refuse what `put` would refuse for its type, location or shape; change nothing."""
