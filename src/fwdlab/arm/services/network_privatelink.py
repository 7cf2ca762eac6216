"""Private link services and private endpoints, and the connection that both show."""

from __future__ import annotations

import copy
import uuid
from typing import TYPE_CHECKING, Any

from fwdlab.arm.errors import ArmError
from fwdlab.arm.ids import ResourceId, same
from fwdlab.arm.operations import Outcome
from fwdlab.arm.services.addresses import (
    allocate,
    allocate_all,
    missing_reference,
    static_or_former,
    subnet_of,
)
from fwdlab.arm.services.base import Embedded, Provider, embed, index_of, merge, reference_id
from fwdlab.arm.services.network_lb import LB, NIC
from fwdlab.model import Resource

if TYPE_CHECKING:
    from fwdlab.arm.store import Store

PLS = "Microsoft.Network/privateLinkServices"
PE = "Microsoft.Network/privateEndpoints"
_CONNECTION_LISTS = ("privateLinkServiceConnections", "manualPrivateLinkServiceConnections")
_STATES = ("Approved", "Pending", "Rejected", "Disconnected")


class PrivateLinkServices(Provider):
    """`Microsoft.Network/privateLinkServices`."""

    type = PLS

    def build(self, document: dict[str, Any], old: Resource | None) -> Resource:
        """Check the load balancer and the subnet's policies, take NAT addresses, make the alias."""
        resource_id = ResourceId.parse(document["id"])
        properties = document["properties"]
        self._check_frontends(properties, document["id"])
        entries = embed(document, "ipConfigurations", f"{PLS}/ipConfigurations")
        if not entries:
            raise ArmError(
                400, "PrivateLinkServiceWithoutIpConfiguration", f"{resource_id} has no ipConfigurations."
            )
        for position, entry in enumerate(entries):
            self._check_subnet(entry, document["id"])
            entry["properties"].setdefault("primary", position == 0)
        before = old.properties["ipConfigurations"] if old is not None else []
        allocate_all(self.store, entries, before, document["id"])
        kept = old.properties if old is not None else {}
        region = document.get("location", "westeurope")
        alias = f"{document['name']}.{uuid.uuid4()}.{region}.azure.privatelinkservice"
        properties["alias"] = kept.get("alias", alias)
        properties["privateEndpointConnections"] = copy.deepcopy(kept.get("privateEndpointConnections", []))
        properties["networkInterfaces"] = kept.get("networkInterfaces") or [
            {"id": _nic_id(document, f"{document['name']}.nic.{uuid.uuid4()}")}
        ]
        for name, default in (("fqdns", []), ("visibility", {}), ("autoApproval", {})):
            properties.setdefault(name, default)
        for name in ("visibility", "autoApproval"):
            properties[name].setdefault("subscriptions", [])
        properties.setdefault("enableProxyProtocol", False)
        self._put_nic(document)
        return self.resource(document, old)

    def _check_frontends(self, properties: dict[str, Any], owner: str) -> None:
        frontends = properties.get("loadBalancerFrontendIpConfigurations") or []
        if not frontends:
            raise ArmError(
                400,
                "LabPrivateLinkServiceNeedsLoadBalancer",
                f"{owner}: the lab knows private link services on a load balancer frontend only.",
            )
        for frontend in frontends:
            frontend_id = reference_id(frontend)
            balancer = self.store.get(frontend_id.rsplit("/", 2)[0])
            if balancer is None or not balancer.type == LB:
                raise missing_reference(frontend_id, owner)
            if (
                index_of(balancer.properties["frontendIPConfigurations"], frontend_id.rsplit("/", 1)[-1])
                is None
            ):
                raise missing_reference(frontend_id, owner)
            _check_balancer(balancer)

    def _check_subnet(self, entry: dict[str, Any], owner: str) -> None:
        subnet_id = reference_id(entry["properties"].get("subnet"))
        subnet = subnet_of(self.store, subnet_id, entry["id"])
        if subnet["properties"].get("privateLinkServiceNetworkPolicies") != "Disabled":
            raise ArmError(
                400,
                "PrivateLinkServiceCannotBeCreatedInSubnetThatHasNetworkPoliciesEnabled",
                f"Private link service {owner} cannot be created in a subnet {subnet_id} since it has "
                "private link "
                "service network policies enabled.",
            )

    def _put_nic(self, document: dict[str, Any]) -> None:
        nic_id = document["properties"]["networkInterfaces"][0]["id"]
        configurations = [
            {"name": e["name"], "properties": copy.deepcopy(e["properties"])}
            for e in document["properties"]["ipConfigurations"]
        ]
        put_nic(self.store, nic_id, document, configurations, "privateLinkService")

    def before_delete(self, resource_id: ResourceId) -> None:
        """Refuse while endpoints are connected (private-link-service-overview; the code is the lab's own)."""
        service = self.store.require(resource_id.text)
        if service.properties["privateEndpointConnections"]:
            raise ArmError(
                400,
                "LabPrivateLinkServiceInUse",
                f"Private link service {resource_id} cannot be deleted while it has private endpoint "
                "connections.",
            )
        for nic in service.properties["networkInterfaces"]:
            self.store.delete(nic["id"])


def _check_balancer(balancer: Resource) -> None:
    if str(balancer.document["sku"].get("name", "")).lower() != "standard":
        raise ArmError(
            400,
            "LabPrivateLinkServiceNeedsStandardLoadBalancer",
            f"A private link service needs a Standard load balancer; {balancer.id} is "
            f"{balancer.document['sku'].get('name')}.",
        )
    for pool in balancer.properties["backendAddressPools"]:
        for address in pool["properties"].get("loadBalancerBackendAddresses", []):
            entry = address.get("properties", {})
            if entry.get("ipAddress") and not entry.get("networkInterfaceIPConfiguration"):
                # code and message: azure-docs#75134
                raise ArmError(
                    400,
                    "PrivateLinkServiceIsNotSupportedForIPBasedLoadBalancer",
                    f"Private link service is not supported for load balancer {balancer.id} with backend "
                    "addresses "
                    "set by (virtualNetwork, ipAddress) or (subnet, ipAddress).",
                )


class Connections(Embedded):
    """`…/privateEndpointConnections`: the provider's side of a connection."""

    type = f"{PLS}/privateEndpointConnections"
    parent_type = PLS
    collection = "privateEndpointConnections"

    def put(self, resource_id: ResourceId, body: dict[str, Any]) -> Resource:
        """Approve or reject; the endpoint shows the same state."""
        connection = copy.deepcopy(self.get(resource_id))
        wanted = (body.get("properties") or {}).get("privateLinkServiceConnectionState") or {}
        if wanted.get("status") not in _STATES:
            raise ArmError(
                400,
                "InvalidRequestFormat",
                f"privateLinkServiceConnectionState.status must be one of {', '.join(_STATES)}.",
            )
        state = merge(connection["properties"]["privateLinkServiceConnectionState"], wanted)
        connection["properties"]["privateLinkServiceConnectionState"] = state
        set_connection(self.store, str(resource_id.parent), connection)
        set_endpoint_state(self.store, reference_id(connection["properties"]["privateEndpoint"]), state)
        return self._entry(resource_id)

    def delete(self, resource_id: ResourceId) -> Outcome:
        """Remove the connection for good: the endpoint stays behind as Disconnected."""
        _, parent = self._parent(resource_id)
        entries = parent.properties["privateEndpointConnections"]
        position = index_of(entries, resource_id.name)
        if position is None:
            return Outcome(204)
        endpoint = reference_id(entries[position]["properties"]["privateEndpoint"])
        drop_connection(self.store, parent.id, endpoint)
        set_endpoint_state(
            self.store,
            endpoint,
            {
                "status": "Disconnected",
                "description": "Deleted state",
                "actionsRequired": "Consider deleting the private endpoint connection",
            },
        )
        return Outcome(200)


class PrivateEndpoints(Provider):
    """`Microsoft.Network/privateEndpoints`."""

    type = PE

    def build(self, document: dict[str, Any], old: Resource | None) -> Resource:
        """Take an address, make the interface, ask for the connection."""
        resource_id = ResourceId.parse(document["id"])
        properties = document["properties"]
        for name in _CONNECTION_LISTS:
            embed(document, name, f"{PE}/{name}")
        listed = [(name, entry) for name in _CONNECTION_LISTS for entry in properties[name]]
        if len(listed) != 1:
            raise ArmError(
                400,
                "InvalidRequestFormat",
                f"{resource_id} must have exactly one connection in {' or '.join(_CONNECTION_LISTS)}.",
            )
        for name, default in (("ipConfigurations", []), ("customNetworkInterfaceName", "")):
            properties.setdefault(name, default)
        self._put_nic(document, old)
        self._connect(document, *listed[0], old)
        return self.resource(document, old)

    def _put_nic(self, document: dict[str, Any], old: Resource | None) -> None:
        properties = document["properties"]
        subnet = reference_id(properties.get("subnet"))
        known = old.properties["networkInterfaces"][0]["id"] if old is not None else ""
        name = properties["customNetworkInterfaceName"] or f"{document['name']}.nic.{uuid.uuid4()}"
        nic_id = known or _nic_id(document, name)
        nic = self.store.get(nic_id)
        static = properties["ipConfigurations"][0]["properties"] if properties["ipConfigurations"] else None
        wanted = static.get("privateIPAddress") if static is not None else None
        entry: dict[str, Any] = {
            "name": f"privateEndpointIpConfig.{uuid.uuid4()}",
            "properties": {
                "privateIPAllocationMethod": "Static" if wanted else "Dynamic",
                "subnet": {"id": subnet},
                "primary": True,
                "privateIPAddressVersion": "IPv4",
                "privateLinkConnectionProperties": {"groupId": "", "requiredMemberName": "", "fqdns": []},
            },
        }
        if nic is not None:
            entry["name"] = nic.properties["ipConfigurations"][0]["name"]
            wanted = wanted or static_or_former(
                entry["properties"], nic.properties["ipConfigurations"][0]["properties"]
            )
        address = allocate(self.store, subnet, wanted, document["id"], nic_id)
        entry["properties"]["privateIPAddress"] = address
        put_nic(self.store, nic_id, document, [entry], "privateEndpoint")
        properties["networkInterfaces"] = [{"id": nic_id}]

    def _connect(
        self, document: dict[str, Any], collection: str, entry: dict[str, Any], old: Resource | None
    ) -> None:
        properties = entry["properties"]
        properties.setdefault("groupIds", [])
        service = self._target(entry)
        manual = collection.startswith("manual")
        known = _known_state(old, reference_id({"id": properties["privateLinkServiceId"]}))
        if service.type != PLS:
            properties["privateLinkServiceConnectionState"] = known or _state("Approved", "")
            document["properties"].setdefault("customDnsConfigs", [])
            return
        state = known or self._first_state(service, properties, manual=manual)
        properties["privateLinkServiceConnectionState"] = state
        address = _nic_address(self.store, document)
        document["properties"]["customDnsConfigs"] = [
            {"fqdn": name, "ipAddresses": [address]} for name in service.properties["fqdns"]
        ]
        if known is None:
            set_connection(self.store, service.id, self._connection(service, document, state))

    def _target(self, entry: dict[str, Any]) -> Resource:
        wanted = str(entry["properties"].get("privateLinkServiceId", ""))
        found = self.store.get(wanted)
        if found is None:  # an alias is allowed in its place
            found = next((s for s in self.store.list(type=PLS) if same(s.properties["alias"], wanted)), None)
        if found is None:
            raise missing_reference(wanted, entry["id"])
        return found

    def _first_state(self, service: Resource, properties: dict[str, Any], *, manual: bool) -> dict[str, Any]:
        """Approved when the caller may approve, or the subscription is in autoApproval (azure-docs, FAQ)."""
        automatic = [s.lower() for s in service.properties["autoApproval"]["subscriptions"]]
        if not manual or "*" in automatic or self.world.subscription_id.lower() in automatic:
            return _state("Approved", "")
        return _state("Pending", str(properties.get("requestMessage", "")))

    def _connection(
        self, service: Resource, document: dict[str, Any], state: dict[str, Any]
    ) -> dict[str, Any]:
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

    def before_delete(self, resource_id: ResourceId) -> None:
        """Take the connection and the interface along."""
        endpoint = self.store.require(resource_id.text)
        for service in self.store.list(type=PLS):
            drop_connection(self.store, service.id, endpoint.id)
        for nic in endpoint.properties["networkInterfaces"]:
            self.store.delete(nic["id"])


def _state(status: str, description: str) -> dict[str, Any]:
    return {"status": status, "description": description, "actionsRequired": "None"}


def _known_state(old: Resource | None, service_id: str) -> dict[str, Any] | None:
    if old is None:
        return None
    for name in _CONNECTION_LISTS:
        for entry in old.properties.get(name, []):
            if same(entry["properties"].get("privateLinkServiceId"), service_id):
                found: dict[str, Any] = entry["properties"]["privateLinkServiceConnectionState"]
                return found
    return None


def _nic_id(document: dict[str, Any], name: str) -> str:
    return f"{ResourceId.parse(document['id']).group_id}/providers/{NIC}/{name}"


def _nic_address(store: Store, document: dict[str, Any]) -> str:
    nic = store.require(document["properties"]["networkInterfaces"][0]["id"])
    address: str = nic.properties["ipConfigurations"][0]["properties"]["privateIPAddress"]
    return address


def put_nic(
    store: Store, nic_id: str, owner: dict[str, Any], configurations: list[dict[str, Any]], role: str
) -> None:
    """Store the read-only interface of an endpoint or link service."""
    document: dict[str, Any] = {
        "id": nic_id,
        "name": nic_id.rsplit("/", 1)[-1],
        "type": NIC,
        "location": owner.get("location", ""),
        "tags": {},
        "properties": {
            "provisioningState": "Succeeded",
            "ipConfigurations": configurations,
            role: {"id": owner["id"]},
            "enableIPForwarding": False,
            "dnsSettings": {"dnsServers": [], "appliedDnsServers": []},
        },
    }
    embed(document, "ipConfigurations", f"{NIC}/ipConfigurations")
    store.put(Resource(nic_id, NIC, document))


def set_connection(store: Store, service_id: str, connection: dict[str, Any]) -> None:
    """Add or replace one connection of a link service."""
    service = store.require(service_id)
    document = copy.deepcopy(service.document)
    entries = document["properties"]["privateEndpointConnections"]
    position = index_of(entries, connection["name"])
    if position is None:
        entries.append(connection)
    else:
        entries[position] = connection
    store.put(Resource(service.id, service.type, document))


def drop_connection(store: Store, service_id: str, endpoint_id: str) -> None:
    """Remove the connection of an endpoint from a link service, if it has one."""
    service = store.require(service_id)
    entries = service.properties["privateEndpointConnections"]
    left = [e for e in entries if not same(reference_id(e["properties"]["privateEndpoint"]), endpoint_id)]
    if len(left) != len(entries):
        document = copy.deepcopy(service.document)
        document["properties"]["privateEndpointConnections"] = copy.deepcopy(left)
        store.put(Resource(service.id, service.type, document))


def set_endpoint_state(store: Store, endpoint_id: str, state: dict[str, Any]) -> None:
    """Let the consumer's side show the state, if the endpoint still exists."""
    endpoint = store.get(endpoint_id)
    if endpoint is None:
        return
    document = copy.deepcopy(endpoint.document)
    for name in _CONNECTION_LISTS:
        for entry in document["properties"].get(name, []):
            entry["properties"]["privateLinkServiceConnectionState"] = dict(state)
    store.put(Resource(endpoint.id, endpoint.type, document))
