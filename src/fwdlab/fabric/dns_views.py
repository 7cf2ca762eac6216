"""Private DNS zones as each network sees them, from ARM documents. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fwdlab.arm.ids import reference_key
from fwdlab.fabric.wanted import Record, View

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fwdlab.fabric.wanted import Network

Document = dict[str, Any]
_LINK = "microsoft.network/privatednszones/virtualnetworklinks"
_SILENT = {"soa"}


def views(
    zones: list[Document],
    documents: Mapping[str, Document],
    networks: Mapping[str, Network],
    public: tuple[Record, ...],
    warnings: list[str],
) -> tuple[View, ...]:
    """For each network, the zones that are linked to it, and what is public.

    Documents and networks are by lower-case id; `warnings` is told of record types that are not answered.
    """
    linked: dict[str, set[str]] = {key: set() for key in networks}
    for document in documents.values():
        if str(document.get("type", "")).lower() == _LINK:
            target = reference_key(document["properties"].get("virtualNetwork"))
            linked.setdefault(target, set()).add(document["id"].lower().rsplit("/", 2)[0])
    below: dict[str, list[tuple[str, Document]]] = {zone["id"].lower(): [] for zone in zones}
    for key, document in sorted(documents.items()):
        if (zone_id := key.rsplit("/", 2)[0]) in below:
            below[zone_id].append((key, document))
    records = {zone["id"].lower(): _records(zone, below[zone["id"].lower()], warnings) for zone in zones}
    names = {zone["id"].lower(): zone["id"].rsplit("/", 1)[-1].lower() for zone in zones}
    own = {key: sorted(linked[key] & names.keys()) for key in networks}
    return tuple(
        View(
            network.number,
            tuple(names[zone] for zone in own[key]),
            tuple(
                record
                for zone in own[key]
                for record in records[zone]
                if names[zone] == _closest(record.name, (names[each] for each in own[key]))
            ),
            public,
        )
        for key, network in networks.items()
    )


def _closest(name: str, zones: Iterable[str]) -> str:
    """The zone that answers for a name: the most specific one, even if it does not know it."""
    return max((zone for zone in zones if f".{name}".endswith(f".{zone}")), key=len, default="")


def _records(
    zone: Document, below: Iterable[tuple[str, Document]], warnings: list[str]
) -> tuple[Record, ...]:
    """`below` are the documents directly below the zone, by lower-case id."""
    name = zone["id"].rsplit("/", 1)[-1].lower()
    found = []
    for key, document in below:
        kind, label = key.rsplit("/", 2)[1:]
        properties = document.get("properties", {})
        ttl = int(properties.get("ttl", properties.get("TTL", 3600)))
        full = name if label == "@" else f"{label}.{name}"
        if kind == "a":
            addresses = tuple(e["ipv4Address"] for e in properties.get("aRecords") or [])
            found.append(Record(full, "A", ttl, addresses))
        elif kind == "aaaa":
            addresses = tuple(e["ipv6Address"] for e in properties.get("aaaaRecords") or [])
            found.append(Record(full, "AAAA", ttl, addresses))
        elif kind == "cname" and properties.get("cnameRecord"):
            found.append(
                Record(full, "CNAME", ttl, (properties["cnameRecord"]["cname"].lower().rstrip("."),))
            )
        elif kind not in _SILENT and kind != "virtualnetworklinks":
            warnings.append(f"{document['id']}: records of type {kind.upper()} are not answered")
    return tuple(found)
