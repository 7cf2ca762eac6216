"""Which network security rule refuses a flow to the forwarders, if one does, and what lets it through again.

Rules are judged as Azure does: inbound rules by priority, the first that matches decides, the default rules
last (azure-docs, network-security-groups-overview). Groups on subnets are read; those on a scale set's own
interfaces are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from fwdctl.azure.documents import Document, entries, same, value
from fwdctl.probe.model import Broken

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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
    """The rule that refuses a flow from each of its sources, or nothing."""
    refusals: list[tuple[Document, Document, str]] = []
    for destination in flow.destinations:
        group_id = value(_subnet(networks, destination), "networkSecurityGroup", "id")
        group = next((each for each in groups if same(each["id"], group_id)), None)
        verdicts = [_deciding(group, s, destination, flow.port) for s in flow.sources] if group else []
        refusing = [rule for rule in verdicts if rule is not None and value(rule, "access") == "Deny"]
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
        _suggestion(group, rule, networks, flow),
    )


def _suggestion(group: Document, rule: Document, networks: Sequence[Document], flow: Flow) -> str:
    """The command that lets a flow through again, and no more than that.

    A rule about just such flows is turned into one that allows them; before one that refuses everything
    comes a rule of its own.
    """
    where = f"-g {str(group['id']).split('/')[4]} --nsg-name {group['name']}"
    own = entries(group, "securityRules")
    if rule in own and _is_narrow(rule):
        return f"az network nsg rule update {where} -n {rule['name']} --access Allow"
    taken = {_priority(each) for each in own if _inbound(each)}
    before = min(_priority(rule), LAST_PRIORITY + 1)
    free = next((n for n in range(before - 1, FIRST_PRIORITY - 1, -1) if n not in taken), None)
    if free is None:  # nothing fits before it
        return f"az network nsg rule list {where} -o table"
    sources, destinations = (
        # Of subnets, not addresses: jump boxes get another address with each start.
        " ".join(dict.fromkeys(_prefix(_subnet(networks, address), address) for address in addresses))
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


def _subnet(networks: Iterable[Document], address: str) -> Document:
    """The subnet that holds an address; empty if there is none."""
    subnets = (subnet for network in networks for subnet in entries(network, "subnets"))
    return next((subnet for subnet in subnets if _prefix(subnet, address) != address), {})


def _prefix(subnet: Document, address: str) -> str:
    """The prefix of a subnet that holds an address; the address itself if none does."""
    prefixes = value(subnet, "addressPrefixes") or [value(subnet, "addressPrefix")]
    held = (prefix for prefix in prefixes if prefix and ip_address(address) in ip_network(prefix))
    return next(held, address)


def _inbound(rule: Document) -> bool:
    return bool(value(rule, "direction") == "Inbound")


def _priority(rule: Document) -> int:
    return int(value(rule, "priority"))


def _deciding(group: Document, source: str, destination: str, port: int) -> Document | None:
    rules = filter(_inbound, entries(group, "securityRules", "defaultSecurityRules"))
    matching = (rule for rule in sorted(rules, key=_priority) if _matches(rule, source, destination, port))
    return next(matching, None)


def _matches(rule: Document, source: str, destination: str, port: int) -> bool:
    return (
        str(value(rule, "protocol") or "*").lower() in {"*", "tcp"}
        and any(_in_range(text, port) for text in _both(rule, "destinationPortRange"))
        and any(_in_prefix(text, source) for text in _both(rule, "sourceAddressPrefix", "es"))
        and any(_in_prefix(text, destination) for text in _both(rule, "destinationAddressPrefix", "es"))
    )


def _both(rule: Document, name: str, plural: str = "s") -> list[str]:
    """ARM has a field for one value and another for several."""
    return [text for text in [value(rule, name), *(value(rule, name + plural) or ())] if text]


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
