"""Types that are only records: nothing in the lab's packets depends on them."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from fwdlab.arm.operations import Outcome
from fwdlab.arm.services.base import Provider, reference_id

if TYPE_CHECKING:
    from fwdlab.arm.ids import ResourceId
    from fwdlab.arm.services.base import World
    from fwdlab.model import Resource

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
