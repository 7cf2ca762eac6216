"""A network that fwdctl did not deploy, as documents by id, which a fake ARM serves one by one and as lists."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from support.fake_arm import SUBSCRIPTION

if TYPE_CHECKING:
    from support.fake_arm import FakeArm

OTHER = "22222222-2222-2222-2222-222222222222"
LISTED = {
    "Microsoft.Network": (
        *("privateLinkServices", "privateEndpoints", "loadBalancers"),
        *("privateDnsZones", "networkInterfaces", "virtualNetworks", "networkSecurityGroups"),
    ),
    "Microsoft.ContainerInstance": ("containerGroups",),
}


def identity(
    kind: str,
    *names: str,
    group: str = "rg-dev",
    subscription: str = SUBSCRIPTION,
    namespace: str = "Network",
) -> str:
    """An id: `identity("virtualNetworks", "vnet")`, with further types and names behind."""
    tail = "/".join([kind, *names])
    return f"/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.{namespace}/{tail}"


@dataclass
class Foreign:
    """Documents by id; every method adds one, and gives its id."""

    documents: dict[str, dict[str, Any]] = field(default_factory=dict)

    def put(self, resource_id: str, **properties: Any) -> str:
        name = resource_id.rpartition("/")[2]
        self.documents[resource_id] = {"id": resource_id, "name": name, "properties": properties}
        return resource_id

    def network(self, name: str, prefix: str, security_group: str = "", **place: str) -> str:
        """A network with the subnet `all`."""
        own = {"networkSecurityGroup": {"id": security_group}} if security_group else {}
        subnet = {"name": "all", "properties": {"addressPrefix": prefix, **own}}
        space = {"addressPrefixes": [prefix]}
        return self.put(identity("virtualNetworks", name, **place), addressSpace=space, subnets=[subnet])

    def balancer(
        self, network: str, rules: dict[str, tuple[str, str, int]], name: str = "lb", **place: str
    ) -> str:
        """Rules are `name: (frontend's address, protocol, port)`; a frontend is called `at-ADDRESS`."""
        own = identity("loadBalancers", name, **place)
        interface = self.put(
            identity("networkInterfaces", f"nic-{name}", **place),
            ipConfigurations=[{"properties": {"subnet": {"id": f"{network}/subnets/all"}}}],
        )
        pool = f"{own}/backendAddressPools/pool"
        addresses = dict.fromkeys(address for address, _, _ in rules.values())
        return self.put(
            own,
            frontendIPConfigurations=[
                {
                    "id": f"{own}/frontendIPConfigurations/at-{address}",
                    "name": f"at-{address}",
                    "properties": {"privateIPAddress": address, "subnet": {"id": f"{network}/subnets/all"}},
                }
                for address in addresses
            ],
            loadBalancingRules=[
                {
                    "name": rule,
                    "properties": {
                        "frontendIPConfiguration": {"id": f"{own}/frontendIPConfigurations/at-{address}"},
                        "backendAddressPool": {"id": pool},
                        "protocol": protocol,
                        "frontendPort": port,
                        "backendPort": port,
                    },
                }
                for rule, (address, protocol, port) in rules.items()
            ],
            backendAddressPools=[
                {
                    "id": pool,
                    "properties": {"backendIPConfigurations": [{"id": f"{interface}/ipConfigurations/ip"}]},
                }
            ],
            probes=[{"name": "alive", "properties": {"port": 18099}}],
        )

    def service(self, network: str, *frontends: str, name: str = "pl", **place: str) -> str:
        return self.put(
            identity("privateLinkServices", name, **place),
            loadBalancerFrontendIpConfigurations=[{"id": frontend} for frontend in frontends],
            ipConfigurations=[{"properties": {"subnet": {"id": f"{network}/subnets/all"}}}],
            privateEndpointConnections=[],
        )

    def endpoint(
        self, network: str, service: str, address: str, name: str = "pe", *, alias: str = "", **place: str
    ) -> str:
        """An endpoint, which the service lists among its connections if it is there."""
        own = identity("privateEndpoints", name, **place)
        interface = self.put(
            identity("networkInterfaces", f"nic-{name}", **place),
            ipConfigurations=[{"properties": {"privateIPAddress": address}}],
        )
        if service in self.documents:
            connections = self.documents[service]["properties"]["privateEndpointConnections"]
            connections.append({"name": name, "properties": {"privateEndpoint": {"id": own}}})
        return self.put(
            own,
            subnet={"id": f"{network}/subnets/all"},
            manualPrivateLinkServiceConnections=[{"properties": {"privateLinkServiceId": alias or service}}],
            networkInterfaces=[{"id": interface}],
        )

    def box(self, network: str, name: str, **place: str) -> str:
        own = identity("containerGroups", name, namespace="ContainerInstance", **place)
        self.put(
            own,
            provisioningState="Succeeded",
            subnetIds=[{"id": f"{network}/subnets/all"}],
            containers=[{"name": "tools", "properties": {"image": "image:1"}}],
        )
        return own

    def zone(self, name: str, network: str, records: dict[str, str], **place: str) -> None:
        """A zone that is linked to a network; records are `name: address`."""
        own = self.put(identity("privateDnsZones", name, **place))
        self.put(f"{own}/virtualNetworkLinks/link", virtualNetwork={"id": network})
        for record, address in records.items():
            self.put(f"{own}/A/{record}", aRecords=[{"ipv4Address": address}])

    def serve(self, arm: FakeArm) -> None:
        for resource_id, document in self.documents.items():
            arm.on("GET", resource_id, document)
        for group in dict.fromkeys(each.partition("/providers/")[0] for each in self.documents):
            for namespace, kinds in LISTED.items():
                for kind in kinds:
                    self._list(arm, f"{group}/providers/{namespace}/{kind}")
        for zone in [each for each in self.documents if _kind(each) == "privateDnsZones"]:
            arm.on("GET", f"{zone}/ALL", {"value": self._below(f"{zone}/A")})
            self._list(arm, f"{zone}/virtualNetworkLinks")
        for subscription in dict.fromkeys(each.partition("/resourceGroups/")[0] for each in self.documents):
            zones = [d for each, d in self.documents.items() if _kind(each) == "privateDnsZones"]
            own = [zone for zone in zones if zone["id"].startswith(subscription)]
            arm.on("GET", f"{subscription}/providers/Microsoft.Network/privateDnsZones", {"value": own})

    def _list(self, arm: FakeArm, collection: str) -> None:
        arm.on("GET", collection, {"value": self._below(collection)})

    def _below(self, collection: str) -> list[dict[str, Any]]:
        return [d for each, d in self.documents.items() if each.rpartition("/")[0] == collection]


def _kind(resource_id: str) -> str:
    return resource_id.split("/")[-2]
