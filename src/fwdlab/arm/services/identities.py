"""The managed identities of resources: principals that may do nothing."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from fwdlab.arm.errors import ArmError

if TYPE_CHECKING:
    from fwdlab.arm.ids import ResourceId
    from fwdlab.arm.store import Store
    from fwdlab.model import Resource

_KINDS = ("SystemAssigned", "UserAssigned")


def with_principals(
    store: Store, tenant: str, sent: dict[str, Any], own: ResourceId, old: Resource | None
) -> dict[str, Any]:
    """A resource's `identity` with what the directory has for it; its own principal stays with it."""
    asked = sent.get("type", "None").lower().replace(" ", "").split(",")
    kinds = [kind for kind in _KINDS if kind.lower() in asked]
    separator = "," if own.type.lower().startswith("microsoft.storage/") else ", "
    made: dict[str, Any] = {"type": separator.join(kinds) or "None"}
    if _KINDS[0] in kinds:
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
