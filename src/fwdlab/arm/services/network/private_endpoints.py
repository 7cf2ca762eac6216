"""Private endpoints: the consumer's side of a connection, with an address of its own."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from fwdlab.arm.errors import ArmError
from fwdlab.arm.ids import ResourceId, reference_id, same
from fwdlab.arm.services.base import bad_request
from fwdlab.arm.services.network.addresses import allocate, static_or_former
from fwdlab.arm.services.network.interfaces import put_read_only
from fwdlab.arm.services.network.private_link_services import (
    CONNECTION_LISTS,
    PLS,
    drop_connection,
    interface_id,
    link_state,
    set_connection,
)
from fwdlab.arm.services.network.provider import NetworkProvider
from fwdlab.arm.services.references import missing_reference
from fwdlab.arm.services.shapes import Shape, body, identifier, items, named, parts, reference, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwdlab.model import Resource

PE = "Microsoft.Network/privateEndpoints"
_AUTO_APPROVED = link_state("Approved", "Auto Approved")
_CONNECTION = parts(
    privateLinkServiceId=identifier(), groupIds=items(text(), default=[]), requestMessage=text()
)


class PrivateEndpoints(NetworkProvider):
    type = PE
    has_guid = False
    shape = body(
        subnet=reference(),
        applicationSecurityGroups=items(reference()),
        privateLinkServiceConnections=_CONNECTION,
        manualPrivateLinkServiceConnections=_CONNECTION,
        ipConfigurations=named(groupId=text(), memberName=text(), privateIPAddress=text()),
        customNetworkInterfaceName=Shape(str, ""),
    )

    def validate(self, resource_id: ResourceId, document: dict[str, Any]) -> None:
        if len(list(connections(document))) != 1:
            raise bad_request(
                "InvalidRequestFormat",
                f"{resource_id} must have exactly one connection in {' or '.join(CONNECTION_LISTS)}.",
            )

    def complete(self, document: dict[str, Any], old: Resource | None) -> None:
        """Take an address, make the interface, ask for the connection."""
        address = self._put_interface(document, old)
        properties = document["properties"]
        connection = next(connections(document))
        service = self._target(connection)
        known = _known_state(old, connection)
        manual = connection in properties["manualPrivateLinkServiceConnections"]
        asking = ResourceId.parse(document["id"]).subscription
        state = known or _first_state(service, asking, connection["properties"], manual=manual)
        if service.type == PLS:
            self._check_visible(service, asking, document["id"], manual=manual)
            properties["customDnsConfigs"] = [
                {"fqdn": name, "ipAddresses": [address]} for name in service.properties["fqdns"]
            ]
            if known is None:
                set_connection(self.store, service, _connection(service, document, state))
        else:
            names = self._names(service, connection)
            properties["customDnsConfigs"] = [{"fqdn": name, "ipAddresses": [address]} for name in names]
        connection["properties"]["privateLinkServiceConnectionState"] = state

    def _put_interface(self, document: dict[str, Any], old: Resource | None) -> str:
        """Make or renew the endpoint's interface and say its address."""
        properties = document["properties"]
        name = properties["customNetworkInterfaceName"] or f"{document['name']}.nic.{uuid.uuid4()}"
        nic_id = old.properties["networkInterfaces"][0]["id"] if old else interface_id(document, name)
        static = properties["ipConfigurations"][:1]
        wanted = static[0]["properties"].get("privateIPAddress") if static else None
        subnet = reference_id(properties.get("subnet"))
        own: dict[str, Any] = {
            "privateIPAllocationMethod": "Static" if wanted else "Dynamic",
            "subnet": {"id": subnet},
            "primary": True,
            "privateIPAddressVersion": "IPv4",
            "privateLinkConnectionProperties": {"groupId": "", "requiredMemberName": "", "fqdns": []},
        }
        entry_name = f"privateEndpointIpConfig.{uuid.uuid4()}"
        nic = self.store.get(nic_id)
        if nic is not None:
            former = nic.properties["ipConfigurations"][0]
            entry_name = former["name"]
            before = former["properties"]["privateIPAddress"]
            if wanted not in (None, before):
                raise bad_request(
                    "LabPrivateEndpointAddressCannotChange",
                    f"The address of private endpoint {document['id']} is {before} and cannot become "
                    f"{wanted}. Delete the endpoint and create it again.",
                )
            wanted = wanted or static_or_former(own, former["properties"])
        address = allocate(self.store, subnet, wanted, document["id"], nic_id)
        own["privateIPAddress"] = address
        entry = {"name": entry_name, "properties": own}
        put_read_only(self.store, nic_id, document, [entry], "privateEndpoint")
        properties["networkInterfaces"] = [{"id": nic_id}]
        return address

    def _target(self, connection: dict[str, Any]) -> Resource:
        """The service that is asked, by its id or its alias."""
        wanted = connection["properties"].get("privateLinkServiceId", "")
        found = self.store.get(wanted)
        if found is None:
            found = next((s for s in self.store.list(type=PLS) if same(s.properties["alias"], wanted)), None)
        if found is None:
            raise missing_reference(wanted, connection["id"])
        return found

    def _names(self, service: Resource, connection: dict[str, Any]) -> list[str]:
        """What the groups that an endpoint asks a service for are called in public DNS."""
        known = dict(getattr(self.world.provider(service.type), "links", ()))
        groups = connection["properties"]["groupIds"]
        if len(groups) != 1 or groups[0].lower() not in known:
            raise bad_request(
                "LabPrivateLinkGroupNotValid",
                f"{connection['id']}: groupIds must be one of {', '.join(known)}, not {groups}.",
            )
        return [known[groups[0].lower()].format(name=service.name.lower())]

    def rendered(self, resource: Resource) -> dict[str, Any]:
        """Without the names for DNS where a zone group sees to them."""
        document = super().rendered(resource)
        asked = next(connections(document))["properties"]["groupIds"]
        if asked and self.below(resource.id, f"{PE}/privateDnsZoneGroups"):
            document["properties"]["customDnsConfigs"] = []
        return document

    def _check_visible(self, service: Resource, asking: str, asked: str, *, manual: bool) -> None:
        """Without a list whoever has a role sees a service: its own tenant; across tenants one has to ask.

        Azure's own code for what is not visible is not known.
        """
        visible = {one.lower() for one in service.properties["visibility"]["subscriptions"] if one}
        own = ResourceId.parse(service.id).subscription
        abroad = self.world.tenant_of(asking) is not self.world.tenant_of(own)
        if not manual and abroad:
            raise ArmError(
                403,
                "LinkedAuthorizationFailed",
                f"The client has permission to write {asked}; however, the current tenant is not authorized "
                f"to access linked subscription '{own}'.",
            )
        listed = bool({"*", asking.lower()} & visible)
        if not listed and not same(asking, own) and (visible or abroad):
            raise bad_request(
                "LabPrivateLinkServiceNotVisible",
                f"Private link service {service.properties['alias']} is not visible to {asking}.",
            )

    def before_delete(self, resource_id: ResourceId) -> None:
        """Take the connection and the interface along."""
        endpoint = self.store.require(resource_id.text)
        for service in self.store.list(type=PLS):
            drop_connection(self.store, service, endpoint.id)
        for nic in endpoint.properties["networkInterfaces"]:
            self.store.delete(nic["id"])

    release = before_delete


def connections(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """An endpoint's connections, of both lists."""
    for name in CONNECTION_LISTS:
        yield from document["properties"][name]


def _first_state(
    service: Resource, asking: str, properties: dict[str, Any], *, manual: bool
) -> dict[str, Any]:
    """Approved when the caller may approve, or the subscription is in autoApproval (azure-docs, FAQ)."""
    automatic = [one.lower() for one in service.properties.get("autoApproval", {}).get("subscriptions", ())]
    if not manual or "*" in automatic or asking.lower() in automatic:
        return _AUTO_APPROVED
    return link_state("Pending", properties.get("requestMessage", ""))


def _known_state(old: Resource | None, connection: dict[str, Any]) -> dict[str, Any] | None:
    """The state of an endpoint's connection with that service, when it had one before."""
    for entry in connections(old.document) if old is not None else ():
        before, now = entry["properties"], connection["properties"]
        if same(before.get("privateLinkServiceId"), now.get("privateLinkServiceId")):
            state: dict[str, Any] = before["privateLinkServiceConnectionState"]
            return state
    return None


def _connection(service: Resource, document: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    name = f"{document['name']}.{uuid.uuid4()}"
    return {
        "name": name,
        "id": f"{service.id}/privateEndpointConnections/{name}",
        "type": f"{PLS}/privateEndpointConnections",
        "properties": {
            "provisioningState": "Succeeded",
            "privateEndpoint": {"id": document["id"]},
            "privateLinkServiceConnectionState": dict(state),
            "linkIdentifier": str(uuid.uuid4().int % 2**32),
            "privateEndpointLocation": document.get("location", ""),
        },
    }


PROVIDERS = (PrivateEndpoints,)
