"""References from one resource to others: they exist, and are in the same region."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fwdlab.arm.errors import ArmError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwdlab.arm.services.shapes import Shape
    from fwdlab.arm.store import Store

_OF_ANY_REGION = frozenset({"remoteVirtualNetwork", "privateEndpoint", "virtualNetwork"})


def check_references(store: Store, shape: Shape, document: dict[str, Any]) -> None:
    """Refuse what refers to nothing, or to another region; parts of the document itself are its provider's.

    Raises:
        ArmError: 400 `InvalidResourceReference`.
    """
    own, location = document["id"].lower(), document.get("location", "global")
    for wanted in _references(shape, document):
        if wanted.lower().startswith(f"{own}/"):
            continue
        target = _owner(store, wanted)
        there = target.document.get("location", location) if target is not None else ""
        if there != location and "global" not in (there, location):
            raise missing_reference(wanted, document["id"])


def _owner(store: Store, wanted: str) -> Any:
    """The resource of that id, or the one that it is a part of."""
    return store.get(wanted) or store.get("/".join(wanted.split("/")[:9]))


def _references(shape: Shape, value: Any) -> Iterator[str]:
    if isinstance(value, list) and shape.each is not None:
        for item in value:
            yield from _references(shape.each, item)
    elif isinstance(value, dict):
        wanted = shape.fields.get("id")
        if wanted is not None and wanted.is_id and value.get("id"):
            yield value["id"]
        for name in shape.fields.keys() & value.keys() - _OF_ANY_REGION:
            yield from _references(shape.fields[name], value[name])


def missing_reference(wanted: str, user: str) -> ArmError:
    """The network provider's answer to a reference to something that does not exist."""
    return ArmError(
        400,
        "InvalidResourceReference",
        f"Resource {wanted} referenced by resource {user} was not found. Please make sure that the "
        "referenced resource exists, and that both resources are in the same region.",
    )
