"""Which connection is meant, and whether what is asked for is still to be done. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from fwdctl.azure.documents import name_of, place_of, same
from fwdctl.errors import FwdctlError, InconclusiveError, MissingError, UsageError
from fwdctl.link.model import APPROVED, DISCONNECTED, REJECTED, REMOVED, Connection, Service

if TYPE_CHECKING:
    from fwdctl.deployment import Deployment, Spoke

FINAL = (
    "Whoever asked has to delete the private endpoint and make a new one, such as with `fwdctl link request`."
)


@dataclass(frozen=True)
class Decision:
    """What the owner of a link service decides.

    Attributes:
        verb: the command's name.
        done: what has been done, in a word.
        state: that the connection has then.
        closed: states from which Azure has no way there. A connection that was rejected cannot be approved,
            and one that was removed cannot be revived: the endpoint has to be made anew (azure-docs,
            private-link/manage-private-endpoint, its note; azure-docs#115121).
    """

    verb: str
    done: str
    state: str
    closed: tuple[str, ...] = ()


APPROVE = Decision("approve", "approved", APPROVED, (REJECTED, DISCONNECTED))
REJECT = Decision("reject", "rejected", REJECTED, (DISCONNECTED,))
REMOVE = Decision("remove", "removed", REMOVED)


@dataclass(frozen=True)
class Meant:
    """Which connections are meant; all of them where neither is given.

    Attributes:
        pattern: a glob without case, for the name of the connection or its endpoint, or the endpoint's id.
        identity: id of the connection or of its endpoint.
    """

    pattern: str = ""
    identity: str = ""

    def __str__(self) -> str:
        return self.pattern or self.identity

    def matching(self, connections: Iterable[Connection]) -> list[Connection]:
        return [each for each in connections if self._is(each) and self._matches(each)]

    def _is(self, each: Connection) -> bool:
        wanted = self.identity.rstrip("/")
        return not wanted or same(wanted, each.id) or same(wanted, each.endpoint)

    def _matches(self, each: Connection) -> bool:
        names = (each.name, each.endpoint_name, each.endpoint)
        wanted = self.pattern.lower()
        return not wanted or any(fnmatchcase(name.lower(), wanted) for name in names)


def choose(connections: Iterable[Connection], decision: Decision, meant: Meant) -> Connection | None:
    """The one connection that is meant, or none.

    Those that the decision can no longer reach count only where nothing else is meant: a rejected endpoint
    may have been made anew under its name.

    Raises:
        FwdctlError: `several_connections` (exit code 2).
    """
    found = meant.matching(connections)
    found = [each for each in found if each.state not in decision.closed] or found
    if len(found) > 1:
        listed = ", ".join(f"{each.name} ({each.state}, of {each.subscription})" for each in found)
        raise UsageError(
            "several_connections",
            f"'{meant}' means {len(found)} connections: {listed}.",
            "Narrow --match, or name one with --id; `fwdctl link list -o json` shows the ids.",
        )
    return found[0] if found else None


def is_done(connection: Connection, decision: Decision) -> bool:
    """Whether the connection is already what the decision makes of it.

    Raises:
        FwdctlError: `connection_final` (exit code 2): Azure has no way from its state to that one.
    """
    if connection.state in decision.closed:
        raise UsageError(
            "connection_final",
            f"Connection {connection.name} is {connection.state}, and cannot be {decision.done} any more.",
            FINAL,
        )
    return connection.state == decision.state


def not_found(service: Service, meant: Meant, waited: float = 0.0) -> FwdctlError:
    """That no connection is meant; exit code 5 where one was awaited for some seconds, else 3."""
    names = ", ".join(f"{each.name} ({each.state})" for each in service.connections)
    there = f"It has {names}." if names else "Nobody was connected to it."
    if waited:
        text = f"Nobody has asked link service {service.name} for a connection '{meant}' in {waited:.0f} s."
        return InconclusiveError("connection_not_found", text, there)
    return MissingError(
        "connection_not_found",
        f"No connection of link service {service.name} is '{meant}'.",
        f"{there} A request that is still to come is awaited with `fwdctl link approve --wait`.",
    )


def the_one(services: Sequence[Service]) -> Service:
    """Exactly one.

    Raises:
        FwdctlError: `several_services` (exit code 2).
    """
    if len(services) != 1:
        names = ", ".join(service.name for service in services)
        raise UsageError(
            "several_services",
            f"There are {len(services)} private link services: {names}.",
            "Name one with --service.",
        )
    return services[0]


def spoke_of(deployment: Deployment, connection: Connection) -> tuple[Deployment, Spoke] | None:
    """The deployment's spoke whose endpoint a connection is, with the part that it is in."""
    home = (deployment.subscription_id or place_of(connection.id)[0], deployment.resource_group)
    at_home = all(map(same, place_of(connection.endpoint), home))
    for part in deployment.parts:
        for spoke in part.spokes:
            by_name = at_home and spoke.endpoint and same(spoke.endpoint, name_of(connection.endpoint))
            if same(spoke.endpoint_id, connection.endpoint) if spoke.endpoint_id else by_name:
                return part, spoke
    return None


def annotated(
    connections: Iterable[Connection],
    deployment: Deployment,
    since: Mapping[str, str],
    orphans: Mapping[str, str],
) -> list[Connection]:
    """Connections with what else is known of them.

    `since` are dates by lower-case id of an endpoint, `orphans` removed spokes by that of a connection.
    """
    return [
        replace(
            each,
            since=since.get(each.endpoint.lower(), ""),
            spoke=own[1].name if (own := spoke_of(deployment, each)) and not own[1].unknown else "",
            orphan_of=orphans.get(each.id.lower(), ""),
        )
        for each in connections
    ]
