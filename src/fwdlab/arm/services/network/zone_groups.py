"""The zone groups of private endpoints.

Azure fills only the zones of its own services: a link service's name needs an A record of its own
(azure-docs#98098).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fwdlab.arm.ids import ResourceId
from fwdlab.arm.services.network.private_dns_zones import ZONE
from fwdlab.arm.services.network.private_endpoints import PE, connections
from fwdlab.arm.services.network.provider import NetworkProvider
from fwdlab.arm.services.references import missing_reference
from fwdlab.arm.services.shapes import body, identifier, named

if TYPE_CHECKING:
    from fwdlab.model import Resource


class ZoneGroups(NetworkProvider):
    type = f"{PE}/privateDnsZoneGroups"
    tracked = False
    has_guid = False
    shape = body(privateDnsZoneConfigs=named(privateDnsZoneId=identifier("")))

    def complete(self, document: dict[str, Any], _old: Resource | None) -> None:
        """Write the records of a Key Vault's endpoint into its zone."""
        endpoint = self.parent(ResourceId.parse(document["id"]))
        for entry in document["properties"]["privateDnsZoneConfigs"]:
            zone_id = entry["properties"]["privateDnsZoneId"]
            zone = self.store.get(zone_id)
            if zone is None:
                raise missing_reference(zone_id, document["id"])
            entry["properties"]["recordSets"] = self._fill(endpoint, ResourceId.parse(zone.id))

    def _fill(self, endpoint: Resource, zone: ResourceId) -> list[dict[str, Any]]:
        target = next(connections(endpoint.document))["properties"]["privateLinkServiceId"]
        service = self.store.get(target)
        if service is None or not service.type.startswith("Microsoft.KeyVault/"):
            return []
        nic = self.store.require(endpoint.properties["networkInterfaces"][0]["id"])
        address = nic.properties["ipConfigurations"][0]["properties"]["privateIPAddress"]
        sent = {"properties": {"ttl": 10, "aRecords": [{"ipv4Address": address}]}}
        record = self.world.provider(f"{ZONE}/A").put(zone.child("A", service.name.lower()), sent)
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

    def before_delete(self, resource_id: ResourceId) -> None:
        """Take the records along that it has written."""
        for entry in self.store.require(resource_id.text).properties["privateDnsZoneConfigs"]:
            zone = ResourceId.parse(entry["properties"]["privateDnsZoneId"])
            for record in entry["properties"]["recordSets"]:
                self.store.delete(zone.child("A", record["recordSetName"]).text)


PROVIDERS = (ZoneGroups,)
