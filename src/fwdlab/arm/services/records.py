"""Types that are only records: nothing in the lab's packets depends on them."""

from __future__ import annotations

import uuid
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fwdlab.arm.operations import Outcome
from fwdlab.arm.services.base import Actions, Provider, absent, of_type
from fwdlab.arm.services.network.provider import NetworkProvider
from fwdlab.arm.services.shapes import Shape, body, number

if TYPE_CHECKING:
    from fwdlab.arm.ids import ResourceId
    from fwdlab.model import Resource

_TRACKED = (
    "Microsoft.Insights/components",
    "Microsoft.Insights/actionGroups",
    "Microsoft.Insights/activityLogAlerts",
    "Microsoft.Insights/autoscaleSettings",
    "Microsoft.Insights/dataCollectionRules",
)
_UNTRACKED = (
    "Microsoft.Insights/dataCollectionRuleAssociations",
    "Microsoft.Authorization/locks",
)


class Workspaces(Provider):
    """A customer id and keys that lead nowhere."""

    type = "Microsoft.OperationalInsights/workspaces"
    carry = ("customerId",)
    shape = body(retentionInDays=number(30), sku=Shape(dict, {"name": "PerGB2018"}))

    @cached_property
    def actions(self) -> Actions:
        return {"sharedkeys": self._keys, "listkeys": self._keys}

    def complete(self, document: dict[str, Any], _old: Resource | None) -> None:
        document["properties"].setdefault("customerId", str(uuid.uuid4()))

    def _keys(self, resource_id: ResourceId, _body: Any) -> Outcome:
        self.store.require(resource_id.text)
        key = uuid.uuid5(uuid.NAMESPACE_URL, resource_id.key).hex
        return Outcome(200, {"primarySharedKey": f"{key}==", "secondarySharedKey": f"{key[::-1]}=="})


class Identities(Provider):
    """A principal that may do nothing."""

    type = "Microsoft.ManagedIdentity/userAssignedIdentities"
    carry = ("principalId", "clientId")

    def complete(self, document: dict[str, Any], _old: Resource | None) -> None:
        for name in self.carry:
            document["properties"].setdefault(name, str(uuid.uuid4()))
        document["properties"]["tenantId"] = self.world.tenant_id


# azure-cli#20587: container groups name their subnets themselves since API version 2021-07-01.
_NO_PROFILES = "Give container groups `subnetIds` instead; Azure creates no profiles for them any more."

PROVIDERS = (
    absent("Microsoft.Network/networkProfiles", _NO_PROFILES),
    of_type(NetworkProvider, "Microsoft.Network/applicationSecurityGroups"),
    Workspaces,
    Identities,
    # az takes no 201 of these.
    of_type(Provider, "Microsoft.Insights/metricAlerts", created=200),
    of_type(Provider, "Microsoft.Insights/diagnosticSettings", created=200, tracked=False, has_state=False),
    *(of_type(Provider, kind) for kind in _TRACKED),
    *(of_type(Provider, kind, tracked=False, has_state=False) for kind in _UNTRACKED),
)
