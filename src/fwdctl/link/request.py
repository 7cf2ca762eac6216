"""Ask for a connection as a consumer: a private endpoint with a connection that its owner has to approve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fwdctl.azure.documents import LINKS, Document, ancestor, entries, name_of, place_of, same, value
from fwdctl.azure.networks import Networks
from fwdctl.deployment.discover import ALIAS, SERVICES
from fwdctl.errors import FwdctlError, InconclusiveError, UsageError
from fwdctl.link.model import APPROVED, DISCONNECTED, PENDING, REJECTED
from fwdctl.link.services import POLL, not_in_time
from fwdctl.shell import quoted

if TYPE_CHECKING:
    from fwdctl.azure.clients import Clients
    from fwdctl.progress import Progress
    from fwdctl.runtime import Runtime

LONGEST_MESSAGE = 140
"""Characters that Azure takes (azure-rest-api-specs, privateEndpoint.json, `requestMessage`)."""


@dataclass(frozen=True)
class Wish:
    """The endpoint that is wanted.

    Attributes:
        service: alias or id of the link service.
        subnet: id of the subnet; the endpoint is in its subscription and region
            (azure-docs, private-link/private-endpoint-overview).
        message: for the service's owner.
        group: resource group of the endpoint.
    """

    name: str
    service: str
    subnet: str
    message: str = ""
    group: str = ""

    @property
    def network(self) -> str:
        return ancestor(self.subnet, "virtualNetworks")

    @property
    def subscription(self) -> str:
        return place_of(self.subnet)[0]


@dataclass(frozen=True)
class Request:
    """An endpoint and the state of its connection; `made` says whether it was made just now."""

    id: str
    service: str
    state: str
    message: str
    address: str
    made: bool

    @property
    def is_refused(self) -> bool:
        return self.state in {REJECTED, DISCONNECTED}

    def data(self) -> dict[str, Any]:
        return {
            "endpoint": self.id,
            "service": self.service,
            "state": self.state,
            "message": self.message or None,
            "address": self.address or None,
            "made": self.made,
        }


def wish(name: str, alias: str, subnet: str, message: str = "", group: str = "") -> Wish:
    """Check what was typed.

    Raises:
        FwdctlError: `link_request_invalid` (exit code 2).
    """
    if not alias.lower().endswith(ALIAS) and not same(ancestor(alias, SERVICES), alias):
        raise _invalid(
            f"'{alias}' is neither the alias nor the id of a private link service",
            "An alias is PREFIX.GUID.REGION.azure.privatelinkservice; its owner sees it with "
            "`fwdctl link show`.",
        )
    if not same(ancestor(subnet, "subnets"), subnet) or not all(place_of(subnet)):
        raise _invalid(
            f"'{subnet}' is not the id of a subnet", "Run `az network vnet subnet show --query id`."
        )
    if len(message) > LONGEST_MESSAGE:
        raise _invalid(
            f"The message has {len(message)} characters, and Azure takes {LONGEST_MESSAGE}", "Shorten it."
        )
    return Wish(name, alias, subnet, message, group or place_of(subnet)[1])


def _invalid(problem: str, suggestion: str) -> FwdctlError:
    return UsageError("link_request_invalid", f"{problem}.", suggestion)


def body_of(wanted: Wish, location: str) -> dict[str, Any]:
    """The endpoint's document.

    An alias is for the manual list only, and takes no group (azure-docs,
    private-link/private-endpoint-overview).
    """
    asked = {"requestMessage": wanted.message} if wanted.message else {}
    connection = {"privateLinkServiceId": wanted.service, "groupIds": [], **asked}
    return {
        "location": location,
        "properties": {
            "subnet": {"id": wanted.subnet},
            "manualPrivateLinkServiceConnections": [{"name": wanted.name, "properties": connection}],
        },
    }


def outcome(wanted: Wish, document: Document, address: str, *, made: bool) -> Request:
    """What an endpoint says of its connection.

    Raises:
        FwdctlError: `endpoint_taken` (exit code 2): it is there, for another service.
    """
    connection = next(iter(entries(document, *LINKS)), {})
    service = str(value(connection, "privateLinkServiceId") or "")
    if not made and not _means(service, wanted.service):
        raise UsageError(
            "endpoint_taken",
            f"Private endpoint {wanted.name} is there already, and connects to {service or 'nothing'}.",
            "Choose another --name.",
        )
    state = value(connection, "privateLinkServiceConnectionState") or {}
    status = str(state.get("status") or PENDING)
    message = str(state.get("description") or "")
    return Request(str(document["id"]), service, status, message, address, made)


def _means(one: str, other: str) -> bool:
    """Whether two ids or aliases mean the same link service; an alias begins with the service's name."""
    if ("/" in one) == ("/" in other):
        return same(one, other)
    identity, alias = (one, other) if "/" in one else (other, one)
    return bool(ancestor(identity, SERVICES)) and same(name_of(identity), alias.partition(".")[0])


def advice(request: Request) -> str:
    """What somebody has to do next; empty where nothing is left."""
    if request.state == APPROVED:
        return ""
    if request.is_refused:
        delete = f"az network private-endpoint delete --ids {quoted(request.id)}"
        return f"Its owner decided so, which is final: run `{delete}`, then ask again."
    return (
        "The owner of the service has to approve it: "
        f"`fwdctl link approve --id {quoted(request.id)}`, or az, PowerShell or the portal."
    )


def ask(
    runtime: Runtime, clients: Clients, wanted: Wish, progress: Progress, patience: float, *, wait: bool
) -> Request:
    """Make the endpoint, if it is not there yet; with `wait`, until its owner has decided.

    Raises:
        FwdctlError: Azure refuses, or nobody decides in time (exit code 5).
    """
    networks = Networks(clients, wanted.group)
    found = _read(networks, wanted)
    made = found is None
    if found is None:
        location = str(networks.resource(wanted.network)["location"])
        progress.step(f"Making private endpoint {wanted.name} in {location}")
        body: Any = body_of(wanted, location)
        poller = clients.networks.private_endpoints.begin_create_or_update(
            wanted.group, wanted.name, body, polling_interval=POLL
        )
        late = not_in_time(f"private endpoint {wanted.name} is not made", patience)
        found = clients.result(poller, patience, late).as_dict()
    deadline = runtime.clock() + patience
    while True:
        request = outcome(wanted, found, _address(networks, found), made=made)
        if not wait or request.state != PENDING:
            return request
        if runtime.clock() >= deadline:
            raise InconclusiveError(
                "not_decided",
                f"Nobody has decided on private endpoint {wanted.name} within {patience:.0f} s.",
                advice(request),
            )
        progress.step(f"Waiting for the owner of {name_of(wanted.service)} to decide")
        runtime.sleep(POLL)
        found = networks.private_endpoint(wanted.name)


def _read(networks: Networks, wanted: Wish) -> Document | None:
    try:
        return networks.private_endpoint(wanted.name)
    except FwdctlError as error:
        if error.code != "resource_not_found":  # a group that is not there is somebody's mistake
            raise
        return None


def _address(networks: Networks, document: Document) -> str:
    """What the endpoint's interface has; empty where that is not to be seen."""
    interface = value(document, "networkInterfaces", 0, "id")
    try:
        found = networks.resource(interface) if interface else {}
    except FwdctlError:
        return ""
    return str(value(found, "ipConfigurations", 0, "properties", "privateIPAddress") or "")
