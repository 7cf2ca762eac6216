"""Routes that users made, and where they send what should go to the endpoint or to the targets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from fwdctl.azure.documents import Document, value
from fwdctl.azure.routes import NOWHERE, system_prefix, user_route
from fwdctl.probe.hops import ends
from fwdctl.probe.hops.commands import az_in_group_of
from fwdctl.probe.model import Broken, PathResult

if TYPE_CHECKING:
    from fwdctl.probe.evidence import Evidence
    from fwdctl.probe.hops.rules import End

OTHERS = {"virtualappliance": "to the appliance", "virtualnetworkgateway": "to the network gateway"}


def dropped(evidence: Evidence, result: PathResult) -> Broken | None:
    """A route on the way that leads nowhere."""
    return _first(evidence, result, lambda hop: hop in NOWHERE)


def diverted(evidence: Evidence, result: PathResult) -> Broken | None:
    """A route to a firewall or gateway on the way, where nothing else explains the silence."""
    if result.failed_check == "protocol":
        return None
    return _first(evidence, result, lambda hop: hop in OTHERS)


def with_route(evidence: Evidence, result: PathResult, found: Broken) -> Broken:
    """What was found about silent targets, with the route that is on the way to them.

    Where the hub's jump box reaches targets that the forwarders do not reach, that route is the cause.
    """
    if found.code != "TARGET_DOWN":
        return found
    route = _first(evidence, result, lambda hop: hop in OTHERS)
    if route is None:
        return found
    reached = any(test.verdict == "pass" for test in evidence.targets(result.path.forward))
    if reached and result.path.origin != "target":
        return replace(route, evidence=f"{route.evidence}; {found.evidence}")
    return replace(found, evidence=f"{found.evidence}; {route.evidence}")


def _first(evidence: Evidence, result: PathResult, fits: Callable[[str], bool]) -> Broken | None:
    for route, table, source, address in _routes(evidence, result):
        hop = str(value(route, "nextHopType") or "").lower()
        if fits(hop):
            return _broken(route, table, source, address, hop)
    return None


def _broken(route: Document, table: Document, source: End, address: str, hop: str) -> Broken:
    place = str(value(route, "nextHopIpAddress") or "")
    where = f"{(NOWHERE | OTHERS)[hop]} {place}".strip()
    text = (
        f"route {route['name']} of route table {table['name']} sends packets from {source.words} to "
        f"{address} elsewhere: {where}"
    )
    if hop in NOWHERE:
        named = ("--route-table-name", str(table["name"]), "-n", str(route["name"]))
        suggestion = az_in_group_of(table["id"], "network route-table route delete", *named)
    else:
        suggestion = (
            f"Check what is there{f' ({place})' if place else ''}: is it on, does it admit and pass on these "
            "connections, and do their answers come back the same way?"
        )
    return Broken("route", "ROUTE_NEXT_HOP", text, suggestion)


def _routes(evidence: Evidence, result: PathResult) -> Iterator[tuple[Document, Document, End, str]]:
    """The users' routes that decide on a path's stretches: route, table, who sends, to which address."""
    path = result.path
    if path.spoke is not None:
        source, to = ends.box(evidence, path.box), ends.endpoint(evidence, path.spoke)
        yield from _deciding(evidence, source, to)
    if path.origin == "target":
        direct = ends.box(evidence, path.box), ends.targets(evidence, [path.host])
        yield from _deciding(evidence, *direct)
        return
    addresses = list(dict.fromkeys(target.rpartition(":")[0] for target in path.forward.targets))
    senders, servers = ends.forwarders(evidence, path.forward), ends.targets(evidence, addresses)
    yield from _deciding(evidence, senders, servers)
    yield from _deciding(evidence, servers, senders)


def _deciding(evidence: Evidence, source: End, to: End) -> Iterator[tuple[Document, Document, End, str]]:
    for own in source.addresses:
        network, subnet = source.place(own)
        table = evidence.resource(value(subnet, "routeTable", "id"))
        for address in to.addresses if table else ():
            route = user_route(table, _system(network, to, address), address)
            if route is not None:
                yield route, table, source, address


def _system(network: Document, to: End, address: str) -> int:
    """Length of the most specific prefix of Azure's own routes to an address; -1 if only default ones fit.

    A private endpoint has one of 32 bits, which gives way to a route as specific as its network's address
    space only where its subnet's network policies say so (azure-docs,
    disable-private-endpoint-network-policy).
    """
    if to.words == ends.ENDPOINT:
        policies = str(value(to.place(address)[1], "privateEndpointNetworkPolicies") or "")
        if policies not in {"Enabled", "RouteTableEnabled"}:
            return 32
    return system_prefix(network, address)
