"""Private link services, and the provider's side of their connections."""

from __future__ import annotations

import copy
import uuid
from typing import TYPE_CHECKING, Any

from fwdlab.arm.ids import ResourceId, reference_id, refers
from fwdlab.arm.jsonc import merge
from fwdlab.arm.operations import Outcome
from fwdlab.arm.services.base import bad_request, index_of, part_of, with_properties
from fwdlab.arm.services.embedded import Embedded
from fwdlab.arm.services.network.addresses import IP_CONFIGURATION, allocate_all
from fwdlab.arm.services.network.interfaces import NIC, put_read_only
from fwdlab.arm.services.network.load_balancers import LB
from fwdlab.arm.services.network.provider import NetworkProvider
from fwdlab.arm.services.references import missing_reference
from fwdlab.arm.services.shapes import body, flag, items, parts, record, reference, text
from fwdlab.model import Resource

if TYPE_CHECKING:
    from fwdlab.arm.store import Store

PLS = "Microsoft.Network/privateLinkServices"
CONNECTION_LISTS = ("privateLinkServiceConnections", "manualPrivateLinkServiceConnections")
_STATES = ("Approved", "Pending", "Rejected", "Disconnected")
STATE = {"status": text(), "description": text(), "actionsRequired": text()}
_CLOSED = ("Rejected", "Disconnected")
"""Connections that were denied cannot be approved (azure-docs, private-link/manage-private-endpoint)."""


class PrivateLinkServices(NetworkProvider):
    type = PLS
    has_guid = False
    derived = ("alias", "privateEndpointConnections", "networkInterfaces")
    shape = body(
        loadBalancerFrontendIpConfigurations=items(reference(), default=[]),
        ipConfigurations=parts(**IP_CONFIGURATION),
        fqdns=items(text(), default=[]),
        visibility=record(subscriptions=items(text(), default=[])),
        autoApproval=record(subscriptions=items(text(), default=[])),
        enableProxyProtocol=flag(default=False),
    )

    def validate(self, resource_id: ResourceId, document: dict[str, Any]) -> None:
        properties = document["properties"]
        if not properties["loadBalancerFrontendIpConfigurations"]:
            raise bad_request(
                "LabPrivateLinkServiceNeedsLoadBalancer",
                f"{resource_id}: the lab knows private link services on a load balancer frontend only.",
            )
        if not properties["ipConfigurations"]:
            raise bad_request(
                "PrivateLinkServiceWithoutIpConfiguration", f"{resource_id} has no ipConfigurations."
            )

    def complete(self, document: dict[str, Any], old: Resource | None) -> None:
        """Check the load balancer and the subnet's policies, take NAT addresses, make the alias."""
        properties = document["properties"]
        for frontend in properties["loadBalancerFrontendIpConfigurations"]:
            wanted = reference_id(frontend)
            balancer, _ = part_of(self.store, "frontendIPConfigurations", wanted, document["id"])
            _check_balancer(balancer, document["id"])
        for position, entry in enumerate(properties["ipConfigurations"]):
            self._check_subnet(entry, document["id"])
            entry["properties"].setdefault("primary", position == 0)
        former = old.properties["ipConfigurations"] if old is not None else []
        allocate_all(self.store, properties["ipConfigurations"], former, document["id"])
        if old is not None:
            properties |= {name: copy.deepcopy(old.properties[name]) for name in self.derived}
        else:
            name, region = document["name"], document["location"]
            properties["alias"] = f"{name}.{uuid.uuid4()}.{region}.azure.privatelinkservice"
            properties["privateEndpointConnections"] = []
            nic_id = interface_id(document, f"{name}.nic.{uuid.uuid4()}")
            properties["networkInterfaces"] = [{"id": nic_id}]
        nic_id = properties["networkInterfaces"][0]["id"]
        put_read_only(self.store, nic_id, document, properties["ipConfigurations"], "privateLinkService")

    def rendered(self, resource: Resource) -> dict[str, Any]:
        """Without the NAT addresses that it has been given: only its interface shows those."""
        document = super().rendered(resource)
        for entry in document["properties"]["ipConfigurations"]:
            if entry["properties"]["privateIPAllocationMethod"] == "Dynamic":
                del entry["properties"]["privateIPAddress"]
        return document

    def _check_subnet(self, entry: dict[str, Any], owner: str) -> None:
        subnet_id = reference_id(entry["properties"].get("subnet"))
        _, subnet = part_of(self.store, "subnets", subnet_id, entry["id"])
        if subnet["properties"]["privateLinkServiceNetworkPolicies"] != "Disabled":
            raise bad_request(
                "PrivateLinkServiceCannotBeCreatedInSubnetThatHasNetworkPoliciesEnabled",
                f"Private link service {owner} cannot be created in a subnet {subnet_id} since it has "
                "private link service network policies enabled.",
            )

    def before_delete(self, resource_id: ResourceId) -> None:
        """Refuse while endpoints are connected (private-link-service-overview; the code is the lab's own)."""
        service = self.store.require(resource_id.text)
        if service.properties["privateEndpointConnections"]:
            raise bad_request(
                "LabPrivateLinkServiceInUse",
                f"Private link service {resource_id} cannot be deleted while it has private endpoint "
                "connections.",
            )
        for nic in service.properties["networkInterfaces"]:
            self.store.delete(nic["id"])

    def release(self, resource_id: ResourceId) -> None:
        """Let the endpoints of other groups say Disconnected."""
        for connection in self.store.require(resource_id.text).properties["privateEndpointConnections"]:
            endpoint = reference_id(connection["properties"]["privateEndpoint"])
            if ResourceId.parse(endpoint).group.lower() != resource_id.group.lower():
                set_endpoint_state(self.store, endpoint, link_state("Disconnected", "Deleted state"))


def _check_balancer(balancer: Resource, user: str) -> None:
    if balancer.type != LB:
        raise missing_reference(balancer.id, user)
    sku = balancer.document["sku"]["name"]
    if sku.lower() != "standard":
        raise bad_request(
            "LabPrivateLinkServiceNeedsStandardLoadBalancer",
            f"A private link service needs a Standard load balancer; {balancer.id} is {sku}.",
        )
    for pool in balancer.properties["backendAddressPools"]:
        for address in pool["properties"]["loadBalancerBackendAddresses"]:
            entry = address["properties"]
            if entry.get("ipAddress") and not entry.get("networkInterfaceIPConfiguration"):
                # code and message: azure-docs#75134
                raise bad_request(
                    "PrivateLinkServiceIsNotSupportedForIPBasedLoadBalancer",
                    f"Private link service is not supported for load balancer {balancer.id} with backend "
                    "addresses set by (virtualNetwork, ipAddress) or (subnet, ipAddress).",
                )


class Connections(Embedded):
    """The provider's side of a connection."""

    type = f"{PLS}/privateEndpointConnections"

    def put(self, resource_id: ResourceId, sent: dict[str, Any]) -> Resource:
        """Approve or reject; the endpoint shows the same state."""
        connection = self.get(resource_id)
        before = connection["properties"]["privateLinkServiceConnectionState"]
        decide(self.store, self.parent(resource_id), connection, decided(resource_id, sent, before))
        return Resource(connection["id"], self.type, connection)

    def delete(self, resource_id: ResourceId) -> Outcome:
        """Remove the connection for good: the endpoint stays behind as Disconnected."""
        service = self.parent(resource_id)
        entries = service.properties["privateEndpointConnections"]
        position = index_of(entries, resource_id.name)
        if position is None:
            return Outcome(204)
        endpoint = reference_id(entries[position]["properties"]["privateEndpoint"])
        drop_connection(self.store, service, endpoint)
        set_endpoint_state(self.store, endpoint, REMOVED)
        return Outcome(200)


def link_state(status: str, description: str, actions: str = "None") -> dict[str, Any]:
    return {"status": status, "description": description, "actionsRequired": actions}


REMOVED = link_state("Disconnected", "Deleted state", "Consider deleting the private endpoint connection")
"""What an endpoint says of a connection that its service has removed."""


def decided(connection: ResourceId, sent: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """The state that a PUT of a connection asks for.

    Raises:
        ArmError: 400, without a known state, or for a connection that has come to its end.
    """
    own = sent.get("properties")
    wanted = own.get("privateLinkServiceConnectionState") if isinstance(own, dict) else None
    asked = str(wanted.get("status")).title() if isinstance(wanted, dict) else ""
    if not isinstance(wanted, dict) or asked not in _STATES:
        raise bad_request(
            "InvalidRequestFormat",
            f"privateLinkServiceConnectionState.status must be one of {', '.join(_STATES)}.",
        )
    if before["status"] in _CLOSED and asked != before["status"]:
        raise bad_request(
            "LabConnectionIsFinal",
            f"Private endpoint connection {connection} is {before['status']} and cannot become {asked}.",
        )
    return merge(before, {**wanted, "status": asked})


def interface_id(document: dict[str, Any], name: str) -> str:
    """Id of an interface in the resource group of a document."""
    return f"{ResourceId.parse(document['id']).group_id}/providers/{NIC}/{name}"


def decide(store: Store, service: Resource, connection: dict[str, Any], state: dict[str, Any]) -> None:
    """Let both sides of a connection show a state."""
    connection["properties"]["privateLinkServiceConnectionState"] = state
    set_connection(store, service, connection)
    set_endpoint_state(store, reference_id(connection["properties"]["privateEndpoint"]), state)


def set_connection(store: Store, service: Resource, connection: dict[str, Any]) -> None:
    """Add or replace one connection of a link service."""
    entries = list(service.properties["privateEndpointConnections"])
    position = index_of(entries, connection["name"])
    if position is None:
        entries.append(connection)
    else:
        entries[position] = connection
    store.put(with_properties(service, privateEndpointConnections=entries))


def drop_connection(store: Store, service: Resource, endpoint_id: str) -> None:
    """Remove the connection of an endpoint from a link service, if it has one."""
    entries = service.properties["privateEndpointConnections"]
    left = [entry for entry in entries if not refers(entry["properties"]["privateEndpoint"], endpoint_id)]
    store.put(with_properties(service, privateEndpointConnections=left))


def set_endpoint_state(store: Store, endpoint_id: str, state: dict[str, Any]) -> None:
    """Let the consumer's side show the state, if the endpoint still exists."""
    endpoint = store.get(endpoint_id)
    if endpoint is None:
        return
    changed = {
        name: [
            {**entry, "properties": {**entry["properties"], "privateLinkServiceConnectionState": dict(state)}}
            for entry in endpoint.properties[name]
        ]
        for name in CONNECTION_LISTS
    }
    store.put(with_properties(endpoint, **changed))


PROVIDERS = (PrivateLinkServices, Connections)
