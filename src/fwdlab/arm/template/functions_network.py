"""CIDR and availability zone functions of ARM's reference."""

from __future__ import annotations

import ipaddress
from typing import Any, TypeAlias

from fwdlab.arm.template.registry import Function
from fwdlab.arm.template.values import ExpressionError

_Network: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"
_SMALLEST_WITH_BROADCAST = 2
_ZONES = ["1", "2", "3"]
_ZONELESS = {"northcentralus"}
"""The region without zones in ARM's own example; every other location of the lab has three."""
_ZONAL = {"microsoft.compute", "microsoft.network"}
"""Namespaces whose types have `zones`; of others (zone-redundant ones too) ARM's answer is empty."""


def _failed(name: str, reason: str) -> ExpressionError:
    return ExpressionError(f"Unable to evaluate template language function '{name}': {reason}.")


def _network(name: str, value: str) -> _Network:
    try:
        return ipaddress.ip_network(value, strict=False)
    except ValueError as error:
        raise _failed(name, f"'{value}' is not a valid CIDR") from error


def _parse_cidr(value: str) -> dict[str, Any]:
    network = _network("parseCidr", value)
    spare = network.max_prefixlen - network.prefixlen
    version_4 = isinstance(network, ipaddress.IPv4Network)
    edge = 1 if version_4 and spare >= _SMALLEST_WITH_BROADCAST else 0
    found: dict[str, Any] = {"network": str(network.network_address), "netmask": str(network.netmask)}
    if version_4:
        found["broadcast"] = str(network.broadcast_address)
    found["firstUsable"] = str(network.network_address + edge)
    found["lastUsable"] = str(network.broadcast_address - edge)
    return found | {"cidr": network.prefixlen}


def _cidr_subnet(value: str, length: int, number: int) -> str:
    network = _network("cidrSubnet", value)
    known_length = network.prefixlen <= length <= network.max_prefixlen
    if not known_length or not 0 <= number < 2 ** (length - network.prefixlen):
        raise _failed("cidrSubnet", f"'{network}' has no subnet number {number} of length /{length}")
    return f"{network.network_address + number * 2 ** (network.max_prefixlen - length)}/{length}"


def _cidr_host(value: str, number: int) -> str:
    network = _network("cidrHost", value)
    # Host 0 is the first usable address: cidrHost('10.144.3.0/24', 0) is 10.144.3.1.
    if number < 0 or number + 1 >= network.num_addresses:
        raise _failed("cidrHost", f"'{network}' has no host {number}")
    return str(network.network_address + number + 1)


def _pick_zones(namespace: str, _type: str, location: str, count: int = 1, offset: int = 0) -> list[str]:
    """Logical zones (learn.microsoft.com, template-functions-resource, pickZones)."""
    if not 1 <= count <= len(_ZONES):
        raise _failed("pickZones", f"the number of zones '{count}' is not between 1 and {len(_ZONES)}")
    if namespace.lower() not in _ZONAL or location.lower().replace(" ", "") in _ZONELESS:
        return []
    if not 0 <= offset <= len(_ZONES) - count:
        raise _failed("pickZones", f"'{location}' has no {count} zones from offset '{offset}' on")
    return _ZONES[offset : offset + count]


FUNCTIONS = (
    Function("parseCidr", "string", _parse_cidr),
    Function("cidrSubnet", "string int int", _cidr_subnet),
    Function("cidrHost", "string int", _cidr_host),
    Function("pickZones", "string string string int? int?", _pick_zones),
)
