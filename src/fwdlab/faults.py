"""The fault table: what `fwdctl lab break NAME` changes, and which probe code it must lead to.

As far as possible a fault is what an operator could do with az, so it goes through the same door as az
(`ArmApi`). Each fault returns how to undo it; healing runs these backwards.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from fwdlab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwdlab.model import NodeSpec, Snapshot

Undo = Callable[[], Awaitable[object]]


class Api(Protocol):
    """What a fault needs of the control plane."""

    async def put(self, resource_id: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create or change a resource."""

    async def delete(self, resource_id: str) -> object:
        """Remove a resource."""

    async def action(self, resource_id: str, action: str, body: Any) -> Any:
        """POST an action."""


class Nodes(Protocol):
    """What a fault needs of the data plane."""

    async def run(self, node: str, argv: Sequence[str]) -> Any:
        """Run a program in a node."""


@dataclass(frozen=True)
class Bench:
    """What faults work on: the state of the resources, the door to change them, the nodes.

    Attributes:
        snapshot: answers the present state.
        api: the control plane.
        nodes: the data plane.
        target: the server that the fault is about; empty for the first one, `all` for every one.
    """

    snapshot: Callable[[], Snapshot]
    api: Api
    nodes: Nodes
    target: str = ""

    def documents(self, kind: str) -> list[dict[str, Any]]:
        """Every ARM document of a type.

        Raises:
            LabError: `fault_not_applicable` when there is none.
        """
        found = [
            document
            for document in self.snapshot().documents.values()
            if document.get("type", "").lower() == kind.lower()
        ]
        if not found:
            raise LabError(
                "fault_not_applicable", f"nothing of type {kind} is deployed", "Run 'fwdctl lab up' first"
            )
        return found

    def machines(self, kind: str) -> list[NodeSpec]:
        """Nodes that realise resources of a type (`virtualMachines` on their own, or of a scale set)."""
        of_scale_set = kind == "forwarders"
        return [
            node
            for node in self.snapshot().nodes
            if node.kind == "machine"
            and ("/virtualmachinescalesets/" in node.resource_id.lower()) == of_scale_set
        ]

    def servers(self) -> list[NodeSpec]:
        """The stand-ins for on-premise servers that the fault is about.

        Raises:
            LabError: `fault_target_unknown`, listing the names that exist.
        """
        servers = sorted(self.machines("servers"), key=lambda node: node.name)
        if self.target == "all":
            return servers
        chosen = [node for node in servers if self.target in {"", node.name, node.address}][:1]
        if not chosen:
            names = ", ".join(node.name for node in servers) or "none runs"
            raise LabError(
                "fault_target_unknown", f"no server is called '{self.target}'", f"There is: {names}"
            )
        return chosen


async def _run(bench: Bench, node: str, *argv: str) -> None:
    done = await bench.nodes.run(node, argv)
    if done.returncode:
        raise LabError("fault_failed", f"{' '.join(argv)} failed in {node}: {done.stderr.decode().strip()}")


def _on_each(nodes: list[NodeSpec], bench: Bench, there: list[str], back: list[str]) -> tuple[Undo, Undo]:
    async def apply() -> None:
        await asyncio.gather(*(_run(bench, node.name, *there) for node in nodes))

    async def undo() -> None:
        await asyncio.gather(*(_run(bench, node.name, *back) for node in nodes))

    return apply, undo


async def target_down(bench: Bench) -> Undo:
    """Switch a server off, as `az vm deallocate` does: its address no longer answers at all."""
    machines = bench.servers()
    await asyncio.gather(*(bench.api.action(node.resource_id, "deallocate", None) for node in machines))

    async def undo() -> None:
        await asyncio.gather(*(bench.api.action(node.resource_id, "start", None) for node in machines))

    return undo


async def target_refuses(bench: Bench) -> Undo:
    """Stop the service on a server: the machine answers with a reset."""
    service = "fwdctl-server.service"
    apply, undo = _on_each(
        bench.servers(), bench, ["systemctl", "stop", service], ["systemctl", "start", service]
    )
    await apply()
    return undo


async def rules_missing(bench: Bench) -> Undo:
    """Stop the agents and flush the forwarders' address translation, as somebody with a shell could."""
    machines = bench.machines("forwarders")
    agent = "fwdctl-agent.service"
    stop, start = _on_each(machines, bench, ["systemctl", "stop", agent], ["systemctl", "start", agent])
    flush, _ = _on_each(machines, bench, ["iptables", "-w", "-t", "nat", "-F"], [])
    await stop()
    await flush()
    return start


async def no_forwarding(bench: Bench) -> Undo:
    """Stop the agents and switch the kernel's forwarding off."""
    machines = bench.machines("forwarders")
    agent = "fwdctl-agent.service"
    off = ["sh", "-c", f"systemctl stop {agent}; echo 0 >/proc/sys/net/ipv4/ip_forward"]
    apply, undo = _on_each(machines, bench, off, ["systemctl", "start", agent])
    await apply()
    return undo


def _connections(bench: Bench) -> list[dict[str, Any]]:
    found = [
        connection
        for service in bench.documents("Microsoft.Network/privateLinkServices")
        for connection in service["properties"].get("privateEndpointConnections", [])
    ]
    if not found:
        raise LabError("fault_not_applicable", "no private endpoint is connected to the link service")
    return found


def _decide(status: str) -> Callable[[Bench], Awaitable[Undo]]:
    async def apply(bench: Bench) -> Undo:
        connections = copy.deepcopy(_connections(bench))

        async def decide(verdict: str) -> None:
            for connection in connections:
                body = copy.deepcopy(connection)
                body["properties"]["privateLinkServiceConnectionState"] = {
                    "status": verdict,
                    "description": "changed by the lab's fault table",
                }
                await bench.api.put(connection["id"], body)

        await decide(status)
        return lambda: decide("Approved")

    return apply


async def _replace(
    bench: Bench, kind: str, change: Callable[[dict[str, Any]], dict[str, Any] | None]
) -> Undo:
    originals = copy.deepcopy(bench.documents(kind))
    for original in originals:
        changed = change(copy.deepcopy(original))
        if changed is None:
            await bench.api.delete(original["id"])
        else:
            await bench.api.put(original["id"], changed)

    async def undo() -> None:
        for original in originals:
            await bench.api.put(original["id"], original)

    return undo


async def dns_record_missing(bench: Bench) -> Undo:
    """Remove the name's A record."""
    return await _replace(bench, "Microsoft.Network/privateDnsZones/A", lambda _: None)


async def dns_wrong_address(bench: Bench) -> Undo:
    """Let the name point to an address where no endpoint is."""

    def change(document: dict[str, Any]) -> dict[str, Any]:
        for record in document["properties"]["aRecords"]:
            head, _, last = record["ipv4Address"].rpartition(".")
            record["ipv4Address"] = f"{head}.{(int(last) + 100) % 254}"
        return document

    return await _replace(bench, "Microsoft.Network/privateDnsZones/A", change)


async def zone_not_linked(bench: Bench) -> Undo:
    """Remove the zone's link to the spoke network."""
    return await _replace(bench, "Microsoft.Network/privateDnsZones/virtualNetworkLinks", lambda _: None)


async def peering_removed(bench: Bench) -> Undo:
    """Remove the way from the hub to the servers' network."""
    originals = [
        copy.deepcopy(peering)
        for network in bench.documents("Microsoft.Network/virtualNetworks")
        for peering in network["properties"].get("virtualNetworkPeerings", [])
    ]
    if not originals:
        raise LabError("fault_not_applicable", "no networks are peered")
    for original in originals:
        await bench.api.delete(original["id"])

    async def undo() -> None:
        for original in originals:
            await bench.api.put(original["id"], original)

    return undo


async def nsg_deny(bench: Bench) -> Undo:
    """Turn the security rules that let clients in to the forwarders into refusals; probes still pass."""
    groups = [
        group["properties"].get("securityRules", [])
        for group in bench.documents("Microsoft.Network/networkSecurityGroups")
    ]
    rules = [
        copy.deepcopy(rule)
        for group in groups
        if any(rule["properties"].get("sourceAddressPrefix") == "AzureLoadBalancer" for rule in group)
        for rule in group
        if _lets_clients_in(rule["properties"])
    ]
    if not rules:
        raise LabError("fault_not_applicable", "no security rule lets anybody in")
    for rule in rules:
        await bench.api.put(rule["id"], {**rule, "properties": {**rule["properties"], "access": "Deny"}})

    async def undo() -> None:
        for rule in rules:
            await bench.api.put(rule["id"], rule)

    return undo


def _lets_clients_in(rule: dict[str, Any]) -> bool:
    inbound = rule["direction"] == "Inbound" and rule["access"] == "Allow"
    return inbound and rule.get("sourceAddressPrefix") != "AzureLoadBalancer"


@dataclass(frozen=True)
class Fault:
    """One line of the table.

    Attributes:
        name: as typed.
        summary: what it changes.
        code: the probe code that it must lead to.
        apply: make the change; answers how to undo it.
    """

    name: str
    summary: str
    code: str
    apply: Callable[[Bench], Awaitable[Undo]]


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("target-down", "a server is switched off", "TARGET_DOWN", target_down),
        Fault("target-refuses", "the service on a server is stopped", "TARGET_REFUSED", target_refuses),
        Fault("rules-missing", "the forwarders' rules are flushed", "FWD_RULES_MISSING", rules_missing),
        Fault("no-forwarding", "the forwarders' kernels do not forward", "FWD_NO_FORWARDING", no_forwarding),
        Fault("link-pending", "the endpoint waits for approval", "PE_PENDING", _decide("Pending")),
        Fault("link-rejected", "the endpoint is rejected", "PE_REJECTED", _decide("Rejected")),
        Fault("dns-record-missing", "the name has no record", "DNS_NXDOMAIN", dns_record_missing),
        Fault("dns-wrong-address", "the name points elsewhere", "DNS_WRONG_ADDRESS", dns_wrong_address),
        Fault("zone-not-linked", "the spoke does not see the zone", "DNS_ZONE_NOT_LINKED", zone_not_linked),
        Fault("nsg-deny", "a security rule blocks the way", "NSG_DENIED", nsg_deny),
        Fault("peering-removed", "the hub does not reach the servers", "ROUTE_NO_PEERING", peering_removed),
    )
}


class FaultBoard:
    """The faults that are in force, in order, each with its undo."""

    def __init__(self) -> None:
        self._active: dict[str, Undo] = {}

    @property
    def active(self) -> tuple[str, ...]:
        """Names of the faults in force, oldest first."""
        return tuple(self._active)

    async def cause(self, name: str, bench: Bench) -> Fault:
        """Bring a fault about.

        Raises:
            LabError: `fault_unknown` or `fault_active`, or why it cannot be caused now.
        """
        fault = FAULTS.get(name)
        if fault is None:
            raise LabError("fault_unknown", f"no fault is called '{name}'", f"There is: {', '.join(FAULTS)}")
        if name in self._active:
            raise LabError("fault_active", f"'{name}' is in force already", f"fwdctl lab heal {name}")
        self._active[name] = await fault.apply(bench)
        return fault

    async def heal(self, name: str | None) -> tuple[str, ...]:
        """Undo one fault, or all of them, newest first; the names of those undone.

        Raises:
            LabError: `fault_not_active`.
        """
        if name is not None and name not in self._active:
            raise LabError("fault_not_active", f"'{name}' is not in force", "See 'fwdctl lab status'")
        names = [name] if name is not None else list(reversed(self._active))
        for each in names:
            await self._active[each]()
            del self._active[each]
        return tuple(names)
