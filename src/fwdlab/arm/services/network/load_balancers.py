"""Load balancers with all their parts."""

from __future__ import annotations

import ipaddress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fwdlab.arm.ids import ResourceId, reference_id, reference_key, same
from fwdlab.arm.operations import Operation, Outcome
from fwdlab.arm.services.base import Actions, bad_request, of_type
from fwdlab.arm.services.embedded import Embedded
from fwdlab.arm.services.network.addresses import IP_CONFIGURATION, allocate_all
from fwdlab.arm.services.network.interfaces import configurations
from fwdlab.arm.services.network.provider import NetworkProvider
from fwdlab.arm.services.references import missing_reference
from fwdlab.arm.services.shapes import Shape, body, flag, items, named, number, parts, record, reference, text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from fwdlab.arm.store import Store
    from fwdlab.model import Resource

LB = "Microsoft.Network/loadBalancers"
_REFERRED = {
    "frontendIPConfigurations": "frontendIPConfiguration",
    "backendAddressPools": "backendAddressPool",
    "probes": "probe",
}
_RULES = ("loadBalancingRules", "inboundNatRules", "outboundRules")
_FORWARDING: Mapping[str, Shape] = {
    "frontendIPConfiguration": reference(),
    "protocol": text(None, "Tcp", "Udp", "All"),
    "backendPort": number(within=range(65_536)),
    "idleTimeoutInMinutes": number(4),
    "enableFloatingIP": flag(default=False),
    "enableTcpReset": flag(default=False),
}


def _sku(*choices: str) -> Shape:
    message = "{place}: the lab has no load balancer of '{value}', only of {choices}."
    return text(choices[0], *choices, code="LabLoadBalancerSkuNotSupported", message=message)


class LoadBalancers(NetworkProvider):
    type = LB
    carry = (*_REFERRED, "loadBalancingRules", "inboundNatRules", "outboundRules", "inboundNatPools")
    shape = body(
        {"sku": record(name=_sku("Basic", "Standard"), tier=_sku("Regional"))},
        frontendIPConfigurations=parts(**IP_CONFIGURATION),
        backendAddressPools=parts(
            virtualNetwork=reference(),
            loadBalancerBackendAddresses=named(
                ipAddress=text(), virtualNetwork=reference(), subnet=reference()
            ),
        ),
        probes=parts(
            protocol=text(
                None,
                *("Tcp", "Http", "Https"),
                required=True,
                code="InvalidProbeProtocol",
                message="{place} '{value}' is unknown.",
            ),
            port=number(within=range(1, 65_536)),
            requestPath=text(),
            intervalInSeconds=number(15),
            numberOfProbes=number(2),
            probeThreshold=number(1),
        ),
        loadBalancingRules=parts(
            **_FORWARDING,
            backendAddressPool=reference(),
            backendAddressPools=items(reference()),
            probe=reference(),
            frontendPort=number(within=range(65_535)),  # one less than backendPort: azure-mgmt-network
            loadDistribution=text("Default"),
            disableOutboundSnat=flag(default=False),
        ),
        inboundNatRules=parts(
            **_FORWARDING,
            backendAddressPool=reference(),
            frontendPort=number(within=range(65_535)),
            frontendPortRangeStart=number(within=range(65_535)),
            frontendPortRangeEnd=number(within=range(65_536)),
        ),
        outboundRules=parts(
            frontendIPConfigurations=items(reference(), default=[]),
            backendAddressPool=reference(),
            protocol=text("All", "Tcp", "Udp", "All"),
            allocatedOutboundPorts=number(0),
            idleTimeoutInMinutes=number(4),
            enableTcpReset=flag(default=False),
        ),
        inboundNatPools=parts(
            **_FORWARDING,
            frontendPortRangeStart=number(within=range(65_535)),
            frontendPortRangeEnd=number(within=range(65_536)),
        ),
    )

    def validate(self, _id: ResourceId, document: dict[str, Any]) -> None:
        """Probes have a path, backend addresses are addresses."""
        properties = document["properties"]
        for pool in properties["backendAddressPools"]:
            for entry in pool["properties"]["loadBalancerBackendAddresses"]:
                _check_address(entry["properties"].get("ipAddress"), pool["id"])
        for probe in properties["probes"]:
            protocol = probe["properties"]["protocol"]
            if protocol != "Tcp" and not probe["properties"].get("requestPath"):
                raise bad_request(
                    "ProbeRequestPathIsMissing",
                    f"{probe['id']}: an {protocol.upper()} probe needs a requestPath.",
                )

    def complete(self, document: dict[str, Any], old: Resource | None) -> None:
        """Allocate frontends, follow the references between the parts, drop what is derived."""
        properties = document["properties"]
        for part in _REFERRED:
            for entry in properties[part]:
                for name in (*_RULES, "backendIPConfigurations"):
                    entry["properties"].pop(name, None)
        self._allocate(properties["frontendIPConfigurations"], document["id"], old)
        known = {entry["id"].lower() for part in _REFERRED for entry in properties[part]}
        for rule in properties["loadBalancingRules"]:
            _say_pools_twice(rule["properties"])
        for rule in (rule for name in (*_RULES, "inboundNatPools") for rule in properties[name]):
            _follow(rule, known, document["id"])
        _refuse_equal_rules(properties["loadBalancingRules"])

    def _allocate(self, frontends: list[dict[str, Any]], owner: str, old: Resource | None) -> None:
        private = [f for f in frontends if reference_id(f["properties"].get("subnet"))]
        for frontend in frontends:
            if frontend not in private and not reference_id(frontend["properties"].get("publicIPAddress")):
                raise bad_request(
                    "LoadBalancerFrontendIPConfigurationMustReferenceSubnetOrPublicIP",
                    f"{frontend['id']} refers to neither a subnet nor a public address.",
                )
        former = old.properties["frontendIPConfigurations"] if old is not None else []
        allocate_all(self.store, private, former, owner)

    def rendered(self, resource: Resource) -> dict[str, Any]:
        """With who refers to which part."""
        document = super().rendered(resource)
        properties = document["properties"]
        for pool in properties["backendAddressPools"]:
            members = [{"id": entry["id"]} for entry in _members(self.store, {pool["id"].lower()})]
            if members:
                pool["properties"]["backendIPConfigurations"] = members
        for entry in (entry for part in _REFERRED for entry in properties[part]):
            for name in _RULES:
                users = [
                    {"id": one["id"]} for one in properties[name] if entry["id"].lower() in _parts_of(one)
                ]
                if users:
                    entry["properties"][name] = users
        return document

    def before_delete(self, resource_id: ResourceId) -> None:
        """Refuse while a private link service stands on it (the code is the lab's own)."""
        for service in self.store.list(type="Microsoft.Network/privateLinkServices"):
            for frontend in service.properties["loadBalancerFrontendIpConfigurations"]:
                if reference_key(frontend).startswith(resource_id.key + "/"):
                    raise bad_request(
                        "LabLoadBalancerInUse",
                        f"Cannot delete load balancer {resource_id} since it is referenced by private link "
                        f"service {service.id}.",
                    )


def _check_address(address: str | None, pool_id: str) -> None:
    try:
        if address:
            ipaddress.ip_address(address)
    except ValueError:
        raise bad_request(
            "LabInvalidBackendAddress", f"{pool_id}: '{address}' is not an IP address."
        ) from None


def _say_pools_twice(rule: dict[str, Any]) -> None:
    """A rule names its pool as `backendAddressPool` and in `backendAddressPools`, however it was sent.

    `az network lb rule update` takes the first away and relies on the second.
    """
    pools = rule.get("backendAddressPools") or [rule.get("backendAddressPool")]
    rule["backendAddressPools"] = [pool for pool in pools if reference_id(pool)]
    rule.pop("backendAddressPool", None)
    if len(rule["backendAddressPools"]) == 1:
        rule["backendAddressPool"] = dict(rule["backendAddressPools"][0])


def _parts_of(rule: dict[str, Any]) -> dict[str, str]:
    """The ids of what a rule refers to in its load balancer, by their lower case."""
    entry = rule["properties"]
    one = (entry.get(name) for name in _REFERRED.values())
    found = (*one, *(part for name in ("backendAddressPools", *_REFERRED) for part in entry.get(name) or ()))
    return {reference_key(part): reference_id(part) for part in found if reference_id(part)}


def _follow(rule: dict[str, Any], known: Collection[str], owner: str) -> None:
    found = _parts_of(rule)
    if not any("/frontendipconfigurations/" in key for key in found):
        raise missing_reference(f"{owner}/frontendIPConfiguration", rule["id"])
    for key, wanted in found.items():
        if key not in known:
            raise missing_reference(wanted, rule["id"])


def _refuse_equal_rules(rules: list[dict[str, Any]]) -> None:
    seen: dict[tuple[str, str, int], str] = {}
    for rule in rules:
        entry = rule["properties"]
        port = entry.get("frontendPort", 0)
        place = (reference_key(entry["frontendIPConfiguration"]), entry.get("protocol", ""), port)
        if place in seen:
            raise bad_request(
                "RulesUseSameFrontendPortProtocolAndIPConfig",
                f"Load balancing rules {seen[place]} and {rule['name']} with the same frontend IP "
                f"configuration use the same frontend port {port} and protocol.",
            )
        seen[place] = rule["name"]


def _members(store: Store, pools: Collection[str]) -> Iterator[dict[str, Any]]:
    """IP configurations of all interfaces in any of the pools (lower-case ids)."""
    for entry in configurations(store):
        joined = entry["properties"].get("loadBalancerBackendAddressPools", [])
        if any(reference_key(pool) in pools for pool in joined):
            yield entry


def _at_addresses(store: Store, balancer: Resource, pools: Collection[str]) -> Iterator[dict[str, Any]]:
    """IP configurations, in the load balancer's network, that have an address which a pool lists."""
    listed = {
        address["properties"].get("ipAddress")
        for pool in balancer.properties["backendAddressPools"]
        if pool["id"].lower() in pools
        for address in pool["properties"]["loadBalancerBackendAddresses"]
    }
    networks = {_network_of(frontend) for frontend in balancer.properties["frontendIPConfigurations"]}
    for entry in configurations(store):
        if entry["properties"].get("privateIPAddress") in listed and _network_of(entry) in networks:
            yield entry


def _network_of(configuration: dict[str, Any]) -> str:
    """Lower-case id of the network of an IP configuration's subnet, empty without one."""
    return reference_key(configuration["properties"].get("subnet")).partition("/subnets/")[0]


class Rules(Embedded):
    """Load balancing rules, with the platform's view of their backends."""

    type = f"{LB}/loadBalancingRules"

    @cached_property
    def actions(self) -> Actions:
        return {"health": self._health}

    def _health(self, resource_id: ResourceId, _body: Any) -> Outcome:
        """202, then counts and addresses (azure-docs load-balancer-manage-health-status)."""
        rule = self.get(resource_id)["properties"]
        balancer = self.store.require(str(resource_id.parent))
        probe = reference_id(rule.get("probe"))
        if not probe:
            raise bad_request(
                "LoadBalancingRuleHealthNeedsProbe",
                f"Load balancing rule {resource_id} has no probe, so there is no health status to report.",
            )
        pools = {reference_key(pool) for pool in rule["backendAddressPools"]}
        members = [*_members(self.store, pools), *_at_addresses(self.store, balancer, pools)]
        owners = {entry["properties"].get("privateIPAddress"): entry["id"] for entry in members}
        found = [
            {
                "ipAddress": health.address,
                "networkInterfaceIPConfigurationId": {"id": owners[health.address]},
                "state": "Up" if health.state == "Up" else "Down",
                "reason": health.reason,
            }
            for health in self.world.data_plane.health()
            if same(health.load_balancer_id, balancer.id)
            and same(health.probe, probe.rpartition("/")[2])
            and health.address in owners
        ]
        up = sum(1 for entry in found if entry["state"] == "Up")
        location = balancer.document.get("location", "")
        operation = Operation(
            "location",
            f"/subscriptions/{balancer.id.split('/')[2]}/providers/Microsoft.Network/locations/{location}"
            "/operationResults",
        )
        operation.succeed({"up": up, "down": len(found) - up, "loadBalancerBackendAddresses": found})
        return Outcome(202, None, operation)


PROVIDERS = (
    LoadBalancers,
    Rules,
    *(of_type(Embedded, f"{LB}/{part}") for part in (*_REFERRED, "inboundNatRules", "outboundRules")),
)
