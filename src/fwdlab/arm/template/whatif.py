"""What-if: the difference between what is there and what a template would make of it."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from fwdlab.arm.locations import plain_location
from fwdlab.arm.template.expressions import is_expression
from fwdlab.arm.template.preview import Preview, ResourcePreview
from fwdlab.arm.template.values import equal, find_key

if TYPE_CHECKING:
    from fwdlab.arm.template.expansion import Expansion
    from fwdlab.arm.template.runner import Engine

# Sent and never answered: their absence in the present document is no difference.
_WRITE_ONLY = frozenset({"customdata", "userdata", "adminpassword", "securevalue"})
_MISSING = object()

Delta = list[dict[str, Any]]


async def what_if(engine: Engine, expansion: Expansion, *, ids_only: bool = False) -> list[dict[str, Any]]:
    """The changes that a deployment would make, as ARM's what-if lists them.

    `ids_only` leaves `before`, `after` and `delta` out (`resultFormat` ResourceIdOnly).
    """
    changes: list[dict[str, Any]] = []
    for found in await Preview(engine, present=True).look(expansion, {}):
        change = await _change(engine, found)
        if ids_only:
            change = {key: value for key, value in change.items() if key not in {"before", "after", "delta"}}
        changes.append(change)
    return changes


async def _change(engine: Engine, found: ResourcePreview) -> dict[str, Any]:
    resource = found.resource
    after: dict[str, Any] = {
        "apiVersion": resource.api_version,
        "id": resource.id,
        "name": resource.name.rsplit("/", 1)[-1],
        "type": resource.type,
        **found.body,
    }
    if found.problem is not None:
        if found.complete:
            raise found.problem
        reason = f"It depends on values known only after deployment ({found.problem.message})"
        return {
            "resourceId": resource.id,
            "changeType": "Unsupported",
            "unsupportedReason": reason,
            "after": {key: after[key] for key in ("apiVersion", "id", "name", "type")},
        }
    before = await engine.find(resource.id)
    if before is None:
        return {"resourceId": resource.id, "changeType": "Create", "after": after}
    delta = difference(before, found.body)
    change = {"resourceId": resource.id, "changeType": "Modify" if delta else "NoChange"}
    return change | {"before": before, "after": after, "delta": delta}


def difference(before: dict[str, Any], after: dict[str, Any], path: str = "") -> Delta:
    """Property changes in ARM's form; what only `before` has counts as set by the service."""
    delta: Delta = []
    for name, wanted in after.items():
        where = f"{path}.{name}" if path else name
        key = find_key(before, name)
        if key is None:
            if wanted not in ({}, [], None) and name.lower() not in _WRITE_ONLY:
                delta.append({"path": where, "propertyChangeType": "Create", "after": wanted})
        else:
            delta += _compared(where, before[key], wanted)
    return delta


def _compared(path: str, before: Any, wanted: Any) -> Delta:
    if isinstance(before, dict) and isinstance(wanted, dict):
        return difference(before, wanted, path)
    if isinstance(before, list) and isinstance(wanted, list):
        children = _elements(before, wanted)
        if not children:
            return []
        change = {"path": path, "propertyChangeType": "Array", "before": before, "after": wanted}
        return [change | {"children": children}]
    if _alike(path, before, wanted):
        return []
    return [{"path": path, "propertyChangeType": "Modify", "before": before, "after": wanted}]


def _elements(before: list[Any], wanted: list[Any]) -> Delta:
    children: Delta = []
    for index, (old, new) in enumerate(zip_longest(before, wanted, fillvalue=_MISSING)):
        path = str(index)
        if old is _MISSING:
            children.append({"path": path, "propertyChangeType": "Create", "after": new})
        elif new is _MISSING:
            children.append({"path": path, "propertyChangeType": "Delete", "before": old})
        elif isinstance(old, dict) and isinstance(new, dict):
            inner = difference(old, new)
            if inner:
                children.append({"path": path, "propertyChangeType": "Modify", "children": inner})
        else:
            children += _compared(path, old, new)
    return children


def _alike(path: str, before: Any, wanted: Any) -> bool:
    if equal(before, wanted):
        return True
    if not isinstance(before, str) or not isinstance(wanted, str):
        # A number or flag may be given as a string; a text, e.g. a port range, as a number.
        scalars = isinstance(before, (str, int, float)) and isinstance(wanted, (str, int, float))
        return scalars and str(before).lower() == str(wanted).lower()
    if is_expression(wanted):
        return True  # not known before the deployment
    if path == "location":
        return plain_location(before) == plain_location(wanted)
    return wanted.startswith("/subscriptions/") and before.lower() == wanted.lower()
