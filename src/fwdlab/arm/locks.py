"""Locks: what they keep from being changed or deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from fwdlab.arm.errors import ArmError
from fwdlab.arm.ids import same

if TYPE_CHECKING:
    from fwdlab.arm.ids import ResourceId
    from fwdlab.arm.store import Store

_LOCK = "Microsoft.Authorization/locks"


def check_locks(store: Store, wanted: ResourceId, operation: Literal["write", "delete"]) -> None:
    """Refuse what a lock on the resource, above it or, for a deletion, below it forbids.

    Raises:
        ArmError: 409 `ScopeLocked`.
    """
    if wanted.is_type(_LOCK):
        return
    for lock in store.list(type=_LOCK):
        scope = lock.id.rpartition("/providers/Microsoft.Authorization/")[0]
        key, locked = f"{wanted.key}/", f"{scope.lower()}/"
        below = operation == "delete" and locked.startswith(key)
        level = lock.properties.get("level")
        if (below or key.startswith(locked)) and (operation == "delete" or same(level, "ReadOnly")):
            raise ArmError(
                409,
                "ScopeLocked",
                f"The scope '{wanted}' cannot perform {operation} operation because following scope(s) are "
                f"locked: '{scope}'. Please remove the lock and try again.",
            )
