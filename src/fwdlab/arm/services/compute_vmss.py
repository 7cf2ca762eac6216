"""Uniform scale sets and their instances."""

from __future__ import annotations

import copy
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fwdlab.arm.errors import ArmError
from fwdlab.arm.ids import ResourceId
from fwdlab.arm.operations import Outcome
from fwdlab.arm.services.base import Provider
from fwdlab.arm.services.machines import (
    boot_id,
    check_custom_data,
    instance_view,
    machine_node,
    node_name,
    power_statuses,
)
from fwdlab.arm.services.network_lb import SCALE_SET_NIC, allocate_interface
from fwdlab.model import Resource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fwdlab.arm.services.base import World

VMSS = "Microsoft.Compute/virtualMachineScaleSets"
INSTANCE = f"{VMSS}/virtualMachines"
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_PREFIX_LIMIT = 15


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


class ScaleSets(Provider):
    """`Microsoft.Compute/virtualMachineScaleSets`, orchestration mode Uniform.

    A changed model (tags, profile, customData) reaches new instances at once; existing ones get its network
    settings by `manualupgrade` (or at once with upgrade policy Automatic or Rolling) and its customData only
    by `reimage` after that (ACD custom-data).
    """

    type = VMSS
    carry = (
        "virtualMachineProfile",
        "upgradePolicy",
        "orchestrationMode",
    )  # `az vmss scale` PUTs the sku alone

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.instances = Instances(world)
        each: Callable[..., Callable[[ResourceId, Any], Outcome]] = self._for_each
        self.actions = {
            "manualupgrade": each(self.instances.upgrade),
            "reimage": each(self.instances.reimage),
            "reimageall": each(self.instances.reimage),
            "delete": each(self._delete_instance),
            "start": each(lambda r: self.instances.power(r, "running")),
            "restart": each(lambda r: self.instances.power(r, "running", fresh=True)),
            "poweroff": each(lambda r: self.instances.power(r, "stopped")),
            "deallocate": each(lambda r: self.instances.power(r, "deallocated")),
        }
        self.views = {
            "instanceview": self._view,
            "skus": lambda _: {"value": []},
            "osupgradehistory": lambda _: {"value": []},
            "networkinterfaces": self._nics,
            "rollingupgrades": lambda _: {"value": []},
        }

    def check(self, resource_id: ResourceId, body: dict[str, Any]) -> None:
        """Mode, name prefix, customData and capacity."""
        properties = body.get("properties") or {}
        mode = properties.get("orchestrationMode", "Uniform")
        if mode != "Uniform":
            raise ArmError(
                400,
                "LabOrchestrationModeNotSupported",
                f"{resource_id}: the lab knows Uniform only, not '{mode}'.",
            )
        profile = (properties.get("virtualMachineProfile") or {}).get("osProfile") or {}
        check_custom_data(profile.get("customData"))
        prefix = profile.get("computerNamePrefix", "")
        if not isinstance(prefix, str) or len(prefix) > _PREFIX_LIMIT:
            raise ArmError(
                400,
                "InvalidParameter",
                f"The value '{prefix}' of parameter 'computerNamePrefix' is invalid: 1 to 15 characters "
                "are allowed.",
                target="osProfile.computerNamePrefix",
            )
        capacity = (body.get("sku") or {}).get("capacity", 0)
        if not isinstance(capacity, int) or capacity < 0:
            raise ArmError(
                400, "InvalidParameter", f"The sku capacity '{capacity}' is invalid.", target="sku.capacity"
            )

    def build(self, document: dict[str, Any], old: Resource | None) -> Resource:
        """Keep the secrets, count the model's versions, bring the instances to the capacity."""
        properties = document["properties"]
        if old is not None and "zones" in old.document:
            document.setdefault("zones", old.document["zones"])
        properties.setdefault("orchestrationMode", "Uniform")
        properties.setdefault("upgradePolicy", {}).setdefault("mode", "Manual")
        properties["uniqueId"] = old.properties["uniqueId"] if old is not None else str(uuid.uuid4())
        profile = properties.get("virtualMachineProfile")
        if profile is None:
            raise ArmError(
                400, "InvalidParameter", "Required parameter 'virtualMachineProfile' is missing (null)."
            )
        _one_interface(profile, document["id"])
        os_profile = profile.setdefault("osProfile", {})
        os_profile.pop("adminPassword", None)
        os_profile.setdefault("computerNamePrefix", document["name"][:9])
        fresh: dict[str, Any] = {"next": 0, "model": 0, "customData": ""}
        secrets = dict(old.secrets) if old is not None else fresh
        secrets["customData"] = os_profile.pop("customData", None) or secrets["customData"]
        sku = document.setdefault(
            "sku", copy.deepcopy(old.document.get("sku", {})) if old is not None else {}
        )
        sku.setdefault("capacity", 1)
        if old is not None and _model(document, secrets) != _model(old.document, old.secrets):
            secrets["model"] += 1
        scale_set = Resource(document["id"], VMSS, document, secrets, None)
        self.store.put(scale_set)
        scale_set = self._to_capacity(scale_set)
        if properties["upgradePolicy"]["mode"] != "Manual":
            for instance in self.instances.of(scale_set):
                self.instances.upgrade(instance)
        return scale_set

    def not_honoured(self, document: dict[str, Any]) -> Iterator[str]:
        """Policies."""
        for policy in ("automaticRepairsPolicy", "scaleInPolicy"):
            if document["properties"].get(policy):
                yield f"{document['id']}: {policy} has no effect in the lab"

    def _to_capacity(self, scale_set: Resource) -> Resource:
        existing = self.instances.of(scale_set)
        wanted = int(scale_set.document["sku"]["capacity"])
        for instance in existing[wanted:]:
            self.store.delete(instance.id)
        number = int(scale_set.secrets["next"])
        for _ in range(wanted - len(existing)):
            self.instances.create(scale_set, number)
            number += 1
        return replace(scale_set, secrets={**scale_set.secrets, "next": number})

    def _for_each(self, change: Callable[[Resource], None]) -> Callable[[ResourceId, Any], Outcome]:
        def act(resource_id: ResourceId, body: Any) -> Outcome:
            scale_set = self.store.require(resource_id.text)
            wanted = (body or {}).get("instanceIds") or ["*"]
            known = {instance.name: instance for instance in self.instances.of(scale_set)}
            for name in known if "*" in wanted else [str(name) for name in wanted]:
                if name not in known:
                    raise ArmError(
                        400,
                        "InvalidParameter",
                        f"The provided instanceId {name} is not an active Virtual Machine Scale Set VM "
                        "instanceId.",
                        target="instanceIds",
                    )
                change(known[name])
            return Outcome(200)

        return act

    def _delete_instance(self, instance: Resource) -> None:
        self.world.provider(INSTANCE).delete(ResourceId.parse(instance.id))

    def _view(self, resource_id: ResourceId) -> dict[str, Any]:
        instances = self.instances.of(self.store.require(resource_id.text))
        states = [f"PowerState/{i.secrets['powerState']}" for i in instances]
        summary: list[dict[str, Any]] = [{"code": "ProvisioningState/succeeded", "count": len(instances)}]
        summary += [{"code": code, "count": states.count(code)} for code in sorted(set(states))]
        return {
            "virtualMachine": {"statusesSummary": summary},
            "statuses": power_statuses("running")[:1],
            "extensions": [],
        }

    def _nics(self, resource_id: ResourceId) -> dict[str, Any]:
        below = resource_id.key + "/"
        found = [n.document for n in self.store.list(type=SCALE_SET_NIC) if n.id.lower().startswith(below)]
        return {"value": copy.deepcopy(found)}


def _model(document: dict[str, Any], secrets: dict[str, Any]) -> tuple[Any, ...]:
    return (
        document.get("tags") or {},
        document["properties"]["virtualMachineProfile"],
        document.get("sku", {}).get("name"),
        secrets["customData"],
    )


def _one_interface(profile: dict[str, Any], owner: str) -> None:
    listed = (profile.get("networkProfile") or {}).get("networkInterfaceConfigurations") or []
    if len(listed) != 1 or len(listed[0].get("properties", {}).get("ipConfigurations") or []) != 1:
        raise ArmError(
            400,
            "LabOneNetworkInterfaceOnly",
            f"{owner} must have one network interface configuration with one IP configuration in the lab.",
        )


class Instances(Provider):
    """`…/virtualMachines`: instances; created and removed by their scale set only."""

    type = INSTANCE
    tracked = False

    def __init__(self, world: World) -> None:
        super().__init__(world)
        one = self._on_one
        self.actions = {
            "reimage": one(self.reimage),
            "reimageall": one(self.reimage),
            "redeploy": one(lambda r: self.power(r, "running", fresh=True)),
            "start": one(lambda r: self.power(r, "running")),
            "restart": one(lambda r: self.power(r, "running", fresh=True)),
            "poweroff": one(lambda r: self.power(r, "stopped")),
            "deallocate": one(lambda r: self.power(r, "deallocated")),
        }
        self.views = {"instanceview": self._view, "networkinterfaces": self._nics}

    def put(self, resource_id: ResourceId, body: dict[str, Any]) -> Resource:
        """Not by hand: `LabInstanceReadOnly`, the lab's own code."""
        del body
        raise ArmError(
            405, "LabInstanceReadOnly", f"{resource_id}: change the scale set and upgrade the instance."
        )

    def of(self, scale_set: Resource) -> list[Resource]:
        """The instances of a scale set, by number."""
        below = scale_set.id.lower() + "/"
        found = [r for r in self.store.list(type=INSTANCE) if r.id.lower().startswith(below)]
        return sorted(found, key=lambda r: int(r.name))

    def create(self, scale_set: Resource, number: int) -> None:
        """Add an instance of the current model."""
        own_id = ResourceId.parse(scale_set.id).child("virtualMachines", str(number))
        zones = scale_set.document.get("zones") or []
        profile = scale_set.properties["virtualMachineProfile"]
        host = host_name(profile["osProfile"]["computerNamePrefix"], number)
        nic = self._nic(scale_set, own_id)
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
                "osProfile": {**copy.deepcopy(profile["osProfile"]), "computerName": host},
                "networkProfile": {"networkInterfaces": [{"id": nic.id, "properties": {"primary": True}}]},
                "modelDefinitionApplied": "VirtualMachineScaleSet",
            },
        }
        document["properties"]["osProfile"].pop("computerNamePrefix", None)
        secrets = {
            "powerState": "running",
            "model": scale_set.secrets["model"],
            "customData": scale_set.secrets["customData"],
        }
        name = node_name(self.store, host, own_id.text)
        node = machine_node(name, own_id.text, nic.document, boot_id(), secrets["customData"])
        self.store.put(Resource(own_id.text, INSTANCE, document, secrets, node))

    def _nic(self, scale_set: Resource, own_id: ResourceId) -> Resource:
        """Make or renew the instance's interface from the scale set's current model."""
        wanted = scale_set.properties["virtualMachineProfile"]["networkProfile"][
            "networkInterfaceConfigurations"
        ][0]
        nic_id = own_id.child("networkInterfaces", wanted["name"])
        old = self.store.get(nic_id.text)
        entry = copy.deepcopy(wanted["properties"]["ipConfigurations"][0])
        entry["id"] = nic_id.child("ipConfigurations", entry["name"]).text
        former = old.properties["ipConfigurations"] if old is not None else []
        allocate_interface(self.store, [entry], former, nic_id.text)
        properties = {k: copy.deepcopy(v) for k, v in wanted["properties"].items() if k != "ipConfigurations"}
        properties |= {
            "provisioningState": "Succeeded",
            "ipConfigurations": [entry],
            "virtualMachine": {"id": own_id.text},
        }
        document = {"id": nic_id.text, "name": nic_id.name, "type": SCALE_SET_NIC, "properties": properties}
        nic = Resource(nic_id.text, SCALE_SET_NIC, document)
        self.store.put(nic)
        return nic

    def rendered(self, resource: Resource) -> dict[str, Any]:
        """Say whether it has the scale set's model."""
        document = super().rendered(resource)
        scale_set = self.store.require(str(ResourceId.parse(resource.id).parent))
        document["properties"]["latestModelApplied"] = resource.secrets["model"] == scale_set.secrets["model"]
        return document

    def upgrade(self, instance: Resource) -> None:
        """Apply the scale set's model; customData waits for a reimage."""
        scale_set = self.store.require(str(ResourceId.parse(instance.id).parent))
        nic = self._nic(scale_set, ResourceId.parse(instance.id))
        document = copy.deepcopy(instance.document)
        document["tags"] = dict(scale_set.document.get("tags") or {})
        node = instance.node
        if node is not None:
            node = machine_node(node.name, instance.id, nic.document, node.boot_id, node.custom_data)
        secrets = {
            **instance.secrets,
            "model": scale_set.secrets["model"],
            "customData": scale_set.secrets["customData"],
        }
        self.store.put(replace(instance, document=document, secrets=secrets, node=node))

    def reimage(self, instance: Resource) -> None:
        """Boot a fresh node with the customData of the model that the instance has."""
        self.power(instance, "running", fresh=True)

    def power(self, instance: Resource, state: str, *, fresh: bool = False) -> None:
        """Start, stop or restart; a started or restarted instance boots fresh, as the lab keeps no disks."""
        node = instance.node
        if state != "running":
            node = None
        elif node is None or fresh:
            name = node_name(self.store, instance.properties["osProfile"]["computerName"], instance.id)
            nic = self.store.require(instance.properties["networkProfile"]["networkInterfaces"][0]["id"])
            node = machine_node(name, instance.id, nic.document, boot_id(), instance.secrets["customData"])
        self.store.put(replace(instance, secrets={**instance.secrets, "powerState": state}, node=node))

    def before_delete(self, resource_id: ResourceId) -> None:
        """The scale set's capacity shrinks with it."""
        scale_set = self.store.require(str(resource_id.parent))
        document = copy.deepcopy(scale_set.document)
        document["sku"]["capacity"] = max(0, int(document["sku"]["capacity"]) - 1)
        self.store.put(replace(scale_set, document=document))

    def _on_one(self, change: Callable[[Resource], None]) -> Callable[[ResourceId, Any], Outcome]:
        def act(resource_id: ResourceId, body: Any) -> Outcome:
            del body
            change(self.store.require(resource_id.text))
            return Outcome(200)

        return act

    def _view(self, resource_id: ResourceId) -> dict[str, Any]:
        instance = self.store.require(resource_id.text)
        return instance_view(instance.properties["osProfile"]["computerName"], instance.secrets["powerState"])

    def _nics(self, resource_id: ResourceId) -> dict[str, Any]:
        below = resource_id.key + "/"
        found = [n.document for n in self.store.list(type=SCALE_SET_NIC) if n.id.lower().startswith(below)]
        return {"value": copy.deepcopy(found)}


class InstanceInterfaces(Provider):
    """`…/virtualMachines/networkInterfaces`: read-only."""

    type = SCALE_SET_NIC
    tracked = False

    def put(self, resource_id: ResourceId, body: dict[str, Any]) -> Resource:
        """Not by hand."""
        del body
        raise ArmError(
            405, "LabInstanceReadOnly", f"{resource_id}: change the scale set and upgrade the instance."
        )
