"""What applies to an interface: security rules, routes, next hop; as az shows them while a machine runs.

Shapes from azure-docs, virtual-network/diagnose-network-traffic-filter-problem and
diagnose-network-routing-problem.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from fwdlab.arm.ids import reference_id, same
from fwdlab.arm.services.base import bad_request, part_of
from fwdlab.model import PLATFORM_ADDRESS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwdlab.arm.store import Store
    from fwdlab.model import Resource

Document = dict[str, Any]
_ENDPOINTS = "Microsoft.Network/privateEndpoints"  # whose provider needs that of interfaces
_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
"""Ranges whose system route leads nowhere, unless a network has them (virtual-networks-udr-overview)."""
_ANY_PORT, _ANY_ADDRESS = "0-65535", "0.0.0.0/0"


def security_groups(store: Store, nic: Resource) -> list[Document]:
    """The groups of the interface's subnet and its own, with the rules in the order of their priority."""
    network, subnet = _place(store, nic)
    holders = (("subnet", subnet), ("networkInterface", nic.document))
    return [
        {
            "networkSecurityGroup": {"id": group.id},
            "association": {kind: {"id": holder["id"]}},
            "effectiveSecurityRules": list(_rules(group, _tags(store, network))),
        }
        for kind, holder in holders
        if (group := store.get(reference_id(holder["properties"].get("networkSecurityGroup")))) is not None
    ]


def routes(store: Store, nic: Resource) -> list[Document]:
    """Azure's own routes and those of the subnet's table; Azure's own give way to the same range."""
    network, subnet = _place(store, nic)
    table = store.get(reference_id(subnet["properties"].get("routeTable")))
    own = (
        [route["properties"] | {"name": route["name"]} for route in table.properties["routes"]]
        if table
        else []
    )
    taken = {route["addressPrefix"] for route in own}
    system = [
        _route("Default", prefix, hop, active=prefix not in taken)
        for prefix, hop in _system_routes(store, network)
    ]
    return [
        *system,
        *(
            _route("User", one["addressPrefix"], one["nextHopType"])
            | {"name": one["name"], "nextHopIpAddress": list(filter(None, [one.get("nextHopIpAddress")]))}
            for one in own
        ),
    ]


def next_hop(store: Store, nic: Resource, address: str) -> Document:
    """Where packets to an address go: by the most specific route, a user's before Azure's own."""
    try:
        wanted = ipaddress.IPv4Address(address)
    except ValueError:
        raise bad_request("InvalidIPAddressFormat", f"'{address}' is not an IPv4 address.") from None

    ranges = [(_network(route["addressPrefix"][0]), route) for route in routes(store, nic)]
    fitting = [
        (network.prefixlen, route["source"] == "User", position)
        for position, (network, route) in enumerate(ranges)
        if network is not None and route["state"] == "Active" and wanted in network
    ]
    _, found = ranges[max(fitting)[-1]]
    _, subnet = _place(store, nic)
    table = reference_id(subnet["properties"].get("routeTable"))
    answer = {
        "nextHopType": found["nextHopType"],
        "routeTableId": table if found["source"] == "User" else "System Route",
    }
    if found["nextHopIpAddress"]:
        answer["nextHopIpAddress"] = found["nextHopIpAddress"][0]
    return answer


def _place(store: Store, nic: Resource) -> tuple[Resource, Document]:
    """Network and subnet of an interface.

    Raises:
        ArmError: 400 while no running machine has it; Azure's own code is not known.
    """
    machine = store.get(reference_id(nic.properties.get("virtualMachine")))
    if machine is None or machine.node is None:
        raise bad_request(
            "LabInterfaceNotInUse",
            f"Network interface {nic.id} is not attached to a running virtual machine.",
        )
    configuration = nic.properties["ipConfigurations"][0]
    return part_of(store, "subnets", reference_id(configuration["properties"]["subnet"]), nic.id)


def _network(prefix: str) -> ipaddress.IPv4Network | None:
    """None for IPv6, and for service tags, to which nothing in the lab belongs."""
    try:
        return ipaddress.IPv4Network(prefix)
    except ValueError:
        return None


def _prefixes(network: Resource) -> list[str]:
    prefixes: list[str] = network.properties["addressSpace"]["addressPrefixes"]
    return prefixes


def _peers(store: Store, network: Resource) -> Iterator[Resource]:
    for peering in network.properties["virtualNetworkPeerings"]:
        remote = store.get(reference_id(peering["properties"].get("remoteVirtualNetwork")))
        if remote is not None and peering["properties"].get("peeringState") == "Connected":
            yield remote


def _tags(store: Store, network: Resource) -> dict[str, list[str]]:
    """What the service tags stand for that have a meaning in the lab."""
    space = [prefix for one in (network, *_peers(store, network)) for prefix in _prefixes(one)]
    platform = f"{PLATFORM_ADDRESS}/32"
    return {"virtualnetwork": [*space, platform], "azureloadbalancer": [platform], "internet": [_ANY_ADDRESS]}


def _rules(group: Resource, tags: dict[str, list[str]]) -> Iterator[Document]:
    listed = [
        (kind, rule) for kind in ("securityRules", "defaultSecurityRules") for rule in group.properties[kind]
    ]
    for kind, rule in sorted(listed, key=lambda one: int(one[1]["properties"]["priority"])):
        own = rule["properties"]
        shown = {name: own[name] for name in ("access", "direction", "priority")}
        protocol = "All" if own["protocol"] == "*" else own["protocol"]
        shown |= {"name": f"{kind}/{rule['name']}", "protocol": protocol}
        for side in ("source", "destination"):
            shown |= _side(side, own, tags)
        yield shown


def _side(side: str, rule: Document, tags: dict[str, list[str]]) -> Document:
    addresses = [_ANY_ADDRESS if one == "*" else one for one in _either(rule, f"{side}AddressPrefix", "es")]
    ports = [_range(str(one)) for one in _either(rule, f"{side}PortRange", "s")]
    expanded = [prefix for one in addresses for prefix in tags.get(one.lower(), ())]
    shown: Document = {
        f"{side}AddressPrefix": addresses[0],
        f"{side}AddressPrefixes": addresses,
        f"{side}PortRange": ports[0],
        f"{side}PortRanges": ports,
    }
    word = side.capitalize()
    return {**shown, f"expanded{word}AddressPrefix": expanded} if expanded else shown


def _either(rule: Document, name: str, plural: str) -> list[str]:
    return [*filter(None, [rule.get(name)]), *(rule.get(name + plural) or ())] or ["*"]


def _range(port: str) -> str:
    return _ANY_PORT if port == "*" else port if "-" in port else f"{port}-{port}"


def _system_routes(store: Store, network: Resource) -> Iterator[tuple[str, str]]:
    """Range and next hop of Azure's own routes."""
    reached = [network, *_peers(store, network)]
    for one in reached:
        for prefix in _prefixes(one):
            yield prefix, "VnetLocal" if one is network else "VNetPeering"
    yield _ANY_ADDRESS, "Internet"
    for prefix in _PRIVATE:
        yield prefix, "None"
    for endpoint in store.list(type=_ENDPOINTS):
        there = reference_id(endpoint.properties["subnet"]).partition("/subnets/")[0]
        if any(same(one.id, there) for one in reached):
            nic = store.require(reference_id(endpoint.properties["networkInterfaces"][0]))
            address = nic.properties["ipConfigurations"][0]["properties"]["privateIPAddress"]
            yield f"{address}/32", "InterfaceEndpoint"


def _route(source: str, prefix: str, hop: str, *, active: bool = True) -> Document:
    return {
        "source": source,
        "state": "Active" if active else "Invalid",
        "addressPrefix": [prefix],
        "nextHopType": hop,
        "nextHopIpAddress": [],
        "disableBgpRoutePropagation": False,
    }
