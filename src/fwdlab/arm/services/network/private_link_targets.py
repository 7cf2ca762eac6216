"""Services other than link services that private endpoints lead to, and their side of the connections.

The endpoint alone keeps the state of its connection; the service shows it.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, ClassVar

from fwdlab.arm.errors import ArmError
from fwdlab.arm.ids import same
from fwdlab.arm.operations import Outcome
from fwdlab.arm.services.base import Provider
from fwdlab.arm.services.network.private_endpoints import PE, connections
from fwdlab.arm.services.network.private_link_services import REMOVED, STATE, decided, set_endpoint_state
from fwdlab.arm.services.shapes import body, optional, reference
from fwdlab.model import Resource

if TYPE_CHECKING:
    from fwdlab.arm.ids import ResourceId


class PrivateLinkTarget(Provider):
    """A service that shows the connections of private endpoints while there are any."""

    derived: ClassVar[tuple[str, ...]] = ("privateEndpointConnections",)
    links: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Ids of its groups, and what each is called in public DNS, with `{name}`."""
    named_connections: ClassVar[bool] = True
    """Whether the connections have name and type in the service's own document."""

    def connections(self, resource: Resource) -> list[dict[str, Any]]:
        """Its connections; one that was removed has gone from here and stays with its endpoint."""
        return [
            _shown(resource, endpoint, entry["properties"]["privateLinkServiceConnectionState"])
            for endpoint in self.store.list(type=PE)
            for entry in connections(endpoint.document)
            if same(entry["properties"].get("privateLinkServiceId"), resource.id)
            and entry["properties"]["privateLinkServiceConnectionState"] != REMOVED
        ]

    def rendered(self, resource: Resource) -> dict[str, Any]:
        document = super().rendered(resource)
        if found := self.connections(resource):
            hidden = () if self.named_connections else ("name", "type")
            document["properties"]["privateEndpointConnections"] = [
                {key: value for key, value in one.items() if key not in hidden} for one in found
            ]
        return document


def _shown(service: Resource, endpoint: Resource, state: dict[str, Any]) -> dict[str, Any]:
    name = f"{endpoint.name}.{uuid.uuid5(uuid.NAMESPACE_URL, endpoint.id.lower())}"
    return {
        "id": f"{service.id}/privateEndpointConnections/{name}",
        "name": name,
        "type": f"{service.type}/privateEndpointConnections",
        "properties": {
            "provisioningState": "Succeeded",
            "privateEndpoint": {"id": endpoint.id},
            "privateLinkServiceConnectionState": dict(state),
        },
    }


class TargetConnections(Provider):
    """Approve, reject and remove, as for a link service."""

    tracked = False
    shape = body(privateEndpoint=reference(), privateLinkServiceConnectionState=optional(**STATE))

    def list(self, scope: ResourceId) -> list[dict[str, Any]]:
        service = self.store.require(scope.text)
        provider = self.world.provider(service.type)
        assert isinstance(provider, PrivateLinkTarget)  # noqa: S101 - the registry says so
        return provider.connections(service)

    def get(self, resource_id: ResourceId) -> dict[str, Any]:
        assert resource_id.parent is not None  # noqa: S101 - the type is a child type
        for connection in self.list(resource_id.parent):
            if same(connection["name"], resource_id.name):
                return connection
        raise ArmError(404, "NotFound", f"Resource {resource_id} not found.")

    def put(self, resource_id: ResourceId, sent: dict[str, Any]) -> Resource:
        connection = self.get(resource_id)["properties"]
        state = decided(resource_id, sent, connection["privateLinkServiceConnectionState"])
        set_endpoint_state(self.store, connection["privateEndpoint"]["id"], state)
        return Resource(resource_id.text, self.type, self.get(resource_id))

    def delete(self, resource_id: ResourceId) -> Outcome:
        try:
            connection = self.get(resource_id)
        except ArmError:
            return Outcome(204)
        set_endpoint_state(self.store, connection["properties"]["privateEndpoint"]["id"], REMOVED)
        return Outcome(200)
