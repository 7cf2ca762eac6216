"""Brings the kernel from one wanted network to the next: nodes' interfaces, routes, one nft transaction."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fwdlab.errors import LabError
from fwdlab.fabric.ruleset import (
    Ruleset,
    compile_rules,
    difference,
    full_script,
    hop_counters,
    timeout_test,
)
from fwdlab.fabric.wanted import Fabric
from fwdlab.model import METADATA_ADDRESS, PLATFORM_ADDRESS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from fwdlab.fabric.wanted import Balance, Interface
    from fwdlab.machine.ports import Completed
    from fwdlab.nodes.factory import NodeFactory
    from fwdlab.nodes.node import Node

_GATEWAY_MAC = "12:34:56:78:9a:bc"  # what Azure answers every ARP request with
_PRIORITY = 1000
_GONE = 1000
"""Group of devices that are removed together."""
_SECONDS = 20.0
_MOST_LINKS = 200
_LONGEST_SCRIPT = 40_000
"""Characters that fit into one message; nft cannot enlarge its buffer without rights on the host."""
_SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv4/conf/all/proxy_arp": "1",
    "net/ipv4/conf/default/proxy_arp": "1",
    # A forgotten flow is not taken up again in its middle, and a reset goes back to its network.
    "net/netfilter/nf_conntrack_tcp_loose": "0",
    "net/ipv4/fwmark_reflect": "1",
}


@dataclass(frozen=True)
class HopCounter:
    """How many connections a hop has seen since it was made."""

    hop: str
    connections: int


class Kernel:
    """The fabric's network namespace and what has been brought about in it so far."""

    def __init__(self, fabric_node: Node, log: Callable[[str], None]) -> None:
        self.node = fabric_node
        self._log = log
        self._fabric = Fabric()
        self._linked = Fabric()
        self._rules = Ruleset()
        self._broken = True
        self._forgets = True

    @classmethod
    async def create(cls, factory: NodeFactory, log: Callable[[str], None]) -> Kernel:
        node = await factory.create("fabric", private_files=False, sysctls=_SYSCTLS)
        kernel = cls(node, log)
        # The default route never carries a packet of a node (these have a mark and their own table); it is
        # what makes proxy ARP answer for every address.
        own = [f"addr add {address}/32 dev lo" for address in (PLATFORM_ADDRESS, METADATA_ADDRESS)]
        await run_ip(node, [*own, "route add default dev lo"])
        refused = await kernel._nft(timeout_test())
        if refused is not None:
            kernel._forgets = False
            log(f"idle connections are never forgotten, this kernel cannot: {refused}")
        return kernel

    async def apply(self, wanted: Fabric, nodes: Mapping[str, Node]) -> None:
        """Change the kernel by the difference; does nothing when nothing differs.

        `nodes` are those that run, by name; the wanted network has no interface of any other.

        Raises:
            LabError: `apply_failed`, naming the command that failed.
        """
        try:
            await self._link(wanted, nodes)
        except LabError as error:
            # What is there is not what it should be; start the links from nothing, once.
            self._log(f"the links are built anew: {error.message}")
            await self._unlink()
            await self._link(wanted, nodes)
        kept = wanted if self._forgets else replace(wanted, balances=_never_idle(wanted))
        await self._apply_rules(compile_rules(kept))
        self._fabric = wanted

    async def _link(self, wanted: Fabric, nodes: Mapping[str, Node]) -> None:
        if (part := _portion(self._linked, wanted)) != wanted:
            await self._link(part, nodes)
        old = self._linked
        added = [i for i in wanted.interfaces if i.device not in {o.device for o in old.interfaces}]
        if lines := _fabric_lines(old, wanted):
            await run_ip(self.node, lines, [nodes[interface.node].network for interface in added])
        present = {i.device: i for i in old.interfaces}
        await asyncio.gather(
            *(
                run_ip(nodes[i.node], _node_lines(i, present.get(i.device)))
                for i in wanted.interfaces
                if i != present.get(i.device)
            )
        )
        self._linked = wanted

    async def _unlink(self) -> None:
        """Remove every link to a node, every rule and every network's table."""
        self._linked = Fabric()
        async with asyncio.timeout(_SECONDS):
            links = await self.node.run(["ip", "-j", "link", "show", "type", "veth"])
            rules = await self.node.run(["ip", "-j", "rule", "show", "priority", str(_PRIORITY)])
        lines = _removal([entry["ifname"] for entry in json.loads(links.stdout or b"[]")])
        lines += [f"rule del {_rule(int(entry['table']))}" for entry in json.loads(rules.stdout or b"[]")]
        await run_ip(self.node, lines)

    async def _apply_rules(self, wanted: Ruleset) -> None:
        if not self._broken:
            script = difference(self._rules, wanted)
            if not script:
                return
            if (reason := await self._nft(script)) is None:
                self._rules = wanted
                return
            self._log(f"`nft` refused a change, the table is built anew: {reason}")
        self._broken = True
        if (reason := await self._nft(full_script(wanted))) is not None:
            raise LabError("apply_failed", f"`nft` refused the rules: {reason}.")
        self._rules, self._broken = wanted, False

    async def _nft(self, script: str) -> str | None:
        """Why nft refused, None when it did not.

        What does not fit into one message to the kernel is made in parts; packets may meet a part of it.
        """
        async with asyncio.timeout(_SECONDS):
            for part in _parts(script):
                done = await self.node.run(["nft", "-f", "-"], stdin=part.encode())
                if done.returncode:
                    return _said(done)[:600]
        return None

    async def counters(self) -> tuple[HopCounter, ...]:
        """Connections by hop, in the order in which a packet passes the hops."""
        async with asyncio.timeout(_SECONDS):
            done = await self.node.run(["nft", "-j", "list", "counters", "table", "ip", "fabric"])
        if done.returncode:
            raise LabError("counters_failed", f"`nft` cannot list the counters: {_said(done)}.")
        listed = json.loads(done.stdout)["nftables"]
        packets = {e["counter"]["name"]: int(e["counter"]["packets"]) for e in listed if "counter" in e}
        return tuple(HopCounter(hop, packets.get(name, 0)) for hop, name in hop_counters(self._fabric))


def _parts(script: str) -> Iterator[str]:
    """A script cut between lines; no part is longer than `_LONGEST_SCRIPT`, but for a line that is."""
    part = ""
    for line in script.splitlines(keepends=True):
        if part and len(part) + len(line) > _LONGEST_SCRIPT:
            yield part
            part = ""
        part += line
    yield part


def _never_idle(fabric: Fabric) -> tuple[Balance, ...]:
    return tuple(replace(balance, idle=0) for balance in fabric.balances)


def _said(done: Completed) -> str:
    return done.stderr.decode("utf-8", "replace").strip()


def _portion(old: Fabric, new: Fabric) -> Fabric:
    """`new` with no more new interfaces than files fit into one message."""
    before = {i.device for i in old.interfaces}
    added = [i.device for i in new.interfaces if i.device not in before]
    later = set(added[_MOST_LINKS:])
    if not later:
        return new
    return replace(new, interfaces=tuple(i for i in new.interfaces if i.device not in later))


def _fabric_lines(old: Fabric, new: Fabric) -> list[str]:
    """Commands for the fabric's namespace; descriptors 3, 4 … are those of the added interfaces' nodes."""
    lines = []
    before = {i.device: i for i in old.interfaces}
    after = {i.device: i for i in new.interfaces}
    gone = before.keys() - after.keys()
    lines += _removal(sorted(gone))
    had, has = _routes(old), _routes(new)
    lines += [f"route del {r}" for r in sorted(had - has) if r.split()[2] not in gone]
    numbers = {n.number for n in old.networks}, {n.number for n in new.networks}
    for number in sorted(numbers[0] - numbers[1]):
        lines += [f"rule del {_rule(number)}", f"route del blackhole default table {number}"]
    for number in sorted(numbers[1] - numbers[0]):
        lines += [f"route replace blackhole default table {number}", f"rule add {_rule(number)}"]
    added = [i for i in new.interfaces if i.device not in before]
    for descriptor, interface in enumerate(added, start=3):
        device = interface.device
        peer = f"name eth{interface.place} address {interface.mac} netns /proc/self/fd/{descriptor}"
        lines += [
            f"link add {device} address {_GATEWAY_MAC} type veth peer {peer}",
            f"link set {device} up",
            f"ntable change name arp_cache dev {device} proxy_delay 0",
        ]
    lines += [
        f"neigh replace {i.address} lladdr {i.mac} dev {i.device} nud permanent"
        for i in new.interfaces
        if i != before.get(i.device)
    ]
    lines += [f"route replace {r}" for r in sorted(has - had)]
    return lines


def _removal(devices: Sequence[str]) -> list[str]:
    """Devices take their routes along. The kernel waits 20 ms for each removal, a group of devices is one."""
    marks = [f"link set {device} group {_GONE}" for device in devices]
    return [*marks, f"link del group {_GONE}"] if marks else []


def _rule(number: int) -> str:
    """What sends a network's packets to its own table."""
    return f"fwmark {number} lookup {number} priority {_PRIORITY}"


def _routes(fabric: Fabric) -> set[str]:
    """`ADDRESS dev DEVICE table NUMBER` for each network from which an interface is reached."""
    return {
        f"{i.address}/32 dev {i.device} table {network.number}"
        for i in fabric.interfaces
        for network in fabric.networks
        if network.number == i.network or i.network in network.reaches
    }


def _node_lines(new: Interface, old: Interface | None) -> list[str]:
    """Azure gives no default gateway to a machine's second interface (network-interface-vm, constraints)."""
    device, address = f"eth{new.place}", f"{new.address}/{new.prefix_length}"
    gateway = [] if new.place else [f"route replace default via {new.gateway} dev {device}"]
    if old is None:
        return [f"addr add {address} dev {device}", f"link set {device} up", *gateway]
    if (old.address, old.prefix_length, old.gateway) == (new.address, new.prefix_length, new.gateway):
        return []
    return [f"addr flush dev {device}", f"addr add {address} dev {device}", *gateway]


async def run_ip(node: Node, lines: list[str], files: list[int] | None = None) -> None:
    """Run `ip -batch` in a node.

    Args:
        node: where.
        lines: commands without the leading `ip`.
        files: become descriptors 3, 4 and so on.

    Raises:
        LabError: `apply_failed` with what `ip` says.
    """
    if not lines:
        return
    commands = "".join(f"{line}\n" for line in lines)
    try:
        async with asyncio.timeout(_SECONDS):
            done = await node.run(["ip", "-batch", "-"], stdin=commands.encode(), files=files or ())
    except OSError as error:
        reason = str(error) or type(error).__name__
        raise LabError("apply_failed", f"`ip` failed in {node.name}: {reason}.") from error
    if done.returncode:
        said = _said(done) or f"it ended with {done.returncode} and said nothing"
        raise LabError("apply_failed", f"`ip` failed in {node.name}: {said}.")
