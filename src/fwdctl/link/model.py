"""Link services and the connections to them, from ARM's documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fwdctl.azure.documents import Document, entries, name_of, place_of, value

APPROVED, PENDING, REJECTED, DISCONNECTED = "Approved", "Pending", "Rejected", "Disconnected"
"""States of a connection (azure-docs, private-link/manage-private-endpoint)."""
REMOVED = "Removed"
"""Ours, of a connection that the service does not have any more."""
ANYONE = "*"
"""In visibility: whoever knows the alias. An empty list: who has a role on the service
(azure-docs, private-link/private-link-service-overview, "Control service exposure")."""
NO_ACTION = {"", "none"}


@dataclass(frozen=True)
class Connection:
    """A private endpoint's connection, as the owner of the service sees it.

    Attributes:
        endpoint: id of the private endpoint that asks.
        state: one of the five above.
        message: the state's description: what the consumer wrote, then what the owner wrote.
        actions: what Azure asks the consumer to do; empty for nothing.
        settled: whether Azure is done with the last change.
        since: when the endpoint was made, where this login may see that; the connection itself has no date.
        spoke: the environment's own spoke whose endpoint it is.
        orphan_of: a removed spoke that left it behind.
    """

    id: str
    name: str
    service: str
    endpoint: str
    state: str
    region: str = ""
    message: str = ""
    actions: str = ""
    settled: bool = True
    since: str = ""
    spoke: str = ""
    orphan_of: str = ""

    @property
    def endpoint_name(self) -> str:
        return name_of(self.endpoint)

    @property
    def subscription(self) -> str:
        return place_of(self.endpoint)[0]

    def data(self) -> dict[str, Any]:
        """For JSON; what is not known is null."""
        told = {
            "region": self.region,
            "message": self.message,
            "actionsRequired": self.actions,
            "since": self.since,
            "spoke": self.spoke,
            "orphanOf": self.orphan_of,
        }
        return {
            "name": self.name,
            "id": self.id,
            "service": self.service,
            "state": self.state,
            "endpoint": self.endpoint,
            "subscription": self.subscription,
            **{key: text or None for key, text in told.items()},
        }


@dataclass(frozen=True)
class Service:
    """A private link service.

    Attributes:
        visibility, auto_approval: subscriptions, or ANYONE.
        nat_addresses: how many; each carries 64,000 flows to a backend.
        connections: those that it has now.
    """

    id: str
    name: str
    region: str
    alias: str
    visibility: tuple[str, ...]
    auto_approval: tuple[str, ...]
    nat_addresses: int
    connections: tuple[Connection, ...]

    def data(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "id": self.id,
            "region": self.region,
            "alias": self.alias,
            "visibility": list(self.visibility),
            "autoApproval": list(self.auto_approval),
            "natAddresses": self.nat_addresses,
        }


def service_of(document: Document) -> Service:
    name = str(document.get("name") or name_of(document["id"]))
    return Service(
        str(document["id"]),
        name,
        str(document.get("location") or ""),
        str(value(document, "alias") or ""),
        tuple(value(document, "visibility", "subscriptions") or ()),
        tuple(value(document, "autoApproval", "subscriptions") or ()),
        len(entries(document, "ipConfigurations")),
        tuple(connection_of(name, each) for each in entries(document, "privateEndpointConnections")),
    )


def connection_of(service: str, document: Document) -> Connection:
    state = value(document, "privateLinkServiceConnectionState") or {}
    actions = str(state.get("actionsRequired") or "")
    return Connection(
        str(document["id"]),
        str(document.get("name") or name_of(document["id"])),
        service,
        str(value(document, "privateEndpoint", "id") or ""),
        str(state.get("status") or "Unknown"),
        str(value(document, "privateEndpointLocation") or ""),
        str(state.get("description") or ""),
        "" if actions.lower() in NO_ACTION else actions,
        str(value(document, "provisioningState") or "Succeeded") == "Succeeded",
    )


def gone(identity: str, service: str) -> Connection:
    """A connection that is not there any more, of which only an id is known."""
    return Connection(identity, name_of(identity), service, "", REMOVED)
