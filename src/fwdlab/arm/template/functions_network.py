"""CIDR and availability zone functions of ARM's reference."""

from __future__ import annotations

import ipaddress
from typing import Any, TypeAlias

from fwdlab.arm.template.registry import a_string, an_array, an_integer, function
from fwdlab.arm.template.values import ExpressionError

_Network: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"
_SMALLEST_WITH_BROADCAST = 2


def _network(name: str, value: Any) -> _Network:
    try:
        return ipaddress.ip_network(a_string(name, value), strict=False)
    except ValueError as error:
        raise ExpressionError(
            f"Unable to evaluate template language function '{name}': '{value}' is not a valid CIDR."
        ) from error


@function("parseCidr", 1)
def _parse_cidr(value: Any) -> dict[str, Any]:
    network = _network("parseCidr", value)
    spare = network.max_prefixlen - network.prefixlen
    inner = network.version == 4 and spare >= _SMALLEST_WITH_BROADCAST  # noqa: PLR2004 - IPv4
    found: dict[str, Any] = {"network": str(network.network_address), "netmask": str(network.netmask)}
    if network.version == 4:  # noqa: PLR2004 - IPv4
        found["broadcast"] = str(network.broadcast_address)
    found["firstUsable"] = str(network.network_address + (1 if inner else 0))
    found["lastUsable"] = str(network.broadcast_address - (1 if inner else 0))
    return found | {"cidr": network.prefixlen}


@function("cidrSubnet", 3)
def _cidr_subnet(value: Any, prefix: Any, index: Any) -> str:
    network = _network("cidrSubnet", value)
    length, number = an_integer("cidrSubnet", prefix), an_integer("cidrSubnet", index)
    if not network.prefixlen <= length <= network.max_prefixlen or not 0 <= number < 2 ** (
        length - network.prefixlen
    ):
        raise ExpressionError(
            f"Unable to evaluate template language function 'cidrSubnet': '{network}' has no subnet "
            f"number {number} of length /{length}."
        )
    return f"{network.network_address + number * 2 ** (network.max_prefixlen - length)}/{length}"


@function("cidrHost", 2)
def _cidr_host(value: Any, index: Any) -> str:
    network, number = _network("cidrHost", value), an_integer("cidrHost", index)
    # Host 0 is the first usable address: cidrHost('10.144.3.0/24', 0) is 10.144.3.1.
    if number < 0 or number + 1 >= network.num_addresses:
        raise ExpressionError(
            f"Unable to evaluate template language function 'cidrHost': '{network}' has no host {number}."
        )
    return str(network.network_address + number + 1)


@function("pickZones", 3, 5)
def _pick_zones(namespace: Any, kind: Any, location: Any, count: Any = 1, offset: Any = 0) -> list[str]:
    for value in (namespace, kind, location):
        a_string("pickZones", value)
    zones = ["1", "2", "3"]  # every location of the lab has three
    number, start = an_integer("pickZones", count), an_integer("pickZones", offset)
    return zones[start : start + number]


@function("toLogicalZone", 3)
def _to_logical_zone(subscription: Any, location: Any, zone: Any) -> str:
    prefix = f"{a_string('toLogicalZone', location)}-az"
    text = a_string("toLogicalZone", zone)
    a_string("toLogicalZone", subscription)
    return text[len(prefix) :] if text.startswith(prefix) else ""


@function("toPhysicalZone", 3)
def _to_physical_zone(subscription: Any, location: Any, zone: Any) -> str:
    a_string("toPhysicalZone", subscription)
    return f"{a_string('toPhysicalZone', location)}-az{a_string('toPhysicalZone', zone)}"


@function("toLogicalZones", 3)
def _to_logical_zones(subscription: Any, location: Any, zones: Any) -> list[str]:
    return [_to_logical_zone(subscription, location, zone) for zone in an_array("toLogicalZones", zones)]


@function("toPhysicalZones", 3)
def _to_physical_zones(subscription: Any, location: Any, zones: Any) -> list[str]:
    return [_to_physical_zone(subscription, location, zone) for zone in an_array("toPhysicalZones", zones)]
