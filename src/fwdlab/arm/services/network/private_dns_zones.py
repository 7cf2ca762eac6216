"""Private DNS zones, their records and their links to networks."""

from __future__ import annotations

from functools import cached_property
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

from fwdlab.arm.errors import ArmError
from fwdlab.arm.ids import ResourceId, reference_id, refers, same
from fwdlab.arm.services.base import Views, bad_request, of_type
from fwdlab.arm.services.network.provider import NetworkProvider
from fwdlab.arm.services.references import missing_reference
from fwdlab.arm.services.shapes import body, flag, items, number, optional, reference, text

if TYPE_CHECKING:
    from fwdlab.model import Resource

ZONE = "Microsoft.Network/privateDnsZones"
LINK = f"{ZONE}/virtualNetworkLinks"
_OPERATIONS = "privateDnsOperation"
_RECORD_TYPES = ("A", "AAAA", "CNAME", "MX", "PTR", "SOA", "SRV", "TXT")
_FIRST_SOA = {
    "email": "azureprivatedns-host.microsoft.com",
    "expireTime": 2419200,
    "host": "azureprivatedns.net",
    "minimumTtl": 10,
    "refreshTime": 3600,
    "retryTime": 300,
    "serialNumber": 1,
}


class Zones(NetworkProvider):
    type = ZONE
    operations = _OPERATIONS
    etag = "{}"
    has_guid = False

    @cached_property
    def views(self) -> Views:
        return {"all": self._all, "recordsets": self._all}

    def validate(self, resource_id: ResourceId, document: dict[str, Any]) -> None:
        """A zone is a global resource (privateDnsZones are created in location `global`)."""
        location = document.get("location", "global")
        if location.lower() != "global":
            raise bad_request(
                "LocationNotAvailableForResourceType",
                f"The provided location '{location}' is not available for resource type '{ZONE}'. List of "
                "available regions for the resource type is 'global'.",
            )
        if "." not in resource_id.name.strip("."):
            raise bad_request(
                "BadRequest", f"'{resource_id.name}' is not a domain name of two labels or more."
            )

    def put(self, resource_id: ResourceId, sent: dict[str, Any]) -> Resource:
        """Create or replace; a new zone has its start-of-authority record."""
        new = self.store.get(resource_id.text) is None
        zone = super().put(resource_id, sent)
        if new:
            record = {"properties": {"ttl": 3600, "soaRecord": _FIRST_SOA}}
            self.world.provider(f"{ZONE}/SOA").put(resource_id.child("SOA", "@"), record)
        return zone

    def rendered(self, resource: Resource) -> dict[str, Any]:
        """With the counters."""
        document = super().rendered(resource)
        found = self.below(resource.id, LINK)
        links, registering = len(found), sum(one.properties["registrationEnabled"] for one in found)
        document["properties"] |= {
            "numberOfRecordSets": len(self.below(resource.id)) - links,
            "maxNumberOfRecordSets": 25000,
            "numberOfVirtualNetworkLinks": links,
            "maxNumberOfVirtualNetworkLinks": 1000,
            "numberOfVirtualNetworkLinksWithRegistration": registering,
            "maxNumberOfVirtualNetworkLinksWithRegistration": 100,
        }
        return document

    def _all(self, resource_id: ResourceId) -> dict[str, Any]:
        self.store.require(resource_id.text)
        kinds = [self.world.provider(f"{ZONE}/{kind}") for kind in _RECORD_TYPES]
        return {"value": [record for kind in kinds for record in kind.list(resource_id)]}

    def before_delete(self, resource_id: ResourceId) -> None:
        """Refuse while networks are linked, as the service does."""
        for link in self.below(resource_id.key, LINK):
            raise ArmError(
                409,
                "CannotDeleteResource",
                "Can not delete resource before nested resources are deleted.",
                target=link.id,
            )


class RecordSets(NetworkProvider):
    """The record sets of one record type."""

    tracked = False
    transition = ""
    etag = "{}"
    has_guid = False
    has_state = False
    shape = body(
        ttl=number(3600),
        aRecords=items(optional(ipv4Address=text(required=True, code="BadRequest"))),
        aaaaRecords=items(optional(ipv6Address=text(required=True, code="BadRequest"))),
        cnameRecord=optional(cname=text(required=True, code="BadRequest")),
        txtRecords=items(optional(value=items(text()))),
        mxRecords=items(optional(preference=number(), exchange=text())),
        ptrRecords=items(optional(ptrdname=text())),
        srvRecords=items(optional(priority=number(), weight=number(), port=number(), target=text())),
        metadata=optional(),
    )

    def validate(self, resource_id: ResourceId, document: dict[str, Any]) -> None:
        """Addresses must be addresses."""
        for record in document["properties"].get("aRecords", []):
            try:
                IPv4Address(record["ipv4Address"])
            except ValueError:
                message = (
                    f"The value '{record['ipv4Address']}' for the A record {resource_id.name} is not valid."
                )
                raise bad_request("BadRequest", message) from None

    def complete(self, document: dict[str, Any], _old: Resource | None) -> None:
        """Add the full name; an alias stands alone (RFC 1034, 3.6.2)."""
        own = ResourceId.parse(document["id"])
        zone, name = own.names
        kinds = set(_RECORD_TYPES) - {"CNAME"} if self.type.endswith("/CNAME") else {"CNAME"}
        for kind in sorted(kinds):
            if self.store.get(f"{own.parent}/{kind}/{name}") is not None:
                raise ArmError(
                    409,
                    "Conflict",
                    f"The record could not be created because a {kind} record with the same name already "
                    "exists in this zone.",
                )
        properties = document["properties"]
        kind = self.type.rpartition("/")[2]
        if kind not in {"CNAME", "SOA"}:
            properties.setdefault(f"{kind.lower()}Records", [])
        properties["fqdn"] = f"{zone}." if name == "@" else f"{name}.{zone}."
        properties["isAutoRegistered"] = False
        document.pop("location", None)

    def before_delete(self, resource_id: ResourceId) -> None:
        """The start of authority stays."""
        if self.type.endswith("/SOA"):
            raise bad_request("BadRequest", f"The record set {resource_id} cannot be deleted.")


class Links(NetworkProvider):
    type = LINK
    operations = _OPERATIONS
    etag = "{}"
    has_guid = False
    shape = body(
        virtualNetwork=reference(),
        registrationEnabled=flag(
            default=False, ignored="machines are not registered automatically in the lab"
        ),
    )

    def complete(self, document: dict[str, Any], _old: Resource | None) -> None:
        """A network is linked to a zone once."""
        properties = document["properties"]
        network = reference_id(properties.get("virtualNetwork"))
        if self.store.get(network) is None:
            raise missing_reference(network, document["id"])
        for link in self.below(str(ResourceId.parse(document["id"]).parent), LINK):
            if refers(link.properties["virtualNetwork"], network) and not same(link.id, document["id"]):
                message = f"Virtual network {network} is already linked to this zone by {link.id}."
                raise ArmError(409, "Conflict", message)
        properties["virtualNetworkLinkState"] = "Completed"


PROVIDERS = (Zones, Links, *(of_type(RecordSets, f"{ZONE}/{kind}") for kind in _RECORD_TYPES))
