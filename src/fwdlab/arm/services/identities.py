"""The managed identities of resources: principals that may do nothing."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from fwdlab.arm.errors import ArmError

if TYPE_CHECKING:
    from fwdlab.arm.ids import ResourceId
    from fwdlab.arm.store import Store
    from fwdlab.model import Resource


def with_principals(
    store: Store, tenant: str, sent: dict[str, Any], own: ResourceId, old: Resource | None
) -> dict[str, Any]:
    """A resource's `identity` with what the directory has for it; its own principal stays with it."""
    made: dict[str, Any] = {"type": sent.get("type", "None")}
    if "systemassigned" in made["type"].lower():
        before = old.document.get("identity", {}) if old is not None else {}
        made["principalId"] = before.get("principalId") or str(uuid.uuid4())
        made["tenantId"] = tenant
    users = [user for user, value in sent.get("userAssignedIdentities", {}).items() if value is not None]
    if users:
        made["userAssignedIdentities"] = {user: _principal(store, user, own) for user in users}
    return made


def _principal(store: Store, user: str, own: ResourceId) -> dict[str, Any]:
    found = store.get(user)
    if found is None:
        raise ArmError(
            400,
            "FailedIdentityOperation",
            f"Identity operation for resource '{own}' failed with error 'Failed to perform resource identity "
            f"operation. Status: 'BadRequest'. Resource '{user}' was not found.'.",
        )
    return {name: found.properties[name] for name in ("principalId", "clientId")}
