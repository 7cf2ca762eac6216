"""A resource group as `Networks` tells of it: documents, and evidence that stands on them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from fwdctl.azure.networks import Backend
from fwdctl.deployment import Box, Deployment, Hub
from fwdctl.errors import FwdctlError
from fwdctl.probe.evidence import Evidence
from fwdctl.probe.hops.commands import in_subscription
from fwdctl.probe.judge import judge
from fwdctl.probe.model import Path, PathResult, Sample
from support.probe_paths import GOOD, PATH, SPOKE, WEB, observed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwdctl.probe.model import Broken

NET = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network"
OTHER = NET.replace("/rg/", "/other/")
SET = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Compute/virtualMachineScaleSets/vmss"
SILENT = Sample("curl", connected=False, answered=False, failure="timeout", text="timed out")
BOTH = (GOOD, replace(GOOD, server="b")) * 2
FAILED = judge(PATH, observed(*[SILENT] * 4))
DIRECT = Path("hub/web/192.168.42.65:8000", "target", Box("hub", "ci-hub"), WEB, "192.168.42.65", 8000)


def subnet(name: str, prefix: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "properties": {"addressPrefix": prefix, **more}}


def network(name: str, space: str, *subnets: dict[str, Any], base: str = NET, **more: Any) -> dict[str, Any]:
    own = {"addressSpace": {"addressPrefixes": [space]}, "subnets": list(subnets), **more}
    return {"id": f"{base}/virtualNetworks/{name}", "name": name, "properties": own}


def group(name: str, *rules: dict[str, Any], base: str = NET) -> dict[str, Any]:
    return {
        "id": f"{base}/networkSecurityGroups/{name}",
        "name": name,
        "properties": {"securityRules": [{"name": r.pop("name"), "properties": r} for r in rules]},
    }


def deny(name: str, direction: str = "Inbound", **more: Any) -> dict[str, Any]:
    rule = {"name": name, "priority": 200, "direction": direction, "access": "Deny", "protocol": "*"}
    anywhere = {"sourceAddressPrefix": "*", "destinationAddressPrefix": "*", "destinationPortRange": "*"}
    return {**rule, **anywhere, **more}


def under(reference: dict[str, Any]) -> dict[str, Any]:
    return {"networkSecurityGroup": {"id": reference["id"]}}


def peering(remote: dict[str, Any], **more: Any) -> dict[str, Any]:
    own = {
        "peeringState": "Connected",
        "remoteVirtualNetwork": {"id": remote["id"]},
        "remoteAddressSpace": remote["properties"]["addressSpace"],
    }
    return {"name": "to-corp", "properties": {**own, **more}}


class Azure:
    """Answers as `Networks` does, from documents; what is in other resource groups is found by its id only."""

    def __init__(self, *documents: dict[str, Any], **more: Any) -> None:
        self.documents = {document["id"].lower(): document for document in documents}
        self.more = more
        self.endpoint_address = more.get("endpoint_address", "10.1.17.4")

    def _own(self, kind: str) -> list[dict[str, Any]]:
        return [d for key, d in self.documents.items() if key.startswith(f"{NET}/{kind}/".lower())]

    def virtual_networks(self) -> list[dict[str, Any]]:
        return self._own("virtualNetworks")

    def security_groups(self) -> list[dict[str, Any]]:
        return self._own("networkSecurityGroups")

    def network_interfaces(self) -> list[dict[str, Any]]:
        return self._own("networkInterfaces")

    def scale_set_interfaces(self, _: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.more.get("interfaces", [])
        return found

    def resource(self, resource_id: str) -> dict[str, Any]:
        if resource_id == f"{NET}/networkInterfaces/nic-pep":
            return {"id": resource_id, "properties": {"ipConfigurations": [address(self.endpoint_address)]}}
        try:
            return self.documents[resource_id.lower()]
        except KeyError:
            raise FwdctlError("not_authorized", f"{resource_id} may not be read.") from None

    def private_endpoint(self, _: str) -> dict[str, Any]:
        if not self.endpoint_address:
            raise FwdctlError("resource_not_found", "'pep' was not found.")
        return {
            "id": f"{NET}/privateEndpoints/pep",
            "properties": {
                "subnet": {"id": f"{NET}/virtualNetworks/vnet-spoke/subnets/linked"},
                # As asked for when it was made; what it has is on its interface.
                "ipConfigurations": [address("10.1.17.4")],
                "networkInterfaces": [{"id": f"{NET}/networkInterfaces/nic-pep"}],
                **self.more.get("endpoint", {}),
            },
        }

    def load_balancer(self, _: str) -> dict[str, Any]:
        rule = {"name": "web", "properties": {"frontendPort": 8000, "probe": {"id": "/lb/probes/p"}}}
        frontend = {
            "properties": {
                "subnet": {"id": f"{self.more.get('hub', NET)}/virtualNetworks/vnet-hub/subnets/a"}
            }
        }
        parts = {"loadBalancingRules": [rule], "frontendIPConfigurations": [frontend]}
        probe = {"name": "p", "properties": {"port": 18099}}
        return {"name": "lbi", "properties": {**parts, "probes": [probe]}}

    def rule_health(self, *_: str) -> list[Backend]:
        interface = f"{SET}/virtualMachines/{{}}/networkInterfaces/primary/ipConfigurations/primary"
        state = self.more.get("state", "Up")
        return [Backend(f"10.0.1.{last}", state, configuration=interface.format(last)) for last in (6, 7)]

    def private_link_services(self) -> list[dict[str, Any]]:
        entry = {"properties": {"privateIPAddress": "10.0.1.8"}}
        return [{"name": "pl", "properties": {"ipConfigurations": [entry]}}]

    def zones(self) -> list[dict[str, Any]]:
        return [{"id": f"{NET}/privateDnsZones/corp.internal", "name": "corp.internal"}]

    def all_zones(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.more.get("zones", [])
        return [*self.zones(), *found]

    def zone_links(self, zone: str, _: str) -> list[dict[str, Any]]:
        if zone in self.more.get("unlinked", ()):
            return []
        return [{"properties": {"virtualNetwork": {"id": f"{NET}/virtualNetworks/VNET-spoke"}}}]

    def zone_records(self, zone: str, group: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.more.get("records", {}).get((zone, group), [])
        return found


def address(text: str) -> dict[str, Any]:
    return {"properties": {"privateIPAddress": text}}


SPOKE_NET = network(
    "vnet-spoke", "10.1.0.0/19", subnet("jump", "10.1.16.0/24"), subnet("linked", "10.1.17.0/24")
)
ADDRESSES = {
    "ci-spoke": ("10.1.16.4", "vnet-spoke/subnets/jump"),
    "ci-hub": ("10.0.1.68", "vnet-hub/subnets/jump"),
}


def evidence(azure: Azure, tests: Sequence[PathResult] = (), options: tuple[str, ...] = ()) -> Evidence:
    def container(name: str) -> SimpleNamespace:
        address, place = ADDRESSES[name]
        base = azure.more.get("hub", NET) if name == "ci-hub" else NET
        return SimpleNamespace(running=False, address=address, subnet_id=f"{base}/virtualNetworks/{place}")

    boxes = SimpleNamespace(starts=lambda _: False, test=azure.more.get("test"), ask=lambda *_: "")
    hub = Hub(Box("hub", "ci-hub", "jump"), "lbi", "10.0.1.5")
    deployment = Deployment("rg", None, hub, (SPOKE,), (WEB,), "x", options=options)
    facts = Evidence(boxes, azure, SimpleNamespace(get=container), deployment)  # type: ignore[arg-type]
    facts.direct[WEB.name] = list(tests)
    return facts


def typed(broken: Broken) -> str:
    """What it suggests where the subscription of NET is az's active one."""
    return in_subscription(broken.suggestion, "s", "s")
