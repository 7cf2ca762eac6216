"""Which network security rule refuses a flow, if one does, and what lets it through again.

Judged as Azure does (azure-docs, network-security-groups-overview): what leaves passes the interface's group,
then the subnet's; what arrives the subnet's, then the interface's; in each the first rule by priority that
matches decides, the default rules last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Literal

from fwdctl.azure.documents import Document, entries, same, value
from fwdctl.azure.routes import has_gateway, peerings
from fwdctl.probe.hops.commands import az_in_group_of, lines
from fwdctl.probe.model import Broken

PLATFORM = "168.63.129.16"
"""Where health probes come from."""
PLATFORM_DNS = "AzurePlatformDNS"
"""The platform's DNS; rules refuse it by this tag only (azure-docs, what-is-ip-address-168-63-129-16)."""
EXEC_SOURCE = "AzureCloud"
"""Where Azure Container Instances comes from, another tag that stands for addresses which nobody knows."""
ANYWHERE = {"*", "any", "0.0.0.0/0"}
PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
EPHEMERAL = (49152, 60999)
"""Source ports that clients of any system use."""
FIRST_PRIORITY, LAST_PRIORITY = 100, 4096
"""Of the rules that users make; the default rules come after these."""

Direction = Literal["Inbound", "Outbound"]


@dataclass(frozen=True)
class End:
    """One end of a flow.

    Attributes:
        words: who is there.
        addresses: as the security groups at the other end see them.
        networks: virtual networks that these may be in; none where Azure does not know them.
        guarded: whether security groups of this end apply.
        groups: security groups of the addresses' own interfaces, by address.
        applications: application security groups that the addresses belong to, likewise.
    """

    words: str
    addresses: tuple[str, ...]
    networks: tuple[Document, ...] = ()
    guarded: bool = True
    groups: Mapping[str, str] = field(default_factory=dict)
    applications: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def place(self, address: str) -> tuple[Document, Document]:
        """The network and the subnet that hold an address; empty ones if there are none."""
        found = ((net, subnet) for net in self.networks for subnet in entries(net, "subnets"))
        return next((pair for pair in found if prefix_of(pair[1], address) != address), ({}, {}))

    def __str__(self) -> str:
        return f"{self.words} ({', '.join(self.addresses)})"


@dataclass(frozen=True)
class Flow:
    """Connections from one end to a port at the other.

    Attributes:
        number, of: which of those that pass here, so that no two are given rules of one priority.
    """

    source: End
    destination: End
    port: int
    number: int = 0
    of: int = 1
    protocol: str = "Tcp"


@dataclass(frozen=True)
class _Guard:
    """A security group that a flow passes."""

    group: Document
    direction: Direction
    space: tuple[str, ...]


@dataclass(frozen=True)
class _Refusal:
    guard: _Guard
    rule: Document
    destination: str


def denied(flow: Flow, read: Callable[[str], Document]) -> Broken | None:
    """The rule that refuses a flow from each of its sources to one of its destinations, or nothing.

    `read` gives a security group or a route table by its id; empty where it cannot be read.
    """
    refusals = [found for address in flow.destination.addresses if (found := _refused(flow, address, read))]
    if not refusals:
        return None
    guard, rule = refusals[0].guard, refusals[0].rule
    own = [each.destination for each in refusals if (each.guard, each.rule) == (guard, rule)]
    outbound = "outbound " if guard.direction == "Outbound" else ""
    return Broken(
        "route",
        "NSG_DENIED",
        f"{outbound}rule {rule['name']} of network security group {guard.group['name']} refuses port "
        f"{flow.port} from {flow.source} to {flow.destination.words} ({', '.join(own)})",
        _suggestion(guard, rule, flow),
    )


def _refused(flow: Flow, destination: str, read: Callable[[str], Document]) -> _Refusal | None:
    arriving = list(_guards(flow.destination, destination, "Inbound", read))
    refusals = []
    for source in flow.source.addresses:
        leaving = _guards(flow.source, source, "Outbound", read)
        verdicts = ((guard, _deciding(guard, flow, source, destination)) for guard in (*leaving, *arriving))
        refusing = ((g, rule) for g, rule in verdicts if rule is not None and value(rule, "access") == "Deny")
        refusals.append(next(refusing, None))
    if not refusals or refusals[0] is None or None in refusals:
        return None
    return _Refusal(*refusals[0], destination)


def _guards(
    end: End, address: str, direction: Direction, read: Callable[[str], Document]
) -> Iterator[_Guard]:
    if not end.guarded:
        return
    network, subnet = end.place(address)
    ids = [value(subnet, "networkSecurityGroup", "id"), end.groups.get(address)]
    for group_id in ids if direction == "Inbound" else reversed(ids):
        group = read(group_id) if group_id else {}
        if group:
            yield _Guard(group, direction, tuple(_space(network, subnet, read)))


def _space(network: Document, subnet: Document, read: Callable[[str], Document]) -> Iterator[str]:
    """What the tag VirtualNetwork holds, seen from a subnet (azure-docs, service-tags-overview).

    Ranges behind a gateway cannot be read: where there is one, every private address counts.
    """
    yield PLATFORM
    yield from value(network, "addressSpace", "addressPrefixes") or ()
    for peering in peerings(network, admitting=True):
        yield from value(peering, "remoteAddressSpace", "addressPrefixes") or ()
    if has_gateway(network):
        yield from PRIVATE
    table = value(subnet, "routeTable", "id")
    for route in entries(read(table), "routes") if table else ():
        yield str(value(route, "addressPrefix"))


def _deciding(guard: _Guard, flow: Flow, source: str, destination: str) -> Document | None:
    rules = (
        rule
        for rule in entries(guard.group, "securityRules", "defaultSecurityRules")
        if value(rule, "direction") == guard.direction
    )
    for rule in sorted(rules, key=_priority):
        if (
            str(value(rule, "protocol") or "*").lower() in {"*", flow.protocol.lower()}
            and any(_in_range(text, flow.port) for text in _both(rule, "destinationPortRange"))
            and all(any(_in_range(t, p) for t in _both(rule, "sourcePortRange") or ["*"]) for p in EPHEMERAL)
            and _is_at(rule, "source", flow.source, source, guard.space)
            and _is_at(rule, "destination", flow.destination, destination, guard.space)
        ):
            return rule
    return None


def _is_at(rule: Document, side: str, end: End, address: str, space: tuple[str, ...]) -> bool:
    """Whether a side of a rule holds an address."""
    applications = value(rule, f"{side}ApplicationSecurityGroups")
    if applications:
        own = end.applications.get(address, frozenset())
        return any(str(each.get("id", "")).lower() in own for each in applications)
    return any(_in_prefix(text, address, space) for text in _both(rule, f"{side}AddressPrefix", "es"))


def _both(rule: Document, name: str, plural: str = "s") -> list[str]:
    """ARM has a field for one value and another for several."""
    return [text for text in [value(rule, name), *(value(rule, name + plural) or ())] if text]


def _in_range(text: str, port: int) -> bool:
    if text == "*":
        return True
    low, _, high = text.partition("-")
    return int(low) <= port <= int(high or low)


def _in_prefix(text: str, address: str, space: tuple[str, ...]) -> bool:
    tag = text.lower()
    if address == PLATFORM_DNS or same(tag, address):
        return same(tag, address)
    if tag in ANYWHERE:
        return True
    if tag == "virtualnetwork":
        return any(_in_prefix(each, address, ()) for each in space)
    if tag == "internet":
        return not any(_in_prefix(each, address, ()) for each in space)
    try:
        return ip_address(address) in ip_network(
            PLATFORM if tag == "azureloadbalancer" else text, strict=False
        )
    except ValueError:
        return False  # other service tags hold no private address


def _priority(rule: Document) -> int:
    return int(value(rule, "priority"))


def prefix_of(subnet: Document, address: str) -> str:
    """The prefix of a subnet that holds an address; the address itself if none does."""
    prefixes = value(subnet, "addressPrefixes") or [value(subnet, "addressPrefix")]
    held = (prefix for prefix in prefixes if prefix and ip_address(address) in ip_network(prefix))
    return next(held, address)


def _suggestion(guard: _Guard, rule: Document, flow: Flow) -> str:
    """The command that lets a flow through again, and no more than that.

    A rule about just such flows is turned into one that allows them; before one that refuses everything
    comes a rule of its own, at a priority that no other flow of the probe is given.
    """
    group, inbound = guard.group, guard.direction == "Inbound"
    own = entries(group, "securityRules")
    if rule in own and _is_narrow(rule, "source" if inbound else "destination"):
        return _rule_command(group, "update", "-n", rule["name"], "--access", "Allow")
    taken = {_priority(each) for each in own if value(each, "direction") == guard.direction}
    names = {str(each["name"]).lower() for each in own}
    stem = f"allow-{flow.port}" if inbound else f"allow-{flow.port}-out"
    first = []
    before = min(_priority(rule), LAST_PRIORITY + 1)
    free = [
        number
        for number in range(before - 1, FIRST_PRIORITY - 1, -1)
        if number not in taken and f"{stem}-{number}" not in names
    ]
    room = taken.isdisjoint(range(before + 1, before + flow.of + 1))
    if len(free) < flow.of and room and rule in own:
        # Too little room before it: it moves down, past no other rule, for all the flows that it may refuse.
        behind = str(before + flow.of)
        first = [_rule_command(group, "update", "-n", rule["name"], "--priority", behind)]
        free = list(range(before, before + flow.of))
    if not free:
        return _rule_command(group, "list", "-o", "table")
    priority = str(free[flow.number % len(free)])
    create = _rule_command(
        group,
        *("create", "-n", f"{stem}-{priority}", "--priority", priority),
        *("--access", "Allow", "--direction", guard.direction, "--protocol", flow.protocol),
        *("--source-address-prefixes", *_prefixes(flow.source)),
        *("--destination-address-prefixes", *_prefixes(flow.destination)),
        *("--destination-port-ranges", str(flow.port)),
    )
    return lines(*first, create)


def _rule_command(group: Document, verb: str, *words: str) -> str:
    """A command of az about the rules of a security group."""
    return az_in_group_of(group["id"], f"network nsg rule {verb}", "--nsg-name", str(group["name"]), *words)


def _is_narrow(rule: Document, far: str) -> bool:
    """Whether a rule is about some addresses at the far end and some ports only."""
    prefixes = {text.lower() for text in _both(rule, f"{far}AddressPrefix", "es")}
    return not (ANYWHERE | {"virtualnetwork"}) & prefixes and "*" not in _both(rule, "destinationPortRange")


def _prefixes(end: End) -> Iterable[str]:
    """Of subnets, not addresses: jump boxes get another address with each start."""
    if end.addresses == (PLATFORM,):
        return ["AzureLoadBalancer"]
    return dict.fromkeys(prefix_of(end.place(address)[1], address) for address in end.addresses)
