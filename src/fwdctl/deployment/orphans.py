"""What is no longer deployed leaves things behind: Azure deletes nothing that a template no longer names.

An orphan of a spoke carries the hub's `azd-env-name`, has a name that the template gives a spoke's parts
(infra/modules/spoke.bicep, resources.bicep) with a spoke that the topology does not know, and is tied to
that spoke's network. What is the user's own in the same resource group fails one of the three. A zone that
no spoke has any more is one too. A name of a removed forward is marked with the environment
(infra/modules/zone-records.bicep). A removed subscription has a connection to the link service and does not
see it any more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from fwdctl.azure.deployments import TAG
from fwdctl.azure.documents import (
    LINKS,
    OF_THE_PLATFORM,
    Document,
    entries,
    name_of,
    network_of,
    place_of,
    same,
    tag_of,
    value,
)
from fwdctl.azure.errors import ArmFailure
from fwdctl.deployment.topology import Box, Deployment
from fwdctl.errors import FwdctlError

if TYPE_CHECKING:
    from fwdctl.azure.clients import Clients
    from fwdctl.progress import Progress
    from fwdctl.runtime import Runtime

NO_SPOKES = frozenset({"hub", "corp"})
SPOKE_SUBNETS = frozenset({"cp", "apps", "jump", "linked"})

CONNECTION, GUEST, ENDPOINT, BOX, NAME, LINK, ZONE, NETWORK, SECURITY_GROUP = (
    "endpoint connection",
    "connection of a removed subscription",
    "private endpoint",
    "jump box",
    "DNS name",
    "zone link",
    "DNS zone",
    "network",
    "security group",
)
ORDER = (CONNECTION, GUEST, ENDPOINT, BOX, NAME, LINK, ZONE, NETWORK, SECURITY_GROUP)
"""What must go first: a network must be empty before it is deleted, a zone without links, a group unused."""
PREFIXES = {BOX: "ci-", ENDPOINT: "pep-", NETWORK: "vnet-", LINK: "vnet-", SECURITY_GROUP: "nsg-vnet-"}
TYPES = {
    "microsoft.containerinstance/containergroups": BOX,
    "microsoft.network/privateendpoints": ENDPOINT,
    "microsoft.network/privatednszones/virtualnetworklinks": LINK,
    "microsoft.network/privatednszones": ZONE,
    "microsoft.network/virtualnetworks": NETWORK,
    "microsoft.network/networksecuritygroups": SECURITY_GROUP,
}
ZONES = "providers/Microsoft.Network/privateDnsZones"
COSTS = {ENDPOINT: "costs by the hour", ZONE: "costs by the month"}
COSTS_NOTHING = "costs nothing"

DELETION_TIMEOUT = 300.0
POLL = 1.0
RELEASE_TIMEOUT = 120.0
"""Seconds in which Azure may still take a network for used by what was just deleted from it."""


@dataclass(frozen=True)
class Orphan:
    """A resource that belongs to no spoke any more.

    Attributes:
        kind: one of ORDER.
        spoke: of which it was; of a removed subscription, its id.
        state: what Azure says of it now.
        container: of a box, the name of its container.
    """

    kind: str
    name: str
    spoke: str
    id: str
    state: str
    costs: str
    container: str = ""

    @property
    def box(self) -> Box:
        return Box(self.spoke, self.name, self.container)


def find(clients: Clients, deployment: Deployment, kinds: Iterable[str] = ORDER) -> list[Orphan]:
    """The orphans of some kinds, in the order in which they may be deleted.

    None where nothing says what belongs to the deployment (no FWD_TOPOLOGY).

    Raises:
        FwdctlError: Azure cannot be asked.
    """
    if not deployment.described or not _own_name(deployment):
        return []
    group = f"/subscriptions/{clients.subscription_id}/resourceGroups/{deployment.resource_group}"
    search = _Search(clients, deployment, group)
    return [orphan for kind in ORDER if kind in set(kinds) for orphan in search.of(kind)]


def find_or_warn(
    clients: Clients, deployment: Deployment, progress: Progress, what: str, kinds: Iterable[str] = ORDER
) -> list[Orphan]:
    """As `find`; not to know is a warning, for which `what` names what may have been left."""
    try:
        return find(clients, deployment, kinds)
    except FwdctlError as error:
        progress.warning(f"Whether removed spokes left {what} behind is not known: {error.message}")
        return []


def _own_name(deployment: Deployment) -> str:
    """Of a resource of the hub, which ends with the token and is tagged with the environment."""
    return deployment.hub.box.group if deployment.hub.box else deployment.hub.scale_set


class _Search:
    """One look at a resource group."""

    def __init__(self, clients: Clients, deployment: Deployment, group: str) -> None:
        self._clients = clients
        self._service = (
            f"{group}/providers/Microsoft.Network/privateLinkServices/{deployment.hub.link_service}"
        )
        self._group = group
        self._spokes, self._zones = deployment.spokes, {spoke.zone for spoke in deployment.spokes}
        self._hosts = {name for forward in deployment.forwards for name in forward.host_names}
        own = _own_name(deployment)
        self._token = own.rpartition("-")[2]
        self._kept = NO_SPOKES | {spoke.name for spoke in deployment.spokes}
        self._kept_names = {box.group for box in deployment.boxes}
        self._kept_names |= {spoke.endpoint for spoke in deployment.spokes}
        listed = list(clients.list(f"{group}/resources"))
        self._links = [each for each in listed if TYPES.get(each["type"].lower()) == LINK]
        self._environments = {tag_of(each, TAG) for each in listed if each["name"] == own} - {""}
        self._listed = [each for each in listed if tag_of(each, TAG) in self._environments]

    def of(self, kind: str) -> Iterator[Orphan]:
        if kind in {CONNECTION, GUEST}:
            yield from self._connections(kind)
            return
        if kind == NAME:
            yield from self._names()
            return
        for each in self._listed:
            spoke = self._former_spoke(kind, each)
            if TYPES.get(each["type"].lower()) != kind or not spoke:
                continue
            document = self._clients.find(each["id"])  # the list may be older than the resource's end
            if document is not None and (state := self._state(kind, spoke, document)) is not None:
                yield _orphan(kind, spoke, each["id"], state, document)

    def _former_spoke(self, kind: str, listed: Document) -> str:
        """The spoke that a resource's name tells, if the topology does not have it; empty otherwise."""
        if kind == ZONE:
            return self._zones_spoke(listed)
        name = name_of(listed["id"])
        named = re.fullmatch(f"{PREFIXES[kind]}(.+)-{re.escape(self._token)}", name)
        spoke = named[1] if named else ""
        if kind == LINK and listed["id"].split("/")[-3] not in self._zones:
            # Of a zone that no spoke has any more; one to an existing network has that network's name.
            own = spoke or (name if listed in self._listed else "")
            return "" if own in NO_SPOKES else own
        return "" if spoke in self._kept or name in self._kept_names else spoke

    def _zones_spoke(self, zone: Document) -> str:
        """A spoke to which a zone is linked that none has any more; empty if others link to it."""
        if zone["name"] in self._zones:
            return ""
        below = f"{zone['id']}/virtualNetworkLinks/".lower()
        spokes = {
            self._former_spoke(LINK, link) for link in self._links if link["id"].lower().startswith(below)
        }
        return "" if "" in spokes else min(spokes, default="")

    def _names(self) -> Iterator[Orphan]:
        """Names of forwards and spokes that are no longer deployed, in every zone that stays."""
        if not self._environments:  # nothing says which names are ours
            return
        subscription = self._group.partition("/resourceGroups/")[0]
        for zone in self._clients.list(f"{subscription}/{ZONES}"):
            is_own = zone["id"].lower().startswith(f"{self._group.lower()}/")
            if zone["name"].startswith(OF_THE_PLATFORM) or (is_own and zone["name"] not in self._zones):
                continue
            spokes = [spoke for spoke in self._spokes if spoke.zone == zone["name"]]
            wanted = {spoke.host_name.removesuffix(f".{spoke.zone}") for spoke in spokes}
            wanted |= self._hosts if spokes else set()
            for record in self._clients.list(f"{zone['id']}/A"):
                marks = value(record, "metadata") or {}
                if marks.get(TAG) in self._environments and record["name"] not in wanted:
                    addresses = [each["ipv4Address"] for each in value(record, "aRecords") or ()]
                    owner = spokes[0].name if spokes else zone["name"]
                    yield _orphan(NAME, owner, record["id"], " ".join(addresses), record)

    def _state(self, kind: str, spoke: str, document: Document) -> str | None:
        """The state in words; None for what only looks like a spoke's."""
        network = f"vnet-{spoke}-{self._token}"
        subnets = value(document, "subnets") or ()

        def is_in_it(subnet: Document) -> bool:
            return same(name_of(network_of(subnet.get("id"))), network)

        def is_tied(subnet: Document) -> bool:
            """In the spoke's network, or in an existing one: none that the template has made."""
            made = re.fullmatch(f"vnet-.+-{re.escape(self._token)}", name_of(network_of(subnet.get("id"))))
            return made is None or is_in_it(subnet)

        if kind == BOX:
            subnets = value(document, "subnetIds") or ()
            state = value(document, "instanceView", "state") or value(document, "provisioningState")
            return str(state) if subnets and all(map(is_tied, subnets)) else None
        if kind == ENDPOINT:
            links = entries(document, *LINKS)
            ours = [each for each in links if same(value(each, "privateLinkServiceId"), self._service)]
            return _status(ours[0]) if ours and is_tied(value(document, "subnet")) else None
        if kind == LINK:
            linked = name_of(value(document, "virtualNetwork", "id"))
            return "linked" if same(linked, network) or same(linked, spoke) else None
        if kind == ZONE:
            return f"{value(document, 'numberOfRecordSets') or 0} record sets"
        if kind == SECURITY_GROUP:
            own = all(map(is_in_it, subnets)) and not value(document, "networkInterfaces")
            return f"{len(entries(document, 'securityRules'))} rules" if own else None
        names = {subnet["name"] for subnet in subnets}
        alone = names >= SPOKE_SUBNETS and not value(document, "virtualNetworkPeerings")
        return f"{len(names)} subnets" if alone else None

    @cached_property
    def _link_service(self) -> Document:
        """The service's document; empty where there is none."""
        return self._clients.find(self._service) or {}

    def _connections(self, kind: str) -> Iterator[Orphan]:
        """The link service's side, which stays when the endpoint goes, or its subscription's right."""
        if self._service.endswith("/"):  # the topology names none
            return
        listed = value(self._link_service, "visibility", "subscriptions") or ()
        seen = {each.lower() for each in listed}
        for each in entries(self._link_service, "privateEndpointConnections"):
            endpoint = str(value(each, "privateEndpoint", "id") or "")
            owner = self._former_spoke(ENDPOINT, {"id": endpoint})
            is_left = endpoint.lower().startswith(f"{self._group.lower()}/")
            if kind == GUEST:
                owner = place_of(endpoint)[0]
                is_left = bool(seen) and not {"*", owner.lower()} & seen
            if owner and is_left:
                yield _orphan(kind, owner, each["id"], _status(each), each)


def _orphan(kind: str, spoke: str, resource_id: str, state: str, document: Document) -> Orphan:
    costs = COSTS.get(kind, COSTS_NOTHING)
    container = ""
    if kind == BOX:
        costs = COSTS_NOTHING if state in {"Stopped", "Succeeded", "Failed"} else "costs by the second"
        container = next((each["name"] for each in value(document, "containers") or ()), "")
    name = name_of(resource_id)
    if kind in {LINK, NAME}:
        name = f"{resource_id.split('/')[-3]}/{name}"
    return Orphan(kind, name, spoke, resource_id, state, costs, container)


def summary(orphans: Iterable[Orphan]) -> str:
    """For people, one line; empty where there is none."""
    named = ", ".join(f"{orphan.kind} {orphan.name} ({orphan.state}, {orphan.costs})" for orphan in orphans)
    return f"Left behind by what is no longer deployed: {named}." if named else ""


def remove_all(
    runtime: Runtime, clients: Clients, orphans: Iterable[Orphan], progress: Progress
) -> Iterator[tuple[Orphan, FwdctlError | None]]:
    """Delete orphans in their order; after a failure nothing more of the same spoke is deleted."""
    failed: dict[str, str] = {}
    for orphan in orphans:
        what = f"{orphan.kind} {orphan.name}"
        error: FwdctlError | None = None
        if orphan.spoke in failed:
            text = f"{what} was not deleted, because {failed[orphan.spoke]} was not."
            error = FwdctlError("orphan_skipped", text)
        else:
            progress.step(f"Deleting {what}")
            try:
                remove(runtime, clients, orphan)
            except FwdctlError as refused:
                error = FwdctlError(refused.code, f"{what}: {refused.message}", refused.suggestion)
                failed[orphan.spoke] = what
        if error is None:
            progress.done(f"{what} deleted")
        else:
            progress.failed(error.message)
        yield orphan, error


def remove(runtime: Runtime, clients: Clients, orphan: Orphan) -> None:
    """Delete one and wait until Azure does not have it any more.

    Raises:
        FwdctlError: Azure refuses, or it is still there after five minutes.
    """
    deadline = runtime.clock() + RELEASE_TIMEOUT
    while True:
        try:
            clients.delete(orphan.id)
            break
        except ArmFailure as error:
            if not re.match("InUse|AnotherOperation", error.arm_code) or runtime.clock() > deadline:
                raise
            runtime.sleep(5 * POLL)
    deadline = runtime.clock() + DELETION_TIMEOUT
    while clients.find(orphan.id) is not None:
        if runtime.clock() > deadline:
            text = f"It is still there {DELETION_TIMEOUT:.0f} s after its deletion began."
            raise FwdctlError("orphan_not_deleted", text, "Look again later with `fwdctl env orphans`.")
        runtime.sleep(POLL)


def _status(connection: Document) -> str:
    return str(value(connection, "privateLinkServiceConnectionState", "status") or "Unknown")
