"""Network interfaces."""

from __future__ import annotations

import uuid
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fwdlab.arm.ids import ResourceId, reference_id
from fwdlab.arm.operations import Outcome
from fwdlab.arm.services.base import Actions, bad_request, part_of
from fwdlab.arm.services.network import effective
from fwdlab.arm.services.network.addresses import IP_CONFIGURATION, allocate_all
from fwdlab.arm.services.network.provider import NetworkProvider
from fwdlab.arm.services.shapes import Shape, body, flag, items, parts, reference, text
from fwdlab.model import Resource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fwdlab.arm.errors import ArmError
    from fwdlab.arm.store import Store

NIC = "Microsoft.Network/networkInterfaces"
SCALE_SET_NIC = "Microsoft.Compute/virtualMachineScaleSets/virtualMachines/networkInterfaces"
_USERS = ("virtualMachine", "privateEndpoint", "privateLinkService")
_IN_BALANCERS = {
    "backendAddressPools": "loadBalancerBackendAddressPools",
    "inboundNatRules": "loadBalancerInboundNatRules",
}
_ALIKE: dict[str, Any] = {
    "nicType": "Standard",
    "primary": True,
    "vnetEncryptionSupported": False,
    "defaultOutboundConnectivityEnabled": False,
    "hostedWorkloads": [],
    "tapConfigurations": [],
}
"""What all interfaces say of themselves."""
_DNS: dict[str, list[str]] = {"dnsServers": [], "appliedDnsServers": []}


class NetworkInterfaces(NetworkProvider):
    type = NIC
    carry = (*_USERS, "macAddress")
    derived = carry
    shape = body(
        ipConfigurations=parts(**IP_CONFIGURATION),
        networkSecurityGroup=reference(),
        enableIPForwarding=flag(default=False),
        enableAcceleratedNetworking=flag(default=False),
        dnsSettings=Shape(dict, _DNS, fields=dict.fromkeys(_DNS, items(text()))),
    )

    @cached_property
    def actions(self) -> Actions:
        def showing(shown: Callable[[Store, Resource], list[dict[str, Any]]]) -> Any:
            def act(resource_id: ResourceId, _body: Any) -> Outcome:
                return Outcome(200, {"value": shown(self.store, self.store.require(resource_id.text))})

            return act

        return {
            "effectivenetworksecuritygroups": showing(effective.security_groups),
            "effectiveroutetable": showing(effective.routes),
        }

    def validate(self, resource_id: ResourceId, document: dict[str, Any]) -> None:
        if not document["properties"]["ipConfigurations"]:
            raise bad_request(
                "NetworkInterfaceMustHaveOneIpConfiguration", f"{resource_id} has no IP configuration."
            )

    def complete(self, document: dict[str, Any], old: Resource | None) -> None:
        properties = document["properties"]
        former = old.properties["ipConfigurations"] if old is not None else []
        allocate_interface(self.store, properties["ipConfigurations"], former, document["id"])
        properties |= {**_ALIKE, "primary": old.properties["primary"] if old is not None else True}
        properties.setdefault("macAddress", _mac())

    def put(self, resource_id: ResourceId, sent: dict[str, Any]) -> Resource:
        """Replace, and let the machine that has it follow; endpoints and link services keep theirs."""
        old = self.store.get(resource_id.text)
        for role in ("privateEndpoint", "privateLinkService"):
            if old is not None and reference_id(old.properties.get(role)):
                raise bad_request(
                    "LabNetworkInterfaceIsReadOnly",
                    f"Network interface {resource_id} is managed by {reference_id(old.properties[role])}.",
                )
        resource = super().put(resource_id, sent)
        machine = self.store.get(reference_id(resource.properties.get("virtualMachine")))
        if machine is not None:
            self.world.provider(machine.type).put(ResourceId.parse(machine.id), machine.document)
        return resource

    def before_delete(self, resource_id: ResourceId) -> None:
        """Refuse while a machine, endpoint or link service has it."""
        properties = self.store.require(resource_id.text).properties
        for user in filter(None, (reference_id(properties.get(key)) for key in _USERS)):
            raise nic_in_use(
                resource_id.text,
                user,
                " In order to delete the network interface, it must be dissociated from the resource.",
            )


def _mac() -> str:
    random = uuid.uuid4().hex.upper()
    return f"00-0D-3A-{random[:2]}-{random[2:4]}-{random[4:6]}"


def nic_in_use(nic: str, user: str, more: str = "") -> ArmError:
    return bad_request("NicInUse", f"Network Interface {nic} is used by existing resource {user}.{more}")


def interfaces_of(machine: Resource) -> list[str]:
    """Ids of its interfaces, the primary one first."""
    entries = machine.properties["networkProfile"]["networkInterfaces"]
    return [reference_id(entry) for entry in sorted(entries, key=lambda one: not is_primary(one))]


def is_primary(entry: dict[str, Any]) -> bool:
    return bool(entry.get("properties", {}).get("primary"))


def configurations(store: Store) -> Iterator[dict[str, Any]]:
    """The IP configurations of all interfaces."""
    for kind in (NIC, SCALE_SET_NIC):
        for nic in store.list(type=kind):
            yield from nic.properties["ipConfigurations"]


def allocate_interface(
    store: Store, entries: list[dict[str, Any]], former: list[dict[str, Any]], owner: str
) -> None:
    """Complete the IP configurations of an interface, in place, and check what they refer to."""
    for position, entry in enumerate(entries):
        entry["properties"].setdefault("primary", position == 0)
        for kind, name in _IN_BALANCERS.items():
            for part in entry["properties"].get(name, []):
                part_of(store, kind, reference_id(part), entry["id"])
    allocate_all(store, entries, former, owner)


def put_read_only(
    store: Store, nic_id: str, owner: dict[str, Any], entries: list[dict[str, Any]], role: str
) -> None:
    """Store the interface of an endpoint or link service.

    Args:
        store: where everything stands.
        nic_id: its id.
        owner: the document of the endpoint or link service.
        entries: its IP configurations: name and properties.
        role: how the interface names its owner, e.g. `privateEndpoint`.
    """
    old = store.get(nic_id)
    made = {"macAddress": _mac(), "resourceGuid": str(uuid.uuid4())}
    if old is not None:
        made = {name: old.properties[name] for name in made}
    document: dict[str, Any] = {
        "id": nic_id,
        "name": nic_id.rpartition("/")[2],
        "type": NIC,
        "location": owner.get("location", ""),
        "tags": {},
        "properties": {
            "provisioningState": "Succeeded",
            **_ALIKE,
            **made,
            "ipConfigurations": [
                {
                    "id": f"{nic_id}/ipConfigurations/{entry['name']}",
                    "name": entry["name"],
                    "type": f"{NIC}/ipConfigurations",
                    "properties": {**entry["properties"], "provisioningState": "Succeeded"},
                }
                for entry in entries
            ],
            role: {"id": owner["id"]},
            "enableIPForwarding": False,
            "dnsSettings": _DNS,
        },
    }
    store.put(Resource(nic_id, NIC, document))


PROVIDERS = (NetworkInterfaces,)
