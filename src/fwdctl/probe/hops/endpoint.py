"""The private endpoint: the state of its connection to the link service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwdctl.azure.documents import entries, value
from fwdctl.probe.hops import link_service
from fwdctl.probe.hops.commands import PROVISION, in_order
from fwdctl.probe.model import Broken, printable

if TYPE_CHECKING:
    from fwdctl.probe.evidence import Evidence
    from fwdctl.probe.model import PathResult

CODES = {"pending": "PE_PENDING", "rejected": "PE_REJECTED", "disconnected": "PE_DISCONNECTED"}


def broken(evidence: Evidence, result: PathResult) -> Broken | None:
    """A connection that is not approved."""
    name = result.path.spoke.endpoint if result.path.spoke is not None else ""
    if not name:
        return None
    document = evidence.read(evidence.networks.private_endpoint, name)
    for connection in entries(
        document, "privateLinkServiceConnections", "manualPrivateLinkServiceConnections"
    ):
        state = value(connection, "privateLinkServiceConnectionState") or {}
        code = CODES.get(str(state.get("status", "")).lower())
        if code is not None:
            description = printable(str(state.get("description") or ""))
            said = f" ({description})" if description else ""
            return Broken(
                "endpoint",
                code,
                f"the connection of private endpoint {name} is {state['status']}{said}",
                _anew(evidence, name)
                if code == "PE_DISCONNECTED"
                else link_service.approval(evidence, document),
            )
    return None


def _anew(evidence: Evidence, name: str) -> str:
    group = evidence.deployment.resource_group
    return in_order([f"az network private-endpoint delete -g {group} -n {name}", PROVISION])
