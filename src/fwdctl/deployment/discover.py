"""Find hub, spokes and forwards in a resource group that nobody has described.

Link by link: private endpoint -> private link service -> load balancer -> rules; container groups belong to
the hub or a spoke by the virtual network of their subnet; a spoke's name is the A record that holds the
endpoint's address in a zone linked to the spoke's network. Targets are known to the forwarders only.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fwdctl.azure.containers import Containers, Group
from fwdctl.azure.networks import Networks
from fwdctl.deployment.topology import Box, Deployment, Forward, Hub, Spoke
from fwdctl.errors import ExitCode, FwdctlError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fwdctl.azure.clients import Clients
    from fwdctl.azure.networks import Document


def complete(deployment: Deployment, clients: Clients) -> Deployment:
    """Add what Azure tells of the resource group; boxes that are known already keep their roles.

    Raises:
        FwdctlError: the group does not exist or holds nothing of the kind (exit code 3).
    """
    networks = Networks(clients, deployment.resource_group)
    groups = Containers(clients, deployment.resource_group).list()
    services = networks.private_link_services()
    if not services and not groups:
        raise FwdctlError(
            "nothing_found",
            f"Resource group '{deployment.resource_group}' has neither a private link service nor a "
            "container group.",
            "Check -g, or choose another environment with `azd env select`.",
            exit_code=ExitCode.NOT_FOUND,
        )
    service, balancer = _serving(services, networks.load_balancers())
    names = _names(networks)
    spokes = [
        _spoke(endpoint, networks, groups, names)
        for endpoint in networks.private_endpoints()
        if service and _serves(endpoint, service)
    ]
    hub = Hub(
        _hub_box(deployment.hub.box, service, groups, spokes),
        balancer.get("name", ""),
        str(_path(balancer, "frontendIPConfigurations", 0, "properties", "privateIPAddress") or ""),
        link_service=service.get("name", ""),
    )
    return replace(
        deployment,
        hub=hub,
        spokes=_distinct(spokes) or deployment.spokes,
        forwards=_forwards(balancer),
        complete=True,
    )


def _serving(services: list[Document], balancers: list[Document]) -> tuple[Document, Document]:
    """The first link service with its load balancer."""
    by_id = {_key(balancer["id"]): balancer for balancer in balancers}
    for service in services:
        frontend = _path(service, "loadBalancerFrontendIpConfigurations", 0, "id") or ""
        balancer = by_id.get(_key(str(frontend).partition("/frontendIPConfigurations")[0]))
        if balancer is not None:
            return service, balancer
    return {}, balancers[0] if balancers else {}


def _serves(endpoint: Document, service: Document) -> bool:
    properties = endpoint.get("properties") or {}
    kinds = ("privateLinkServiceConnections", "manualPrivateLinkServiceConnections")
    connections = [connection for kind in kinds for connection in properties.get(kind) or ()]
    return any(
        _key(str(_path(connection, "privateLinkServiceId") or "")) == _key(service["id"])
        for connection in connections
    )


def _hub_box(
    known: Box | None, service: Document, groups: list[Group], spokes: Iterable[Spoke]
) -> Box | None:
    """The box that is known, else the one in the link service's network, else one that no spoke has."""
    if known is not None:
        return next((_box("hub", group) for group in groups if group.name == known.group), known)
    network = _network(_path(service, "ipConfigurations", 0, "properties", "subnet", "id"))
    taken = {spoke.box.group for spoke in spokes if spoke.box is not None}
    others = (_box("hub", group) for group in groups if group.name not in taken)
    return _in_network("hub", groups, network) or next(others, None)


def _spoke(
    endpoint: Document, networks: Networks, groups: list[Group], names: dict[tuple[str, str], tuple[str, str]]
) -> Spoke:
    network = _network(_path(endpoint, "subnet", "id"))
    name = network.rsplit("/", 1)[-1]
    address = _address(endpoint, networks)
    host_name, zone = names.get((network, address), ("", ""))
    return Spoke(name, _in_network(name, groups, network), endpoint["name"], address, host_name, zone)


def _distinct(spokes: list[Spoke]) -> tuple[Spoke, ...]:
    """A single one is `spoke`; several are called as their networks, so far as those names differ."""
    if len(spokes) == 1:
        return (_renamed(spokes[0], "spoke"),)
    named: dict[str, Spoke] = {}
    for spoke in spokes:
        name = spoke.endpoint if spoke.name in named else spoke.name
        named[name] = _renamed(spoke, name)
    return tuple(named.values())


def _renamed(spoke: Spoke, name: str) -> Spoke:
    return replace(spoke, name=name, box=replace(spoke.box, name=name) if spoke.box else None)


def _address(endpoint: Document, networks: Networks) -> str:
    fixed = _path(endpoint, "ipConfigurations", 0, "properties", "privateIPAddress")
    if fixed:
        return str(fixed)
    interface = _path(endpoint, "networkInterfaces", 0, "id")
    if not interface:
        return ""
    document = networks.network_interface(interface)
    return str(_path(document, "ipConfigurations", 0, "properties", "privateIPAddress") or "")


def _names(networks: Networks) -> dict[tuple[str, str], tuple[str, str]]:
    """(network, address) -> (full name, zone), from all zones linked to networks."""
    names = {}
    for zone in networks.zones():
        linked = [
            _key(str(_path(link, "virtualNetwork", "id"))) for link in networks.zone_links(zone["name"])
        ]
        for record in networks.zone_records(zone["name"]):
            full = zone["name"] if record["name"] == "@" else f"{record['name']}.{zone['name']}"
            for entry in _path(record, "aRecords") or _path(record, "ARecords") or ():
                names.update({(network, entry["ipv4Address"]): (full, zone["name"]) for network in linked})
    return names


def _forwards(balancer: Document) -> tuple[Forward, ...]:
    rules = [
        (rule["name"], rule.get("properties") or {}) for rule in _path(balancer, "loadBalancingRules") or ()
    ]
    return tuple(
        Forward(name, int(properties["frontendPort"]))
        for name, properties in rules
        if properties.get("protocol", "Tcp").lower() in {"tcp", "all"}
    )


def _in_network(name: str, groups: Iterable[Group], network: str) -> Box | None:
    found = (group for group in groups if network and _network(group.subnet_id) == network)
    return next((_box(name, group) for group in found), None)


def _box(name: str, group: Group) -> Box:
    return Box(name, group.name, group.container)


def _network(subnet_id: Any) -> str:
    return _key(str(subnet_id or "").partition("/subnets/")[0])


def _key(resource_id: str) -> str:
    return resource_id.lower()


def _path(document: Document, *keys: str | int) -> Any:
    """A value below `properties`; None where the way ends early."""
    value: Any = document.get("properties") or {}
    for key in keys:
        if isinstance(key, int):
            value = value[key] if isinstance(value, list) and len(value) > key else None
        else:
            value = value.get(key) if isinstance(value, dict) else None
        if value is None:
            return None
    return value
