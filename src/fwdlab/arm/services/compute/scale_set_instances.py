"""The instances of uniform scale sets, and their interfaces: created and removed by their scale set only."""

from __future__ import annotations

import copy
import uuid
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeAlias

from fwdlab.arm.ids import ResourceId, refers
from fwdlab.arm.operations import Outcome
from fwdlab.arm.services.base import Actions, Entries, ReadOnly, Views, of_type
from fwdlab.arm.services.compute.machines import Machine, check_user_data
from fwdlab.arm.services.network.interfaces import SCALE_SET_NIC, allocate_interface, is_primary
from fwdlab.arm.services.network.provider import NetworkProvider
from fwdlab.model import Resource

VMSS = "Microsoft.Compute/virtualMachineScaleSets"
INSTANCE = f"{VMSS}/virtualMachines"
Resources: TypeAlias = "list[Resource]"
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_REFUSAL = (
    405,
    "LabInstanceReadOnly",
    "{id}: change the scale set and upgrade the instance; only userData can be its own.",
)


def host_name(prefix: str, number: int) -> str:
    """Host name of an instance: prefix and six base-36 digits (ACD vmss instance-ids).

    >>> host_name("fwd", 37)
    'fwd000011'
    """
    digits = ""
    for _ in range(6):
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return prefix + digits


def is_flexible(scale_set: Resource) -> bool:
    return bool(scale_set.properties["orchestrationMode"] == "Flexible")


class Instances(ReadOnly, Machine):
    type = INSTANCE
    refusal = _REFUSAL

    @cached_property
    def actions(self) -> Actions:
        def reimage(resource_id: ResourceId, _body: Any) -> Outcome:
            self.reimage(self.store.require(resource_id.text))
            return Outcome(200)

        return {**super().actions, "reimage": reimage, "reimageall": reimage}

    @cached_property
    def views(self) -> Views:
        return {**super().views, "networkinterfaces": self.interfaces}

    def of(self, scale_set: Resource) -> Resources:
        """The instances of a scale set, by number."""
        return sorted(self.below(scale_set.id, INSTANCE), key=lambda one: int(one.name))

    def list(self, scope: ResourceId) -> Entries:
        """Those of one scale set; of a flexible one the machines in it, by their own ids."""
        scale_set = self.store.get(scope.text)
        if scale_set is None or not is_flexible(scale_set):
            return super().list(scope)
        machines = self.world.provider(f"{scope.type.split('/')[0]}/virtualMachines")
        return [
            {**one, "instanceId": one["name"]}
            for one in machines.list(ResourceId.parse(ResourceId.parse(scale_set.id).group_id))
            if refers(one["properties"].get("virtualMachineScaleSet"), scale_set.id)
        ]

    def interfaces(self, resource_id: ResourceId) -> dict[str, Any]:
        """The interfaces below an instance or a scale set."""
        return {"value": [copy.deepcopy(nic.document) for nic in self.below(resource_id.key, SCALE_SET_NIC)]}

    def create(self, scale_set: Resource, number: int) -> None:
        """Add an instance of the current model."""
        own_id = ResourceId.parse(scale_set.id).child("virtualMachines", str(number))
        zones = scale_set.document.get("zones") or []
        profile = copy.deepcopy(scale_set.properties["virtualMachineProfile"]["osProfile"])
        profile["computerName"] = host_name(profile.pop("computerNamePrefix"), number)
        document: dict[str, Any] = {
            "id": own_id.text,
            "name": f"{scale_set.name}_{number}",
            "type": INSTANCE,
            "instanceId": str(number),
            "location": scale_set.document.get("location", ""),
            "tags": dict(scale_set.document.get("tags") or {}),
            "sku": {k: v for k, v in scale_set.document["sku"].items() if k != "capacity"},
            **({"zones": [zones[number % len(zones)]]} if zones else {}),
            "properties": {
                "latestModelApplied": True,
                "vmId": str(uuid.uuid4()),
                "provisioningState": "Succeeded",
                "osProfile": profile,
                **self._disks(scale_set),
                "networkProfile": {"networkInterfaces": self._put_interfaces(scale_set, own_id)},
                "modelDefinitionApplied": "VirtualMachineScaleSet",
            },
        }
        secrets = {**_model_of(scale_set), "disk": scale_set.secrets["customData"]}
        self.power(Resource(own_id.text, INSTANCE, document, secrets), "running")

    def _disks(self, scale_set: Resource) -> dict[str, Any]:
        """The model's image with the version that it means now; nothing where the model names none."""
        storage = copy.deepcopy(scale_set.properties["virtualMachineProfile"].get("storageProfile") or {})
        image = storage.get("imageReference") or {}
        if "version" in image:
            version = image["version"]
            image["exactVersion"] = self.world.settings.newest_image if version == "latest" else version
        return {"storageProfile": storage} if storage else {}

    def _put_interfaces(self, scale_set: Resource, own_id: ResourceId) -> Entries:
        """Make or renew the instance's interfaces from the scale set's current model; references to them."""
        profile = scale_set.properties["virtualMachineProfile"]["networkProfile"]
        models = profile["networkInterfaceConfigurations"]
        only = len(models) == 1
        return [self._put_interface(own_id, model, primary=only or is_primary(model)) for model in models]

    def _put_interface(self, own_id: ResourceId, model: dict[str, Any], *, primary: bool) -> dict[str, Any]:
        wanted = copy.deepcopy(model)
        nic_id = own_id.child("networkInterfaces", wanted["name"])
        properties = wanted["properties"]
        (entry,) = properties["ipConfigurations"]
        entry["id"] = nic_id.child("ipConfigurations", entry["name"]).text
        old = self.store.get(nic_id.text)
        former = old.properties["ipConfigurations"] if old is not None else []
        allocate_interface(self.store, [entry], former, nic_id.text)
        entry["properties"]["provisioningState"] = "Succeeded"
        properties |= {"provisioningState": "Succeeded", "virtualMachine": {"id": own_id.text}}
        properties["primary"] = primary
        document = {"id": nic_id.text, "name": nic_id.name, "type": SCALE_SET_NIC, "properties": properties}
        self.store.put(Resource(nic_id.text, SCALE_SET_NIC, document))
        return {"id": nic_id.text, "properties": {"primary": primary}}

    def rendered(self, resource: Resource) -> dict[str, Any]:
        """With whether it has the scale set's model."""
        document = super().rendered(resource)
        scale_set = self.parent(ResourceId.parse(resource.id))
        document["properties"]["latestModelApplied"] = resource.secrets["model"] == scale_set.secrets["model"]
        return document

    def put(self, resource_id: ResourceId, sent: dict[str, Any]) -> Resource:
        """Give an instance user data of its own, whatever its scale set's model says.

        PowerShell's `Update-AzVmssVM -UserData` does it so; the lab has no other change of one instance. That
        `latestModelApplied` stays as it is is the lab's guess: nobody has written it down.
        """
        old = self.store.get(resource_id.text)
        change = {**(sent.get("properties") or {})}
        user_data = change.pop("userData", None)
        if old is None or user_data is None:
            return super().put(resource_id, sent)
        shown = self.rendered(old)
        same_rest = all(shown["properties"].get(name) == value for name, value in change.items())
        top = (name for name in sent if name != "properties")
        if not same_rest or any(shown.get(name) != sent[name] for name in top):
            return super().put(resource_id, sent)
        check_user_data({"userData": user_data})
        node = replace(old.node, user_data=user_data) if old.node is not None else None
        changed = replace(old, secrets={**old.secrets, "userData": user_data}, node=node)
        self.store.put(changed)
        return changed

    def patch(self, resource_id: ResourceId, change: dict[str, Any]) -> Resource:
        """Azure knows no PATCH of an instance."""
        return super().put(resource_id, change)

    def reimage(self, instance: Resource) -> None:
        """Boot a fresh disk of the same image, with the model's user data."""
        own = self.parent(ResourceId.parse(instance.id)).secrets["userData"]
        secrets = {**instance.secrets, "userData": own, "disk": instance.secrets["customData"]}
        self.power(replace(instance, secrets=secrets), "running", fresh=True)

    def upgrade(self, instance: Resource) -> None:
        """Apply the scale set's model; customData waits for a reimage.

        Another image comes with a fresh disk, and so does a newer one where the model says `latest`, which
        azure-sdk-for-net#28491 reports. Another size comes with a restart.
        """
        own_id = ResourceId.parse(instance.id)
        scale_set = self.parent(own_id)
        references = self._put_interfaces(scale_set, own_id)
        sku = {name: value for name, value in scale_set.document["sku"].items() if name != "capacity"}
        document = {**instance.document, "tags": dict(scale_set.document.get("tags") or {}), "sku": sku}
        interfaces = {"networkProfile": {"networkInterfaces": references}}
        document["properties"] = {**instance.properties, **interfaces, **self._disks(scale_set)}
        secrets = {**instance.secrets, **_model_of(scale_set)}
        upgraded = replace(instance, document=document, secrets=secrets)
        before = instance.properties.get("storageProfile", {}).get("imageReference")
        replaced = before != upgraded.properties.get("storageProfile", {}).get("imageReference")
        if replaced:
            secrets["disk"] = secrets["customData"]
        if instance.node is None:
            self.store.put(upgraded)
        elif replaced or sku.get("name") != instance.document["sku"].get("name"):
            self.power(upgraded, "running", fresh=True)
        else:
            upgraded.node = replace(self.node(upgraded, instance.node.boot_id), name=instance.node.name)
            self.store.put(upgraded)

    def remove(self, instance: Resource) -> None:
        self.delete(ResourceId.parse(instance.id))

    def before_delete(self, resource_id: ResourceId) -> None:
        """The scale set's capacity shrinks with it."""
        scale_set = self.parent(resource_id)
        sku = scale_set.document["sku"]
        shrunk = {**sku, "capacity": max(0, sku["capacity"] - 1)}
        self.store.put(replace(scale_set, document={**scale_set.document, "sku": shrunk}))


def _model_of(scale_set: Resource) -> dict[str, Any]:
    """What an instance has of its scale set's secrets."""
    return {name: scale_set.secrets[name] for name in ("model", "customData", "userData")}


PROVIDERS = (Instances, of_type(ReadOnly, SCALE_SET_NIC, refusal=_REFUSAL, etag=NetworkProvider.etag))
