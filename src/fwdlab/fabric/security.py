"""Network security groups in terms of packets (virtual-network/network-security-groups-overview)."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, cast

from fwdlab.arm.services.network.security_groups import default_rules
from fwdlab.fabric.wanted import Protocol, SecurityChain, SecurityRule, Side, short_hash
from fwdlab.model import PLATFORM_ADDRESS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fwdlab.fabric.wanted import Network

Direction = Literal["Inbound", "Outbound"]
_PLATFORM = f"{PLATFORM_ADDRESS}/32"
DNS_PORT = 53
_NOWHERE = Side((), negated=False)
_PROTOCOLS = {"*": "*", "tcp": "tcp", "udp": "udp", "icmp": "icmp"}


def chain(
    group: dict[str, Any], direction: Direction, network: Network, warnings: list[str]
) -> SecurityChain:
    """A group's rules in one direction, as they act on an interface in `network`.

    Args:
        group: ARM document of the group.
        direction: which of its rules.
        network: gives the tag VirtualNetwork its meaning.
        warnings: told what the lab does not honour.
    """
    ordered: list[tuple[int, SecurityRule]] = []
    own = group.get("properties", {}).get("securityRules", [])
    for rule in [*own, *default_rules(group["id"])]:
        properties = rule.get("properties", {})
        if str(properties.get("direction", "")).lower() != direction.lower():
            continue
        planned = _rule(rule["name"], properties, network, f"{group['id']}: rule {rule['name']}", warnings)
        if planned is not None:
            ordered.append((int(properties.get("priority", 65000)), planned))
    ordered.sort(key=lambda entry: entry[0])
    if direction == "Outbound":
        ordered = [*_platform_dns(own), *ordered]
    name = f"nsg_{short_hash(group['id'])}_{direction[:3].lower()}_{network.number}"
    return SecurityChain(name, tuple(rule for _, rule in ordered))


def _platform_dns(rules: list[dict[str, Any]]) -> list[tuple[int, SecurityRule]]:
    """The platform's DNS obeys no rule but those that name its tag (what-is-ip-address-168-63-129-16)."""
    told = []
    for rule in rules:
        properties = rule.get("properties", {})
        tags = [text.lower() for text in _either(properties, "destinationAddressPrefix", "es")]
        if "azureplatformdns" in tags and str(properties.get("direction", "")).lower() == "outbound":
            allow = str(properties.get("access", "")).lower() == "allow"
            told.append((int(properties.get("priority", 65000)), _dns_rule(rule["name"], allow=allow)))
    return [*sorted(told, key=lambda entry: entry[0]), (65000, _dns_rule("platform-dns", allow=True))]


def _dns_rule(name: str, *, allow: bool) -> SecurityRule:
    ports, platform = ((DNS_PORT, DNS_PORT),), Side((_PLATFORM,), negated=False)
    return SecurityRule(name, allow, "*", Side(), platform, destination_ports=ports)


def _rule(
    name: str, properties: dict[str, Any], network: Network, where: str, warnings: list[str]
) -> SecurityRule | None:
    protocol = _PROTOCOLS.get(str(properties.get("protocol", "*")).lower())
    if protocol is None:
        warnings.append(f"{where}: protocol {properties.get('protocol')} never occurs in the lab; ignored")
        return None
    if any(properties.get(f"{side}ApplicationSecurityGroups") for side in ("source", "destination")):
        warnings.append(f"{where}: application security groups are not supported; the rule is ignored")
        return None
    return SecurityRule(
        name,
        str(properties.get("access", "")).lower() == "allow",
        cast("Protocol", protocol),
        _side(_either(properties, "sourceAddressPrefix", "es"), network, where, warnings),
        _side(_either(properties, "destinationAddressPrefix", "es"), network, where, warnings),
        _ports(_either(properties, "sourcePortRange", "s")),
        _ports(_either(properties, "destinationPortRange", "s")),
    )


def _either(properties: dict[str, Any], name: str, plural: str) -> list[str]:
    several = properties.get(name + plural) or []
    one = properties.get(name)
    return [*([one] if one else []), *several] or ["*"]


def _side(texts: Iterable[str], network: Network, where: str, warnings: list[str]) -> Side:
    """Prefixes and service tags together; a tag that excludes can only stand alone."""
    prefixes: list[str] = []
    for text in texts:
        tag = text.lower()
        if tag in {"*", "any", "0.0.0.0/0"}:
            return Side()
        if tag == "internet":
            return Side(collapse((*network.space, _PLATFORM)), negated=True)
        if tag == "virtualnetwork":
            # The tag holds the host's own address too (service-tags-overview).
            prefixes += [*network.space, _PLATFORM]
        elif tag == "azureloadbalancer":
            prefixes.append(_PLATFORM)
        elif tag in {"azureplatformdns", "azurecloud"}:  # the platform's exec comes beside the network
            continue
        elif _is_prefix(text):
            prefixes.append(text)
        else:
            warnings.append(f"{where}: nothing in the lab belongs to the service tag {text}")
    return Side(collapse(prefixes), negated=False) if prefixes else _NOWHERE


def _is_prefix(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def collapse(prefixes: Iterable[str]) -> tuple[str, ...]:
    """The same addresses in as few prefixes as possible, without overlaps; IPv6 left out."""
    return _collapsed(tuple(prefixes))


@lru_cache(maxsize=1024)
def _collapsed(prefixes: tuple[str, ...]) -> tuple[str, ...]:
    networks = [ipaddress.ip_network(prefix, strict=False) for prefix in prefixes]
    four = [network for network in networks if isinstance(network, ipaddress.IPv4Network)]
    return tuple(str(network) for network in ipaddress.collapse_addresses(four))


def _ports(texts: Iterable[str]) -> tuple[tuple[int, int], ...]:
    """Inclusive port ranges in order, overlapping ones joined; empty for any port."""
    ranges: list[tuple[int, int]] = []
    for text in texts:
        if str(text) == "*":
            return ()
        first, _, last = str(text).partition("-")
        ranges.append((int(first), int(last or first)))
    joined: list[tuple[int, int]] = []
    for first_port, last_port in sorted(ranges):
        if joined and first_port <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last_port))
        else:
            joined.append((first_port, last_port))
    return tuple(joined)
