"""Single virtual machines."""

from __future__ import annotations

import copy
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fwdlab.arm.errors import ArmError
from fwdlab.arm.ids import ResourceId, same
from fwdlab.arm.operations import Outcome
from fwdlab.arm.services.addresses import missing_reference
from fwdlab.arm.services.base import Provider, reference_id
from fwdlab.arm.services.machines import boot_id, check_custom_data, instance_view, machine_node, node_name
from fwdlab.arm.services.network_lb import NIC
from fwdlab.model import Resource

if TYPE_CHECKING:
    from fwdlab.arm.services.base import World

VM = "Microsoft.Compute/virtualMachines"


class VirtualMachines(Provider):
    """`Microsoft.Compute/virtualMachines`.

    Starting after a stop, restarting and redeploying all boot a fresh node that runs the customData again:
    the lab keeps no disks.
    """

    type = VM

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.actions = {
            "start": lambda i, _: self._power(i, "running"),
            "restart": lambda i, _: self._power(i, "running", fresh=True),
            "redeploy": lambda i, _: self._power(i, "running", fresh=True),
            "reimage": lambda i, _: self._power(i, "running", fresh=True),
            "reapply": lambda _, __: Outcome(200),
            "poweroff": lambda i, _: self._power(i, "stopped"),
            "deallocate": lambda i, _: self._power(i, "deallocated"),
        }
        self.views = {"instanceview": self._view}

    def check(self, resource_id: ResourceId, body: dict[str, Any]) -> None:
        """CustomData is base64 of at most 65535 bytes."""
        del resource_id
        check_custom_data(((body.get("properties") or {}).get("osProfile") or {}).get("customData"))

    def build(self, document: dict[str, Any], old: Resource | None) -> Resource:
        """Bind the interface and boot."""
        properties = document["properties"]
        profile = properties.setdefault(
            "osProfile", copy.deepcopy(old.properties["osProfile"]) if old else {}
        )
        custom_data = profile.pop("customData", None)
        profile.pop("adminPassword", None)
        secrets = (
            dict(old.secrets)
            if old is not None
            else {"powerState": "running", "customData": custom_data or ""}
        )
        if old is not None and custom_data is not None and custom_data != secrets["customData"]:
            raise ArmError(
                409,
                "PropertyChangeNotAllowed",
                "Changing property 'osProfile.customData' is not allowed.",
                target="osProfile.customData",
            )
        profile.setdefault("computerName", document["name"])
        properties["vmId"] = old.properties["vmId"] if old is not None else str(uuid.uuid4())
        nic = self._bind(document, old)
        node = None
        if secrets["powerState"] == "running":
            boot = old.node.boot_id if old is not None and old.node is not None else boot_id()
            name = node_name(self.store, profile["computerName"], document["id"])
            node = machine_node(name, document["id"], nic.document, boot, secrets["customData"])
        return Resource(document["id"], VM, document, secrets, node)

    def _bind(self, document: dict[str, Any], old: Resource | None) -> Resource:
        listed = (document["properties"].get("networkProfile") or {}).get("networkInterfaces") or []
        if len(listed) != 1:
            raise ArmError(
                400,
                "LabOneNetworkInterfaceOnly",
                f"{document['id']} has {len(listed)} network interfaces in networkProfile; the lab "
                "supports one.",
            )
        nic = self.store.get(reference_id(listed[0]))
        if nic is None or nic.type != NIC:
            raise missing_reference(reference_id(listed[0]), document["id"])
        holder = reference_id(nic.properties.get("virtualMachine"))
        if holder and not same(holder, document["id"]):
            raise ArmError(
                400, "NicInUse", f"Network Interface {nic.id} is used by existing resource {holder}."
            )
        if not holder:
            bound = copy.deepcopy(nic.document)
            bound["properties"]["virtualMachine"] = {"id": document["id"]}
            nic = replace(nic, document=bound)
            self.store.put(nic)
        if old is not None:
            former = reference_id(old.properties["networkProfile"]["networkInterfaces"][0])
            if not same(former, nic.id):
                self._release(former)
        return nic

    def _release(self, nic_id: str) -> None:
        nic = self.store.get(nic_id)
        if nic is not None:
            freed = copy.deepcopy(nic.document)
            freed["properties"].pop("virtualMachine", None)
            self.store.put(replace(nic, document=freed))

    def _power(self, resource_id: ResourceId, state: str, *, fresh: bool = False) -> Outcome:
        machine = self.store.require(resource_id.text)
        node = machine.node
        if state != "running" or fresh:
            node = None
        stopped = replace(machine, secrets={**machine.secrets, "powerState": state}, node=node)
        self.store.put(stopped)
        if state == "running":
            self.put(resource_id, stopped.document)
        return Outcome(200)

    def _view(self, resource_id: ResourceId) -> dict[str, Any]:
        machine = self.store.require(resource_id.text)
        return instance_view(machine.properties["osProfile"]["computerName"], machine.secrets["powerState"])

    def before_delete(self, resource_id: ResourceId) -> None:
        """Let the interface go."""
        machine = self.store.require(resource_id.text)
        self._release(reference_id(machine.properties["networkProfile"]["networkInterfaces"][0]))


class Extensions(Provider):
    """Extensions of machines and scale sets: recorded, never run."""

    type = f"{VM}/extensions"


class ScaleSetExtensions(Provider):
    """Extensions of scale sets: recorded, never run."""

    type = "Microsoft.Compute/virtualMachineScaleSets/extensions"
    tracked = False
