"""Find hubs, spokes and forwards in a resource group that nobody has described.

It starts from the link services: those of the group, and those that its private endpoints connect to. Each
gives a hub: its frontends, their load balancer and rules, and a spoke for each endpoint that is connected to
it, in whichever group or subscription these are. Container groups are the jump boxes of the network that they
are in; a spoke's name is the A record that holds the endpoint's address in a zone linked to the spoke's
network. Targets are known to the forwarders only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from fwdctl.azure.documents import (
    LINKS,
    Document,
    addresses_of,
    ancestor,
    entries,
    name_of,
    network_of,
    place_of,
    same,
    value,
)
from fwdctl.deployment import ports
from fwdctl.deployment.survey import Machine, Name, Survey, key
from fwdctl.deployment.topology import RESERVED, Box, Deployment, Forward, Hub, Spoke
from fwdctl.errors import MissingError
from fwdctl.threads import side_by_side

if TYPE_CHECKING:
    from fwdctl.azure.clients import Clients

SERVICES = "privateLinkServices"
ALIAS = ".privatelinkservice"
"""How the alias of a link service ends, with which an endpoint may name it in place of its id."""


@dataclass(frozen=True)
class Endpoint:
    """A private endpoint; `unread` says why its document is empty."""

    id: str
    document: Document
    unread: str = ""
    address: str = ""

    @property
    def network_id(self) -> str:
        return network_of(value(self.document, "subnet", "id"))

    @property
    def name(self) -> str:
        return name_of(self.id)


@dataclass(frozen=True)
class Chain:
    """A link service with what is before and behind it; what cannot be read is empty, `unread` says why."""

    service_id: str
    service: Document
    balancer: Document
    frontends: tuple[Document, ...]
    endpoints: tuple[Endpoint, ...]
    unread: str = ""

    @property
    def network_id(self) -> str:
        """Of the hub: a link service and its load balancer are in one network."""
        subnets = [value(entry, "subnet", "id") for entry in entries(self.service, "ipConfigurations")]
        subnets += [value(frontend, "subnet", "id") for frontend in self.frontends]
        return next((network_of(subnet) for subnet in subnets if subnet), "")


def complete(deployment: Deployment, clients: Clients) -> Deployment:
    """Add what Azure tells of the resource group; boxes that are known already keep their roles.

    Raises:
        FwdctlError: the group does not exist or holds nothing of the kind (exit code 3).
    """
    survey = Survey(clients, deployment.resource_group)
    chains = _chains(survey)
    networks = [chain.network_id for chain in chains]
    endpoints = [endpoint for chain in chains for endpoint in chain.endpoints]
    networks += [endpoint.network_id for endpoint in endpoints]
    ids = [*networks, *(chain.service_id for chain in chains), *(endpoint.id for endpoint in endpoints)]
    places = [place_of(each) for each in ids]
    machines = survey.machines(places)
    if not chains and not machines:
        raise MissingError(
            "nothing_found",
            f"Resource group '{deployment.resource_group}' has neither a private link service nor a private "
            "endpoint to one, nor a container group in a network.",
            "Check -g, or choose another environment with `azd env select`.",
        )
    boxes = Boxes(survey, deployment, machines, [chain.network_id for chain in chains])
    names = survey.names(places)
    if any(not _named(names, endpoint) for endpoint in endpoints if endpoint.address):
        names += survey.all_names()
    parts = _parts(survey, deployment, chains, boxes, names)
    return replace(parts[0], others=tuple(parts[1:]))


# -- link services and what they lead to


def _chains(survey: Survey) -> list[Chain]:
    """A chain for each link service of the group, then for each that only its endpoints connect to.

    Without either, the load balancers stand for themselves.
    """
    services = survey.networks.private_link_services()
    endpoints = side_by_side(
        lambda document: _endpoint(survey, document["id"], document), survey.networks.private_endpoints()
    )
    chains = [_chain(survey, service, endpoints) for service in services]
    met = {endpoint.id for chain in chains for endpoint in chain.endpoints}
    own = {key(service["id"]) for service in services}
    abroad: dict[str, list[Endpoint]] = {}
    for endpoint in endpoints:
        for service_id in _linked(endpoint):
            if endpoint.id not in met and key(service_id) not in own:
                abroad.setdefault(key(service_id), []).append(endpoint)
    chains += [_chain_abroad(survey, linking) for linking in abroad.values()]
    if not chains:
        chains = [
            Chain("", {}, balancer, tuple(private), ())
            for balancer in survey.networks.load_balancers()
            if (private := [f for f in entries(balancer, "frontendIPConfigurations") if _address(f)])
        ]
    return chains


def _chain(survey: Survey, service: Document, endpoints: Sequence[Endpoint]) -> Chain:
    """A link service of the group, with all endpoints that it or they know of."""
    own = [e for e in endpoints if any(same(linked, service["id"]) for linked in _linked(e))]
    ids = [value(c, "privateEndpoint", "id") for c in entries(service, "privateEndpointConnections")]
    known = {key(endpoint.id): endpoint for endpoint in endpoints}
    met = {key(endpoint.id) for endpoint in own}
    found = side_by_side(
        lambda each: known.get(key(each)) or _endpoint(survey, each, *survey.document(each)),
        [each for each in dict.fromkeys(ids) if each and key(each) not in met],
    )
    return _served(survey, service["id"], service, (*own, *found))


def _chain_abroad(survey: Survey, endpoints: Sequence[Endpoint]) -> Chain:
    """A link service elsewhere, with this group's endpoints only: the others are not ours."""
    service_id = next(iter(_linked(endpoints[0])))
    if not service_id.startswith("/"):
        why = f"link service {service_id} is known by its alias only"
        return Chain("", {}, {}, (), tuple(endpoints), why)
    service, why = survey.document(service_id)
    if why:
        unread = f"link service {name_of(service_id)} cannot be read: {why}"
        return Chain(service_id, {}, {}, (), tuple(endpoints), unread)
    return _served(survey, service_id, service, tuple(endpoints))


def _served(survey: Survey, service_id: str, service: Document, endpoints: tuple[Endpoint, ...]) -> Chain:
    """The chain of a service, with its load balancer and the frontends that it serves."""
    ids = [entry.get("id") for entry in value(service, "loadBalancerFrontendIpConfigurations") or ()]
    balancer_id = next((ancestor(each, "loadBalancers") for each in ids if each), "")
    if not balancer_id:
        return Chain(
            service_id, service, {}, (), endpoints, f"link service {service['name']} has no frontend"
        )
    balancer, why = survey.document(balancer_id)
    unread = f"load balancer {name_of(balancer_id)} cannot be read: {why}" if why else ""
    all_frontends = entries(balancer, "frontendIPConfigurations")
    frontends = tuple(f for f in all_frontends if any(same(f.get("id"), each) for each in ids))
    return Chain(service_id, service, balancer, frontends, endpoints, unread)


def _linked(endpoint: Endpoint) -> list[str]:
    """Ids or aliases of the link services that an endpoint connects to."""
    ids = [str(value(c, "privateLinkServiceId") or "") for c in entries(endpoint.document, *LINKS)]
    return [each for each in ids if ancestor(each, SERVICES) or each.lower().endswith(ALIAS)]


def _endpoint(survey: Survey, resource_id: str, document: Document, unread: str = "") -> Endpoint:
    """An endpoint with the address that its interface has."""
    found = Endpoint(resource_id, document, unread)
    interface = value(document, "networkInterfaces", 0, "id") if _linked(found) else None
    holders = [survey.document(interface)[0] if interface else {}, document]
    addresses = [_address(entry) for holder in holders for entry in entries(holder, "ipConfigurations")]
    return replace(found, address=next(filter(None, addresses), ""))


def _address(configuration: Document) -> str:
    return str(value(configuration, "privateIPAddress") or "")


# -- jump boxes


class Boxes:
    """The jump box of each network, called as the network; the only one of the hubs is called `hub`."""

    def __init__(
        self, survey: Survey, deployment: Deployment, machines: Sequence[Machine], hubs: Sequence[str]
    ) -> None:
        self._survey = survey
        known = {box.group for box in deployment.boxes}
        machines = sorted(machines, key=lambda machine: machine.group.name not in known)
        self.machines: dict[str, Machine] = {}
        for machine in machines:
            self.machines.setdefault(machine.network, machine)
        self.hubs = {key(hub) for hub in hubs}
        self._known_hub = deployment.hub.box
        named = {machine.group.name: machine for machine in machines}
        if self._known_hub is not None and self._known_hub.group in named and len(self.hubs) == 1:
            self.machines[next(iter(self.hubs))] = named[self._known_hub.group]
        self._names = self._named()

    def _named(self) -> dict[str, str]:
        with_box = [network for network in self.machines if network in self.hubs]
        if len(with_box) == 1:
            return {with_box[0]: "hub"} | unique({n: m for n, m in self._plain().items() if n != with_box[0]})
        return unique(self._plain())

    def _plain(self) -> dict[str, str]:
        return {network: name_of(machine.network_id) for network, machine in self.machines.items()}

    def of(self, network_id: str) -> Box | None:
        machine = self.machines.get(key(network_id))
        if machine is None:
            return self._known_hub if key(network_id) in self.hubs and len(self.hubs) == 1 else None
        elsewhere = self._survey.elsewhere(machine.place)
        name = self._names[key(network_id)]
        return Box(name, machine.group.name, machine.group.container, **elsewhere)

    def lonely(self, networks: Iterable[str]) -> list[Machine]:
        """Boxes of the home group in networks that are neither a hub's nor among some others."""
        met = self.hubs | {key(network) for network in networks}
        hubs = [self.machines.get(network) for network in self.hubs]
        found = [machine for machine in self.machines.values() if self._survey.is_home(machine.place)]
        return [machine for machine in found if machine.network not in met and machine not in hubs]


def unique(wanted: Mapping[str, str]) -> dict[str, str]:
    """Names by what they are for, none twice and none that means something else in a command."""
    names: dict[str, str] = {}
    for each, name in wanted.items():
        plain = f"{name}-network" if name.lower() in RESERVED else name
        further = (f"{plain}-{number}" for number in range(2, len(wanted) + 2))
        taken = set(names.values())
        names[each] = next(n for n in (plain, *further) if n not in taken)
    return names


# -- parts


def _parts(
    survey: Survey, deployment: Deployment, chains: Sequence[Chain], boxes: Boxes, names: Sequence[Name]
) -> list[Deployment]:
    chains = chains or [Chain("", {}, {}, (), ())]
    spokes = [[_spoke(endpoint, boxes, names) for endpoint in chain.endpoints] for chain in chains]
    linked = [endpoint.network_id for chain in chains for endpoint in chain.endpoints]
    for machine in boxes.lonely(linked):
        index, spoke = _without_endpoint(survey, machine, boxes, chains, names)
        spokes[index].append(spoke)
    named = iter(_spoke_names([spoke for own in spokes for spoke in own]))
    labels = _labels(chains)
    return [
        replace(
            deployment,
            hub=_hub(survey, chain, boxes, label),
            spokes=tuple(replace(spoke, name=next(named)) for spoke in own)
            or (deployment.spokes if chain is chains[0] else ()),
            forwards=_forwards(survey, chain),
            complete=True,
        )
        for chain, own, label in zip(chains, spokes, labels, strict=True)
    ]


def _labels(chains: Sequence[Chain]) -> list[str]:
    if len(chains) == 1:
        return ["hub"]
    titles = [name_of(chain.service_id) or str(chain.balancer.get("name") or "hub") for chain in chains]
    distinct = unique({str(number): title for number, title in enumerate(titles)})
    return [f"hub/{title}" for title in distinct.values()]


def _hub(survey: Survey, chain: Chain, boxes: Boxes, label: str) -> Hub:
    balancer_id = str(chain.balancer.get("id") or "")
    return Hub(
        boxes.of(chain.network_id),
        name_of(balancer_id),
        next((_address(frontend) for frontend in chain.frontends), ""),
        link_service=name_of(chain.service_id),
        label=label,
        **(survey.elsewhere(place_of(balancer_id)) if balancer_id else {}),  # type: ignore[arg-type]
    )


def _forwards(survey: Survey, chain: Chain) -> tuple[Forward, ...]:
    """The rules of the frontends that carry TCP; one forward without a port where they cannot be read."""
    if chain.unread:
        return (Forward(name_of(chain.service_id) or "port", 0, unknown=chain.unread),)
    found = []
    for frontend in chain.frontends:
        address = _address(frontend) if frontend is not chain.frontends[0] else ""
        for rule in entries(chain.balancer, "loadBalancingRules"):
            own = same(value(rule, "frontendIPConfiguration", "id"), frontend["id"])
            if own and str(value(rule, "protocol") or "Tcp").lower() in {"tcp", "all"}:
                found.append(_forward(survey, chain, rule, address))
    return tuple(found)


def _forward(survey: Survey, chain: Chain, rule: Document, address: str) -> Forward:
    port = int(value(rule, "frontendPort") or 0)
    if port:
        return Forward(rule["name"], port, address=address)
    why = f"rule {rule['name']} of load balancer {chain.balancer['name']} takes every port"
    admitted = ports.admitted(survey, chain.balancer, rule)
    return Forward(rule["name"], 0, address=address, unknown=why, ports=admitted)


def _spoke(endpoint: Endpoint, boxes: Boxes, names: Sequence[Name]) -> Spoke:
    name = _named(names, endpoint)
    return Spoke(
        name_of(endpoint.network_id) or endpoint.name,
        boxes.of(endpoint.network_id),
        endpoint.name,
        endpoint.address,
        name.host if name else "",
        name.zone if name else "",
        endpoint_id=endpoint.id,
        unknown=f"endpoint {endpoint.name} cannot be read: {endpoint.unread}" if endpoint.unread else "",
    )


def _named(names: Sequence[Name], endpoint: Endpoint) -> Name | None:
    network = key(endpoint.network_id)
    return next((n for n in names if (n.network, n.address) == (network, endpoint.address)), None)


def _without_endpoint(
    survey: Survey, machine: Machine, boxes: Boxes, chains: Sequence[Chain], names: Sequence[Name]
) -> tuple[int, Spoke]:
    """A box whose network has no endpoint: the chain that it belongs to, and what there is to test.

    A name in its network may lead to an endpoint of another network, or to one that is not there any more.
    """
    title, box = name_of(machine.network_id), boxes.of(machine.network_id)
    own = [name for name in names if name.network == machine.network]
    for index, chain in enumerate(chains):
        for endpoint in chain.endpoints:
            name = next((each for each in own if each.address == endpoint.address), None)
            if name is not None:
                found = _spoke(endpoint, boxes, [])
                return index, replace(found, name=title, box=box, host_name=name.host, zone=name.zone)
    spaces = value(survey.document(machine.network_id)[0], "addressSpace", "addressPrefixes") or ()
    near = [n for n in own if any(ip_address(n.address) in ip_network(space) for space in spaces)]
    held = {a for i in survey.networks.network_interfaces() for a in addresses_of(i)} if near else set()
    lost = [name for name in near if name.address not in held]
    if len(chains) == 1 and len(lost) == 1:
        return 0, Spoke(title, box, host_name=lost[0].host, zone=lost[0].zone)
    return 0, Spoke(title, box, unknown=f"network {title} has no private endpoint to a link service")


def _spoke_names(spokes: Sequence[Spoke]) -> list[str]:
    """Those of their networks; where several are in one network, those of their endpoints."""
    times = Counter(spoke.name for spoke in spokes)
    wanted = [spoke.endpoint if times[spoke.name] > 1 and spoke.endpoint else spoke.name for spoke in spokes]
    return list(unique({str(number): name for number, name in enumerate(wanted)}).values())
