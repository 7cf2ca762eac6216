"""The routes: peering from the hub to the targets' networks, and security rules before the forwarders."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from fwdctl.azure.documents import Document, entries, same, value
from fwdctl.probe.hops import rules
from fwdctl.probe.hops.commands import PROVISION
from fwdctl.probe.hops.rules import Flow
from fwdctl.probe.model import Broken

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Address, IPv6Address

    from fwdctl.deployment import Forward
    from fwdctl.probe.evidence import Evidence
    from fwdctl.probe.model import PathResult


def lacks_peering(evidence: Evidence, result: PathResult) -> Broken | None:
    """The first target in an Azure network to which the hub's has no connected peering."""
    path = result.path
    targets: Sequence[str] = path.forward.targets
    if path.origin == "target":
        reached = any(s.connected or s.failure == "refused" for s in result.observation.samples)
        targets = [] if reached else [f"{path.host}:{path.port}"]
    hub = evidence.hub_network() if targets and evidence.deployment.hub.load_balancer else None
    if hub is None:
        return None
    connected = [
        value(peering, "remoteVirtualNetwork", "id")
        for peering in entries(hub, "virtualNetworkPeerings")
        if value(peering, "peeringState") == "Connected"
    ]
    for target in targets:
        address = ip_address(target.rpartition(":")[0])
        for network in evidence.all_networks():
            if same(network["id"], hub["id"]) or any(same(network["id"], other) for other in connected):
                continue
            if _holds(network, address) and not _holds(hub, address):
                return Broken(
                    "route",
                    "ROUTE_NO_PEERING",
                    f"target {target} is in network {network['name']}, to which {hub['name']} "
                    "has no connected peering",
                    PROVISION,
                )
    return None


def _holds(network: Document, address: IPv4Address | IPv6Address) -> bool:
    spaces = value(network, "addressSpace", "addressPrefixes") or ()
    return any(address in ip_network(space) for space in spaces)


def refused(evidence: Evidence, result: PathResult) -> Broken | None:
    """A security rule that refuses the hub's own connections to the forwarders."""
    return refusal_of_hub(evidence, result.path.forward)


def refusal_of_hub(evidence: Evidence, forward: Forward) -> Broken | None:
    """The security rule that refuses connections from the hub's jump box, while it runs."""
    group = evidence.hub_group()
    sources = [group.address] if group is not None and group.address else []
    return refusal(evidence, forward, "the hub's jump box", sources)


def refusal(evidence: Evidence, forward: Forward, origin: str, sources: Sequence[str]) -> Broken | None:
    """The rule that refuses connections to the forwarders from each of some addresses."""
    hub = evidence.hub_network()
    networks = [hub] if hub is not None else evidence.all_networks()
    groups = evidence.read(evidence.networks.security_groups)
    flow = Flow(origin, tuple(sources), tuple(evidence.forwarders(forward)), forward.port)
    return rules.denied(groups, networks, flow)
