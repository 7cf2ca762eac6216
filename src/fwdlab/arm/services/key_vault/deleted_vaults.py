"""Vaults that are deleted and not yet purged."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from fwdlab.arm import clock
from fwdlab.arm.errors import ArmError
from fwdlab.arm.operations import Operation, Outcome
from fwdlab.arm.services.base import Actions, ReadOnly, normal_location

if TYPE_CHECKING:
    from datetime import datetime

    from fwdlab.arm.ids import ResourceId
    from fwdlab.model import Resource

DELETED_VAULT = "Microsoft.KeyVault/locations/deletedVaults"
DELETED_VAULTS = "Microsoft.KeyVault/deletedVaults"


class DeletedVault(ReadOnly):
    """`…/locations/LOCATION/deletedVaults/NAME`."""

    type = DELETED_VAULT

    @cached_property
    def actions(self) -> Actions:
        return {"purge": self._purge}

    def get(self, resource_id: ResourceId) -> dict[str, Any]:
        return self.rendered(self._require(resource_id))

    def delete(self, resource_id: ResourceId) -> NoReturn:
        raise ArmError(405, "MethodNotAllowed", f"{resource_id} cannot be deleted; it can be purged.")

    def _purge(self, resource_id: ResourceId, _body: Any) -> Outcome:
        vault = self._require(resource_id)
        if vault.properties.get("purgeProtectionEnabled"):
            raise ArmError(405, "MethodNotAllowed", "Operation 'DeletedVaultPurge' is not allowed.")
        self.store.delete(vault.id)
        operation = Operation(
            "location",
            f"{resource_id.text.rsplit('/', 2)[0]}/operationResults",
            retry_after=self.world.settings.retry_after,
        )
        now = second(clock.now()).replace("T", " ")
        operation.succeed({"createdDateTime": now, "lastActionDateTime": now, "status": "Succeeded"})
        return Outcome(202, None, operation)

    def _require(self, resource_id: ResourceId) -> Resource:
        found = self.store.get(resource_id.text)
        if found is None:
            message = f"The specified deleted vault '{resource_id.name}' does not exist."
            raise ArmError(404, "DeletedVaultNotFound", message)
        return found


class DeletedVaults(ReadOnly):
    """`/subscriptions/ID/providers/Microsoft.KeyVault/deletedVaults`: the list of them, of all locations."""

    type = DELETED_VAULTS

    def list(self, _scope: ResourceId) -> list[dict[str, Any]]:
        return [self.rendered(vault) for vault in self.store.list(type=DELETED_VAULT)]


def deleted_id(vault: ResourceId, location: str) -> str:
    return (
        f"/subscriptions/{vault.subscription}/providers/Microsoft.KeyVault/locations/"
        f"{normal_location(location)}/deletedVaults/{vault.name}"
    )


def second(moment: datetime) -> str:
    """A moment as the service writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


PROVIDERS = (DeletedVault, DeletedVaults)
