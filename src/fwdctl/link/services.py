"""Ask Azure for link services and their connections, and carry out what their owner decides."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fwdctl.azure.documents import place_of
from fwdctl.errors import FwdctlError, InconclusiveError, MissingError
from fwdctl.link import plan
from fwdctl.link.model import Connection, Service, connection_of, service_of
from fwdctl.threads import side_by_side

if TYPE_CHECKING:
    from fwdctl.azure.clients import Clients
    from fwdctl.deployment import Deployment
    from fwdctl.link.plan import Decision, Meant
    from fwdctl.progress import Progress
    from fwdctl.runtime import Runtime

POLL = 2.0
"""Seconds between two looks."""
ENDPOINTS = quote("resourceType eq 'Microsoft.Network/privateEndpoints'")


def services_of(clients: Clients, deployment: Deployment, name: str | None = None) -> list[Service]:
    """The link service that is named, else the deployment's own, else all of its resource group.

    Raises:
        FwdctlError: there is none (exit code 3), or Azure cannot be asked.
    """
    group, wanted = deployment.resource_group, name or deployment.hub.link_service
    operations = clients.networks.private_link_services
    models = [operations.get(group, wanted)] if wanted else list(operations.list(group))
    if not models:
        raise MissingError(
            "no_link_service",
            f"Resource group '{group}' has no private link service.",
            "Name the resource group that has it with --resource-group.",
        )
    return [service_of(model.as_dict()) for model in models]


def since(clients: Clients, connections: Iterable[Connection]) -> dict[str, str]:
    """When the endpoints were made, by their lower-case id, so far as this login may see them.

    The connection has no date; ARM gives a resource's when `createdTime` is asked for (azure-rest-api-specs,
    resources 2021-04-01, `Resources_ListByResourceGroup`, `$expand`).
    """

    def one(place: tuple[str, str]) -> list[Any]:
        path = "/subscriptions/{}/resourceGroups/{}/resources".format(*place)
        question = f"{path}?$filter={ENDPOINTS}&$expand=createdTime"
        try:
            return list(clients.of(place[0]).list(question))
        except FwdctlError:  # of another tenant, or not to be seen
            return []

    places = sorted({place_of(each.endpoint.lower()) for each in connections} - {("", "")})
    found = [document for own in side_by_side(one, places) for document in own]
    return {str(each["id"]).lower(): str(each.get("createdTime") or "") for each in found}


@dataclass(frozen=True)
class Owner:
    """What the owner of one link service can do."""

    runtime: Runtime
    clients: Clients
    service: Service
    progress: Progress

    @property
    def _place(self) -> tuple[str, str]:
        return place_of(self.service.id)[1], self.service.name

    @property
    def _operations(self) -> Any:
        return self.clients.of(place_of(self.service.id)[0]).networks.private_link_services

    def find(self, decision: Decision, meant: Meant, patience: float = 0.0) -> Connection | None:
        """The connection that is meant; with patience, one that is still to come is awaited.

        Raises:
            FwdctlError: several are meant (exit code 2).
        """
        deadline = self.runtime.clock() + patience
        connections: Iterable[Connection] = self.service.connections
        while True:
            found = plan.choose(connections, decision, meant)
            if found is not None or self.runtime.clock() >= deadline:
                return found
            self.progress.step(f"Waiting for a connection '{meant}' to {self.service.name}")
            self.runtime.sleep(POLL)
            connections = service_of(self._operations.get(*self._place).as_dict()).connections

    def decide(self, connection: Connection, decision: Decision, words: str, patience: float) -> Connection:
        """Approve or reject; the service is asked again until it is so, where there is patience.

        Raises:
            FwdctlError: Azure refuses, or it is not so in time (exit code 5).
        """
        self.progress.step(f"Asking Azure to {decision.verb} {connection.name}")
        state = {"status": decision.state, "description": words, "actionsRequired": "None"}
        # With the endpoint: without it Azure takes the request for that of a new connection, which only
        # consumers make (azure-sdk-for-go#9484).
        body = {
            "name": connection.name,
            "properties": {
                "privateEndpoint": {"id": connection.endpoint},
                "privateLinkServiceConnectionState": state,
            },
        }
        answer = self._operations.update_private_endpoint_connection(*self._place, connection.name, body)
        decided = connection_of(self.service.name, answer.as_dict())
        deadline = self.runtime.clock() + patience
        while (decided.state, decided.settled) != (decision.state, True):
            if self.runtime.clock() >= deadline:
                if patience or decided.state != decision.state:
                    raise not_in_time(f"connection {decided.name} is {decided.state}", patience)
                break
            self.runtime.sleep(POLL)
            answer = self._operations.get_private_endpoint_connection(*self._place, connection.name)
            decided = connection_of(self.service.name, answer.as_dict())
        return decided

    def remove(self, connection: Connection, patience: float) -> None:
        """Take a connection from the service; its endpoint says Disconnected from then on.

        Raises:
            FwdctlError: Azure refuses, or does not finish in time (exit code 5).
        """
        self.progress.step(f"Asking Azure to remove {connection.name}")
        poller = self._operations.begin_delete_private_endpoint_connection(
            *self._place, connection.name, polling_interval=POLL
        )
        late = not_in_time(f"connection {connection.name} is still there", patience)
        self.clients.result(poller, patience, late)


def not_in_time(what: str, patience: float) -> FwdctlError:
    return InconclusiveError(
        "operation_timed_out",
        f"After {patience:.0f} s {what}.",
        "Azure may still do it; look again with `fwdctl link list`.",
    )
