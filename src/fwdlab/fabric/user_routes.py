"""Route tables that users made, in terms of packets. Pure.

The most specific route decides, a user's before one of Azure's own (virtual-networks-udr-overview). A
private endpoint's own route has 32 bits; it gives way to one as specific as its network's address space only
where the network policies of its subnet say so (private-link/disable-private-endpoint-network-policy).
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from fwdlab.fabric.wanted import SecurityChain, SecurityRule, Side, short_hash
from fwdlab.model import PLATFORM_ADDRESS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fwdlab.fabric.wanted import Network

OWN = "own"


def chain(
    table: dict[str, Any], network: Network, endpoints: Iterable[str], warnings: list[str]
) -> SecurityChain:
    """What a table does to new flows: they go Azure's own way, or nowhere, for the lab has no appliance.

    Args:
        table: ARM document.
        network: of the subnet that has the table.
        endpoints: addresses of private endpoints that keep routes of their own.
        warnings: told of next hops that the lab does not have.
    """
    ours = [f"{PLATFORM_ADDRESS}/32", *network.space, *(f"{address}/32" for address in endpoints)]
    routes = [(_length(prefix), 1, prefix, True) for prefix in ours]
    for route in table.get("properties", {}).get("routes", []):
        properties = route.get("properties", {})
        prefix, hop = str(properties.get("addressPrefix")), str(properties.get("nextHopType"))
        where = f"{table['id']}: route {route['name']}"
        if _length(prefix) < 0:
            warnings.append(f"{where}: {prefix} is no IPv4 range; ignored")
            continue
        if hop in {"VirtualAppliance", "VirtualNetworkGateway"}:
            warnings.append(f"{where}: nothing in the lab is a {hop}; what goes there is lost")
        routes.append((_length(prefix), 0, prefix, hop == "VnetLocal"))
    ordered = sorted(routes, key=lambda each: (-each[0], each[1]))
    name = f"rt_{short_hash(table['id'])}_{network.number}"
    return SecurityChain(
        name,
        tuple(
            SecurityRule(OWN, allow, "*", Side(), Side((prefix,), negated=False))
            for _, _, prefix, allow in ordered
        ),
    )


def _length(prefix: str) -> int:
    """Bits of a prefix; -1 for what is none."""
    try:
        return ipaddress.IPv4Network(prefix).prefixlen
    except ValueError:
        return -1
