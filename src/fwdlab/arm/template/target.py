"""What the engine needs of the control plane."""

from __future__ import annotations

from typing import Any, Protocol


class Target(Protocol):
    """The door to the resource providers; only the runner and the routes walk through it.

    Attributes:
        subscription_id: the one subscription there is.
        tenant_id: its tenant.
    """

    subscription_id: str
    tenant_id: str

    async def put(self, resource_id: str, body: dict[str, Any], *, api_version: str = "") -> dict[str, Any]:
        """Create or replace a resource and wait until it is provisioned.

        Returns:
            The resource's final document.

        Raises:
            ArmError: the provider refused it or it did not reach `Succeeded`.
        """

    async def get(self, resource_id: str) -> dict[str, Any]:
        """The resource's document.

        Raises:
            ArmError: 404 when there is none.
        """

    async def action(self, resource_id: str, action: str, body: Any) -> Any:
        """POST an action such as `listKeys` and return its answer.

        Raises:
            ArmError: no such resource or action.
        """

    async def check(self, resource_id: str, body: dict[str, Any], *, api_version: str = "") -> None:
        """Preflight: look whether `put` would be refused for its type, location or shape; change nothing.

        Raises:
            ArmError: it would be.
        """
