"""Types that are only records: nothing in the lab's packets depends on them."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from fwdlab.arm.errors import ArmError
from fwdlab.arm.ids import ResourceId
from fwdlab.arm.operations import Outcome
from fwdlab.arm.providers.base import Provider, reference_id
from fwdlab.model import Resource

if TYPE_CHECKING:
    from fwdlab.arm.providers.base import World

VAULT = "Microsoft.KeyVault/vaults"
DELETED_VAULT = "Microsoft.KeyVault/locations/deletedVaults"

_TRACKED = (
    "Microsoft.Network/routeTables",
    "Microsoft.Network/networkWatchers",
    "Microsoft.Network/applicationSecurityGroups",
    "Microsoft.Insights/components",
    "Microsoft.Insights/actionGroups",
    "Microsoft.Insights/metricAlerts",
    "Microsoft.Insights/autoscaleSettings",
    "Microsoft.Insights/dataCollectionRules",
)
_UNTRACKED = (
    "Microsoft.Network/routeTables/routes",
    "Microsoft.Insights/diagnosticSettings",
    "Microsoft.Insights/dataCollectionRuleAssociations",
    "Microsoft.Authorization/roleAssignments",
    "Microsoft.Authorization/roleDefinitions",
    "Microsoft.Authorization/locks",
    "Microsoft.KeyVault/vaults/accessPolicies",
)


def inert_providers() -> list[type[Provider]]:
    """One provider class for each type of the two tables."""
    made: list[type[Provider]] = []
    for kind, tracked in [(k, True) for k in _TRACKED] + [(k, False) for k in _UNTRACKED]:
        made.append(type("Inert", (Provider,), {"type": kind, "tracked": tracked, "__doc__": f"`{kind}`."}))
    return made


class Workspaces(Provider):
    """`Microsoft.OperationalInsights/workspaces`: a customer id and keys that lead nowhere."""

    type = "Microsoft.OperationalInsights/workspaces"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.actions = {"sharedkeys": self._keys, "listkeys": self._keys}

    def build(self, document: dict[str, Any], old: Resource | None) -> Resource:
        """Add the customer id."""
        properties = document["properties"]
        properties["customerId"] = old.properties["customerId"] if old is not None else str(uuid.uuid4())
        properties.setdefault("retentionInDays", 30)
        properties.setdefault("sku", {"name": "PerGB2018"})
        return self.resource(document, old)

    def _keys(self, resource_id: ResourceId, _body: Any) -> Outcome:
        self.store.require(resource_id.text)
        seed = uuid.uuid5(uuid.NAMESPACE_URL, resource_id.key)
        return Outcome(
            200, {"primarySharedKey": f"{seed.hex}==", "secondarySharedKey": f"{seed.hex[::-1]}=="}
        )


class Identities(Provider):
    """`Microsoft.ManagedIdentity/userAssignedIdentities`."""

    type = "Microsoft.ManagedIdentity/userAssignedIdentities"

    def build(self, document: dict[str, Any], old: Resource | None) -> Resource:
        """Add the principal."""
        for name in ("principalId", "clientId"):
            document["properties"][name] = old.properties[name] if old is not None else str(uuid.uuid4())
        document["properties"]["tenantId"] = self.world.tenant_id
        return self.resource(document, old)


class Vaults(Provider):
    """`Microsoft.KeyVault/vaults`: the record, soft deletion and purge; no data plane."""

    type = VAULT

    def build(self, document: dict[str, Any], old: Resource | None) -> Resource:
        """Add the address; refuse a name that waits to be purged."""
        resource_id = ResourceId.parse(document["id"])
        properties = document["properties"]
        location = document.get("location", "")
        gone = f"/subscriptions/{resource_id.subscription}/providers/Microsoft.KeyVault/locations/{location}"
        if self.store.get(f"{gone}/deletedVaults/{resource_id.name}") is not None:
            raise ArmError(
                409,
                "ConflictError",
                f"A vault with the same name already exists in deleted state: '{resource_id.name}'. Purge "
                "it first.",
            )
        properties["vaultUri"] = f"https://{resource_id.name.lower()}.vault.azure.net/"
        properties.setdefault("tenantId", self.world.tenant_id)
        properties.setdefault("sku", {"family": "A", "name": "standard"})
        properties.setdefault("enableSoftDelete", True)
        properties.setdefault("softDeleteRetentionInDays", 90)
        properties.setdefault("accessPolicies", [])
        connections = [
            {"id": endpoint.id}
            for endpoint in self.store.list(type="Microsoft.Network/privateEndpoints")
            if resource_id.key in str(endpoint.properties).lower()
        ]
        if connections:
            properties["privateEndpointConnections"] = connections
        return self.resource(document, old)

    def before_delete(self, resource_id: ResourceId) -> None:
        """Keep it as deleted until it is purged."""
        vault = self.store.require(resource_id.text)
        location = vault.document.get("location", "westeurope")
        place = f"/subscriptions/{resource_id.subscription}/providers/Microsoft.KeyVault/locations/{location}"
        deleted = f"{place}/deletedVaults/{vault.name}"
        properties = {
            "vaultId": vault.id,
            "location": location,
            "tags": vault.document.get("tags", {}),
            "purgeProtectionEnabled": bool(vault.properties.get("enablePurgeProtection", False)),
        }
        document = {"id": deleted, "name": vault.name, "type": DELETED_VAULT, "properties": properties}
        self.store.put(Resource(deleted, DELETED_VAULT, document))


class VaultSecrets(Provider):
    """`…/vaults/secrets`: the value is write-only here, as in ARM."""

    type = f"{VAULT}/secrets"
    tracked = False

    def build(self, document: dict[str, Any], old: Resource | None) -> Resource:
        """Take the value out of the document."""
        resource = self.resource(document, old)
        value = document["properties"].pop("value", None)
        if value is not None:
            resource.secrets["value"] = value
        own = ResourceId.parse(document["id"])
        address = f"https://{own.names[0].lower()}.vault.azure.net/secrets/{own.name}"
        document["properties"]["secretUri"] = address
        return resource


class DeletedVaults(Provider):
    """`…/locations/LOCATION/deletedVaults`."""

    type = DELETED_VAULT
    tracked = False

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.actions = {"purge": self._purge}

    def _purge(self, resource_id: ResourceId, _body: Any) -> Outcome:
        self.store.require(resource_id.text)
        self.store.delete(resource_id.text)
        return Outcome(200)

    def put(self, resource_id: ResourceId, body: dict[str, Any]) -> Resource:
        """Not by hand."""
        del body
        raise ArmError(405, "MethodNotAllowed", f"{resource_id} cannot be written.")


class NatGateways(Provider):
    """`Microsoft.Network/natGateways`: says which subnets use it."""

    type = "Microsoft.Network/natGateways"

    def build(self, document: dict[str, Any], old: Resource | None) -> Resource:
        """Drop what is derived when it is read."""
        document["properties"].pop("subnets", None)
        return self.resource(document, old)

    def rendered(self, resource: Resource) -> dict[str, Any]:
        """Add the subnets."""
        document = super().rendered(resource)
        subnets = [
            {"id": subnet["id"]}
            for network in self.store.list(type="Microsoft.Network/virtualNetworks")
            for subnet in network.properties.get("subnets", [])
            if reference_id(subnet["properties"].get("natGateway")).lower() == resource.id.lower()
        ]
        if subnets:
            document["properties"]["subnets"] = subnets
        return document
