"""What must hold between the values of the parameters file: Azure's rules and those of the forwarder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pydantic.alias_generators import to_camel

from fwdctl.template.parameters.models import Forward, NetworkPart, Parameters, Spoke
from fwdctl.template.parameters.problems import Problem

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv4Network


SSH_PORT = 22
NAMES_TAKEN = ("hub", "corp", "all")
"""Networks are named by what they are for, and a command's `hub` or `all` must mean one thing."""
USER_DATA = 48_000
"""Bytes: what is forwarded travels as user data, of which Azure takes 64 KiB, here of its base64."""
RESERVED_AT_START = 4
"""Azure keeps the first four addresses of a subnet and the last one."""


def contradictions(parameters: Parameters) -> Iterator[Problem]:
    """What contradicts between values that are each well formed."""
    hub, corp, spokes, forwards = parameters.hub, parameters.corp, parameters.spokes, parameters.forwards
    yield from _subnets("hub", hub, hub.address_prefix)
    yield from _existing_hub(parameters)
    if hub.address_prefix.overlaps(corp.address_prefix):
        text = f"{corp.address_prefix} overlaps with hub.addressPrefix {hub.address_prefix}"
        yield Problem("corp.addressPrefix", text, "Peered networks need ranges of their own.")
    for index, server in enumerate(corp.servers):
        path = f"corp.servers[{index}].address"
        yield from _inside(path, server.address, "corp.addressPrefix", corp.address_prefix)
    yield from _unique("corp.servers", "name", [server.name for server in corp.servers])
    yield from _unique("corp.servers", "address", [server.address for server in corp.servers])
    for index, spoke in enumerate(spokes):
        path, linked = f"spokes[{index}]", spoke.linked_subnet_prefix
        yield from _existing_spoke(path, spoke)
        if spoke.address_prefix is not None:
            yield from _subnets(path, spoke, spoke.address_prefix)
        if linked is not None:
            key = f"{path}.endpointAddress"
            yield from _inside(key, spoke.endpoint_address, f"{path}.linkedSubnetPrefix", linked)
        if spoke.name in NAMES_TAKEN:
            text = f"'{spoke.name}' is taken: fwdctl's own are {', '.join(NAMES_TAKEN)}"
            yield Problem(f"{path}.name", text, "Choose another name.")
    yield from _unique("spokes", "name", [spoke.name for spoke in spokes])
    yield from _zones(parameters)
    yield from _link_service(parameters)
    yield from _unique("forwards", "name", [forward.name for forward in forwards])
    yield from _unique("forwards", "port", [forward.port for forward in forwards])
    for index, forward in enumerate(forwards):
        yield from _forward(f"forwards[{index}]", forward, parameters)
    yield from _options(parameters)
    size = len(json.dumps([forward.model_dump(mode="json", by_alias=True) for forward in forwards]))
    if size > USER_DATA:
        text = f"{len(forwards)} forwards make {size:,} bytes; {USER_DATA:,} reach a machine at most"
        yield Problem("forwards", text, "Give each forward fewer targets, or split the list over two hubs.")


def _options(parameters: Parameters) -> Iterator[Problem]:
    """Options that exclude each other."""
    image, alerts = parameters.forwarder.image, parameters.alerts
    if parameters.forwarder.automatic_os_upgrade and image.version != "latest":
        text = f'must be "latest" with forwarder.automaticOsUpgrade, not "{image.version}"'
        yield Problem("forwarder.image.version", text, 'Write "latest", or set automaticOsUpgrade to false.')
    if alerts.email and alerts.action_group_id:
        text = "is of no use with alerts.actionGroupId, whose own receivers are told"
        yield Problem("alerts.email", text, "Delete one of the two.")


def _existing_hub(parameters: Parameters) -> Iterator[Problem]:
    """Nothing of a network that is there already is changed."""
    hub = parameters.hub
    nat = hub.existing.nat_subnet_id if hub.existing is not None else None
    if (nat is None) != (hub.nat_subnet_prefix is None):
        text = "and hub.existing.natSubnetId go together: forwarders must know from where connections come"
        yield Problem("hub.natSubnetPrefix", text, "Write both, or neither.")
    if hub.existing is None:
        return
    if parameters.deploy_on_prem_servers:
        text = "cannot be true with hub.existing: the stand-in would need a peering with that network"
        yield Problem("deployOnPremServers", text, "Set it to false, and name real servers as targets.")
    if hub.egress == "natGateway":
        text = "cannot be natGateway with hub.existing: the gateway would have to be put on its subnet"
        yield Problem("hub.egress", text, 'Write "existing" or "none".')
    yield from _of_no_use("hub", hub, ["extra_subnets", "route_table_id"])


def _existing_spoke(path: str, spoke: Spoke) -> Iterator[Problem]:
    ranges = ["address_prefix", *(name for name in Spoke.model_fields if name.endswith("_subnet_prefix"))]
    if spoke.existing is not None:
        yield from _of_no_use(path, spoke, [*ranges, "apps_delegation", "extra_subnets", "route_table_id"])
        zone = spoke.existing.dns_zone_id
        if zone is not None and not zone.lower().endswith(f"/{spoke.dns_zone_name}"):
            text = f"is {spoke.dns_zone_name}, and {path}.existing.dnsZoneId names another zone"
            yield Problem(f"{path}.dnsZoneName", text, f"Write {zone.rpartition('/')[2]}.")
    elif missing := ", ".join(to_camel(name) for name in ranges if getattr(spoke, name) is None):
        yield Problem(path, f"lacks {missing}", f"Add {missing}, or name an existing network.")


def _of_no_use(path: str, part: NetworkPart, names: Sequence[str]) -> Iterator[Problem]:
    for name in names:
        if getattr(part, name):
            text = f"is of no use with {path}.existing, of which nothing is changed"
            yield Problem(f"{path}.{to_camel(name)}", text, "Delete it.")


def _subnets(path: str, network: NetworkPart, whole: IPv4Network) -> Iterator[Problem]:
    """Each subnet lies in its network and apart from the others."""
    earlier: dict[str, IPv4Network] = {}
    for name, subnet in network.subnets.items():
        if not subnet.subnet_of(whole):
            text = f"{subnet} lies outside {path}.addressPrefix {whole}"
            yield Problem(f"{path}.{name}", text, f"Choose a range inside {whole}.")
        for other, taken in earlier.items():
            if subnet.overlaps(taken):
                text = f"{subnet} overlaps with {path}.{other} {taken}"
                yield Problem(f"{path}.{name}", text, "Give each subnet a range of its own.")
        earlier[name] = subnet
    own = [name.removesuffix("SubnetPrefix") for name in network.own_subnets]
    names = [*own, *(each.name.lower() for each in network.extra_subnets)]
    for index, extra in enumerate(network.extra_subnets):
        if extra.name.lower() in names[: len(own) + index]:
            text = f"there is a subnet '{extra.name}' already"
            yield Problem(f"{path}.extraSubnets[{index}].name", text, "Give each subnet a name of its own.")


def _inside(path: str, address: IPv4Address, name: str, subnet: IPv4Network) -> Iterator[Problem]:
    first, last = subnet.network_address + RESERVED_AT_START, subnet.broadcast_address - 1
    if address not in subnet:
        yield Problem(path, f"{address} lies outside {name} {subnet}", f"Choose an address in {subnet}.")
    elif not first <= address <= last:
        text = f"{address} is one of the five addresses that Azure keeps in {subnet}"
        yield Problem(path, text, f"Choose one from {first} to {last}.")


def _zones(parameters: Parameters) -> Iterator[Problem]:
    """A resource group holds a zone once, and each name one address: spokes that share it share that."""
    taken: dict[str, tuple[int, IPv4Address]] = {}
    for index, spoke in enumerate(parameters.spokes):
        zone = spoke.dns_zone_name
        first, address = taken.setdefault(zone, (index, spoke.endpoint_address))
        if address != spoke.endpoint_address:
            text = (
                f"the zone {zone} is that of spokes[{first}] too, and its names "
                f"cannot be both {address} and {spoke.endpoint_address}"
            )
            yield Problem(f"spokes[{index}].dnsZoneName", text, "Give each spoke a zone of its own.")


def _link_service(parameters: Parameters) -> Iterator[Problem]:
    """Who is approved must be among those who see the service; its addresses need room."""
    service, listed = parameters.link_service, set(parameters.link_service.subscriptions or ())
    if service.subscriptions is not None and service.visibility != "subscriptions":
        text = f'is of use with "visibility": "subscriptions" only, not with "{service.visibility}"'
        yield Problem("linkService.subscriptions", text, 'Delete it, or write "visibility": "subscriptions".')
    for index, each in enumerate(service.auto_approval or ()):
        if service.visibility != "anyone" and each not in listed:
            text = f"{each} does not see the link service: linkService.subscriptions does not list it"
            yield Problem(f"linkService.autoApproval[{index}]", text, "List it there too, or delete it here.")
    yield from _room(parameters)


def _room(parameters: Parameters) -> Iterator[Problem]:
    """Subnets hold what the template puts into them."""
    hub, addresses = parameters.hub, parameters.link_service.nat_addresses
    instances = parameters.forwarder.instance_count
    nat = {f"{addresses} NAT addresses": addresses}
    here = {"the frontend": 1, f"{instances} forwarders": instances} | ({} if hub.nat_subnet_prefix else nat)
    for key, subnet, contents in (
        ("hub.sharedSubnetPrefix", hub.shared_subnet_prefix, here),
        ("hub.natSubnetPrefix", hub.nat_subnet_prefix, nat),
    ):
        room = subnet.num_addresses - RESERVED_AT_START - 1 if subnet else 0
        if subnet and (needed := sum(contents.values())) > room:
            text = f"{subnet} has {room} addresses; {' and '.join(contents)} need {needed}"
            yield Problem(key, text, "Choose a larger range.")


def _unique(path: str, key: str, values: Sequence[object]) -> Iterator[Problem]:
    for index, value in enumerate(values):
        first = values.index(value)
        if first < index:
            text = f"{value} is already taken by {path}[{first}]"
            yield Problem(f"{path}[{index}].{key}", text, f"Give each entry of {path} its own {key}.")


def _forward(path: str, forward: Forward, parameters: Parameters) -> Iterator[Problem]:
    if forward.port == parameters.forwarder.health_port:
        text = f"{forward.port} is the forwarders' own health port (forwarder.healthPort)"
        yield Problem(f"{path}.port", text, "Choose another port, or move forwarder.healthPort.")
    if forward.port == SSH_PORT and parameters.forwarder.allow_ssh:
        text = "22 would hide the forwarders' own SSH, which forwarder.allowSsh opens"
        yield Problem(f"{path}.port", text, "Choose another port, or set forwarder.allowSsh to false.")
    if forward.identity_header is not None and forward.check not in {"http", "https"}:
        text = f'is of use with the checks "http" and "https" only, and {path}.check is "{forward.check}"'
        yield Problem(f"{path}.identityHeader", text, 'Delete it, or write "check": "http".')
    if forward.server_name is not None and forward.check not in {"https", "tls"}:
        text = f'is of use with the checks "https" and "tls" only, and {path}.check is "{forward.check}"'
        yield Problem(f"{path}.serverName", text, 'Delete it, or write "check": "tls".')
    for index, name in enumerate(forward.host_names):
        if name in forward.host_names[:index]:
            yield Problem(f"{path}.hostNames[{index}]", f"{name} is listed twice", "Delete one of them.")
    for index, target in enumerate(forward.targets):
        if target in forward.targets[:index]:
            yield Problem(f"{path}.targets[{index}]", f"{target} is listed twice", "Delete one of them.")
        if not isinstance(target.host, str):  # where a name leads is known to the forwarders only
            yield from _reachable(f"{path}.targets[{index}]", target.host, parameters)


def hidden_zones(parameters: Parameters) -> Iterator[str]:
    """Zones of spokes that hide real ones: those in which the forwarders find targets."""
    names = {str(target.host) for forward in parameters.forwards for target in forward.targets}
    for index, spoke in enumerate(parameters.spokes):
        zone, is_existing = spoke.dns_zone_name, spoke.existing and spoke.existing.dns_zone_id
        real = sorted(name for name in names if f".{name}".endswith(f".{zone}"))
        if real and not is_existing:
            yield (
                f"spokes[{index}].dnsZoneName {zone} hides a zone that is in use ({', '.join(real)}): "
                "workloads of the spoke find the names of this template there, and no others."
            )


def _reachable(path: str, address: IPv4Address, parameters: Parameters) -> Iterator[Problem]:
    hub, corp = parameters.hub.address_prefix, parameters.corp.address_prefix
    for name, subnet in parameters.hub.own_subnets.items():
        if address in subnet:
            text = f"{address} lies in hub.{name} {subnet}, where the forwarders and their clients are"
            yield Problem(path, text, "Write the address of a server outside Azure.")
    # Without the stand-in the hub's way to real servers is the user's own; only Azure knows its routes.
    if parameters.deploy_on_prem_servers and not (address in hub or address in corp):
        text = f"{address} lies outside every network that the forwarders reach: hub {hub}, corp {corp}"
        suggestion = "Correct the address, widen corp.addressPrefix, or set deployOnPremServers to false."
        yield Problem(path, text, suggestion)
