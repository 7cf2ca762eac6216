"""Virtual networks with their subnets and peerings."""

from __future__ import annotations

import copy
from dataclasses import replace
from ipaddress import IPv4Network, ip_network
from itertools import product
from typing import TYPE_CHECKING, Any

from fwdlab.arm.ids import ResourceId, reference_id, reference_key, refers, same
from fwdlab.arm.services.base import bad_request, index_of, of_type
from fwdlab.arm.services.embedded import Embedded
from fwdlab.arm.services.network.addresses import ip_configurations, prefix_of, used_addresses
from fwdlab.arm.services.network.provider import NetworkProvider
from fwdlab.arm.services.references import missing_reference
from fwdlab.arm.services.shapes import body, flag, items, optional, parts, record, reference, text

if TYPE_CHECKING:
    from fwdlab.arm.services.base import Entries
    from fwdlab.model import Resource

VNET = "Microsoft.Network/virtualNetworks"
_JOIN = f"{VNET}/subnets/action"


class VirtualNetworks(NetworkProvider):
    type = VNET
    # Since 2023 a PUT without `subnets` leaves the subnets as they are
    # (learn.microsoft.com, virtual-network/update-virtual-network-subnet).
    carry = ("subnets", "virtualNetworkPeerings")
    shape = body(
        addressSpace=record(addressPrefixes=items(text(), default=[])),
        dhcpOptions=optional(dnsServers=items(text())),
        enableDdosProtection=flag(default=False),
        subnets=parts(
            addressPrefix=text(),
            addressPrefixes=items(text()),
            delegations=parts(serviceName=text(), actions=items(text(), default=[_JOIN])),
            networkSecurityGroup=reference(),
            natGateway=reference(),
            routeTable=reference(),
            serviceEndpoints=items(optional(), ignored="service endpoints have no effect in the lab"),
            privateEndpointNetworkPolicies=text("Disabled"),
            privateLinkServiceNetworkPolicies=text("Enabled"),
        ),
        virtualNetworkPeerings=parts(
            remoteVirtualNetwork=reference(),
            allowVirtualNetworkAccess=flag(default=True),
            allowForwardedTraffic=flag(default=False),
            allowGatewayTransit=flag(default=False),
            useRemoteGateways=flag(default=False),
        ),
    )

    def validate(self, resource_id: ResourceId, document: dict[str, Any]) -> None:
        """Ranges are ranges, subnets lie inside and apart."""
        properties = document["properties"]
        space = [_range(prefix, resource_id) for prefix in properties["addressSpace"]["addressPrefixes"]]
        if not space:
            raise bad_request(
                "InvalidRequestFormat",
                f"Virtual network {resource_id} has no properties.addressSpace.addressPrefixes.",
            )
        seen: list[tuple[str, IPv4Network]] = []
        for subnet in properties["subnets"]:
            for prefix in _prefixes(subnet):
                network = _range(prefix, resource_id)
                _check_subnet(subnet["name"], network, space, seen, resource_id)
                seen.append((subnet["name"], network))

    def complete(self, document: dict[str, Any], old: Resource | None) -> None:
        """Follow the peerings; refuse to lose a subnet in use."""
        properties = document["properties"]
        for subnet in properties["subnets"]:
            subnet["properties"].pop("ipConfigurations", None)  # worked out when it is read
        for peering in properties["virtualNetworkPeerings"]:
            self._complete_peering(peering, document)
        if old is not None:
            self._keep_used(properties["subnets"], old)
        self._tell_peers(document["id"], properties)

    def rendered(self, resource: Resource) -> dict[str, Any]:
        """With who is in each subnet."""
        return self._with_users(resource, self._users())

    def list(self, scope: ResourceId) -> Entries:
        """As `rendered`, with one look for all networks."""
        users = self._users()
        return [self._with_users(one, users) for one in self.below(scope.key, self.type)]

    def _with_users(self, resource: Resource, users: dict[str, Entries]) -> dict[str, Any]:
        document = super().rendered(resource)
        for subnet in document["properties"]["subnets"]:
            if found := users.get(subnet["id"].lower()):
                subnet["properties"]["ipConfigurations"] = sorted(found, key=reference_key)
        return document

    def _users(self) -> dict[str, Entries]:
        """References to all IP configurations, by the id of their subnet."""
        users: dict[str, Entries] = {}
        for user in ip_configurations(self.store):
            subnet = reference_key(user["properties"].get("subnet"))
            users.setdefault(subnet, []).append({"id": user["id"]})
        return users

    def _complete_peering(self, peering: dict[str, Any], document: dict[str, Any]) -> None:
        properties = peering["properties"]
        remote_id = reference_id(properties.get("remoteVirtualNetwork"))
        remote = self.store.get(remote_id)
        if remote is None:
            raise missing_reference(remote_id, peering["id"])
        _refuse_overlap(peering["id"], document["properties"]["addressSpace"], remote)
        properties["remoteAddressSpace"] = remote.properties["addressSpace"]
        _set_state(properties, connected=bool(_towards(remote.properties, document["id"])), alone="Initiated")

    def _tell_peers(self, own_id: str, properties: dict[str, Any]) -> None:
        """Both halves of a peering say Connected, or the one that is left says Disconnected."""
        for network in self.store.list(type=VNET):
            if same(network.id, own_id) or not _towards(network.properties, own_id):
                continue
            connected = bool(_towards(properties, network.id))
            changed = copy.deepcopy(network.document)
            for peering in _towards(changed["properties"], own_id):
                was = peering["properties"]["peeringState"]
                alone = "Initiated" if was == "Initiated" else "Disconnected"
                _set_state(peering["properties"], connected=connected, alone=alone)
            self.store.put(replace(network, document=changed))

    def _keep_used(self, subnets: Entries, old: Resource) -> None:
        for subnet in old.properties["subnets"]:
            position = index_of(subnets, subnet["name"])
            if position is None:
                self._refuse_used(subnet)
            elif _prefixes(subnets[position]) != _prefixes(subnet) and any(
                address not in prefix_of(subnets[position])
                for address in used_addresses(self.store, subnet["id"])
            ):
                raise bad_request(
                    "InUsePrefixCannotBeDeleted",
                    f"IpPrefix {prefix_of(subnet)} on Subnet {subnet['name']} has active allocations and "
                    "cannot be deleted.",
                )

    def _refuse_used(self, subnet: dict[str, Any]) -> None:
        users = ", ".join(sorted(set(used_addresses(self.store, subnet["id"]).values())))
        if users:
            raise bad_request(
                "InUseSubnetCannotBeDeleted",
                f"Subnet {subnet['name']} is in use by {users} and cannot be deleted. In order to delete the "
                "subnet, delete all the resources within the subnet. See aka.ms/deletesubnet.",
            )

    def before_delete(self, resource_id: ResourceId) -> None:
        for subnet in self.store.require(resource_id.text).properties["subnets"]:
            self._refuse_used(subnet)
        self.release(resource_id)

    def release(self, resource_id: ResourceId) -> None:
        """Let the other halves of its peerings say Disconnected."""
        self._tell_peers(resource_id.text, {})


def _towards(properties: dict[str, Any], network_id: str) -> list[dict[str, Any]]:
    """A network's peerings with another one."""
    return [
        peering
        for peering in properties.get("virtualNetworkPeerings", [])
        if refers(peering["properties"].get("remoteVirtualNetwork"), network_id)
    ]


def _set_state(properties: dict[str, Any], *, connected: bool, alone: str) -> None:
    properties["peeringState"] = "Connected" if connected else alone
    properties["peeringSyncLevel"] = "FullyInSync" if connected else "RemoteNotInSync"


def _refuse_overlap(peering_id: str, space: dict[str, Any], remote: Resource) -> None:
    mine = [ip_network(prefix) for prefix in space["addressPrefixes"]]
    theirs = [ip_network(prefix) for prefix in remote.properties["addressSpace"]["addressPrefixes"]]
    if any(one.overlaps(other) for one, other in product(mine, theirs)):
        raise bad_request(
            "VnetAddressSpacesOverlap",
            f"Cannot create or update peering {peering_id}. Virtual networks cannot be peered because their "
            f"address spaces overlap. Remote virtual network: {remote.id}.",
        )


def _prefixes(subnet: dict[str, Any]) -> list[str]:
    single = subnet["properties"].get("addressPrefix")
    found: list[str] = [single] if single else subnet["properties"].get("addressPrefixes", [])
    if not found:
        raise bad_request("InvalidRequestFormat", f"Subnet '{subnet['name']}' has no address prefix.")
    return found


def _range(prefix: str, owner: ResourceId) -> IPv4Network:
    try:
        network = ip_network(prefix)
    except ValueError:
        raise bad_request(
            "InvalidCIDRNotation",
            f"The address prefix {prefix} in resource {owner} is not a valid CIDR notation: an address and a "
            "length without host bits.",
        ) from None
    if not isinstance(network, IPv4Network):
        raise bad_request(
            "LabAddressFamilyNotSupported", f"The lab knows IPv4 only, not '{prefix}' of {owner}."
        )
    return network


def _check_subnet(
    name: str,
    network: IPv4Network,
    space: list[IPv4Network],
    seen: list[tuple[str, IPv4Network]],
    owner: ResourceId,
) -> None:
    if not any(network.subnet_of(outer) for outer in space):
        raise bad_request(
            "NetcfgInvalidSubnet",
            f"Subnet '{name}' is not valid because its IP address range is outside the IP address range of "
            f"virtual network '{owner.names[0]}'.",
        )
    for other, taken in seen:
        if network.overlaps(taken) and other != name:
            raise bad_request(
                "NetcfgSubnetRangesOverlap",
                f"Subnet '{name}' is not valid because it overlaps with '{other}'.",
            )


PROVIDERS = (
    VirtualNetworks,
    of_type(Embedded, f"{VNET}/subnets"),
    of_type(Embedded, f"{VNET}/virtualNetworkPeerings"),
)
