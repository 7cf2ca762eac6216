"""The routes: peering from the hub to the targets' networks, and security rules on the whole way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fwdctl.azure.documents import Document, entries, same, value
from fwdctl.azure.routes import peerings
from fwdctl.probe.hops import ends, rules
from fwdctl.probe.hops.commands import az_in_group_of, provision
from fwdctl.probe.hops.rules import End, Flow
from fwdctl.probe.model import Broken, PathResult

if TYPE_CHECKING:
    from fwdctl.deployment import Forward
    from fwdctl.probe.evidence import Evidence


def lacks_peering(evidence: Evidence, result: PathResult) -> Broken | None:
    """The first target in an Azure network to which the hub's has no connected peering."""
    targets = _unreached(result)
    hub = evidence.hub_network() if targets and evidence.deployment.hub.load_balancer else None
    if hub is None:
        return None
    connected = [value(each, "remoteVirtualNetwork", "id") for each in peerings(hub, admitting=True)]
    for target in targets:
        address = target.rpartition(":")[0]
        for network in evidence.all_networks():
            if same(network["id"], hub["id"]) or any(same(network["id"], other) for other in connected):
                continue
            if ends.holds(network, address) and not ends.holds(hub, address):
                return Broken(
                    "route",
                    "ROUTE_NO_PEERING",
                    f"target {target} is in network {network['name']}, to which {hub['name']} "
                    "has no connected peering",
                    provision(evidence.deployment, *_peer(hub, network), *_peer(network, hub)),
                )
    return None


def _peer(network: Document, other: Document) -> Iterator[str]:
    """Commands that peer a network with another one; a half that has lost the other cannot be revived."""
    where = ("--vnet-name", str(network["name"]))
    for peering in entries(network, "virtualNetworkPeerings"):
        if same(value(peering, "remoteVirtualNetwork", "id"), other["id"]):
            gone = ("-n", str(peering["name"]))
            yield az_in_group_of(network["id"], "network vnet peering delete", *where, *gone)
    name = f"to-{other['name']}"
    reach = ("--remote-vnet", str(other["id"]), "--allow-vnet-access")
    yield az_in_group_of(network["id"], "network vnet peering create", *where, "-n", name, *reach)


def _unreached(result: PathResult) -> Sequence[str]:
    """The targets that a path may not have reached, `ADDRESS:PORT` each."""
    path = result.path
    if path.origin == "target":
        reached = any(s.connected or s.failure == "refused" for s in result.observation.samples)
        return [] if reached else [f"{path.host}:{path.port}"]
    return path.forward.targets


def box_refused(evidence: Evidence, result: PathResult) -> Broken | None:
    """A security rule between a spoke's jump box and the private endpoint."""
    spoke, names = result.path.spoke, [spoke.name for spoke in evidence.deployment.spokes]
    if spoke is None or spoke.name not in names:
        return None
    source = ends.box(evidence, result.path.box)
    place = (names.index(spoke.name), len(names))
    return _denied(evidence, source, ends.endpoint(evidence, spoke), result.path.port, place)


def name_server_refused(evidence: Evidence, result: PathResult) -> Broken | None:
    """A security rule that keeps a jump box from asking the platform's DNS."""
    flow = Flow(ends.box(evidence, result.path.box), ends.NAME_SERVER, 53, protocol="Udp")
    return rules.denied(flow, evidence.resource)


def refused(evidence: Evidence, result: PathResult) -> Broken | None:
    """A security rule that refuses the hub's own connections to the forwarders."""
    return refusal_of_hub(evidence, result.path.forward)


def refusal_of_hub(evidence: Evidence, forward: Forward) -> Broken | None:
    """The security rule that refuses connections from the hub's jump box, while it runs."""
    box = evidence.deployment.hub.box
    if box is None:
        return None
    source = ends.box(evidence, box)
    return _denied(evidence, source, ends.frontend(evidence), forward.port) or refusal(
        evidence, forward, ends.box(evidence, box, guarded=False)
    )


def refusal(evidence: Evidence, forward: Forward, source: End) -> Broken | None:
    """The rule that refuses connections to the forwarders from each of some addresses."""
    place = (("the link service", "the hub's jump box").index(source.words), 2)
    return _denied(evidence, source, ends.forwarders(evidence, forward), forward.port, place)


def probes_refused(evidence: Evidence, result: PathResult) -> Broken | None:
    """The rule that keeps the platform's health probes from the forwarders, so that none counts as up."""
    forward = result.path.forward
    if any(each.state == "Up" for each in evidence.health(forward)):
        return None
    to = ends.forwarders(evidence, forward)
    return _denied(evidence, ends.PROBES, to, evidence.health_port(forward))


def targets_refused(evidence: Evidence, result: PathResult) -> Broken | None:
    """A security rule between the forwarders, or the hub's jump box for its own tests, and a target."""
    path = result.path
    if result.failed_check == "protocol":
        return None
    by_port: dict[int, list[str]] = {}
    for target in _unreached(result):
        address, _, text = target.rpartition(":")
        by_port.setdefault(int(text), []).append(address)
    is_direct = path.origin == "target"
    if not is_direct and evidence.serve(path.forward):
        return None
    for port, addresses in by_port.items():
        source = ends.box(evidence, path.box) if is_direct else ends.forwarders(evidence, path.forward)
        to = ends.targets(evidence, addresses)
        found = _denied(evidence, source, to, port, (int(is_direct), 2))
        if found is not None:
            return found
    return None


def tests_refused(evidence: Evidence, tests: Sequence[PathResult]) -> bool:
    """Whether a rule keeps the hub's jump box from a target that its direct tests found silent."""
    return any(targets_refused(evidence, test) is not None for test in tests if test.verdict == "fail")


def _denied(
    evidence: Evidence, source: End, destination: End, port: int, place: tuple[int, int] = (0, 1)
) -> Broken | None:
    """The rule that refuses a flow; `place`: its number among those of one port, and how many these are."""
    forwards = evidence.deployment.forwards
    ports = {forward.port for forward in forwards}
    ports |= {int(target.rpartition(":")[2]) for forward in forwards for target in forward.targets}
    number, of = place
    index = sorted({*ports, port}).index(port)
    flow = Flow(source, destination, port, index * of + number, len({*ports, port}) * of)
    return rules.denied(flow, evidence.resource)
