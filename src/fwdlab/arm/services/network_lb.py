"""Load balancers and network interfaces."""

from __future__ import annotations

import ipaddress
import uuid
from typing import TYPE_CHECKING, Any

from fwdlab.arm.errors import ArmError
from fwdlab.arm.ids import ResourceId, same
from fwdlab.arm.operations import Operation, Outcome
from fwdlab.arm.services.addresses import allocate_all, missing_reference
from fwdlab.arm.services.base import Embedded, Provider, embed, index_of, reference_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwdlab.arm.services.base import World
    from fwdlab.arm.store import Store
    from fwdlab.model import Resource

LB = "Microsoft.Network/loadBalancers"
NIC = "Microsoft.Network/networkInterfaces"
SCALE_SET_NIC = "Microsoft.Compute/virtualMachineScaleSets/virtualMachines/networkInterfaces"
_PARTS = (
    "frontendIPConfigurations",
    "backendAddressPools",
    "loadBalancingRules",
    "probes",
    "inboundNatRules",
    "outboundRules",
    "inboundNatPools",
)
_PROBE_PROTOCOLS = ("tcp", "http", "https")


class LoadBalancers(Provider):
    """`Microsoft.Network/loadBalancers`, with all their parts inside."""

    type = LB
    carry = _PARTS

    def build(self, document: dict[str, Any], old: Resource | None) -> Resource:
        """Allocate frontends, complete the parts, follow the references between them."""
        document.setdefault("sku", {"name": "Basic"}).setdefault("tier", "Regional")
        for part in _PARTS:
            for entry in embed(document, part, f"{LB}/{part}"):
                entry["properties"].pop("loadBalancingRules", None)  # derived when it is read
        properties = document["properties"]
        self._allocate(properties["frontendIPConfigurations"], document["id"], old)
        for pool in properties["backendAddressPools"]:
            for address in pool["properties"].setdefault("loadBalancerBackendAddresses", []):
                address["id"] = f"{pool['id']}/loadBalancerBackendAddresses/{address.get('name')}"
                _check_address(address, pool["id"])
            pool["properties"].pop("backendIPConfigurations", None)
        for probe in properties["probes"]:
            _check_probe(probe)
        _check_rules(properties, document["id"])
        return self.resource(document, old)

    def _allocate(self, frontends: list[dict[str, Any]], owner: str, old: Resource | None) -> None:
        private = [f for f in frontends if reference_id(f["properties"].get("subnet"))]
        for frontend in frontends:
            if frontend in private:
                continue
            if not reference_id(frontend["properties"].get("publicIPAddress")):
                raise ArmError(
                    400,
                    "LoadBalancerFrontendIPConfigurationMustReferenceSubnetOrPublicIP",
                    f"{frontend['id']} refers to neither a subnet nor a public address.",
                )
        former = old.properties.get("frontendIPConfigurations", []) if old is not None else []
        allocate_all(self.store, private, former, owner)

    def rendered(self, resource: Resource) -> dict[str, Any]:
        """Add who refers to which part."""
        document = super().rendered(resource)
        properties = document["properties"]
        for pool in properties["backendAddressPools"]:
            members = [{"id": entry["id"]} for entry in members_of(self.store, pool["id"])]
            if members:
                pool["properties"]["backendIPConfigurations"] = members
        for part, key in (
            ("frontendIPConfigurations", "frontendIPConfiguration"),
            ("backendAddressPools", "backendAddressPool"),
            ("probes", "probe"),
        ):
            for entry in properties[part]:
                rules = [
                    {"id": rule["id"]}
                    for rule in properties["loadBalancingRules"]
                    if same(reference_id(rule["properties"].get(key)), entry["id"])
                ]
                if rules:
                    entry["properties"]["loadBalancingRules"] = rules
        return document

    def before_delete(self, resource_id: ResourceId) -> None:
        """Refuse while a private link service stands on it (the code is the lab's own)."""
        for service in self.store.list(type="Microsoft.Network/privateLinkServices"):
            for frontend in service.properties.get("loadBalancerFrontendIpConfigurations", []):
                if reference_id(frontend).lower().startswith(resource_id.key + "/"):
                    raise ArmError(
                        400,
                        "LabLoadBalancerInUse",
                        f"Cannot delete load balancer {resource_id} since it is referenced by private "
                        "link service "
                        f"{service.id}.",
                    )


def _check_address(entry: dict[str, Any], pool_id: str) -> None:
    address = entry.get("properties", {}).get("ipAddress")
    try:
        if address:
            ipaddress.ip_address(address)
    except ValueError:
        raise ArmError(
            400, "LabInvalidBackendAddress", f"{pool_id}: '{address}' is not an IP address."
        ) from None


def _check_probe(probe: dict[str, Any]) -> None:
    properties = probe["properties"]
    protocol = str(properties.get("protocol", "")).lower()
    if protocol not in _PROBE_PROTOCOLS:
        raise ArmError(
            400, "InvalidProbeProtocol", f"{probe['id']}: protocol '{properties.get('protocol')}' is unknown."
        )
    if protocol != "tcp" and not properties.get("requestPath"):
        raise ArmError(
            400,
            "ProbeRequestPathIsMissing",
            f"{probe['id']}: an {protocol.upper()} probe needs a requestPath.",
        )
    properties.setdefault("intervalInSeconds", 15)
    properties.setdefault("numberOfProbes", 2)
    properties.setdefault("probeThreshold", 1)


def _check_rules(properties: dict[str, Any], owner: str) -> None:
    known = {entry["id"].lower() for part in _PARTS for entry in properties[part]}
    seen: dict[tuple[str, str, int], str] = {}
    for rule in properties["loadBalancingRules"]:
        entry = rule["properties"]
        for key, needed in (
            ("frontendIPConfiguration", True),
            ("backendAddressPool", False),
            ("probe", False),
        ):
            wanted = reference_id(entry.get(key))
            if (wanted or needed) and wanted.lower() not in known:
                raise missing_reference(wanted or f"{owner}/{key}", rule["id"])
        for key, default in (
            ("idleTimeoutInMinutes", 4),
            ("enableFloatingIP", False),
            ("enableTcpReset", False),
            ("loadDistribution", "Default"),
            ("disableOutboundSnat", False),
        ):
            entry.setdefault(key, default)
        place = (
            reference_id(entry["frontendIPConfiguration"]).lower(),
            str(entry.get("protocol", "")).lower(),
            int(entry.get("frontendPort", 0)),
        )
        if place in seen:
            raise ArmError(
                400,
                "RulesUseSameFrontendPortProtocolAndIPConfig",
                f"Load balancing rules {seen[place]} and {rule['name']} with the same frontend IP "
                "configuration use "
                f"the same frontend port {place[2]} and protocol.",
            )
        seen[place] = rule["name"]


def members_of(store: Store, pool_id: str) -> Iterator[dict[str, Any]]:
    """IP configurations of all interfaces in a pool."""
    for kind in (NIC, SCALE_SET_NIC):
        for nic in store.list(type=kind):
            for entry in nic.properties.get("ipConfigurations", []):
                pools = entry["properties"].get("loadBalancerBackendAddressPools") or []
                if any(same(reference_id(pool), pool_id) for pool in pools):
                    yield entry


def _at_addresses(store: Store, balancer: Resource, pool_id: str) -> Iterator[dict[str, Any]]:
    """IP configurations, in the load balancer's network, that have an address which a pool lists."""
    listed = {
        address["properties"].get("ipAddress")
        for pool in balancer.properties["backendAddressPools"]
        if same(pool["id"], pool_id)
        for address in pool["properties"]["loadBalancerBackendAddresses"]
    }
    networks = {_network_of(frontend) for frontend in balancer.properties["frontendIPConfigurations"]}
    for kind in (NIC, SCALE_SET_NIC):
        for nic in store.list(type=kind):
            for entry in nic.properties.get("ipConfigurations", []):
                if entry["properties"].get("privateIPAddress") in listed and _network_of(entry) in networks:
                    yield entry


def _network_of(configuration: dict[str, Any]) -> str:
    """Lower-case id of the network of an IP configuration's subnet, empty without one."""
    return reference_id(configuration["properties"].get("subnet")).lower().partition("/subnets/")[0]


class _Part(Embedded):
    parent_type = LB
    tracked = False


class Rules(_Part):
    """`…/loadBalancingRules`, with the platform's view of their backends."""

    type = f"{LB}/loadBalancingRules"
    collection = "loadBalancingRules"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.actions = {"health": self._health}

    def _health(self, resource_id: ResourceId, _body: Any) -> Outcome:
        """202, then counts and addresses (azure-docs load-balancer-manage-health-status)."""
        rule = self.get(resource_id)
        balancer = self.store.require(str(resource_id.parent))
        probe = reference_id(rule["properties"].get("probe"))
        if not probe:
            raise ArmError(
                400,
                "LoadBalancingRuleHealthNeedsProbe",
                f"Load balancing rule {resource_id} has no probe, so there is no health status to report.",
            )
        pool_id = reference_id(rule["properties"].get("backendAddressPool"))
        members = [*members_of(self.store, pool_id), *_at_addresses(self.store, balancer, pool_id)]
        owners = {entry["properties"].get("privateIPAddress"): entry["id"] for entry in members}
        found = [
            {
                "ipAddress": health.address,
                "networkInterfaceIPConfigurationId": {"id": owners.get(health.address, "")},
                "state": "Up" if health.state == "Up" else "Down",
                "reason": health.reason,
            }
            for health in self.world.data_plane.health()
            if same(health.load_balancer_id, balancer.id)
            and health.probe.lower() == probe.rsplit("/", 1)[-1].lower()
            and health.address in owners
        ]
        up = sum(1 for entry in found if entry["state"] == "Up")
        location = balancer.document.get("location", "")
        operation = Operation(
            "location",
            f"/subscriptions/{self.world.subscription_id}/providers/Microsoft.Network/locations/{location}"
            "/operationResults",
            retry_after=None,
        )
        operation.succeed({"up": up, "down": len(found) - up, "loadBalancerBackendAddresses": found})
        return Outcome(202, None, operation)


class Frontends(_Part):
    """`…/frontendIPConfigurations`."""

    type = f"{LB}/frontendIPConfigurations"
    collection = "frontendIPConfigurations"


class Pools(_Part):
    """`…/backendAddressPools`."""

    type = f"{LB}/backendAddressPools"
    collection = "backendAddressPools"


class Probes(_Part):
    """`…/probes`."""

    type = f"{LB}/probes"
    collection = "probes"


class InboundNatRules(_Part):
    """`…/inboundNatRules`."""

    type = f"{LB}/inboundNatRules"
    collection = "inboundNatRules"


class OutboundRules(_Part):
    """`…/outboundRules`."""

    type = f"{LB}/outboundRules"
    collection = "outboundRules"


class NetworkInterfaces(Provider):
    """`Microsoft.Network/networkInterfaces`."""

    type = NIC
    carry = ("virtualMachine", "privateEndpoint", "privateLinkService")

    def build(self, document: dict[str, Any], old: Resource | None) -> Resource:
        """Allocate the addresses."""
        resource_id = ResourceId.parse(document["id"])
        entries = embed(document, "ipConfigurations", f"{NIC}/ipConfigurations")
        if not entries:
            raise ArmError(
                400,
                "NetworkInterfaceMustHaveOneIpConfiguration",
                f"{resource_id} has no IP configuration.",
            )
        former = old.properties.get("ipConfigurations", []) if old is not None else []
        allocate_interface(self.store, entries, former, document["id"])
        properties = document["properties"]
        properties.setdefault("enableIPForwarding", False)
        properties.setdefault("enableAcceleratedNetworking", False)
        properties.setdefault("dnsSettings", {"dnsServers": [], "appliedDnsServers": []})
        if old is None:
            properties["macAddress"] = "00-0D-3A-" + "-".join(
                uuid.uuid4().hex[i : i + 2].upper() for i in (0, 2, 4)
            )
        else:
            properties.setdefault("macAddress", old.properties.get("macAddress", ""))
        return self.resource(document, old)

    def put(self, resource_id: ResourceId, body: dict[str, Any]) -> Resource:
        """Replace, and let the machine that has it follow."""
        resource = super().put(resource_id, body)
        machine = reference_id(resource.properties.get("virtualMachine"))
        if machine:
            found = self.store.get(machine)
            if found is not None:
                self.world.provider(found.type).put(ResourceId.parse(found.id), found.document)
        return resource

    def before_delete(self, resource_id: ResourceId) -> None:
        """Refuse while a machine, endpoint or link service has it."""
        properties = self.store.require(resource_id.text).properties
        for key in ("virtualMachine", "privateEndpoint", "privateLinkService"):
            user = reference_id(properties.get(key))
            if user:
                raise ArmError(
                    400,
                    "NicInUse",
                    f"Network Interface {resource_id} is used by existing resource {user}. In order to "
                    "delete the "
                    "network interface, it must be dissociated from the resource.",
                )


def allocate_interface(
    store: Store, entries: list[dict[str, Any]], former: list[dict[str, Any]], owner: str
) -> None:
    """Complete the IP configurations of an interface, in place, and check what they refer to."""
    for position, entry in enumerate(entries):
        entry["properties"].setdefault("primary", position == 0)
        for pool in entry["properties"].get("loadBalancerBackendAddressPools") or []:
            check_pool(store, reference_id(pool), entry["id"])
    allocate_all(store, entries, former, owner)


def check_pool(store: Store, pool_id: str, user: str) -> None:
    """Raise 400 `InvalidResourceReference` unless the pool exists."""
    balancer = store.get(pool_id.rsplit("/", 2)[0]) if pool_id else None
    pools = balancer.properties.get("backendAddressPools", []) if balancer is not None else []
    if index_of(pools, pool_id.rsplit("/", 1)[-1]) is None:
        raise missing_reference(pool_id, user)
