"""Which route takes an address in a virtual network: Azure's own ones, and those of a route table."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from fwdctl.azure.documents import Document, entries, value

NOWHERE = {"none": "nowhere", "internet": "to the internet"}
"""Next hops that no private address is behind, in words."""


def system_prefix(network: Document, address: str) -> int:
    """Length of the most specific prefix of Azure's own routes to an address; -1 if only default ones fit."""
    spaces = list(value(network, "addressSpace", "addressPrefixes") or ())
    for peering in entries(network, "virtualNetworkPeerings"):
        if value(peering, "peeringState") == "Connected":
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
    own = any(str(each.get("name")).lower() == "gatewaysubnet" for each in entries(network, "subnets"))
    peerings = entries(network, "virtualNetworkPeerings")
    return own or any(value(each, "useRemoteGateways") for each in peerings)
