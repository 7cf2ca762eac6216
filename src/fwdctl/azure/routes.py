"""How a virtual network leads to an address: its peerings, Azure's own routes, and those of a route table."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from fwdctl.azure.documents import Document, entries, same, value

NOWHERE = {"none": "nowhere", "internet": "to the internet"}
"""Next hops that no private address is behind, in words."""


def peerings(network: Document, *, admitting: bool = False) -> list[Document]:
    """Its connected peerings; on request those only that let packets through from network to network."""
    return [
        each
        for each in entries(network, "virtualNetworkPeerings")
        if value(each, "peeringState") == "Connected"
        and (not admitting or value(each, "allowVirtualNetworkAccess") in {True, None})
    ]


def system_prefix(network: Document, address: str) -> int:
    """Length of the most specific prefix of Azure's own routes to an address; -1 if only default ones fit."""
    spaces = list(value(network, "addressSpace", "addressPrefixes") or ())
    for peering in peerings(network):
        spaces += value(peering, "remoteAddressSpace", "addressPrefixes") or ()
    return max(
        (ip_network(space).prefixlen for space in spaces if ip_address(address) in ip_network(space)),
        default=-1,
    )


def user_route(table: Document, system: int, address: str) -> Document | None:
    """The users' route that takes an address, unless one of Azure's own is more specific."""
    best: tuple[int, Document] | None = None
    for route in entries(table, "routes"):
        try:
            prefix = ip_network(str(value(route, "addressPrefix")))
        except ValueError:  # a service tag
            continue
        if ip_address(address) in prefix and prefix.prefixlen >= max(system, best[0] if best else -1):
            best = (prefix.prefixlen, route)
    return best[1] if best else None


def has_gateway(network: Document) -> bool:
    """Whether a gateway, its own or a peered network's, may bring routes that no document shows."""
    own = any(same(each.get("name"), "GatewaySubnet") for each in entries(network, "subnets"))
    return own or any(value(each, "useRemoteGateways") for each in entries(network, "virtualNetworkPeerings"))
