"""What security groups of existing networks still refuse of the way: the commands that let it through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from fwdctl.azure.documents import Document, entries, name_of, network_of, same, value
from fwdctl.azure.errors import ArmFailure
from fwdctl.probe.hops.rules import EXEC_SOURCE, PLATFORM, End, Flow, denied

if TYPE_CHECKING:
    from fwdctl.azure.clients import Clients
    from fwdctl.template.parameters import Parameters

EXEC_PORT = 19390
"""Where Azure Container Instances connects to (azure-docs, container-instances-virtual-network-concepts)."""
FIRST = 4
"""Azure keeps the addresses of a subnet before this one."""


@dataclass(frozen=True)
class Needed:
    """What is refused, and what is not known.

    Attributes:
        commands: one for each flow that is refused, in the order in which they may be typed.
        unread: why something could not be read, by its name; its rules may refuse more.
    """

    commands: list[str]
    unread: dict[str, str]


def find(clients: Clients, parameters: Parameters) -> Needed:
    """Compare what must pass with the rules of existing networks.

    Raises:
        FwdctlError: Azure cannot be asked.
    """
    known: dict[str, Document] = {}
    unread: dict[str, str] = {}

    def read(resource_id: str) -> Document:
        key = resource_id.lower()
        if key not in known:
            try:
                known[key] = clients.request("GET", resource_id)
            except ArmFailure as error:
                known[key], unread[name_of(resource_id)] = {}, error.message
        return known[key]

    # Each end alone: what is refused where it leaves may be refused where it arrives too.
    flows = [each for flow in _flows(parameters, read) for each in (_leaving(flow), _arriving(flow))]
    found = (denied(replace(flow, number=n, of=len(flows)), read) for n, flow in enumerate(flows))
    lines = dict.fromkeys(line for each in found if each for line in each.suggestion.splitlines())
    return Needed(list(lines), unread)


def _flows(parameters: Parameters, read: Callable[[str], Document]) -> Iterator[Flow]:
    """What must pass in existing networks; of a subnet that is still empty one address stands for all."""
    hub, own = parameters.hub, parameters.hub.existing
    ports = [forward.port for forward in parameters.forwards]
    if own is not None:
        forwarders = _subnet("the forwarders", own.subnet_id, hub.shared_subnet_prefix, read)
        nat = _subnet(
            "the link service",
            own.nat_subnet_id or own.subnet_id,
            hub.nat_subnet_prefix or hub.shared_subnet_prefix,
            read,
        )
        probes = End("the platform's health probes", (PLATFORM,), guarded=False)
        yield Flow(probes, forwarders, parameters.forwarder.health_port)
        yield from (Flow(replace(nat, guarded=False), forwarders, port) for port in ports)
        if hub.jump and own.jump_subnet_id is not None:
            box = _subnet("the hub's jump box", own.jump_subnet_id, hub.jump_subnet_prefix, read)
            yield from (Flow(box, forwarders, port) for port in (*ports, parameters.forwarder.health_port))
            yield _exec(box)
        for target in dict.fromkeys(each for forward in parameters.forwards for each in forward.targets):
            if not isinstance(target.host, str):
                yield Flow(forwarders, End("the target", (str(target.host),), guarded=False), target.port)
    for spoke in parameters.spokes:
        if spoke.existing is not None and spoke.existing.jump_subnet_id is not None and spoke.jump:
            box = _subnet(f"jump box '{spoke.name}'", spoke.existing.jump_subnet_id, None, read)
            endpoint = End("the private endpoint", (str(spoke.endpoint_address),), guarded=False)
            yield from (Flow(box, endpoint, port) for port in ports)
            yield _exec(box)


def _leaving(flow: Flow) -> Flow:
    return replace(flow, destination=replace(flow.destination, guarded=False))


def _arriving(flow: Flow) -> Flow:
    return replace(flow, source=replace(flow.source, guarded=False))


def _exec(box: End) -> Flow:
    return Flow(End("Azure Container Instances", (EXEC_SOURCE,), guarded=False), box, EXEC_PORT)


def _subnet(words: str, subnet_id: str, prefix: IPv4Network | None, read: Callable[[str], Document]) -> End:
    """Whoever will be in a subnet: its first address."""
    network = read(network_of(subnet_id))
    if prefix is None:
        own = next((each for each in entries(network, "subnets") if same(each["id"], subnet_id)), None)
        if own is None:  # it may not be read
            return End(words, ())
        prefix = IPv4Network((value(own, "addressPrefixes") or [value(own, "addressPrefix")])[0])
    return End(words, (str(prefix.network_address + FIRST),), (network,))
