"""Faults that an operator could cause with az, or a person with a shell on a machine."""

from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING, Any

from fwdlab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fwdlab.faults.bench import Bench, Undo
    from fwdlab.model import NodeSpec


async def _run(bench: Bench, node: str, *argv: str) -> None:
    done = await bench.nodes.run(node, argv)
    if done.returncode:
        said = done.stderr.decode().strip().rstrip(".")
        raise LabError("fault_failed", f"`{' '.join(argv)}` failed in {node}: {said}.")


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
        raise LabError("fault_not_applicable", "No private endpoint is connected to the link service.")
    return found


def decide(status: str) -> Callable[[Bench], Awaitable[Undo]]:
    """Pass a verdict on every connection of the link service, as its owner can."""

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
    kind = "Microsoft.Network/privateDnsZones/virtualNetworkLinks"
    originals = bench.documents(kind)
    restore = await _replace(bench, kind, lambda _: None)

    async def undo() -> None:
        """A network has one link to a zone: one that somebody made meanwhile gives way to the original."""
        links = [d for d in bench.snapshot().documents.values() if d.get("type", "").lower() == kind.lower()]
        kept = {original["id"].lower() for original in originals}
        linked = {_linked(original) for original in originals}
        for link in links:
            if link["id"].lower() not in kept and _linked(link) in linked:
                await bench.api.delete(link["id"])
        await restore()

    return undo


def _linked(link: dict[str, Any]) -> tuple[str, str]:
    """The zone and the network that a link joins."""
    zone = link["id"].lower().partition("/virtualnetworklinks/")[0]
    return zone, link["properties"]["virtualNetwork"]["id"].lower()


async def peering_removed(bench: Bench) -> Undo:
    """Remove the way from the hub to the servers' network."""
    originals = [
        copy.deepcopy(peering)
        for network in bench.documents("Microsoft.Network/virtualNetworks")
        for peering in network["properties"].get("virtualNetworkPeerings", [])
    ]
    if not originals:
        raise LabError("fault_not_applicable", "No networks are peered.")
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
        raise LabError("fault_not_applicable", "No security rule lets anybody in.")
    for rule in rules:
        await bench.api.put(rule["id"], {**rule, "properties": {**rule["properties"], "access": "Deny"}})

    async def undo() -> None:
        for rule in rules:
            await bench.api.put(rule["id"], rule)

    return undo


def _lets_clients_in(rule: dict[str, Any]) -> bool:
    inbound = rule["direction"] == "Inbound" and rule["access"] == "Allow"
    return inbound and rule.get("sourceAddressPrefix") != "AzureLoadBalancer"
