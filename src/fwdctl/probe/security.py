"""Which network security rule keeps the link service's connections away from the forwarders, if one does.

Rules are judged as Azure does: inbound rules by priority, the first that matches decides, the default rules
last (azure-docs, network-security-groups-overview). Groups on subnets are read; those on a scale set's own
interfaces are not.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

from fwdctl.probe.model import Broken

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fwdctl.deployment import Forward

Document = dict[str, Any]
ANYWHERE = {"*", "any", "virtualnetwork", "0.0.0.0/0"}
"""Prefixes that hold any address of a virtual network."""


def denied(
    groups: Sequence[Document],
    networks: Sequence[Document],
    sources: Sequence[str],
    backends: Sequence[str],
    forward: Forward,
) -> Broken | None:
    """The rule that refuses a forward's port to every source, or nothing.

    Args:
        groups: network security groups.
        networks: virtual networks with their subnets.
        sources: addresses that connections come from: the link service's.
        backends: addresses of the forwarders.
        forward: whose port is asked for.
    """
    by_id = {str(group["id"]).lower(): group for group in groups}
    for backend in backends:
        group = by_id.get(_group_id(networks, backend))
        verdicts = [_deciding(group, source, backend, forward.port) for source in sources] if group else []
        refusing = [rule for rule in verdicts if rule is not None and rule["properties"]["access"] == "Deny"]
        if group and verdicts and len(refusing) == len(verdicts):
            return Broken(
                "route",
                "NSG_DENIED",
                f"rule {refusing[0]['name']} of network security group {group['name']} refuses port "
                f"{forward.port} to {', '.join(sources)}",
                f"az network nsg rule list -g {_resource_group(group)} --nsg-name {group['name']} -o table",
            )
    return None


def _group_id(networks: Iterable[Document], address: str) -> str:
    """Id of the group of the subnet that holds an address, lower case; empty if it has none."""
    for network in networks:
        for subnet in (network.get("properties") or {}).get("subnets") or ():
            values = subnet.get("properties") or {}
            prefixes = values.get("addressPrefixes") or [values.get("addressPrefix")]
            if any(prefix and ip_address(address) in ip_network(prefix) for prefix in prefixes):
                return str((values.get("networkSecurityGroup") or {}).get("id", "")).lower()
    return ""


def _deciding(group: Document, source: str, destination: str, port: int) -> Document | None:
    values = group.get("properties") or {}
    rules = [*(values.get("securityRules") or ()), *(values.get("defaultSecurityRules") or ())]
    inbound: list[Document] = [rule for rule in rules if rule["properties"].get("direction") == "Inbound"]
    for rule in sorted(inbound, key=lambda each: int(each["properties"]["priority"])):
        if _matches(rule["properties"], source, destination, port):
            return rule
    return None


def _matches(rule: Document, source: str, destination: str, port: int) -> bool:
    return (
        str(rule.get("protocol", "*")).lower() in {"*", "tcp"}
        and any(_in_range(text, port) for text in _both(rule, "destinationPortRange"))
        and any(_in_prefix(text, source) for text in _both(rule, "sourceAddressPrefix", "es"))
        and any(_in_prefix(text, destination) for text in _both(rule, "destinationAddressPrefix", "es"))
    )


def _both(rule: Document, name: str, plural: str = "s") -> list[str]:
    """ARM has a field for one value and another for several."""
    return [text for text in [rule.get(name), *(rule.get(name + plural) or ())] if text]


def _in_range(text: str, port: int) -> bool:
    if text == "*":
        return True
    low, _, high = text.partition("-")
    return int(low) <= port <= int(high or low)


def _in_prefix(text: str, address: str) -> bool:
    if text.lower() in ANYWHERE:
        return True
    try:
        return ip_address(address) in ip_network(text, strict=False)
    except ValueError:
        return False  # a service tag other than those above holds no private address


def _resource_group(group: Document) -> str:
    return str(group["id"]).split("/")[4]
