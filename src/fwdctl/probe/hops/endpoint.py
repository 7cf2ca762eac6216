"""The private endpoint: whether it exists, its address, and the state of its connection."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwdctl.azure.documents import LINKS, Document, entries, value
from fwdctl.errors import FwdctlError
from fwdctl.output import visible
from fwdctl.probe.hops import link_service
from fwdctl.probe.hops.commands import az, azd, lines, provision
from fwdctl.probe.model import Broken, PathResult

if TYPE_CHECKING:
    from fwdctl.deployment import Spoke
    from fwdctl.probe.evidence import Evidence

CODES = {"pending": "PE_PENDING", "rejected": "PE_REJECTED", "disconnected": "PE_DISCONNECTED"}


def tested_anew(evidence: Evidence, result: PathResult) -> PathResult:
    """A failed path with the address that its endpoint has now, where that is not the remembered one.

    It is tested once more: what the name gives and what lies behind it may both be well.
    """
    spoke = result.path.spoke
    if spoke is None or result.verdict != "fail" or not spoke.endpoint:
        return result
    try:
        address = evidence.endpoint_address(spoke)
        if not address or address == spoke.address:
            return result
        path = replace(
            result.path,
            address=address if result.path.address else "",
            host=address if result.path.host == spoke.address else result.path.host,
            spoke=replace(spoke, address=address),
        )
        again = evidence.boxes.test([path])[0]
    except FwdctlError:
        return result
    return replace(again, warnings=(*again.warnings, _stale(evidence, spoke, address)))


def _stale(evidence: Evidence, spoke: Spoke, address: str) -> Broken:
    return Broken(
        "endpoint",
        "ENV_STALE",
        f"private endpoint {spoke.endpoint} has the address {address}, and the environment remembers "
        f"{spoke.address or 'none'}: it is stale (if the endpoint was made anew by hand, endpointAddress of "
        "the parameters has to follow)",
        azd(evidence.deployment, "env", "refresh")
        if evidence.deployment.by_azd
        else "Correct the endpoint's address in the topology file.",
    )


def missing(evidence: Evidence, result: PathResult) -> Broken | None:
    """An endpoint that is not there any more."""
    spoke, service = result.path.spoke, evidence.deployment.hub.link_service
    if spoke is None or (spoke.endpoint and evidence.endpoint(spoke) is not None):
        return None
    if not spoke.endpoint and (evidence.deployment.described or not service):
        return None  # nobody says that there should be one
    text = (
        f"private endpoint {spoke.endpoint} does not exist"
        if spoke.endpoint
        else f"no private endpoint in network {spoke.name} is connected to link service {service}"
    )
    return Broken("endpoint", "PE_MISSING", text, provision(evidence.deployment))


def broken(evidence: Evidence, result: PathResult) -> Broken | None:
    """A connection that is not approved.

    One that was rejected cannot be approved any more (azure-docs, private-link/manage-private-endpoint;
    azure-docs#115121).
    """
    spoke = result.path.spoke
    document = evidence.endpoint(spoke) if spoke is not None and spoke.endpoint else None
    if document is None or spoke is None:
        return None
    for connection in entries(document, *LINKS):
        state = value(connection, "privateLinkServiceConnectionState") or {}
        code = CODES.get(str(state.get("status", "")).lower())
        if code is not None:
            description = visible(str(state.get("description") or ""))
            said = f" ({description})" if description else ""
            return Broken(
                "endpoint",
                code,
                f"the connection of private endpoint {spoke.endpoint} is {state['status']}{said}",
                link_service.approval(evidence, document)
                if code == "PE_PENDING"
                else _anew(evidence, document, connection, spoke),
            )
    return None


def _anew(evidence: Evidence, document: Document, connection: Document, spoke: Spoke) -> str:
    """Commands that make an endpoint again, with the address that it has."""
    where = ("-g", evidence.of_spoke(spoke).deployment.resource_group, "-n", spoke.endpoint)
    manual = entries(document, LINKS[1])
    fixed = (value(document, "ipConfigurations") or [{}])[0]
    group, member = (str(value(fixed, key) or "") for key in ("groupId", "memberName"))
    create = az(
        "network private-endpoint create",
        *where,
        *("--subnet", str(value(document, "subnet", "id")), "--connection-name", str(connection.get("name"))),
        *("--private-connection-resource-id", str(value(connection, "privateLinkServiceId"))),
        *(["--group-id", group] if group else []),
        "--ip-config",
        f"{{name:endpoint,group-id:'{group}',member-name:'{member}',private-ip-address:{spoke.address}}}",
        *(["--manual-request", "true"] if connection in manual else []),
        of=document.get("id"),
    )
    return lines(
        az("network private-endpoint delete", *where, of=document.get("id")),
        provision(evidence.deployment, create),
    )
