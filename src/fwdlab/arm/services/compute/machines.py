"""What machines and the instances of scale sets share: power, customData, host names, their node."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import uuid
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fwdlab.arm.ids import ResourceId, reference_id, same
from fwdlab.arm.operations import Outcome
from fwdlab.arm.services.base import Actions, Provider, Views, bad_request
from fwdlab.arm.services.network.addresses import name_servers
from fwdlab.arm.services.network.interfaces import interfaces_of, is_primary
from fwdlab.arm.services.shapes import body, secret, text
from fwdlab.model import Nic, NodeSpec

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from fwdlab.arm.store import Store
    from fwdlab.model import Resource

CUSTOM_DATA_LIMIT = 65535
_MOST_INTERFACES = 2
USER_DATA_LIMIT = 65536  # virtual-machines/user-data: 64 KB
# What each operation leaves behind, and whether the machine boots fresh.
POWER: Mapping[str, tuple[str, bool]] = {
    "start": ("running", False),
    "restart": ("running", True),
    "redeploy": ("running", True),
    "reimage": ("running", True),
    "poweroff": ("stopped", False),
    "deallocate": ("deallocated", False),
}
PROVISIONED = {
    "code": "ProvisioningState/succeeded",
    "level": "Info",
    "displayStatus": "Provisioning succeeded",
}
EXTENSION = {"type": text(), "protectedSettings": secret(dict)}
_LABEL = re.compile(r"[^a-z0-9-]+")


class Machine(Provider):
    """Something that boots; the lab keeps no disks, so that every boot runs a customData again.

    That is the one with which the disk was made: an instance of a scale set may have another one since.
    """

    transition = "Updating"
    etag = '"{}"'

    @cached_property
    def actions(self) -> Actions:
        def act(state: str, *, fresh: bool) -> Any:
            def on_one(resource_id: ResourceId, _body: Any) -> Outcome:
                self.power(self.store.require(resource_id.text), state, fresh=fresh)
                return Outcome(200)

            return on_one

        return {word: act(state, fresh=fresh) for word, (state, fresh) in POWER.items()}

    @cached_property
    def views(self) -> Views:
        return {"instanceview": self._view}

    def expanded(self, document: dict[str, Any], words: Collection[str]) -> dict[str, Any]:
        """With the user data and the instance view, where they are asked for."""
        if "instanceview" in words:
            document["properties"]["instanceView"] = self._view(ResourceId.parse(document["id"]))
        if "userdata" in words:
            document["properties"]["userData"] = self.store.require(document["id"]).secrets["userData"]
        return document

    def power(self, machine: Resource, state: str, *, fresh: bool = False) -> None:
        """Start, stop or restart."""
        node = machine.node
        if state != "running":
            node = None
        elif node is None or fresh:
            node = self.node(machine, new_boot_id())
        self.store.put(replace(machine, secrets={**machine.secrets, "powerState": state}, node=node))

    def node(self, machine: Resource, boot_id: str) -> NodeSpec:
        """What the data plane runs for a machine: by the first of its interfaces' IP configurations."""
        primary, *others = (self._nic(one) for one in interfaces_of(machine))
        if others and network_id(others[0].subnet_id) != network_id(primary.subnet_id):
            # virtual-network-network-interface-vm, constraints; Azure's own code is not known
            raise bad_request(
                "LabInterfacesOfOneNetwork",
                f"The network interfaces of {machine.id} must be in the same virtual network.",
            )
        return NodeSpec(
            name=node_name(self.store, machine.properties["osProfile"]["computerName"], machine.id),
            kind="machine",
            boot_id=boot_id,
            resource_id=machine.id,
            custom_data=machine.secrets.get("disk", machine.secrets["customData"]),
            user_data=machine.secrets["userData"],
            **vars(primary),
            second=others[0] if others else None,
            name_servers=self._name_servers(machine, primary.subnet_id),
        )

    def _name_servers(self, machine: Resource, subnet: str) -> tuple[str, ...]:
        """Those of its primary interface, or else those of the network."""
        settings = self.store.require(interfaces_of(machine)[0]).properties.get("dnsSettings", {})
        return tuple(settings.get("dnsServers") or name_servers(self.store, subnet))

    def _nic(self, nic_id: str) -> Nic:
        nic = self.store.require(nic_id).properties
        entries = [entry["properties"] for entry in nic["ipConfigurations"]]
        entry = next((entry for entry in entries if entry.get("primary")), entries[0])
        pools = entry.get("loadBalancerBackendAddressPools", [])
        return Nic(
            reference_id(entry.get("subnet")),
            entry["privateIPAddress"],
            tuple(reference_id(pool) for pool in pools),
            reference_id(nic.get("networkSecurityGroup")) or None,
            bool(nic.get("enableIPForwarding")),
        )

    def _view(self, resource_id: ResourceId) -> dict[str, Any]:
        machine = self.store.require(resource_id.text)
        state = machine.secrets["powerState"]
        ready = (
            ("succeeded", "Info", "Ready") if state == "running" else ("Unavailable", "Warning", "Not Ready")
        )
        agent = {"code": f"ProvisioningState/{ready[0]}", "level": ready[1], "displayStatus": ready[2]}
        return {
            "computerName": machine.properties["osProfile"]["computerName"],
            "vmAgent": {"vmAgentVersion": "lab", "statuses": [agent], "extensionHandlers": []},
            "disks": [],
            "statuses": [
                PROVISIONED,
                {"code": f"PowerState/{state}", "level": "Info", "displayStatus": f"VM {state}"},
            ],
        }


def network_id(subnet_id: str) -> str:
    """Lower-case id of a subnet's network."""
    return subnet_id.lower().partition("/subnets/")[0]


class Extensions(Provider):
    """Of machines and scale sets: recorded, never run."""

    transition = "Updating"
    shape = body(**EXTENSION)

    def not_honoured(self, document: dict[str, Any]) -> Iterator[str]:
        return never_run(document["id"], document["properties"])


def never_run(name: str, extension: dict[str, Any]) -> Iterator[str]:
    """What lab status says of an extension; that which reports a machine's health has its work done."""
    kind = str(extension.get("type", ""))
    if not kind.lower().startswith("applicationhealth"):
        yield f"{name}: {kind or 'extensions'} has no effect in the lab, where extensions are never run"


def check_interfaces(entries: list[dict[str, Any]], owner: ResourceId) -> None:
    """One or two, of which one is the primary one (code and text of the last: terraform#6514)."""
    if not 1 <= len(entries) <= _MOST_INTERFACES:
        raise bad_request(
            "LabInterfacesNotSupported",
            f"{owner} has {len(entries)} network interfaces; the lab supports one or two.",
        )
    if len(entries) > 1 and sum(map(is_primary, entries)) != 1:
        name = entries[0].get("name") or reference_id(entries[0]).rpartition("/")[2]
        raise bad_request(
            "NetworkInterfaceMustHavePrimaryPropertySet",
            f"Network interface {name} must have Primary property set.",
        )


def new_boot_id() -> str:
    return uuid.uuid4().hex[:12]


def check_custom_data(profile: dict[str, Any]) -> None:
    """Refuse what Azure refuses: not base64, or more than 65535 bytes decoded (custom-data docs)."""
    name = "Custom data in OSProfile"
    _check_base64(profile.get("customData", ""), CUSTOM_DATA_LIMIT, name, "osProfile.customData")


def check_user_data(properties: dict[str, Any]) -> None:
    """As `check_custom_data`, for what stands beside the profile."""
    _check_base64(properties.get("userData", ""), USER_DATA_LIMIT, "User data", "userData")


def _check_base64(value: str, limit: int, name: str, target: str) -> None:
    try:
        size = len(base64.b64decode(value, validate=True))
    except (binascii.Error, ValueError):
        refusal = f"{name.partition(' in ')[0]} must be a valid Base64 string."
    else:
        if size <= limit:
            return
        refusal = f"{name} must not exceed {limit} bytes; it has {size}."
    raise bad_request("InvalidParameter", refusal, target=target)


def node_name(store: Store, wanted: str, resource_id: str) -> str:
    """A host name that no other node has; the same resource gets the same name again."""
    base = _LABEL.sub("-", wanted.lower()).strip("-")[:50] or "node"
    for resource in store.list():
        node = resource.node
        if node is not None and node.name == base and not same(resource.id, resource_id):
            return f"{base}-{hashlib.sha256(resource_id.lower().encode()).hexdigest()[:4]}"
    return base
