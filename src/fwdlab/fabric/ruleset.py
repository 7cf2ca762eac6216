"""The wanted network as nftables objects, and the script that turns one set of them into another. Pure.

Way of a packet through the fabric's own network namespace:

    raw       foreign source addresses are dropped; mark and conntrack zone of the network it came from
    forget    flows that were idle for too long: a reset for their client, or nothing
    classify  what may leave (security groups), private endpoints, the network that the connection is in
    pre       endpoint or frontend -> load balancer -> a member of the pool; DNS, IMDS, vault -> the fabric
    (routing by mark: own and peered networks, everything else is dropped)
    post      private link: a NAT address of the link service as source
    arrive    what may come in (security groups), with the addresses that the receiver sees
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fwdlab.fabric import vaults
from fwdlab.fabric.wanted import short_hash
from fwdlab.model import METADATA_ADDRESS, PLATFORM_ADDRESS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fwdlab.fabric.wanted import Balance, Connection, Fabric, LinkService, SecurityRule, Side

TABLE = "ip fabric"
_SEED = "0x5eed"
LINK_IDLE = 300
"""Seconds after which a link service forgets an idle flow (private-link-service-overview: about 300)."""
_ANY_PORTS = "meta l4proto { tcp, udp }"


@dataclass(frozen=True)
class Ruleset:
    """Objects of the one table, by name.

    Attributes:
        timeouts: idle timeouts in seconds, each an object of its own.
        maps: declaration and elements of maps, verdict maps and sets.
        chains: declaration (empty for a chain that is only jumped to) and rules.
    """

    counters: tuple[str, ...] = ()
    timeouts: tuple[int, ...] = ()
    maps: Mapping[str, tuple[str, frozenset[str]]] = field(default_factory=dict)
    chains: Mapping[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)


def compile_rules(fabric: Fabric) -> Ruleset:
    """The objects that bring a wanted network about."""
    counters = sorted(counter for _, counter in hop_counters(fabric))
    idle = {min(balance.idle, limit) for balance in fabric.balances for limit in (balance.idle, LINK_IDLE)}
    return Ruleset(tuple(counters), tuple(sorted(idle - {0})), _maps(fabric), _chains(fabric))


def hop_counters(fabric: Fabric) -> Iterator[tuple[str, str]]:
    """What each counter counts, in the order in which a packet passes: (hop, counter's name)."""
    for endpoint in dict.fromkeys(c.endpoint_id for c in fabric.connections):
        yield f"private endpoint {endpoint.rsplit('/', 1)[-1]}", f"c_pe_{short_hash(endpoint)}"
    for service in fabric.services:
        yield f"link service {service.id.rsplit('/', 1)[-1]}", f"c_pls_{short_hash(service.id)}"
    for balance in fabric.balances:
        yield f"load balancer rule {balance.id.rsplit('/', 1)[-1]}", f"c_lb_{short_hash(balance.id)}"


_MAP_TYPES = {
    "networks": "map {}{{ type ifname : mark; }}",
    "zones": "map {}{{ typeof iifname : ct zone; }}",
    "sources": "set {}{{ type ifname . ipv4_addr; }}",
    "routers": "set {}{{ type ifname; }}",
    "outbound": "map {}{{ type ifname : verdict; }}",
    "inbound": "map {}{{ type ifname : verdict; }}",
    "endpoints": "map {}{{ type mark . ipv4_addr : mark; }}",
    "providers": "map {}{{ type mark : mark; }}",
    "consumers": "map {}{{ type mark : mark; }}",
    "services": "map {}{{ type mark : verdict; }}",
    "nat": "map {}{{ type mark : verdict; }}",
    "frontends": "map {}{{ type mark . ipv4_addr . inet_proto . inet_service : verdict; }}",
    "frontends_all": "map {}{{ type mark . ipv4_addr : verdict; }}",
    "forgotten": "map {}{{ type mark . ipv4_addr . inet_service : verdict; }}",
    "dns": "map {}{{ type mark : ipv4_addr . inet_service; }}",
    "metadata": "map {}{{ type mark : ipv4_addr . inet_service; }}",
    "vaults": "map {}{{ type mark . ipv4_addr : ipv4_addr . inet_service; }}",
}


def _maps(fabric: Fabric) -> dict[str, tuple[str, frozenset[str]]]:
    elements: dict[str, set[str]] = {name: set() for name in _MAP_TYPES}
    for i in fabric.interfaces:
        elements["networks"].add(f'"{i.device}" : {i.network}')
        elements["zones"].add(f'"{i.device}" : {i.network}')
        elements["sources"].add(f'"{i.device}" . {i.address}')
        if i.forwards:
            elements["routers"].add(f'"{i.device}"')
        if i.outbound:
            elements["outbound"].add(f'"{i.device}" : jump out_{i.device[2:]}')
        if i.inbound:
            elements["inbound"].add(f'"{i.device}" : jump in_{i.device[2:]}')
    network_of = {service.id: service.network for service in fabric.services}
    for c in fabric.connections:
        elements["endpoints"].add(f"{c.network} . {c.address} : {c.mark:#x}")
        elements["providers"].add(f"{c.mark:#x} : {network_of[c.service_id]}")
        elements["consumers"].add(f"{c.mark:#x} : {c.network}")
        elements["services"].add(f"{c.mark:#x} : jump pe_{c.mark:x}")
        elements["nat"].add(f"{c.mark:#x} : jump pls_{short_hash(c.service_id)}")
    elements["forgotten"].update(_forgotten(fabric))
    elements["frontends"].update(_frontends(fabric, every_port=False))
    elements["frontends_all"].update(_frontends(fabric, every_port=True))
    elements["dns"].update(f"{n.number} : {PLATFORM_ADDRESS} . {n.number}" for n in fabric.networks)
    elements["metadata"].update(f"{n.number} : {METADATA_ADDRESS} . {n.number}" for n in fabric.networks)
    elements["vaults"].update(
        f"{v.network} . {v.address} : {vaults.ADDRESS} . {v.port}" for v in fabric.vaults
    )
    return {name: (kind, frozenset(elements[name])) for name, kind in _MAP_TYPES.items()}


def _forgotten(fabric: Fabric) -> Iterator[str]:
    """What becomes of a packet to a frontend or endpoint whose flow is not known any more."""
    services = {service.id: service for service in fabric.services}
    for balance in (each for each in fabric.balances if each.protocol == "tcp"):
        verdict = f"{balance.port} : " + ("goto answer_reset" if balance.resets else "drop")
        for network in fabric.networks:
            if network.number == balance.network or balance.network in network.reaches:
                yield f"{network.number} . {balance.address} . {verdict}"
        for c in fabric.connections:
            service = services[c.service_id]
            if service.network == balance.network and balance.address in service.frontends:
                yield f"{c.network} . {c.address} . {verdict}"


def _frontends(fabric: Fabric, *, every_port: bool) -> Iterator[str]:
    for balance in fabric.balances:
        if (balance.protocol == "*") != every_port:
            continue
        for network in fabric.networks:
            if network.number != balance.network and balance.network not in network.reaches:
                continue
            key = f"{network.number} . {balance.address}"
            if not every_port:
                key += f" . {balance.protocol} . {balance.port}"
            yield f"{key} : jump lb_{short_hash(balance.id)}"


def _chains(fabric: Fabric) -> dict[str, tuple[str, tuple[str, ...]]]:
    chains: dict[str, tuple[str, tuple[str, ...]]] = dict(_BASE)
    for interface in fabric.interfaces:
        for direction, names in (("out", interface.outbound), ("in", interface.inbound)):
            if names:
                lines = tuple(f"jump {name}" for name in names)
                chains[f"{direction}_{interface.device[2:]}"] = ("", lines)
    for chain in fabric.chains:
        chains[chain.name] = ("", tuple(line for rule in chain.rules for line in _security_lines(rule)))
    for balance in fabric.balances:
        chains[f"lb_{short_hash(balance.id)}"] = ("", _balance_lines(balance))
    services = {service.id: service for service in fabric.services}
    for service in fabric.services:
        count = f"counter name c_pls_{short_hash(service.id)}"
        chains[f"pls_{short_hash(service.id)}"] = ("", (count, _source_line(service)))
    for connection in fabric.connections:
        lines = _endpoint_lines(connection, services[connection.service_id], fabric.balances)
        chains[f"pe_{connection.mark:x}"] = ("", lines)
    return chains


_BASE: dict[str, tuple[str, tuple[str, ...]]] = {
    "raw": (
        "type filter hook prerouting priority raw; policy accept;",
        (
            "icmp type redirect drop",
            "iifname . ip saddr != @sources iifname != @routers drop",
            "meta mark set iifname map @networks",
            "ct original zone set iifname map @zones",
        ),
    ),
    "answer_reset": ("", ("reject with tcp reset",)),
    "forget": (
        "type filter hook prerouting priority -160; policy accept;",
        ("ct state invalid meta mark . ip daddr . tcp dport vmap @forgotten",),
    ),
    # The fabric's own kernel tells nobody that an address is not there: in Azure such packets get lost.
    "own": (
        "type filter hook output priority filter; policy accept;",
        ("icmp type { destination-unreachable, time-exceeded, parameter-problem } drop",),
    ),
    "classify": (
        "type filter hook prerouting priority mangle; policy accept;",
        (
            f"ip daddr {METADATA_ADDRESS} accept",  # security groups do not apply
            "ct state new iifname vmap @outbound",
            "ct state new ct mark set meta mark . ip daddr map @endpoints",
            "ct direction original meta mark set ct mark map @providers",
            "ct direction reply meta mark set ct mark map @consumers",
        ),
    ),
    "pre": (
        "type nat hook prerouting priority dstnat; policy accept;",
        (
            f"ip daddr {PLATFORM_ADDRESS} {_ANY_PORTS} th dport 53 dnat ip to meta mark map @dns",
            f"ip daddr {METADATA_ADDRESS} tcp dport 80 dnat ip to meta mark map @metadata",
            "tcp dport 443 dnat ip to meta mark . ip daddr map @vaults",
            "ct mark vmap @services",
            "meta mark . ip daddr . meta l4proto . th dport vmap @frontends",
            "meta mark . ip daddr vmap @frontends_all",
        ),
    ),
    "input": (
        "type filter hook input priority filter; policy drop;",
        (
            "ct state established,related accept",
            f"ip daddr {{ {PLATFORM_ADDRESS}, {METADATA_ADDRESS} }} ct status dnat accept",
        ),
    ),
    "post": ("type nat hook postrouting priority srcnat; policy accept;", ("ct mark vmap @nat",)),
    # Past srcnat, so that rules see the source that the receiver sees.
    "arrive": (
        "type filter hook postrouting priority 150; policy accept;",
        ("ct state new oifname vmap @inbound",),
    ),
}


def _side(direction: str, side: Side) -> str | None:
    """Match on addresses; None when nothing can match, empty when everything does."""
    if not side.prefixes:
        return "" if side.negated else None
    return f"ip {direction} {'!= ' if side.negated else ''}{{ {', '.join(side.prefixes)} }}"


def _ports(direction: str, ranges: tuple[tuple[int, int], ...]) -> str:
    if not ranges:
        return ""
    texts = (str(first) if first == last else f"{first}-{last}" for first, last in ranges)
    return f"th {direction} {{ {', '.join(texts)} }}"


def _security_lines(rule: SecurityRule) -> tuple[str, ...]:
    sides = [_side("saddr", rule.source), _side("daddr", rule.destination)]
    if None in sides:
        return ()
    ports = [_ports("sport", rule.source_ports), _ports("dport", rule.destination_ports)]
    if rule.protocol == "*":
        protocol = _ANY_PORTS if any(ports) else ""
    else:
        protocol = f"meta l4proto {rule.protocol}"
        if rule.protocol == "icmp":
            ports = []
    verdict = "return" if rule.allow else "drop"
    return (" ".join(part for part in (protocol, *sides, *ports, verdict) if part),)


def _balance_lines(balance: Balance) -> tuple[str, ...]:
    count = f"counter name c_lb_{short_hash(balance.id)}"
    if not balance.healthy:
        return (count, "drop")
    first = (count, *_idle_lines(balance.idle))
    addresses = "ip saddr . ip daddr"
    if balance.protocol == "*":
        return (*first, f"dnat to {_choose(addresses, balance.healthy)}")
    protocol, port = balance.protocol, balance.backend_port
    if len(balance.healthy) == 1:
        return (*first, f"meta l4proto {protocol} dnat to {balance.healthy[0]}:{port}")
    keys = {
        "Default": f"ip saddr . {protocol} sport . ip daddr . {protocol} dport",
        "SourceIP": addresses,
        "SourceIPProtocol": f"{addresses} . meta l4proto",
    }[balance.affinity]
    targets = [f"{member} . {port}" for member in balance.healthy]
    return (*first, f"meta l4proto {protocol} dnat ip to {_choose(keys, targets)}")


def _idle_lines(seconds: int) -> tuple[str, ...]:
    """When a flow is forgotten; one with a mark comes through a link service, which does not wait longer."""
    if not seconds:
        return ()
    if seconds <= LINK_IDLE:
        return (f'meta l4proto tcp ct timeout set "idle_{seconds}"',)
    limits = {"ct mark 0": seconds, "ct mark != 0": LINK_IDLE}
    return tuple(f'{who} meta l4proto tcp ct timeout set "idle_{limit}"' for who, limit in limits.items())


def _choose(keys: str, values: Sequence[str]) -> str:
    if len(values) == 1:
        return values[0]
    pairs = ", ".join(f"{number} : {value}" for number, value in enumerate(values))
    return f"jhash {keys} mod {len(values)} seed {_SEED} map {{ {pairs} }}"


def _source_line(service: LinkService) -> str:
    return f"snat to {_choose('ip saddr . ip daddr', service.nat_addresses)}"


def _endpoint_lines(
    connection: Connection, service: LinkService, balances: tuple[Balance, ...]
) -> tuple[str, ...]:
    """Ports that the service's frontends have a rule for; everything else is dropped."""
    lines = [f"jump {chain}" for chain in connection.inbound]
    lines.append(f"counter name c_pe_{short_hash(connection.endpoint_id)}")
    for balance in balances:
        if balance.network != service.network or balance.address not in service.frontends:
            continue
        match = "" if balance.protocol == "*" else f"{balance.protocol} dport {balance.port} "
        lines.append(f"{match}jump lb_{short_hash(balance.id)}")
    return (*lines, "drop")


def full_script(wanted: Ruleset) -> str:
    """Replace the whole table, whatever is there."""
    return f"add table {TABLE}\ndelete table {TABLE}\nadd table {TABLE}\n" + difference(Ruleset(), wanted)


def difference(old: Ruleset, new: Ruleset) -> str:
    """One transaction that turns `old` into `new`; empty when there is nothing to do."""
    lines = [f"add counter {TABLE} {name}" for name in new.counters if name not in old.counters]
    lines += [_timeout(seconds) for seconds in new.timeouts if seconds not in old.timeouts]
    for name, (declaration, _) in new.maps.items():
        if name not in old.maps:
            kind, rest = declaration.format("").split(" ", 1)
            lines.append(f"add {kind} {TABLE} {name} {rest}")
    for name, (declaration, _) in new.chains.items():
        if name not in old.chains:
            lines.append(f"add chain {TABLE} {name}" + (f" {{ {declaration} }}" if declaration else ""))
    changed = [name for name, value in new.chains.items() if value != old.chains.get(name)]
    gone = [name for name in old.chains if name not in new.chains]
    lines += [f"flush chain {TABLE} {name}" for name in (*changed, *gone) if name in old.chains]
    lines += _elements("delete", old, new)
    for name in changed:
        lines += [f"add rule {TABLE} {name} {rule}" for rule in new.chains[name][1]]
    lines += _elements("add", new, old)
    lines += [f"delete chain {TABLE} {name}" for name in gone]
    lines += [f"delete counter {TABLE} {name}" for name in old.counters if name not in new.counters]
    return "".join(line + "\n" for line in lines)


def timeout_test() -> str:
    """A script that a kernel without timeouts of connections refuses."""
    table = f"{TABLE}_test"
    return f"add table {table}\n{_timeout(1).replace(TABLE, table)}\ndelete table {table}\n"


def _timeout(seconds: int) -> str:
    """One is never deleted: flows hold it."""
    policy = f"established : {seconds}"
    return (
        f"add ct timeout {TABLE} idle_{seconds} {{ protocol tcp ; l3proto ip ; policy = {{ {policy} }} ; }}"
    )


def _elements(verb: str, have: Ruleset, other: Ruleset) -> list[str]:
    lines = []
    for name, (_, elements) in have.maps.items():
        rest = elements - (other.maps[name][1] if name in other.maps else frozenset())
        if rest:
            lines.append(f"{verb} element {TABLE} {name} {{ {', '.join(sorted(rest))} }}")
    return lines
