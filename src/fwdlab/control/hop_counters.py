"""How many connections each hop on a packet's way has seen, counted by the kernel and by the forwarders."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fwdlab.fabric.dataplane import DataPlane
    from fwdlab.model import Snapshot

_RULE = re.compile(r"\[(\d+):\d+\] -A \S+ .*-j DNAT --to-destination (\S+)")


async def hop_counters(snapshot: Snapshot, data_plane: DataPlane) -> list[dict[str, Any]]:
    """Connections by hop, in the order of the way.

    The fabric counts at the private endpoint, the link service and the load balancer; each forwarder's own
    iptables counts what it translated to which target. Only the first packet of a connection passes a nat
    table, so packets there are connections.
    """
    hops = [asdict(counter) for counter in await data_plane.counters()]
    for node in sorted(snapshot.nodes, key=lambda each: each.name):
        if "/virtualmachinescalesets/" not in node.resource_id.lower():
            continue
        saved = await data_plane.run(node.name, ["iptables-save", "-c", "-t", "nat"])
        for packets, target in _RULE.findall(saved.stdout.decode()):
            hops.append({"hop": f"forwarder {node.name} -> {target}", "connections": int(packets)})
    return hops
