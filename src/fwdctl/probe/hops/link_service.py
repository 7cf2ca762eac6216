"""The private link service: whom it admits, and whether its NAT addresses reach the forwarders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwdctl.azure.documents import Document, entries, same, value
from fwdctl.probe.hops import ends, route
from fwdctl.probe.hops.commands import az

if TYPE_CHECKING:
    from fwdctl.probe.evidence import Evidence
    from fwdctl.probe.model import Broken, PathResult


def refused(evidence: Evidence, result: PathResult) -> Broken | None:
    """A security rule that refuses the link service's connections to the forwarders."""
    return route.refusal(evidence, result.path.forward, ends.link_service(evidence))


def approval(evidence: Evidence, endpoint: Document) -> str:
    """How to approve an endpoint's connection; a link service of others does not show its id here."""
    for service in evidence.read(evidence.networks.private_link_services):
        for connection in entries(service, "privateEndpointConnections"):
            if same(value(connection, "privateEndpoint", "id"), endpoint.get("id")):
                own = str(connection["id"])
                return az("network private-endpoint-connection approve", "--id", own, of=own)
    return "Ask the owner of the service to approve it."
