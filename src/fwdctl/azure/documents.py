"""Values in ARM's documents, which stand below `properties`, and ids, which are compared without case."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

Document = Mapping[str, Any]
LINKS = ("privateLinkServiceConnections", "manualPrivateLinkServiceConnections")
"""Lists of a private endpoint's connections."""
TYPE = 7
"""Place of the first type's segment in an id: /subscriptions/S/resourceGroups/G/providers/NAMESPACE/TYPE/…"""
OF_THE_PLATFORM = "privatelink."
"""How the zones of Azure's own services begin, of which a subscription may have dozens."""


def value(document: Document, *keys: str | int) -> Any:
    """A value below `properties`; None where a key or an item of a list is missing on the way."""
    found: Any = document.get("properties")
    for key in keys:
        if isinstance(key, int):
            found = found[key] if isinstance(found, Sequence) and len(found) > key else None
        else:
            found = found.get(key) if isinstance(found, Mapping) else None
    return found


def entries(document: Document, *keys: str) -> list[Document]:
    """A list of documents below `properties`; several keys for lists that belong together."""
    return [entry for key in keys for entry in value(document, key) or ()]


def tag_of(document: Document, name: str) -> str:
    """A tag; empty where there is none of that name."""
    return str((document.get("tags") or {}).get(name) or "")


def addresses_of(interface: Document) -> list[str]:
    """The private addresses of an interface."""
    found = (value(entry, "privateIPAddress") for entry in entries(interface, "ipConfigurations"))
    return [str(address) for address in found if address]


def network_of(subnet_id: object) -> str:
    """Id of the network that a subnet is in, as it is written there; empty without a subnet."""
    return re.split("/subnets/", str(subnet_id or ""), maxsplit=1, flags=re.IGNORECASE)[0]


def group_of(resource_id: object, otherwise: str = "") -> str:
    """The resource group in an id; `otherwise` where the id names none."""
    words = str(resource_id or "").split("/")
    return words[4] if len(words) > 4 else otherwise  # noqa: PLR2004 - /subscriptions/S/resourceGroups/G


def same(one: object, other: object) -> bool:
    """Whether two ids, or names, mean the same resource."""
    return str(one or "").lower() == str(other or "").lower()


def place_of(resource_id: object) -> tuple[str, str]:
    """Subscription and resource group of a resource; empty where the id has none."""
    segments = str(resource_id or "").split("/")
    return (segments[2], segments[4]) if len(segments) > TYPE else ("", "")


def name_of(resource_id: object) -> str:
    return str(resource_id or "").rpartition("/")[2]


def ancestor(resource_id: object, kind: str) -> str:
    """Id of the resource of a type, such as `virtualNetworks`, that a resource is or is in; empty if none.

    The type may be spelled in any case, as in ARM; what is returned is spelled as it was.
    """
    segments = str(resource_id or "").split("/")
    types = range(TYPE, len(segments) - 1, 2)
    return next(("/".join(segments[: at + 2]) for at in types if same(segments[at], kind)), "")
