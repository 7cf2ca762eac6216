"""Private DNS zones, their records and links, and the zone groups of private endpoints."""

from __future__ import annotations

import copy
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any, ClassVar

from fwdlab.arm.errors import ArmError
from fwdlab.arm.ids import ResourceId, same
from fwdlab.arm.services.addresses import missing_reference
from fwdlab.arm.services.base import Provider, embed, reference_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwdlab.arm.operations import Outcome
    from fwdlab.arm.services.base import World
    from fwdlab.model import Resource

ZONE = "Microsoft.Network/privateDnsZones"
LINK = f"{ZONE}/virtualNetworkLinks"
ZONE_GROUP = "Microsoft.Network/privateEndpoints/privateDnsZoneGroups"
RECORD_TYPES = {
    "A": "aRecords",
    "AAAA": "aaaaRecords",
    "CNAME": "cnameRecord",
    "MX": "mxRecords",
    "PTR": "ptrRecords",
    "SOA": "soaRecord",
    "SRV": "srvRecords",
    "TXT": "txtRecords",
}


class Zones(Provider):
    """`Microsoft.Network/privateDnsZones`."""

    type = ZONE

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.views = {"all": self._all, "recordsets": self._all}

    def check(self, resource_id: ResourceId, body: dict[str, Any]) -> None:
        """A zone is a global resource (privateDnsZones are created in location `global`)."""
        if str(body.get("location", "global")).lower() != "global":
            raise ArmError(
                400,
                "LocationNotAvailableForResourceType",
                f"The provided location '{body['location']}' is not available for resource type '{ZONE}'. "
                "List of "
                "available regions for the resource type is 'global'.",
            )
        if "." not in resource_id.name.strip("."):
            raise ArmError(
                400, "BadRequest", f"'{resource_id.name}' is not a domain name of two labels or more."
            )

    def build(self, document: dict[str, Any], old: Resource | None) -> Resource:
        """Add the start-of-authority record that every zone has."""
        resource_id = ResourceId.parse(document["id"])
        resource = self.resource(document, old)
        if old is None:
            soa = resource_id.child("SOA", "@")
            record: dict[str, Any] = {
                "properties": {
                    "ttl": 3600,
                    "soaRecord": {
                        "email": "azureprivatedns-host.microsoft.com",
                        "expireTime": 2419200,
                        "host": "azureprivatedns.net",
                        "minimumTtl": 10,
                        "refreshTime": 3600,
                        "retryTime": 300,
                        "serialNumber": 1,
                    },
                }
            }
            self.store.put(resource)
            self.world.provider(f"{ZONE}/SOA").put(soa, record)
        return resource

    def rendered(self, resource: Resource) -> dict[str, Any]:
        """Add the counters."""
        document = super().rendered(resource)
        below = resource.id.lower() + "/"
        children = [r for r in self.store.list() if r.id.lower().startswith(below)]
        links = [r for r in children if r.type == LINK]
        document["properties"] |= {
            "numberOfRecordSets": len(children) - len(links),
            "maxNumberOfRecordSets": 25000,
            "numberOfVirtualNetworkLinks": len(links),
            "maxNumberOfVirtualNetworkLinks": 1000,
        }
        return document

    def _all(self, resource_id: ResourceId) -> dict[str, Any]:
        self.store.require(resource_id.text)
        return {
            "value": [
                r for kind in RECORD_TYPES for r in self.world.provider(f"{ZONE}/{kind}").list(resource_id)
            ]
        }

    def before_delete(self, resource_id: ResourceId) -> None:
        """Refuse while networks are linked, as the service does."""
        links = self.world.provider(LINK).list(resource_id)
        if links:
            raise ArmError(
                409,
                "CannotDeleteResource",
                "Can not delete resource before nested resources are deleted.",
                target=links[0]["id"],
            )


class RecordSets(Provider):
    """`…/privateDnsZones/A` and the other record types."""

    tracked = False
    kind: ClassVar[str] = ""

    def check(self, resource_id: ResourceId, body: dict[str, Any]) -> None:
        """Addresses must be addresses."""
        for record in (body.get("properties") or {}).get("aRecords") or []:
            if not _is_address(record.get("ipv4Address")):
                raise ArmError(
                    400,
                    "BadRequest",
                    f"The value '{record.get('ipv4Address')}' for the A record {resource_id.name} is not "
                    "valid.",
                )

    def build(self, document: dict[str, Any], old: Resource | None) -> Resource:
        """Add the full name."""
        resource_id = ResourceId.parse(document["id"])
        require_parent(self, resource_id)
        properties = document["properties"]
        zone = resource_id.names[0]
        name = resource_id.name
        properties.pop("provisioningState", None)
        properties["fqdn"] = f"{zone}." if name == "@" else f"{name}.{zone}."
        properties.setdefault("ttl", properties.pop("TTL", 3600))
        properties["isAutoRegistered"] = False
        document.pop("location", None)
        return self.resource(document, old)

    def before_delete(self, resource_id: ResourceId) -> None:
        """The start of authority stays."""
        if self.kind == "SOA":
            raise ArmError(400, "BadRequest", f"The record set {resource_id} cannot be deleted.")


def _is_address(text: Any) -> bool:
    try:
        IPv4Address(text)
    except ValueError:
        return False
    return True


def record_providers() -> list[type[RecordSets]]:
    """One provider class for each record type."""
    return [
        type(f"RecordSets{kind}", (RecordSets,), {"type": f"{ZONE}/{kind}", "kind": kind})
        for kind in RECORD_TYPES
    ]


class Links(Provider):
    """`…/virtualNetworkLinks`."""

    type = LINK

    def build(self, document: dict[str, Any], old: Resource | None) -> Resource:
        """Check the network."""
        resource_id = ResourceId.parse(document["id"])
        require_parent(self, resource_id)
        properties = document["properties"]
        network = reference_id(properties.get("virtualNetwork"))
        if self.store.get(network) is None:
            raise missing_reference(network, resource_id.text)
        self._refuse_second(resource_id, network)
        properties.setdefault("registrationEnabled", False)
        properties["virtualNetworkLinkState"] = "Completed"
        return self.resource(document, old)

    def not_honoured(self, document: dict[str, Any]) -> Iterator[str]:
        """Registration."""
        if document["properties"]["registrationEnabled"]:
            yield f"{document['id']}: machines are not registered automatically in the lab"

    def _refuse_second(self, resource_id: ResourceId, network: str) -> None:
        zone = str(resource_id.parent).lower()
        for link in self.store.list(type=LINK):
            mine = link.id.lower().startswith(zone + "/")
            if (
                mine
                and not same(link.id, resource_id.text)
                and same(reference_id(link.properties.get("virtualNetwork")), network)
            ):
                raise ArmError(
                    409, "Conflict", f"Virtual network {network} is already linked to this zone by {link.id}."
                )


class ZoneGroups(Provider):
    """`…/privateEndpoints/privateDnsZoneGroups`.

    Azure fills only the zones of its own services: a link service's name needs an A record of its own
    (azure-docs#98098).
    """

    type = ZONE_GROUP
    tracked = False

    def build(self, document: dict[str, Any], old: Resource | None) -> Resource:
        """Write the records of a Key Vault's endpoint into its zone."""
        resource_id = ResourceId.parse(document["id"])
        endpoint = require_parent(self, resource_id)
        for entry in embed(document, "privateDnsZoneConfigs", f"{ZONE_GROUP}/privateDnsZoneConfigs"):
            zone_id = str(entry["properties"].get("privateDnsZoneId", ""))
            zone = self.store.get(zone_id)
            if zone is None:
                raise missing_reference(zone_id, entry["id"])
            entry["properties"]["recordSets"] = self._fill(endpoint, zone)
        return self.resource(document, old)

    def _fill(self, endpoint: Resource, zone: Resource) -> list[dict[str, Any]]:
        target = next(
            entry["properties"]["privateLinkServiceId"]
            for name in ("privateLinkServiceConnections", "manualPrivateLinkServiceConnections")
            for entry in endpoint.properties.get(name, [])
        )
        service = self.store.get(target)
        if service is None or not service.type.startswith("Microsoft.KeyVault/"):
            return []
        nic = self.store.require(endpoint.properties["networkInterfaces"][0]["id"])
        address = nic.properties["ipConfigurations"][0]["properties"]["privateIPAddress"]
        record_id = ResourceId.parse(zone.id).child("A", service.name.lower())
        body = {"properties": {"ttl": 10, "aRecords": [{"ipv4Address": address}]}}
        record = self.world.provider(f"{ZONE}/A").put(record_id, body)
        return [
            {
                "recordType": "A",
                "recordSetName": record.name,
                "fqdn": record.properties["fqdn"].rstrip("."),
                "ttl": 10,
                "ipAddresses": [address],
                "provisioningState": "Succeeded",
            }
        ]

    def delete(self, resource_id: ResourceId) -> Outcome:
        """Take the records along that it has written."""
        group = self.store.get(resource_id.text)
        for entry in (
            copy.deepcopy(group.properties.get("privateDnsZoneConfigs", [])) if group is not None else []
        ):
            for record in entry["properties"].get("recordSets", []):
                zone = ResourceId.parse(entry["properties"]["privateDnsZoneId"])
                self.store.delete(zone.child("A", record["recordSetName"]).text)
        return super().delete(resource_id)


def require_parent(provider: Provider, resource_id: ResourceId) -> Resource:
    """The resource that a child stands under.

    Raises:
        ArmError: 404 `ParentResourceNotFound`.
    """
    parent = provider.store.get(str(resource_id.parent))
    if parent is None:
        raise ArmError(
            404,
            "ParentResourceNotFound",
            "Failed to perform operation on nested resource. "
            f"The parent resource '{resource_id.parent}' is not found.",
        )
    return parent
