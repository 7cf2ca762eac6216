"""Resource groups."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from fwdlab.arm.ids import GROUP_TYPE, ResourceId
from fwdlab.arm.operations import Operation, Outcome
from fwdlab.arm.services.base import Provider, bad_request, with_properties
from fwdlab.arm.store import group_not_found

if TYPE_CHECKING:
    from fwdlab.model import Resource

_NAME = re.compile(r"[-\w.()]{0,89}[-\w()]")


class Groups(Provider):
    type = GROUP_TYPE

    def validate(self, resource_id: ResourceId, _document: dict[str, Any]) -> None:
        """The name's alphabet (ARM naming rules)."""
        if not _NAME.fullmatch(resource_id.name):
            raise bad_request(
                "InvalidResourceGroup",
                f"The provided resource group name '{resource_id.name}' has these invalid characters or is "
                "too long.",
            )

    def list(self, scope: ResourceId) -> list[dict[str, Any]]:
        """All groups of the subscription."""
        within = f"/subscriptions/{scope.subscription}"
        return [self.rendered(group) for group in self.store.list(type=GROUP_TYPE, within=within)]

    def delete(self, resource_id: ResourceId) -> Outcome:
        """Remove the group and all in it: 202 with `Location`, then 200."""
        group = self.store.get(resource_id.text)
        if group is None:
            raise group_not_found(resource_id.name)
        operation = Operation(
            "location",
            f"/subscriptions/{resource_id.subscription}/operationresults",
            retry_after=self.world.settings.retry_after,
        )
        self.store.put(with_properties(group, provisioningState="Deleting"))
        self.world.perform(lambda: self._remove(group), operation, self.world.settings.delete_seconds)
        return Outcome(202, None, operation)

    def _remove(self, group: Resource) -> None:
        """Let go of what other groups' resources hold, then drop everything below the group."""
        for resource in self.store.list(within=group.id):
            self.world.provider(resource.type).release(ResourceId.parse(resource.id))
        self.store.delete(group.id)
        for tell in self.world.group_deleted:
            tell(group.id)


PROVIDERS = (Groups,)
