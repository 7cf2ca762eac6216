"""Who is in a load balancer's backend pools. Pure.

A pool is filled from its members' side, by interfaces that name it, or by addresses. Addresses stand for
machines of the load balancer's own network; ARM takes any others too, and nothing is ever sent to those
(azure-docs, load-balancer/backend-pool-management, limitations).
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from fwdlab.arm.ids import reference_key

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from fwdlab.model import NodeSpec

Document = dict[str, Any]


def members(
    balancer: Document,
    pool_ids: Collection[str],
    network_id: str,
    nodes: Collection[tuple[NodeSpec, str]],
    warnings: list[str],
) -> tuple[str, ...]:
    """Addresses that new flows may be sent to, in order, each once.

    Ids are in lower case; `nodes` are all that run, each with the id of its network, `network_id` is that of
    the frontend. `warnings` is told each address that is no machine's in that network.
    """
    joined = {
        nic.address
        for node, _ in nodes
        for nic in node.nics
        if any(pool.lower() in pool_ids for pool in nic.backend_pool_ids)
    }
    machines = {
        nic.address
        for node, there in nodes
        if node.kind == "machine" and there == network_id
        for nic in node.nics
    }
    for pool, address, there in _listed(balancer, pool_ids):
        if there == network_id and address in machines:
            joined.add(address)
        else:
            warnings.append(
                f"{balancer['id']}: nothing is sent to {address} in the pool {pool}: no running machine of "
                f"{network_id.rsplit('/', 1)[-1]}, the load balancer's network, has that address"
            )
    return tuple(sorted(joined, key=ipaddress.ip_address))


def _listed(balancer: Document, pool_ids: Collection[str]) -> Iterator[tuple[str, str, str]]:
    """Name of the pool, address and lower-case id of the network of each address in the pools."""
    for pool in balancer.get("properties", {}).get("backendAddressPools", []):
        if f"{balancer['id']}/backendAddressPools/{pool['name']}".lower() not in pool_ids:
            continue
        properties = pool.get("properties", {})
        for entry in properties.get("loadBalancerBackendAddresses", []):
            own = entry.get("properties", {})
            subnet = reference_key(own.get("subnet"))
            network = reference_key(own.get("virtualNetwork")) or reference_key(
                properties.get("virtualNetwork")
            )
            if own.get("ipAddress"):
                yield pool["name"], own["ipAddress"], network or subnet.partition("/subnets/")[0]
