"""Faults that an operator could cause with az, or a person with a shell on a machine."""

from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING, Any

from fwdlab.arm.services.network.private_link_services import PLS, link_state
from fwdlab.arm.services.network.private_link_services import decide as decide_connection
from fwdlab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fwdlab.faults.context import Context, Undo
    from fwdlab.model import NodeSpec

Document = dict[str, Any]
_AGENT = "fwdctl-agent.service"
_SERVER = "fwdctl-server.service"
_NETWORK = "Microsoft.Network"
IDLE_SECONDS = 5


async def _run_on(context: Context, machines: list[NodeSpec], *argv: str) -> None:
    async def run(node: str) -> None:
        done = await context.nodes.run(node, argv)
        if done.returncode:
            reason = done.stderr.decode().strip()
            raise LabError("fault_failed", f"`{' '.join(argv)}` failed in {node}: {reason}.")

    await asyncio.gather(*(run(machine.name) for machine in machines))


async def target_down(context: Context) -> Undo:
    """Switch a server off, as `az vm deallocate` does: its address no longer answers at all."""
    machines = context.servers()

    async def act(action: str) -> None:
        await asyncio.gather(*(context.api.action(each.resource_id, action, None) for each in machines))

    await act("deallocate")
    return lambda: act("start")


async def target_refuses(context: Context) -> Undo:
    """Stop the service on a server: the machine answers with a reset."""
    machines = context.servers()
    await _run_on(context, machines, "systemctl", "stop", _SERVER)
    names = {machine.name for machine in machines}

    async def undo() -> None:
        there = [machine for machine in context.machines("servers") if machine.name in names]
        await _run_on(context, there, "systemctl", "start", _SERVER)

    return undo


async def idle_short(context: Context) -> Undo:
    """Let load balancers forget idle flows after seconds instead of minutes."""
    context.nodes.set_idle(IDLE_SECONDS)

    async def undo() -> None:
        context.nodes.set_idle(None)

    return undo


def on_forwarders(command: str) -> Callable[[Context], Awaitable[Undo]]:
    """Stop the agents and run a shell command on each forwarder, as somebody with a shell could."""

    async def apply(context: Context) -> Undo:
        machines = context.machines("forwarders")
        await _run_on(context, machines, "systemctl", "stop", _AGENT)
        await _run_on(context, machines, "sh", "-c", command)
        # Those that are there then; starting an agent that runs is no harm.
        return lambda: _run_on(context, context.machines("forwarders"), "systemctl", "start", _AGENT)

    return apply


rules_missing = on_forwarders("iptables -w -t nat -F")
agents_down = on_forwarders("true")
no_forwarding = on_forwarders("echo 0 >/proc/sys/net/ipv4/ip_forward")


async def _change(
    context: Context, documents: list[Document], change: Callable[[Document], None] | None
) -> Undo:
    """Change documents, or delete them all where `change` is None; healing puts them as they were."""
    originals = copy.deepcopy(documents)
    for original in originals:
        if change is None:
            await context.api.delete(original["id"])
        else:
            changed = copy.deepcopy(original)
            change(changed)
            await context.api.put(original["id"], changed)

    async def undo() -> None:
        for original in originals:
            await context.api.put(original["id"], original)

    return undo


def _children(context: Context, kind: str, part: str, missing: str) -> list[Document]:
    """What every document of a type holds in one of its lists.

    Raises:
        LabError: `fault_not_applicable` when there is nothing.
    """
    found = [child for each in context.documents(kind) for child in each["properties"].get(part, [])]
    if not found:
        raise LabError("fault_not_applicable", missing)
    return found


def decide(status: str) -> Callable[[Context], Awaitable[Undo]]:
    """Pass a verdict on every connection of the link service, as its owner can."""

    async def apply(context: Context) -> Undo:
        connections = _children(
            context,
            PLS,
            "privateEndpointConnections",
            "No private endpoint is connected to the link service.",
        )
        state = link_state(status, "changed by the lab's fault table")
        await _change(
            context,
            connections,
            lambda each: each["properties"].update(privateLinkServiceConnectionState=state),
        )
        return lambda: _approve_again(context, {each["id"] for each in connections})

    return apply


async def _approve_again(context: Context, ids: set[str]) -> None:
    """What nobody else can: the way back from a rejection. A connection that is gone stays so."""
    store = context.api.store
    with store.batch():
        for service in store.list(type=PLS):
            for connection in copy.deepcopy(service.properties["privateEndpointConnections"]):
                if connection["id"] in ids:
                    approved = link_state("Approved", "changed by the lab's fault table")
                    decide_connection(store, store.require(service.id), connection, approved)


async def dns_record_missing(context: Context) -> Undo:
    """Remove the name's A record."""
    return await _change(context, context.documents(f"{_NETWORK}/privateDnsZones/A"), None)


async def dns_wrong_address(context: Context) -> Undo:
    """Let the name point to an address where no endpoint is."""

    def change(document: Document) -> None:
        for record in document["properties"]["aRecords"]:
            head, _, last = record["ipv4Address"].rpartition(".")
            record["ipv4Address"] = f"{head}.{(int(last) + 100) % 254}"

    return await _change(context, context.documents(f"{_NETWORK}/privateDnsZones/A"), change)


async def zone_not_linked(context: Context) -> Undo:
    """Remove the zone's link to the spoke network."""
    kind = f"{_NETWORK}/privateDnsZones/virtualNetworkLinks"
    originals = context.documents(kind)
    restore = await _change(context, originals, None)

    async def undo() -> None:
        """A network has one link to a zone: one that somebody made meanwhile gives way to the original."""
        kept = {original["id"].lower() for original in originals}
        linked = {_linked(original) for original in originals}
        for link in context.find(kind):
            if link["id"].lower() not in kept and _linked(link) in linked:
                await context.api.delete(link["id"])
        await restore()

    return undo


def _linked(link: Document) -> tuple[str, str]:
    """The zone and the network that a link joins."""
    zone = link["id"].lower().partition("/virtualnetworklinks/")[0]
    return zone, link["properties"]["virtualNetwork"]["id"].lower()


async def peering_removed(context: Context) -> Undo:
    """Remove the way from the hub to the servers' network."""
    peerings = _children(
        context, f"{_NETWORK}/virtualNetworks", "virtualNetworkPeerings", "No networks are peered."
    )
    return await _change(context, peerings, None)


async def nsg_deny(context: Context) -> Undo:
    """Turn the security rules that let clients in to the forwarders into refusals; probes still pass."""
    groups = [
        group["properties"].get("securityRules", [])
        for group in context.documents(f"{_NETWORK}/networkSecurityGroups")
    ]
    rules = [
        rule
        for group in groups
        if any(_is_for_probes(rule["properties"]) for rule in group)
        for rule in group
        if _lets_clients_in(rule["properties"])
    ]
    if not rules:
        raise LabError("fault_not_applicable", "No security rule lets anybody in.")
    return await _change(context, rules, lambda rule: rule["properties"].update(access="Deny"))


def _is_for_probes(rule: Document) -> bool:
    return rule.get("sourceAddressPrefix") == "AzureLoadBalancer"


def _lets_clients_in(rule: Document) -> bool:
    return rule["direction"] == "Inbound" and rule["access"] == "Allow" and not _is_for_probes(rule)
