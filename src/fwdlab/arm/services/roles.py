"""Roles and who has them: records that nothing in the lab asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fwdlab.arm.errors import ArmError
from fwdlab.arm.ids import same
from fwdlab.arm.operations import Outcome, timestamp
from fwdlab.arm.services.base import Provider

if TYPE_CHECKING:
    from fwdlab.arm.ids import ResourceId
    from fwdlab.model import Resource

_DEFINITIONS = "Microsoft.Authorization/roleDefinitions"
# Some of azure-docs, role-based-access-control/built-in-roles.
_BUILT_IN = {
    "8e3af657-a8ff-443c-a75c-2fe8c4bcb635": "Owner",
    "b24988ac-6180-42a0-ab88-20f7382dd24c": "Contributor",
    "acdd72a7-3385-48ef-bd42-f606fba81ae7": "Reader",
    "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9": "User Access Administrator",
    "4d97b98b-1d4f-4787-a291-c67834d212e7": "Network Contributor",
    "b12aa53e-6015-4669-85d0-8515ebb3ae7f": "Private DNS Zone Contributor",
    "9980e02c-c2be-4d73-94e8-173b1dc7cf3c": "Virtual Machine Contributor",
    "f1a07417-d97a-45cb-824c-7a7467783830": "Managed Identity Operator",
    "7f951dda-4ed3-4680-a7ca-43fe172d538d": "AcrPull",
    "00482a5a-887f-4fb3-b363-3b7fe8e74483": "Key Vault Administrator",
    "b86a8fe4-44ce-4948-aee5-eccb2c155cd7": "Key Vault Secrets Officer",
    "4633458b-17de-408a-b874-0445c86b69e6": "Key Vault Secrets User",
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": "Storage Blob Data Contributor",
    "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1": "Storage Blob Data Reader",
    "43d0d8ad-25c7-4714-9337-8ba259a9fe05": "Monitoring Reader",
    "749f88d5-cbae-40b8-bcfc-e573ddc772fa": "Monitoring Contributor",
    "73c42c96-874c-492b-b04d-ab87d138a893": "Log Analytics Reader",
    "92aaf0da-9dab-42b6-94a3-d43ce8d16293": "Log Analytics Contributor",
}


class RoleDefinitions(Provider):
    """Those that clients have made, and the best known of Azure's own, of which only the names are known."""

    type = _DEFINITIONS
    tracked = False
    has_state = False

    def list(self, scope: ResourceId) -> list[dict[str, Any]]:
        own = [_built_in(scope.subscription, guid) for guid in _BUILT_IN]
        return [*own, *super().list(scope)]

    def get(self, resource_id: ResourceId) -> dict[str, Any]:
        guid = resource_id.name.lower()
        return _built_in(resource_id.subscription, guid) if guid in _BUILT_IN else super().get(resource_id)


def _built_in(subscription: str, guid: str) -> dict[str, Any]:
    above = f"/subscriptions/{subscription}" if subscription else ""
    return {
        "id": f"{above}/providers/{_DEFINITIONS}/{guid}",
        "name": guid,
        "type": _DEFINITIONS,
        "properties": {
            "roleName": _BUILT_IN[guid],
            "type": "BuiltInRole",
            "description": "",
            "assignableScopes": ["/"],
            "permissions": [],
        },
    }


class RoleAssignments(Provider):
    type = "Microsoft.Authorization/roleAssignments"
    tracked = False
    has_state = False

    def complete(self, document: dict[str, Any], old: Resource | None) -> None:
        properties = document["properties"]
        properties["scope"] = document["id"].rpartition("/providers/")[0] or "/"
        properties["createdOn"] = old.properties["createdOn"] if old is not None else timestamp()
        for other in self.store.list(type=self.type):
            alike = all(
                same(properties.get(name), other.properties.get(name))
                for name in ("scope", "principalId", "roleDefinitionId")
            )
            if alike and not same(other.id, document["id"]):
                raise ArmError(409, "RoleAssignmentExists", "The role assignment already exists.")

    def delete(self, resource_id: ResourceId) -> Outcome:
        """Answer with the last document: az reads it."""
        last = self.store.get(resource_id.text)
        outcome = super().delete(resource_id)
        return outcome if last is None else Outcome(200, self.rendered(last))


PROVIDERS = (RoleDefinitions, RoleAssignments)
