"""Virtual networks, security groups and what else stands around a subnet."""

from __future__ import annotations

import copy
from ipaddress import IPv4Address, IPv4Network, ip_network
from typing import TYPE_CHECKING, Any

from fwdlab.arm.errors import ArmError
from fwdlab.arm.ids import ResourceId, same
from fwdlab.arm.services.addresses import missing_reference, prefix_of, used_addresses
from fwdlab.arm.services.base import Embedded, Provider, embed, index_of, reference_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwdlab.model import Resource

VNET = "Microsoft.Network/virtualNetworks"
NSG = "Microsoft.Network/networkSecurityGroups"
_PUBLIC_RANGE = IPv4Network("203.0.113.0/24")  # RFC 5737: documentation only, never routed


class VirtualNetworks(Provider):
    """`Microsoft.Network/virtualNetworks`, with subnets and peerings inside."""

    type = VNET
    # Since 2023 a PUT without `subnets` leaves the subnets as they are
    # (learn.microsoft.com, virtual-network/update-virtual-network-subnet).
    carry = ("subnets", "virtualNetworkPeerings")

    def check(self, resource_id: ResourceId, body: dict[str, Any]) -> None:
        """Ranges are ranges, subnets lie inside and apart."""
        properties = body.get("properties") or {}
        space = [
            _range(text, resource_id)
            for text in (properties.get("addressSpace") or {}).get("addressPrefixes", [])
        ]
        if not space:
            raise ArmError(
                400,
                "InvalidRequestFormat",
                f"Virtual network {resource_id} has no properties.addressSpace.addressPrefixes.",
            )
        seen: list[tuple[str, IPv4Network]] = []
        for subnet in properties.get("subnets") or []:
            name = str(subnet.get("name"))
            for text in _prefixes(subnet):
                network = _range(text, resource_id)
                _check_subnet(name, network, space, seen, resource_id)
                seen.append((name, network))

    def build(self, document: dict[str, Any], old: Resource | None) -> Resource:
        """Complete subnets and peerings; refuse to lose a subnet in use."""
        properties = document["properties"]
        properties.setdefault("enableDdosProtection", False)
        for subnet in embed(document, "subnets", f"{VNET}/subnets"):
            entry = subnet["properties"]
            entry.setdefault("delegations", [])
            for delegation in entry["delegations"]:
                delegation["id"] = f"{subnet['id']}/delegations/{delegation.get('name')}"
                delegation.setdefault("properties", {})["provisioningState"] = "Succeeded"
            entry.setdefault("privateEndpointNetworkPolicies", "Disabled")
            entry.setdefault("privateLinkServiceNetworkPolicies", "Enabled")
            for key in ("networkSecurityGroup", "natGateway", "routeTable"):
                wanted = reference_id(entry.get(key))
                if wanted and self.store.get(wanted) is None:
                    raise missing_reference(wanted, subnet["id"])
        for peering in embed(document, "virtualNetworkPeerings", f"{VNET}/virtualNetworkPeerings"):
            self._complete_peering(peering, properties["addressSpace"])
        if old is not None:
            self._keep_used(document, old)
        self._connect_remote(document)
        return self.resource(document, old)

    def not_honoured(self, document: dict[str, Any]) -> Iterator[str]:
        """Service endpoints and name servers."""
        for subnet in document["properties"]["subnets"]:
            if subnet["properties"].get("serviceEndpoints"):
                yield f"{subnet['id']}: service endpoints have no effect in the lab"
        if (document["properties"].get("dhcpOptions") or {}).get("dnsServers"):
            yield f"{document['id']}: custom DNS servers have no effect in the lab"

    def _complete_peering(self, peering: dict[str, Any], space: dict[str, Any]) -> None:
        remote_id = reference_id(peering["properties"].get("remoteVirtualNetwork"))
        remote = self.store.get(remote_id)
        if remote is None:
            raise missing_reference(remote_id, peering["id"])
        properties = peering["properties"]
        _refuse_overlap(peering["id"], space, remote)
        properties["remoteAddressSpace"] = remote.properties["addressSpace"]
        for flag, default in (
            ("allowVirtualNetworkAccess", True),
            ("allowForwardedTraffic", False),
            ("allowGatewayTransit", False),
            ("useRemoteGateways", False),
        ):
            properties.setdefault(flag, default)
        mine = peering["id"].rsplit("/virtualNetworkPeerings/", 1)[0]
        back = [
            p
            for p in remote.properties.get("virtualNetworkPeerings", [])
            if same(reference_id(p["properties"].get("remoteVirtualNetwork")), mine)
        ]
        properties["peeringState"] = "Connected" if back else "Initiated"
        properties["peeringSyncLevel"] = "FullyInSync" if back else "RemoteNotInSync"

    def _connect_remote(self, document: dict[str, Any]) -> None:
        """Both halves of a peering say Connected, or the one that is left says Disconnected."""
        mine = {
            reference_id(p["properties"].get("remoteVirtualNetwork")).lower()
            for p in document["properties"].get("virtualNetworkPeerings", [])
        }
        for network in self.store.list(type=VNET):
            if same(network.id, document["id"]):
                continue
            entries = network.properties.get("virtualNetworkPeerings", [])
            if not any(
                same(reference_id(p["properties"].get("remoteVirtualNetwork")), document["id"])
                for p in entries
            ):
                continue
            changed = copy.deepcopy(network.document)
            for peering in changed["properties"]["virtualNetworkPeerings"]:
                properties = peering["properties"]
                if same(reference_id(properties.get("remoteVirtualNetwork")), document["id"]):
                    connected = network.id.lower() in mine
                    was = properties.get("peeringState")
                    alone = "Initiated" if was == "Initiated" else "Disconnected"
                    properties["peeringState"] = "Connected" if connected else alone
                    properties["peeringSyncLevel"] = "FullyInSync" if connected else "RemoteNotInSync"
            self.store.put(self.resource(changed, network))

    def _keep_used(self, document: dict[str, Any], old: Resource) -> None:
        now = document["properties"]["subnets"]
        for subnet in old.properties.get("subnets", []):
            position = index_of(now, subnet["name"])
            used = used_addresses(self.store, subnet["id"])
            if position is None:
                refuse_used_subnet(subnet, used)
            elif used and any(address not in prefix_of(now[position]) for address in used):
                raise ArmError(
                    400,
                    "InUsePrefixCannotBeDeleted",
                    f"IpPrefix {prefix_of(subnet)} on Subnet {subnet['name']} has active allocations and "
                    "cannot be "
                    "deleted.",
                )

    def before_delete(self, resource_id: ResourceId) -> None:
        """Refuse while any subnet is in use."""
        network = self.store.require(resource_id.text)
        for subnet in network.properties.get("subnets", []):
            refuse_used_subnet(subnet, used_addresses(self.store, subnet["id"]))
        self.release(resource_id)

    def release(self, resource_id: ResourceId) -> None:
        """Let the other halves of its peerings say Disconnected."""
        self._connect_remote({**self.store.require(resource_id.text).document, "properties": {}})


def refuse_used_subnet(subnet: dict[str, Any], used: dict[IPv4Address, str]) -> None:
    """Raise 400 `InUseSubnetCannotBeDeleted` when anything has an address in it."""
    if used:
        users = ", ".join(sorted(set(used.values())))
        raise ArmError(
            400,
            "InUseSubnetCannotBeDeleted",
            f"Subnet {subnet['name']} is in use by {users} and cannot be deleted. In order to delete the "
            "subnet, "
            "delete all the resources within the subnet. See aka.ms/deletesubnet.",
        )


class Subnets(Embedded):
    """`…/subnets`."""

    type = f"{VNET}/subnets"
    parent_type = VNET
    collection = "subnets"


class Peerings(Embedded):
    """`…/virtualNetworkPeerings`."""

    type = f"{VNET}/virtualNetworkPeerings"
    parent_type = VNET
    collection = "virtualNetworkPeerings"


def _refuse_overlap(peering_id: str, space: dict[str, Any], remote: Resource) -> None:
    mine = [ip_network(text) for text in space["addressPrefixes"]]
    theirs = [ip_network(text) for text in remote.properties["addressSpace"]["addressPrefixes"]]
    if any(one.overlaps(other) for one in mine for other in theirs):
        raise ArmError(
            400,
            "VnetAddressSpacesOverlap",
            f"Cannot create or update peering {peering_id}. Virtual networks cannot be peered because "
            "their address "
            f"spaces overlap. Remote virtual network: {remote.id}.",
        )


def _prefixes(subnet: dict[str, Any]) -> list[str]:
    properties = subnet.get("properties") or {}
    single = properties.get("addressPrefix")
    found = [single] if single else list(properties.get("addressPrefixes") or [])
    if not found:
        raise ArmError(400, "InvalidRequestFormat", f"Subnet '{subnet.get('name')}' has no address prefix.")
    return found


def _range(text: Any, owner: ResourceId) -> IPv4Network:
    try:
        network = ip_network(text)
    except (ValueError, TypeError):
        raise ArmError(
            400,
            "InvalidCIDRNotation",
            f"The address prefix {text} in resource {owner} is not a valid CIDR notation: an address and "
            "a length "
            "without host bits.",
        ) from None
    if not isinstance(network, IPv4Network):
        raise ArmError(
            400, "LabAddressFamilyNotSupported", f"The lab knows IPv4 only, not '{text}' of {owner}."
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
        raise ArmError(
            400,
            "NetcfgInvalidSubnet",
            f"Subnet '{name}' is not valid because its IP address range is outside the IP address range "
            "of virtual "
            f"network '{owner.names[0]}'.",
        )
    for other, range_ in seen:
        if network.overlaps(range_) and other != name:
            raise ArmError(
                400,
                "NetcfgSubnetRangesOverlap",
                f"Subnet '{name}' is not valid because it overlaps with '{other}'.",
            )


class SecurityGroups(Provider):
    """`Microsoft.Network/networkSecurityGroups`, with their rules inside."""

    type = NSG
    carry = ("securityRules",)

    def build(self, document: dict[str, Any], old: Resource | None) -> Resource:
        """Complete the rules and add Azure's own."""
        rules = embed(document, "securityRules", f"{NSG}/securityRules")
        taken: dict[tuple[str, int], str] = {}
        for rule in rules:
            _check_rule(rule)
            key = (rule["properties"]["direction"].lower(), int(rule["properties"]["priority"]))
            if key in taken:
                raise ArmError(
                    400,
                    "SecurityRuleConflict",
                    f"Security rule {rule['name']} conflicts with rule {taken[key]}. Rules cannot have "
                    "the same "
                    "Priority and Direction.",
                )
            taken[key] = rule["name"]
        document["properties"]["defaultSecurityRules"] = _default_rules(document["id"])
        return self.resource(document, old)

    def before_delete(self, resource_id: ResourceId) -> None:
        """Refuse while a subnet has it."""
        for network in self.store.list(type=VNET):
            for subnet in network.properties.get("subnets", []):
                if same(reference_id(subnet["properties"].get("networkSecurityGroup")), resource_id.text):
                    raise ArmError(
                        400,
                        "InUseNetworkSecurityGroupCannotBeDeleted",
                        f"Network security group {resource_id} cannot be deleted because it is in use by the "
                        f"following resources: {subnet['id']}.",
                    )


class SecurityRules(Embedded):
    """`…/securityRules`."""

    type = f"{NSG}/securityRules"
    parent_type = NSG
    collection = "securityRules"


_RULE_CHOICES = {
    "access": ("allow", "deny"),
    "direction": ("inbound", "outbound"),
    "protocol": ("tcp", "udp", "icmp", "esp", "ah", "*"),
}
_PRIORITIES = range(100, 4097)


def _check_rule(rule: dict[str, Any]) -> None:
    properties = rule["properties"]
    for key, allowed in _RULE_CHOICES.items():
        if str(properties.get(key, "")).lower() not in allowed:
            raise ArmError(
                400,
                "SecurityRuleInvalid",
                f"Security rule {rule['name']}: {key} must be one of {', '.join(allowed)}, not "
                f"'{properties.get(key)}'.",
            )
    priority = properties.get("priority")
    if not isinstance(priority, int) or priority not in _PRIORITIES:
        raise ArmError(
            400,
            "SecurityRuleInvalidPriority",
            f"Security rule has invalid Priority. Value provided: {priority} Allowed range 100-4096.",
        )


def _default_rules(owner: str) -> list[dict[str, Any]]:
    """The six rules that every group ends with (learn.microsoft.com, network-security-groups-overview)."""
    table = (
        ("AllowVnetInBound", 65000, "Inbound", "VirtualNetwork", "VirtualNetwork", "Allow"),
        ("AllowAzureLoadBalancerInBound", 65001, "Inbound", "AzureLoadBalancer", "*", "Allow"),
        ("DenyAllInBound", 65500, "Inbound", "*", "*", "Deny"),
        ("AllowVnetOutBound", 65000, "Outbound", "VirtualNetwork", "VirtualNetwork", "Allow"),
        ("AllowInternetOutBound", 65001, "Outbound", "*", "Internet", "Allow"),
        ("DenyAllOutBound", 65500, "Outbound", "*", "*", "Deny"),
    )
    return [
        {
            "name": name,
            "id": f"{owner}/defaultSecurityRules/{name}",
            "type": f"{NSG}/defaultSecurityRules",
            "properties": {
                "provisioningState": "Succeeded",
                "protocol": "*",
                "sourcePortRange": "*",
                "destinationPortRange": "*",
                "sourceAddressPrefix": source,
                "destinationAddressPrefix": destination,
                "access": access,
                "priority": priority,
                "direction": direction,
            },
        }
        for name, priority, direction, source, destination, access in table
    ]


class PublicAddresses(Provider):
    """`Microsoft.Network/publicIPAddresses`: an address that nothing routes."""

    type = "Microsoft.Network/publicIPAddresses"

    def build(self, document: dict[str, Any], old: Resource | None) -> Resource:
        """Give it an address of the documentation range."""
        properties = document["properties"]
        document.setdefault("sku", {"name": "Standard", "tier": "Regional"})
        properties.setdefault("publicIPAllocationMethod", "Static")
        properties.setdefault("publicIPAddressVersion", "IPv4")
        properties.setdefault("idleTimeoutInMinutes", 4)
        before = old.properties.get("ipAddress") if old is not None else None
        properties["ipAddress"] = before or self._free()
        return self.resource(document, old)

    def _free(self) -> str:
        taken = {r.properties.get("ipAddress") for r in self.store.list(type=self.type)}
        for address in _PUBLIC_RANGE.hosts():
            if str(address) not in taken:
                return str(address)
        raise ArmError(400, "PublicIPCountLimitReached", "The lab has no public address left.")
