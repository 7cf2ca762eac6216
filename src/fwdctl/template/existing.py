"""Existing networks and zones that the parameters name: what Azure would refuse of them, asked beforehand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from fwdctl.azure.documents import Document, name_of, network_of, place_of, same, value
from fwdctl.azure.routes import NOWHERE, has_gateway, system_prefix, user_route
from fwdctl.template.parameters.problems import Problem

if TYPE_CHECKING:
    from fwdctl.azure.clients import Clients
    from fwdctl.template.parameters import Parameters

CONTAINERS = "Microsoft.ContainerInstance/containerGroups"


@dataclass(frozen=True)
class Subnet:
    """A subnet that the parameters name, and what it is for.

    Attributes:
        path: its key.
        prefix: the range that the parameters tell, None where they tell none.
        address: one that must lie in it, None for any.
        boxes: whether a jump box goes there.
        nat: whether the link service takes addresses from it.
    """

    path: str
    id: str
    prefix: IPv4Network | None = None
    address: IPv4Address | None = None
    boxes: bool = False
    nat: bool = False


def problems(clients: Clients, parameters: Parameters, location: str) -> Iterator[Problem]:
    """What is wrong with the existing networks and zones, seen from a region.

    Raises:
        FwdctlError: Azure cannot be asked.
    """
    for subnet in _subnets(parameters):
        yield from _subnet(clients, subnet, location)
    yield from _zones(clients, parameters, location)
    if parameters.hub.existing is not None:
        yield from _ways(clients, parameters, parameters.hub.existing.subnet_id)
    for index, spoke in enumerate(parameters.spokes):
        zone = spoke.existing.dns_zone_id if spoke.existing is not None else None
        if zone is not None and clients.find(zone) is None:
            yield _missing(f"spokes[{index}].existing.dnsZoneId", zone)
        elif zone is not None and parameters.hub.existing is not None:
            yield from _circles(clients, parameters, network_of(parameters.hub.existing.subnet_id), zone)


def _subnets(parameters: Parameters) -> Iterator[Subnet]:
    hub, own = parameters.hub, parameters.hub.existing
    if own is not None:
        nat = own.nat_subnet_id
        key = "hub.existing."
        yield Subnet(f"{key}subnetId", own.subnet_id, hub.shared_subnet_prefix, nat=nat is None)
        if nat is not None:
            yield Subnet(f"{key}natSubnetId", nat, hub.nat_subnet_prefix, nat=True)
        if own.jump_subnet_id is not None:
            yield Subnet(f"{key}jumpSubnetId", own.jump_subnet_id, hub.jump_subnet_prefix, boxes=True)
    for index, spoke in enumerate(parameters.spokes):
        if spoke.existing is not None:
            key = f"spokes[{index}].existing."
            address = spoke.endpoint_address
            yield Subnet(f"{key}endpointSubnetId", spoke.existing.endpoint_subnet_id, address=address)
            if spoke.existing.jump_subnet_id is not None:
                yield Subnet(f"{key}jumpSubnetId", spoke.existing.jump_subnet_id, boxes=True)


def _subnet(clients: Clients, wanted: Subnet, location: str) -> Iterator[Problem]:
    network = clients.find(wanted.id.rpartition("/subnets/")[0])
    found = clients.find(wanted.id) if network is not None else None
    if network is None or found is None:
        yield _missing(wanted.path, wanted.id)
        return
    properties: Document = found["properties"]
    region = str(network.get("location", ""))
    if location and _plain(region) != _plain(location):
        text = f"lies in {region}, and the deployment in {location}"
        yield Problem(wanted.path, text, "Name a network of that region, or set AZURE_LOCATION to its own.")
    ranges = [IPv4Network(each) for each in _prefixes(properties) if ":" not in each]
    held = ", ".join(map(str, ranges))
    if wanted.prefix is not None and ranges != [wanted.prefix]:
        several = (
            "Name a subnet with one range." if len(ranges) > 1 else "Correct the range in the parameters."
        )
        yield Problem(wanted.path, f"has {held}, not {wanted.prefix}", several)
    if wanted.address is not None and not any(wanted.address in each for each in ranges):
        text = f"has {held}, and endpointAddress {wanted.address} lies outside"
        yield Problem(wanted.path, text, "Choose a free address in it.")
    change = f"`az network vnet subnet update --ids {wanted.id}"
    services = [each["properties"]["serviceName"] for each in properties.get("delegations") or ()]
    if wanted.boxes and CONTAINERS.lower() not in map(str.lower, services):
        yield Problem(
            wanted.path, f"is not delegated to {CONTAINERS}", f"{change} --delegations {CONTAINERS}`."
        )
    if wanted.nat and properties.get("privateLinkServiceNetworkPolicies") != "Disabled":
        text = "has policies for link services, so that no NAT address can be taken from it"
        suggestion = f"{change} --private-link-service-network-policies Disabled`."
        yield Problem(wanted.path, text, suggestion)


def _circles(clients: Clients, parameters: Parameters, hub: str, zone: str) -> Iterator[Problem]:
    """Targets by a name that leads the forwarders to an endpoint, and so back to them."""
    hosts = {parameters.host_name, *(host for forward in parameters.forwards for host in forward.host_names)}
    own = {f"{host}.{name_of(zone)}" for host in hosts}
    found = {
        f"forwards[{number}].targets[{index}]": str(target.host)
        for number, forward in enumerate(parameters.forwards)
        for index, target in enumerate(forward.targets)
        if target.host in own
    }
    links = clients.list(f"{zone}/virtualNetworkLinks") if found else ()
    if any(same(value(link, "virtualNetwork", "id"), hub) for link in links):
        for path, name in found.items():
            text = f"{name} is the endpoint's in {name_of(zone)}, which the hub sees too"
            yield Problem(path, text, "Write the server's address, or a name of its own.")


def _zones(clients: Clients, parameters: Parameters, location: str) -> Iterator[Problem]:
    """Availability zones that the region does not have."""
    wanted = parameters.availability_zones
    if not wanted or not location:
        return
    regions = clients.list(f"/subscriptions/{clients.subscription_id}/locations")
    mappings = next((e.get("availabilityZoneMappings") for e in regions if e["name"] == _plain(location)), ())
    zones = [str(each["logicalZone"]) for each in mappings or ()]
    for index, zone in enumerate(wanted):
        if zone not in zones:
            text = f"{zone} is no zone of {location}, which has {', '.join(zones) or 'none'}"
            yield Problem(
                f"availabilityZones[{index}]",
                text,
                f"Write {json.dumps(zones)}{', or some of them' if zones else ''}.",
            )


def _ways(clients: Clients, parameters: Parameters, subnet_id: str) -> Iterator[Problem]:
    """Targets to which no route leads from the existing hub's subnet."""
    network = clients.find(network_of(subnet_id))
    subnet = clients.find(subnet_id) if network is not None else None
    if network is None or subnet is None:
        return  # which is told already
    table_id = value(subnet, "routeTable", "id")
    table = (clients.find(table_id) if table_id else None) or {}
    for number, forward in enumerate(parameters.forwards):
        for index, target in enumerate(forward.targets):
            if not isinstance(target.host, str) and (told := _no_way(network, table, target.host)):
                yield Problem(f"forwards[{number}].targets[{index}]", *told)


def _no_way(network: Document, table: Document, target: IPv4Address) -> tuple[str, str] | None:
    """Why no packet from a network reaches a target, and what to do; None where one may."""
    address = str(target)
    system = system_prefix(network, address)
    route = user_route(table, system, address)
    if not target.is_private or (route is None and (system >= 0 or has_gateway(network))):
        return None
    if route is None:
        name = name_of(network["id"])
        return (
            f"no route leads from {name} to {address}: no connected peering, gateway or route has it",
            f"Peer {name} with the network of the target, or give the subnet a route to it.",
        )
    hop = str(value(route, "nextHopType")).lower()
    if hop not in NOWHERE:
        return None
    subscription, group = place_of(table["id"])
    where = f"-g {group} --route-table-name {name_of(table['id'])} -n {route['name']}"
    return (
        f"route {route['name']} of {name_of(table['id'])} sends what goes to {address} {NOWHERE[hop]}",
        f"Run `az network route-table route delete {where} --subscription {subscription}`, or change it.",
    )


def _prefixes(properties: Document) -> list[str]:
    return properties.get("addressPrefixes") or [properties["addressPrefix"]]


def _plain(region: str) -> str:
    return region.replace(" ", "").lower()


def _missing(path: str, resource_id: str) -> Problem:
    return Problem(
        path, f"does not exist: {resource_id}", "Correct the id; `az resource show --ids ID` shows it."
    )
