"""Single virtual machines."""

from __future__ import annotations

import uuid
from functools import cached_property
from typing import Any

from fwdlab.arm.errors import ArmError
from fwdlab.arm.ids import ResourceId, reference_id, same
from fwdlab.arm.operations import Outcome
from fwdlab.arm.services.base import Actions, of_type, with_properties
from fwdlab.arm.services.compute.machines import (
    Extensions,
    Machine,
    check_custom_data,
    check_interfaces,
    check_user_data,
    new_boot_id,
)
from fwdlab.arm.services.network.interfaces import NIC, interfaces_of, nic_in_use
from fwdlab.arm.services.references import missing_reference
from fwdlab.arm.services.shapes import (
    body,
    flag,
    identifier,
    items,
    optional,
    record,
    reference,
    secret,
    text,
)
from fwdlab.model import Resource

VM = "Microsoft.Compute/virtualMachines"
_INTERFACE = optional(
    id=identifier(), properties=optional(primary=flag(), deleteOption=text(None, "Delete", "Detach"))
)


class VirtualMachines(Machine):
    type = VM
    carry = ("osProfile",)
    shape = body(
        userData=text(),
        osProfile=record(computerName=text(), customData=text(), adminPassword=secret()),
        networkProfile=record(networkInterfaces=items(_INTERFACE, default=[])),
        virtualMachineScaleSet=reference(),
    )

    @cached_property
    def actions(self) -> Actions:
        return {**super().actions, "reapply": lambda *_: Outcome(200)}

    def validate(self, resource_id: ResourceId, document: dict[str, Any]) -> None:
        properties = document["properties"]
        check_custom_data(properties["osProfile"])
        check_user_data(properties)
        check_interfaces(properties["networkProfile"]["networkInterfaces"], resource_id)

    def build(self, document: dict[str, Any], old: Resource | None) -> Resource:
        """Bind the interface and boot."""
        properties = document["properties"]
        profile = properties["osProfile"]
        custom_data = profile.pop("customData", None)
        profile.setdefault("computerName", document["name"])
        if not properties.get("additionalCapabilities", True):
            del properties["additionalCapabilities"]  # Terraform sends an empty one and expects none
        fresh = {"powerState": "running", "customData": custom_data or "", "userData": ""}
        secrets = dict(old.secrets) if old is not None else fresh
        secrets["userData"] = properties.pop("userData", secrets["userData"])
        if custom_data not in (None, secrets["customData"]):
            raise ArmError(
                409,
                "PropertyChangeNotAllowed",
                "Changing property 'osProfile.customData' is not allowed.",
                target="osProfile.customData",
            )
        properties["vmId"] = old.properties["vmId"] if old is not None else str(uuid.uuid4())
        machine = Resource(document["id"], VM, document, secrets)
        interfaces = interfaces_of(machine)
        for interface in interfaces:
            self._bind(machine, interface, primary=interface == interfaces[0])
        kept = {interface.lower() for interface in interfaces}
        for interface in interfaces_of(old) if old is not None else ():
            if interface.lower() not in kept:
                self._release(interface)
        if secrets["powerState"] == "running":
            boot_id = old.node.boot_id if old is not None and old.node is not None else new_boot_id()
            machine.node = self.node(machine, boot_id)
        return machine

    def _bind(self, machine: Resource, interface: str, *, primary: bool) -> None:
        nic = self.store.get(interface)
        if nic is None or nic.type != NIC:
            raise missing_reference(interface, machine.id)
        holder = reference_id(nic.properties.get("virtualMachine"))
        if holder and not same(holder, machine.id):
            raise nic_in_use(nic.id, holder)
        self.store.put(with_properties(nic, virtualMachine={"id": holder or machine.id}, primary=primary))

    def _release(self, nic_id: str) -> None:
        nic = self.store.get(nic_id)
        if nic is not None:
            self.store.put(with_properties(nic, virtualMachine=None))

    def before_delete(self, resource_id: ResourceId) -> None:
        """Let the interfaces go; those with that delete option go too."""
        machine = self.store.require(resource_id.text)
        for interface in interfaces_of(machine):
            self._release(interface)
        for entry in machine.properties["networkProfile"]["networkInterfaces"]:
            if entry.get("properties", {}).get("deleteOption") == "Delete":
                self.store.delete(reference_id(entry))


PROVIDERS = (VirtualMachines, of_type(Extensions, f"{VM}/extensions"))
