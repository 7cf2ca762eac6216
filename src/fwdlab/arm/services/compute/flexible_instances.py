"""The instances of flexible scale sets: virtual machines and interfaces of their own, `SCALESET_xxxxxxxx`.

Azure Verified Modules make flexible scale sets unless they are told otherwise.
"""

from __future__ import annotations

import copy
import secrets
import string
import uuid
from typing import TYPE_CHECKING, Any

from fwdlab.arm.ids import ResourceId, refers
from fwdlab.arm.services.base import bad_request
from fwdlab.arm.services.compute.virtual_machines import VM, VirtualMachines
from fwdlab.arm.services.network.interfaces import NIC, is_primary

if TYPE_CHECKING:
    from fwdlab.arm.services.base import World
    from fwdlab.model import Resource

_LETTERS = string.ascii_uppercase + string.digits


class FlexibleInstances:
    """Makes, finds and removes them."""

    def __init__(self, world: World) -> None:
        self.world = world
        found = world.provider(VM)
        assert isinstance(found, VirtualMachines)  # noqa: S101 - the registry says so
        self.machines = found
        self.power = found.power

    def of(self, scale_set: Resource) -> list[Resource]:
        """The instances of a scale set, also those that were put into it."""
        machines = self.world.store.list(type=VM)
        return [one for one in machines if refers(one.properties.get("virtualMachineScaleSet"), scale_set.id)]

    def create(self, scale_set: Resource, number: int) -> None:
        """Add an instance of the current model."""
        suffix = uuid.uuid4().hex[:8]
        model = copy.deepcopy(scale_set.properties["virtualMachineProfile"])
        profile = model["osProfile"]
        ending = "".join(secrets.choice(_LETTERS) for _ in range(6))
        profile["computerName"] = profile.pop("computerNamePrefix") + ending
        profile["customData"] = scale_set.secrets["customData"]
        place = self._place(scale_set, number)
        network = model["networkProfile"]["networkInterfaceConfigurations"]
        interfaces = [self._put_interface(scale_set, one, suffix, place, len(network)) for one in network]
        properties = {
            **{name: model[name] for name in ("storageProfile", "securityProfile") if name in model},
            "hardwareProfile": {"vmSize": scale_set.document["sku"].get("name", "")},
            "osProfile": profile,
            "networkProfile": {"networkInterfaces": interfaces},
            "userData": scale_set.secrets["userData"],
            "virtualMachineScaleSet": {"id": scale_set.id},
        }
        own = self._sibling(scale_set, VM, f"{scale_set.name}_{suffix}")
        self.machines.put(own, {**place, "properties": properties})

    def _place(self, scale_set: Resource, number: int) -> dict[str, Any]:
        zones = scale_set.document.get("zones") or []
        return {
            "location": scale_set.document.get("location", ""),
            "tags": dict(scale_set.document.get("tags") or {}),
            **({"zones": [zones[number % len(zones)]]} if zones else {}),
        }

    def _sibling(self, scale_set: Resource, kind: str, name: str) -> ResourceId:
        return ResourceId.parse(f"{ResourceId.parse(scale_set.id).group_id}/providers/{kind}/{name}")

    def _put_interface(
        self, scale_set: Resource, model: dict[str, Any], suffix: str, place: dict[str, Any], count: int
    ) -> dict[str, Any]:
        own = self._sibling(scale_set, NIC, f"{model['name']}-{suffix}")
        body = {name: place[name] for name in ("location", "tags")} | {"properties": model["properties"]}
        primary = count == 1 or is_primary(model)
        self.world.provider(NIC).put(own, body)
        return {"id": own.text, "properties": {"primary": primary, "deleteOption": "Delete"}}

    def remove(self, instance: Resource) -> None:
        self.machines.delete(ResourceId.parse(instance.id))

    def upgrade(self, instance: Resource) -> None:
        """Refuse: only a new instance has a new model in the lab."""
        raise bad_request(
            "LabFlexibleInstanceNotUpgraded",
            f"{instance.id} belongs to a flexible scale set, whose instances the lab neither upgrades nor "
            "reimages. Delete it; a new one has the present model.",
        )

    reimage = upgrade
