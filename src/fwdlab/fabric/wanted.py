"""The wanted network as plain values: what `plan` makes out of ARM documents and `apply` brings about.

Numbers of networks and connections are hashes of their ids, so that one more network never renumbers another
whose packets are on their way.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

Protocol = Literal["tcp", "udp", "icmp", "*"]


def short_hash(text: str) -> str:
    """Ten hex digits that stand for a longer name; device names have 15 characters at most."""
    return hashlib.sha256(text.lower().encode()).hexdigest()[:10]


def numbered(keys: Iterable[str], *, first: int, last: int) -> dict[str, int]:
    """A number for each key that depends on the key, and on others only when two collide."""
    numbers: dict[str, int] = {}
    taken: set[int] = set()
    for key in sorted(keys):
        number = first + int(short_hash(key), 16) % (last - first + 1)
        while number in taken:
            number = number + 1 if number < last else first
        numbers[key] = number
        taken.add(number)
    return numbers


@dataclass(frozen=True)
class Network:
    """A virtual network.

    Attributes:
        number: its packet mark, routing table, conntrack zone and DNS port; 1024 to 32767.
        reaches: numbers of the networks that it is peered with, both ways connected.
        space: prefixes that the service tag VirtualNetwork stands for.
    """

    id: str
    number: int
    prefixes: tuple[str, ...]
    reaches: tuple[int, ...]
    space: tuple[str, ...]


@dataclass(frozen=True)
class Interface:
    """An interface of a node.

    Attributes:
        place: which of the node's it is; 0 is the primary one, eth0, and has the default route.
        device: name of the fabric's end.
        mac: hardware address of the node's end.
        network: number of its network.
        gateway: first address of its subnet.
        forwards: may send with addresses that are not its own (enableIPForwarding).
        inbound: names of the security chains for what comes in, subnet first.
        outbound: names of the security chains for what goes out, interface first.
    """

    node: str
    boot_id: str
    device: str
    mac: str
    network: int
    address: str
    prefix_length: int
    gateway: str
    forwards: bool = False
    inbound: tuple[str, ...] = ()
    outbound: tuple[str, ...] = ()
    place: int = 0


@dataclass(frozen=True)
class Side:
    """Addresses on one side of a security rule; no prefixes and `negated` means any."""

    prefixes: tuple[str, ...] = ()
    negated: bool = True


@dataclass(frozen=True)
class SecurityRule:
    """One rule of a network security group, in terms of packets; port ranges are inclusive, empty for any."""

    name: str
    allow: bool
    protocol: Protocol
    source: Side
    destination: Side
    source_ports: tuple[tuple[int, int], ...] = ()
    destination_ports: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class SecurityChain:
    """A security group in one direction, seen from one network; rules in the order of their priority."""

    name: str
    rules: tuple[SecurityRule, ...]


@dataclass(frozen=True)
class Balance:
    """A load balancing rule.

    Attributes:
        network: number of the frontend's network.
        protocol: `*` for a rule for all ports (then both ports are 0).
        members: addresses of the whole pool.
        healthy: members that new flows go to; none means that new flows are dropped.
        idle: seconds after which a TCP flow that carries nothing is forgotten; 0 for never.
        resets: whether the client of such a flow is told so, when it sends again.
    """

    id: str
    network: int
    address: str
    protocol: Protocol
    port: int
    backend_port: int
    members: tuple[str, ...]
    healthy: tuple[str, ...]
    affinity: Literal["Default", "SourceIP", "SourceIPProtocol"]
    idle: int = 240
    resets: bool = False


@dataclass(frozen=True)
class Probe:
    """A health probe.

    Attributes:
        path: request path of Http and Https.
        interval: seconds between probes.
        threshold: results of the same kind that change a verdict.
        network: number of the members' network.
        addresses: members.
    """

    load_balancer_id: str
    name: str
    kind: Literal["Tcp", "Http", "Https"]
    port: int
    path: str
    interval: int
    threshold: int
    network: int
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class LinkService:
    """A private link service: NAT addresses in front of load balancer frontends."""

    id: str
    network: int
    nat_addresses: tuple[str, ...]
    frontends: tuple[str, ...]


@dataclass(frozen=True)
class Connection:
    """An approved private endpoint as one network sees it.

    Attributes:
        mark: connection mark; 65536 or more.
        network: number of the network whose packets may use it.
        inbound: security chains of its subnet, where the subnet's network policies are on.
    """

    mark: int
    endpoint_id: str
    service_id: str
    network: int
    address: str
    inbound: tuple[str, ...] = ()


@dataclass(frozen=True)
class VaultEndpoint:
    """An approved private endpoint to a key vault as one network sees it.

    Attributes:
        network: number of the network whose packets may use it.
        vault: its name, in lower case.
        port: where the lab answers for it; 32768 or more.
    """

    network: int
    address: str
    vault: str
    tenant: str
    port: int


@dataclass(frozen=True)
class Record:
    """One record set of a private DNS zone; `name` is a full name in lower case."""

    name: str
    type: Literal["A", "AAAA", "CNAME"]
    ttl: int
    values: tuple[str, ...]


@dataclass(frozen=True)
class View:
    """The private zones that one network sees, and their records; `public` is for names outside of them."""

    network: int
    zones: tuple[str, ...]
    records: tuple[Record, ...]
    public: tuple[Record, ...] = ()


@dataclass(frozen=True)
class Fabric:
    """The whole wanted network; `warnings` say what the documents ask for and the lab does not honour."""

    networks: tuple[Network, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    chains: tuple[SecurityChain, ...] = ()
    balances: tuple[Balance, ...] = ()
    probes: tuple[Probe, ...] = ()
    services: tuple[LinkService, ...] = ()
    connections: tuple[Connection, ...] = ()
    vaults: tuple[VaultEndpoint, ...] = ()
    views: tuple[View, ...] = ()
    warnings: tuple[str, ...] = ()
