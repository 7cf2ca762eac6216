"""Find hub, spokes and forwards in a resource group that nobody has described.

Link by link: private endpoint -> private link service -> load balancer -> rules; container groups belong to
the hub or a spoke by the virtual network of their subnet; a spoke's name is the A record that holds the
endpoint's address in a zone linked to the spoke's network. Targets are known to the forwarders only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fwdctl.azure.containers import Containers, Group
from fwdctl.azure.networks import Networks
from fwdctl.errors import ExitCode, FwdctlError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fwdctl.azure.arm import Arm

Document = dict[str, Any]


def discover(arm: Arm, resource_group: str, *, hub_box: str = "") -> Document:
    """The topology of a resource group in the shape of FWD_TOPOLOGY (docs/architecture.md §3).

    Args:
        arm: logged in.
        resource_group: to search.
        hub_box: container group that is known to be the hub's.

    Raises:
        FwdctlError: the group does not exist or holds nothing of the kind (exit code 3).
    """
    networks = Networks(arm, resource_group)
    boxes = Containers(arm, resource_group).list()
    services = networks.private_link_services()
    if not services and not boxes:
        raise FwdctlError(
            "nothing_found",
            f"Resource group '{resource_group}' has neither a private link service nor a container group.",
            "Check -g, or choose another environment with `azd env select`.",
            exit_code=ExitCode.NOT_FOUND,
        )
    balancers = {_key(lb["id"]): lb for lb in networks.load_balancers()}
    service, balancer = _serving(services, balancers)
    hub_network = _network(_path(service, "ipConfigurations", 0, "properties", "subnet", "id"))
    endpoints = [pe for pe in networks.private_endpoints() if service and _serves(pe, service)]
    names = _names(networks)
    spokes = [_spoke(pe, networks, boxes, names) for pe in endpoints]
    _rename(spokes)
    others = {spoke["jump"] for spoke in spokes}
    hub = (
        hub_box
        or _in_network(boxes, hub_network)
        or next((b.name for b in boxes if b.name not in others), "")
    )
    return {
        "version": 1,
        "resourceGroup": resource_group,
        "hub": {
            "jump": hub,
            "container": _container(boxes, hub),
            "loadBalancer": {"name": balancer.get("name", ""), "address": _frontend(balancer)},
            "privateLinkService": service.get("name", ""),
        },
        "spokes": spokes,
        "forwards": _forwards(balancer),
    }


def _serving(services: list[Document], balancers: dict[str, Document]) -> tuple[Document, Document]:
    """The first link service with its load balancer."""
    for service in services:
        frontend = _path(service, "loadBalancerFrontendIpConfigurations", 0, "id") or ""
        balancer = balancers.get(_key(str(frontend).partition("/frontendIPConfigurations")[0]))
        if balancer is not None:
            return service, balancer
    return {}, next(iter(balancers.values()), {})


def _serves(endpoint: Document, service: Document) -> bool:
    properties = endpoint.get("properties") or {}
    kinds = ("privateLinkServiceConnections", "manualPrivateLinkServiceConnections")
    connections = [connection for kind in kinds for connection in properties.get(kind) or ()]
    return any(
        _key(str(_path(connection, "privateLinkServiceId") or "")) == _key(service["id"])
        for connection in connections
    )


def _spoke(
    endpoint: Document, networks: Networks, boxes: list[Group], names: dict[tuple[str, str], tuple[str, str]]
) -> Document:
    network = _network(_path(endpoint, "subnet", "id"))
    address = _address(endpoint, networks)
    host, zone = names.get((network, address), ("", ""))
    jump = _in_network(boxes, network)
    return {
        "name": network.rsplit("/", 1)[-1],
        "jump": jump,
        "container": _container(boxes, jump),
        "privateEndpoint": {"name": endpoint["name"], "address": address},
        "hostName": host,
        "zone": zone,
    }


def _rename(spokes: list[Document]) -> None:
    """A single one is `spoke`; several are called as their networks, so far as those names differ."""
    if len(spokes) == 1:
        spokes[0]["name"] = "spoke"
    seen: set[str] = set()
    for spoke in spokes:
        if spoke["name"] in seen:
            spoke["name"] = spoke["privateEndpoint"]["name"]
        seen.add(spoke["name"])


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


def _forwards(balancer: Document) -> list[Document]:
    rules = _path(balancer, "loadBalancingRules") or ()
    found = []
    for rule in rules:
        properties = rule.get("properties") or {}
        if properties.get("protocol", "Tcp").lower() in {"tcp", "all"}:
            found.append({"name": rule["name"], "port": properties["frontendPort"], "check": "tcp"})
    return found


def _frontend(balancer: Document) -> str:
    return str(_path(balancer, "frontendIPConfigurations", 0, "properties", "privateIPAddress") or "")


def _in_network(boxes: Iterable[Group], network: str) -> str:
    return next((box.name for box in boxes if network and _network(box.subnet_id) == network), "")


def _container(boxes: Iterable[Group], name: str) -> str:
    return next((box.container for box in boxes if box.name == name), "")


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
