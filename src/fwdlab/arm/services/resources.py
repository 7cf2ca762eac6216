"""Resource groups, and the filter that listings understand."""

from __future__ import annotations

import asyncio
import copy
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fwdlab.arm.errors import ArmError
from fwdlab.arm.ids import GROUP_TYPE, ResourceId
from fwdlab.arm.operations import Operation, Outcome
from fwdlab.arm.services.base import Provider, reference_id
from fwdlab.arm.services.network_privatelink import PE, PLS, set_endpoint_state
from fwdlab.arm.store import group_not_found

if TYPE_CHECKING:
    from fwdlab.arm.services.base import World
    from fwdlab.model import Resource

_NAME = re.compile(r"[-\w.()]{0,89}[-\w()]")
_CONDITION = re.compile(r"\s*(\w+)\s+eq\s+'([^']*)'\s*", re.IGNORECASE)


class Groups(Provider):
    """`Microsoft.Resources/resourceGroups`."""

    type = GROUP_TYPE

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.actions = {"exporttemplate": self._unsupported, "moveresources": self._unsupported}

    def check(self, resource_id: ResourceId, body: dict[str, Any]) -> None:
        """The name's alphabet (ARM naming rules)."""
        del body
        if not _NAME.fullmatch(resource_id.name):
            raise ArmError(
                400,
                "InvalidResourceGroup",
                f"The provided resource group name '{resource_id.name}' has these invalid characters or "
                "is too long.",
            )

    def list(self, scope: ResourceId) -> list[dict[str, Any]]:
        """All groups of the subscription."""
        del scope
        return [self.rendered(group) for group in self.store.list(type=GROUP_TYPE)]

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
        seconds = self.world.settings.delete_seconds
        if seconds > 0:
            document = copy.deepcopy(group.document)
            document["properties"]["provisioningState"] = "Deleting"
            self.store.put(replace(group, document=document))
            self.world.spawn(self._remove_later(group, operation, seconds))
        else:
            self._remove(group)
            operation.succeed()
        return Outcome(202, None, operation)

    async def _remove_later(self, group: Resource, operation: Operation, seconds: float) -> None:
        await asyncio.sleep(seconds)
        with self.store.batch():
            self._remove(group)
        await self.world.data_plane.settled(self.store.revision)
        operation.succeed()

    def _remove(self, group: Resource) -> None:
        """Let go of what other groups' resources hold, then drop everything below the group."""
        for resource in self.store.list(group=group.name):
            if resource.type == PLS:
                self._disconnect(resource, group.name)
            elif resource.type in {PE, "Microsoft.Network/virtualNetworks", "Microsoft.KeyVault/vaults"}:
                self._let_go(resource)
        self.store.delete(group.id)
        for tell in self.world.group_deleted:
            tell(group.id)

    def _let_go(self, resource: Resource) -> None:
        provider = self.world.provider(resource.type)
        released = getattr(provider, "release", provider.before_delete)
        released(ResourceId.parse(resource.id))

    def _disconnect(self, service: Resource, group: str) -> None:
        for connection in service.properties["privateEndpointConnections"]:
            endpoint = reference_id(connection["properties"]["privateEndpoint"])
            if ResourceId.parse(endpoint).group.lower() != group.lower():
                state = {"status": "Disconnected", "description": "Deleted state", "actionsRequired": "None"}
                set_endpoint_state(self.store, endpoint, state)

    def _unsupported(self, resource_id: ResourceId, _body: Any) -> Outcome:
        raise ArmError(400, "LabOperationNotSupported", f"The lab cannot export or move {resource_id}.")


def parse_filter(text: str) -> list[tuple[str, str]]:
    """Conditions of an OData `$filter` made of `name eq 'value'` joined by `and`.

    Raises:
        ArmError: 400 `InvalidFilterInQueryString` for anything else, which the lab would ignore otherwise.
    """
    conditions: list[tuple[str, str]] = []
    for part in re.split(r"\s+and\s+", text.strip(), flags=re.IGNORECASE) if text.strip() else []:
        match = _CONDITION.fullmatch(part)
        if match is None:
            raise ArmError(
                400, "InvalidFilterInQueryString", f"The lab does not understand the filter '{text}'."
            )
        conditions.append((match[1].lower(), match[2]))
    return conditions


def matches(document: dict[str, Any], conditions: list[tuple[str, str]]) -> bool:
    """Whether a resource or group fulfils all conditions."""
    tags = {k.lower(): v for k, v in (document.get("tags") or {}).items()}
    wanted = dict(conditions)
    for name, value in conditions:
        if name == "tagname":
            fits = value.lower() in tags
        elif name == "tagvalue":
            tag = wanted.get("tagname", "").lower()
            fits = tags.get(tag) == value if tag else value in tags.values()
        elif name == "resourcegroup":
            fits = ResourceId.parse(document["id"]).group.lower() == value.lower()
        else:
            key = {"resourcetype": "type"}.get(name, name)
            fits = str(document.get(key, "")).lower() == value.lower()
        if not fits:
            return False
    return True
