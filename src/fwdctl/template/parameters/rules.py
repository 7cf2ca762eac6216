"""What must hold between the values of the parameters file: Azure's rules and those of the forwarder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwdctl.template.parameters.fields import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from ipaddress import IPv4Address, IPv4Network

    from fwdctl.template.parameters import Parameters, Spoke

SSH_PORT = 22
NAMES_TAKEN = ("hub", "corp", "all")
RESERVED_AT_START = 4
"""Azure keeps the first four addresses of a subnet and the last one."""


def relate(parameters: Parameters, problems: list[Problem]) -> None:
    """Note every contradiction between values that are each well formed."""
    hub, corp = parameters.hub, parameters.corp
    problems += _subnets(
        "hub",
        hub.address_prefix,
        {"sharedSubnetPrefix": hub.shared_subnet_prefix, "jumpSubnetPrefix": hub.jump_subnet_prefix},
    )
    if hub.address_prefix.overlaps(corp.address_prefix):
        text = f"{corp.address_prefix} overlaps with hub.addressPrefix {hub.address_prefix}"
        problems.append(Problem("corp.addressPrefix", text, "Peered networks need ranges of their own."))
    for index, server in enumerate(corp.servers):
        problems += _inside(
            f"corp.servers[{index}].address", server.address, corp.address_prefix, "corp.addressPrefix"
        )
    problems += _unique("corp.servers", "name", [server.name for server in corp.servers])
    problems += _unique("corp.servers", "address", [server.address for server in corp.servers])
    for index, spoke in enumerate(parameters.spokes):
        problems += _spoke(f"spokes[{index}]", spoke)
    problems += _unique("spokes", "name", [spoke.name for spoke in parameters.spokes])
    problems += _free_names(parameters.spokes)
    problems += _forwards(parameters)


def _spoke(path: str, spoke: Spoke) -> Iterable[Problem]:
    subnets = {
        "cpSubnetPrefix": spoke.cp_subnet_prefix,
        "appsSubnetPrefix": spoke.apps_subnet_prefix,
        "jumpSubnetPrefix": spoke.jump_subnet_prefix,
        "linkedSubnetPrefix": spoke.linked_subnet_prefix,
    }
    yield from _subnets(path, spoke.address_prefix, subnets)
    linked = spoke.linked_subnet_prefix
    yield from _inside(
        f"{path}.endpointAddress", spoke.endpoint_address, linked, f"{path}.linkedSubnetPrefix"
    )


def _free_names(spokes: Sequence[Spoke]) -> Iterable[Problem]:
    """Networks are named by what they are for, and a command's `hub` or `all` must mean one thing."""
    for index, spoke in enumerate(spokes):
        if spoke.name in NAMES_TAKEN:
            text = f"'{spoke.name}' is taken: fwdctl's own are {', '.join(NAMES_TAKEN)}"
            yield Problem(f"spokes[{index}].name", text, "Choose another name.")


def _subnets(path: str, network: IPv4Network, subnets: dict[str, IPv4Network]) -> Iterable[Problem]:
    """Each subnet lies in its network and apart from the others."""
    earlier: list[tuple[str, IPv4Network]] = []
    for name, subnet in subnets.items():
        if not subnet.subnet_of(network):
            text = f"{subnet} lies outside {path}.addressPrefix {network}"
            yield Problem(f"{path}.{name}", text, f"Choose a range inside {network}.")
        for other, taken in earlier:
            if subnet.overlaps(taken):
                text = f"{subnet} overlaps with {path}.{other} {taken}"
                yield Problem(f"{path}.{name}", text, "Give each subnet a range of its own.")
        earlier.append((name, subnet))


def _inside(path: str, address: IPv4Address, subnet: IPv4Network, name: str) -> Iterable[Problem]:
    if address not in subnet:
        yield Problem(path, f"{address} lies outside {name} {subnet}", f"Choose an address in {subnet}.")
        return
    number = int(address) - int(subnet.network_address)
    if number < RESERVED_AT_START or address == subnet.broadcast_address:
        first = subnet.network_address + RESERVED_AT_START
        text = f"{address} is one of the five addresses that Azure keeps in {subnet}"
        yield Problem(path, text, f"Choose one from {first} to {subnet.broadcast_address - 1}.")


def _unique(path: str, key: str, values: Sequence[object]) -> Iterable[Problem]:
    first: dict[object, int] = {}
    for index, value in enumerate(values):
        if value in first:
            text = f"{value} is already taken by {path}[{first[value]}]"
            yield Problem(f"{path}[{index}].{key}", text, f"Give each entry of {path} its own {key}.")
        first.setdefault(value, index)


def _forwards(parameters: Parameters) -> Iterable[Problem]:
    forwards, forwarder = parameters.forwards, parameters.forwarder
    yield from _unique("forwards", "name", [forward.name for forward in forwards])
    yield from _unique("forwards", "port", [forward.port for forward in forwards])
    for index, forward in enumerate(forwards):
        if forward.port == forwarder.health_port:
            text = f"{forward.port} is the forwarders' own health port (forwarder.healthPort)"
            yield Problem(
                f"forwards[{index}].port", text, "Choose another port, or move forwarder.healthPort."
            )
        if forward.port == SSH_PORT and forwarder.allow_ssh:
            text = "22 would hide the forwarders' own SSH, which forwarder.allowSsh opens"
            yield Problem(
                f"forwards[{index}].port", text, "Choose another port, or set forwarder.allowSsh to false."
            )
        yield from _targets(f"forwards[{index}].targets", index, parameters)


def _targets(path: str, index: int, parameters: Parameters) -> Iterable[Problem]:
    """Targets are different from each other and where the forwarders have a way to."""
    hub, corp = parameters.hub.address_prefix, parameters.corp.address_prefix
    seen = set()
    for position, target in enumerate(parameters.forwards[index].targets):
        if target in seen:
            yield Problem(f"{path}[{position}]", f"{target} is listed twice", "Delete one of them.")
        seen.add(target)
        # Without the stand-in the hub's way to real servers is the user's own; only Azure knows its routes.
        if parameters.deploy_on_prem_servers and not (target.address in hub or target.address in corp):
            text = f"{target} lies outside every network that the forwarders reach: hub {hub}, corp {corp}"
            mend = "Correct the address, widen corp.addressPrefix, or set deployOnPremServers to false."
            yield Problem(f"{path}[{position}]", text, mend)
