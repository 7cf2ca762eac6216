"""The private link service: whom it admits, and whether its NAT addresses reach the forwarders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwdctl.azure.documents import Document, entries, same, value
from fwdctl.probe.hops import route

if TYPE_CHECKING:
    from fwdctl.probe.evidence import Evidence
    from fwdctl.probe.model import Broken, PathResult


def refused(evidence: Evidence, result: PathResult) -> Broken | None:
    """A security rule that refuses the link service's connections to the forwarders."""
    own = evidence.deployment.hub.link_service
    sources = [
        str(value(entry, "privateIPAddress"))
        for service in evidence.read(evidence.networks.private_link_services)
        if not own or same(service.get("name", own), own)
        for entry in entries(service, "ipConfigurations")
        if value(entry, "privateIPAddress")
    ]
    return route.refusal(evidence, result.path.forward, "the link service", sources)


def approval(evidence: Evidence, endpoint: Document) -> str:
    """How to approve an endpoint's connection; a link service of others does not show its id here."""
    for service in evidence.read(evidence.networks.private_link_services):
        for connection in entries(service, "privateEndpointConnections"):
            if same(value(connection, "privateEndpoint", "id"), endpoint.get("id")):
                return f"az network private-endpoint-connection approve --id {connection['id']}"
    return "ask the owner of the link service to approve it (az network private-endpoint-connection approve)"
