"""Which network security rule refuses a flow to the forwarders, if one does, and what lets it through again.

Rules are judged as Azure does: inbound rules by priority, the first that matches decides, the default rules
last (azure-docs, network-security-groups-overview). Groups on subnets are read; those on a scale set's own
interfaces are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

from fwdctl.probe.model import Broken

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Document = dict[str, Any]
ANYWHERE = {"*", "any", "virtualnetwork", "0.0.0.0/0"}
"""Prefixes that hold any address of a virtual network."""
FIRST_PRIORITY, LAST_PRIORITY = 100, 4096
"""Of the rules that users make; the default rules come after these."""


@dataclass(frozen=True)
class Flow:
    """Connections to the forwarders, with the addresses that their security group sees.

    Attributes:
        origin: who opens them, in words.
        sources: their addresses: of the link service's NAT, or of the hub's jump box.
        destinations: the forwarders' addresses.
        port: of the forward.
    """

    origin: str
    sources: tuple[str, ...]
    destinations: tuple[str, ...]
    port: int


def denied(groups: Sequence[Document], networks: Sequence[Document], flow: Flow) -> Broken | None:
    """The rule that refuses a flow from each of its sources, or nothing.

    Args:
        groups: network security groups.
        networks: virtual networks with their subnets.
        flow: what is asked for.
    """
    by_id = {str(group["id"]).lower(): group for group in groups}
    refusals: list[tuple[Document, Document, str]] = []
    for destination in flow.destinations:
        group = by_id.get(_group_id(networks, destination))
        verdicts = [_deciding(group, s, destination, flow.port) for s in flow.sources] if group else []
        refusing = [rule for rule in verdicts if rule is not None and rule["properties"]["access"] == "Deny"]
        if group and verdicts and len(refusing) == len(verdicts):
            refusals.append((group, refusing[0], destination))
    if not refusals:
        return None
    group, rule, _ = refusals[0]
    refused = [destination for own, each, destination in refusals if (own, each) == (group, rule)]
    return Broken(
        "route",
        "NSG_DENIED",
        f"rule {rule['name']} of network security group {group['name']} refuses port {flow.port} from "
        f"{flow.origin} ({', '.join(flow.sources)}) to the forwarders ({', '.join(refused)})",
        _mend(group, rule, networks, flow),
    )


def _mend(group: Document, rule: Document, networks: Sequence[Document], flow: Flow) -> str:
    """The command that lets a flow through again, and no more than that.

    A rule about just such flows is turned into one that allows them; before one that refuses everything
    comes a rule of its own.
    """
    where = f"-g {_resource_group(group)} --nsg-name {group['name']}"
    own: list[Document] = (group.get("properties") or {}).get("securityRules") or []
    if rule in own and _is_narrow(rule["properties"]):
        return f"az network nsg rule update {where} -n {rule['name']} --access Allow"
    taken = {int(each["properties"]["priority"]) for each in own if _inbound(each)}
    before = min(int(rule["properties"]["priority"]), LAST_PRIORITY + 1)
    free = next((n for n in range(before - 1, FIRST_PRIORITY - 1, -1) if n not in taken), None)
    if free is None:  # nothing fits before it
        return f"az network nsg rule list {where} -o table"
    sources, destinations = (
        " ".join(dict.fromkeys(_subnet_prefix(networks, address) for address in addresses))
        for addresses in (flow.sources, flow.destinations)
    )
    return (
        f"az network nsg rule create {where} -n allow-{flow.port}-{free} --priority {free} --access Allow "
        f"--direction Inbound --protocol Tcp --source-address-prefixes {sources} "
        f"--destination-address-prefixes {destinations} --destination-port-ranges {flow.port}"
    )


def _is_narrow(rule: Document) -> bool:
    """Whether a rule is about some sources and some ports only."""
    sources = [text.lower() for text in _both(rule, "sourceAddressPrefix", "es")]
    return not ANYWHERE & set(sources) and "*" not in _both(rule, "destinationPortRange")


def _group_id(networks: Iterable[Document], address: str) -> str:
    """Id of the group of the subnet that holds an address, lower case; empty if it has none."""
    for values, _ in _subnets(networks, address):
        return str((values.get("networkSecurityGroup") or {}).get("id", "")).lower()
    return ""


def _subnet_prefix(networks: Iterable[Document], address: str) -> str:
    """The prefix of the subnet that holds an address: jump boxes get another address with each start."""
    return next((prefix for _, prefix in _subnets(networks, address)), address)


def _subnets(networks: Iterable[Document], address: str) -> Iterable[tuple[Document, str]]:
    for network in networks:
        for subnet in (network.get("properties") or {}).get("subnets") or ():
            values = subnet.get("properties") or {}
            for prefix in values.get("addressPrefixes") or [values.get("addressPrefix")]:
                if prefix and ip_address(address) in ip_network(prefix):
                    yield values, prefix


def _inbound(rule: Document) -> bool:
    return bool(rule["properties"].get("direction") == "Inbound")


def _deciding(group: Document, source: str, destination: str, port: int) -> Document | None:
    values = group.get("properties") or {}
    rules = [*(values.get("securityRules") or ()), *(values.get("defaultSecurityRules") or ())]
    inbound: list[Document] = [rule for rule in rules if _inbound(rule)]
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
