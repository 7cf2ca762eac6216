"""`$expand`: the whole of what a document refers to, in the place of its id alone."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from fwdlab.arm.errors import ArmError
from fwdlab.arm.ids import ResourceId, reference_id, same

if TYPE_CHECKING:
    from collections.abc import Callable

    Find = Callable[[ResourceId], dict[str, Any] | None]

_ADDRESS = ("privateIPAddress", "privateIPAllocationMethod", "subnet", "publicIPAddress", "provisioningState")


def expand(find: Find, document: dict[str, Any], path: list[str]) -> None:
    """Fill in, in place, what a path of properties in lower case leads to.

    `find` gives the document of an id, None for a type that is none of its own.
    """
    properties = document.get("properties", {})
    for name in [name for name in properties if path and name.lower() == path[0]]:
        for part in properties[name] if isinstance(properties[name], list) else [properties[name]]:
            if reference_id(part) and "properties" not in part:
                whole = _whole(find, part["id"])
                part.update(_ip_configuration(whole) if name.startswith("ipConfiguration") else whole)
            if isinstance(part, dict):
                expand(find, part, path[1:])


def _whole(find: Find, resource_id: str) -> dict[str, Any]:
    """What an id names, a part of another resource too; empty where the lab has nothing of that id."""
    with contextlib.suppress(ArmError, ValueError):
        target = ResourceId.parse(resource_id)
        found = find(target)
        if found is not None:
            return found
        owner = _whole(find, str(target.parent))
        parts = owner.get("properties", {}).get(target.type.rpartition("/")[2], [])
        return next((part for part in parts if same(part["id"], resource_id)), {})
    return {}


def _ip_configuration(whole: dict[str, Any]) -> dict[str, Any]:
    """What Azure's type `IPConfiguration` has of an interface's IP configuration, or of a frontend."""
    properties = whole.get("properties", {})
    short = {name: properties[name] for name in _ADDRESS if name in properties}
    return {**{name: whole[name] for name in ("id", "name", "etag") if name in whole}, "properties": short}
