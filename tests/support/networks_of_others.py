"""A hub with a server, two spokes and a zone that somebody else has made, and parameters that name them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from support.programs import run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

GROUP, RANGE = "net", "10.9.0.0/24"
"""All three networks have the same range."""
BOXES = [{"name": "aci", "properties": {"serviceName": "Microsoft.ContainerInstance/containerGroups"}}]
API = {
    "virtualNetworks": "2025-05-01",
    "networkSecurityGroups": "2025-05-01",
    "privateDnsZones": "2024-06-01",
    "privateDnsZones/virtualNetworkLinks": "2024-06-01",
}


def make(folder: Path, environ: Mapping[str, str], *, guarded: bool = False) -> None:
    """Let the real az make them, in one deployment.

    Args:
        folder: where the template is written.
        environ: of az.
        guarded: whether a security group refuses everything that comes to the forwarders' subnet.
    """
    file = folder / "networks.json"
    file.write_text(json.dumps(_template(guarded=guarded)))
    words = ("deployment", "group", "create", "-g", GROUP, "-n", "networks", "--template-file", str(file))
    for command in (("group", "create", "-n", GROUP, "-l", "westeurope"), (*words, "-o", "none")):
        run(["az", *command], environ=environ, cwd=folder, seconds=120)


def parameters(subscription: str, nat: str = "10.9.0.192/26") -> dict[str, Any]:
    """Of our template; spoke `one` has an existing zone, `two` one of its own."""
    networks = f"/subscriptions/{subscription}/resourceGroups/{GROUP}/providers/Microsoft.Network"

    def subnet(network: str, name: str) -> str:
        return f"{networks}/virtualNetworks/{network}/subnets/{name}"

    def spoke(name: str, **more: str) -> dict[str, Any]:
        own = {"endpointSubnetId": subnet(name, "pe"), "jumpSubnetId": subnet(name, "aci"), **more}
        return {
            "name": name,
            "existing": own,
            "endpointAddress": "10.9.0.9",
            "dnsZoneName": f"{name}.internal",
        }

    hub = {
        "subnetId": subnet("hub", "fwd"),
        "jumpSubnetId": subnet("hub", "jump"),
        "natSubnetId": subnet("hub", "nat"),
    }
    ranges = {"sharedSubnetPrefix": "10.9.0.0/26", "jumpSubnetPrefix": "10.9.0.64/26", "natSubnetPrefix": nat}
    return {
        "hub": {"addressPrefix": RANGE, **ranges, "existing": hub},
        "deployOnPremServers": False,
        "spokes": [spoke("one", dnsZoneId=f"{networks}/privateDnsZones/one.internal"), spoke("two")],
        # The server's: it is the first one in its subnet.
        "forwards": [{"name": "web", "port": 8000, "targets": ["10.9.0.132:8000"], "check": "http"}],
    }


def _template(*, guarded: bool) -> dict[str, Any]:
    group = {"networkSecurityGroup": {"id": _id("networkSecurityGroups", "theirs")}} if guarded else {}
    subnets = [
        _subnet("fwd", "10.9.0.0/26", **group),
        _subnet("jump", "10.9.0.64/26", delegations=BOXES),
        _subnet("apps", "10.9.0.128/26", delegations=BOXES),
        _subnet("nat", "10.9.0.192/26", privateLinkServiceNetworkPolicies="Disabled"),
    ]
    spoke = [_subnet("pe", "10.9.0.0/26"), _subnet("aci", "10.9.0.64/26", delegations=BOXES)]
    deny = {
        "access": "Deny",
        "direction": "Inbound",
        "priority": 4000,
        "protocol": "*",
        "sourceAddressPrefix": "*",
        "sourcePortRange": "*",
        "destinationAddressPrefix": "*",
        "destinationPortRange": "*",
    }
    link = {"registrationEnabled": False, "virtualNetwork": {"id": _id("virtualNetworks", "one")}}
    return {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": [
            _resource(
                "networkSecurityGroups", "theirs", {"securityRules": [{"name": "deny", "properties": deny}]}
            ),
            _network("hub", subnets, _id("networkSecurityGroups", "theirs")),
            _network("one", spoke),
            _network("two", spoke),
            _resource("privateDnsZones", "one.internal", {}),
            _resource(
                "privateDnsZones/virtualNetworkLinks",
                "one.internal/one",
                link,
                _id("privateDnsZones", "one.internal"),
                _id("virtualNetworks", "one"),
            ),
            _server(),
        ],
    }


def _id(kind: str, name: str) -> str:
    return f"[resourceId('Microsoft.Network/{kind}', '{name}')]"


def _subnet(name: str, prefix: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "properties": {"addressPrefix": prefix, **more}}


def _network(name: str, subnets: list[dict[str, Any]], *after: str) -> dict[str, Any]:
    space = {"addressSpace": {"addressPrefixes": [RANGE]}, "subnets": subnets}
    return _resource("virtualNetworks", name, space, *after)


def _resource(kind: str, name: str, properties: dict[str, Any], *after: str) -> dict[str, Any]:
    return {
        "type": f"Microsoft.Network/{kind}",
        "apiVersion": API[kind],
        "name": name,
        "location": "global" if "Dns" in kind else "westeurope",
        "dependsOn": list(after),
        "properties": properties,
    }


def _server() -> dict[str, Any]:
    """A server in the hub's network."""
    container = {
        "image": "mcr.microsoft.com/azurelinux/base/python:3.12",
        "command": ["python3", "-m", "http.server", "8000"],
        "resources": {"requests": {"cpu": 1, "memoryInGB": 1}},
    }
    subnet = _id("virtualNetworks/subnets", "hub', 'apps")
    return {
        "type": "Microsoft.ContainerInstance/containerGroups",
        "apiVersion": "2025-09-01",
        "name": "server",
        "location": "westeurope",
        "dependsOn": [_id("virtualNetworks", "hub")],
        "properties": {
            "osType": "Linux",
            "subnetIds": [{"id": subnet}],
            "ipAddress": {"type": "Private", "ports": [{"port": 8000, "protocol": "TCP"}]},
            "containers": [{"name": "web", "properties": container}],
        },
    }
