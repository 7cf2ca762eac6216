"""A resource group in which the spoke `old` was removed from the template, and the user has things too."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from support.fake_arm import CONTAINERS, GROUP, NETWORK, FakeArm, container_group

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKEN = "tok123"
TAGS = {"azd-env-name": "dev"}
TOPOLOGY = {
    "version": 1,
    "resourceGroup": "rg-dev",
    "hub": {"jump": f"ci-hub-{TOKEN}", "privateLinkService": f"pl-{TOKEN}"},
    "spokes": [
        {
            "name": "new",
            "jump": f"ci-new-{TOKEN}",
            "zone": "corp.internal",
            "privateEndpoint": {"name": f"pep-new-{TOKEN}"},
        }
    ],
}
ENVIRON = {"RESOURCE_GROUP_NAME": "rg-dev", "FWD_TOPOLOGY": json.dumps(TOPOLOGY)}
SERVICE = f"{NETWORK}/privateLinkServices/pl-{TOKEN}"
ENDPOINT = f"{NETWORK}/privateEndpoints/pep-old-{TOKEN}"
BOX = f"{CONTAINERS}/ci-old-{TOKEN}"
ZONE = f"{NETWORK}/privateDnsZones/old.corp.internal"
LINK = f"{ZONE}/virtualNetworkLinks/vnet-old-{TOKEN}"
VNET = f"{NETWORK}/virtualNetworks/vnet-old-{TOKEN}"
RULES = f"{NETWORK}/networkSecurityGroups/nsg-vnet-old-{TOKEN}"
CONNECTION = f"{SERVICE}/privateEndpointConnections/pep-old.1"
ALL = (CONNECTION, ENDPOINT, BOX, LINK, ZONE, VNET, RULES)
"""In the order in which they may be deleted."""


def entry(resource_id: str, tags: Mapping[str, str] | None = TAGS) -> dict[str, Any]:
    """A resource as the list of a group has it."""
    below = resource_id.split("/providers/")[1].split("/")
    kind = "/".join([below[0], *below[1::2]])
    return {"id": resource_id, "name": "/".join(below[2::2]), "type": kind, "tags": dict(tags or {})}


def vnet(*subnets: str, **more: Any) -> dict[str, Any]:
    return {"properties": {"subnets": [{"name": name} for name in subnets], **more}}


def security_group(network: str, **more: Any) -> dict[str, Any]:
    used = [{"id": f"{network}/subnets/{name}"} for name in ("cp", "apps", "jump", "linked")]
    return {"properties": {"securityRules": [{"name": "allow-exec"}], "subnets": used, **more}}


def endpoint(service: str = SERVICE, network: str = VNET) -> dict[str, Any]:
    state = {"privateLinkServiceId": service, "privateLinkServiceConnectionState": {"status": "Approved"}}
    return {
        "properties": {
            "subnet": {"id": f"{network}/subnets/linked"},
            "privateLinkServiceConnections": [{"name": "forwarder", "properties": state}],
        }
    }


def documents() -> dict[str, dict[str, Any]]:
    """What is there of the spoke `old`."""
    return {
        ENDPOINT: endpoint(),
        BOX: container_group(f"ci-old-{TOKEN}", "Running", subnetIds=[{"id": f"{VNET}/subnets/jump"}]),
        LINK: {"properties": {"virtualNetwork": {"id": VNET}}},
        ZONE: {"properties": {"numberOfRecordSets": 2}},
        VNET: vnet("cp", "apps", "jump", "linked"),
        RULES: security_group(VNET),
    }


def left_behind(arm: FakeArm, *others: dict[str, Any], without: tuple[str, ...] = ()) -> None:
    """Let the fake answer for that group; `others` are entries of the list."""
    kept = [f"{CONTAINERS}/ci-hub-{TOKEN}", f"{CONTAINERS}/ci-new-{TOKEN}"]
    kept += [f"{NETWORK}/privateEndpoints/pep-new-{TOKEN}", f"{NETWORK}/privateDnsZones/corp.internal"]
    kept += [f"{NETWORK}/virtualNetworks/vnet-{name}-{TOKEN}" for name in ("hub", "corp", "new")]
    kept += [f"{NETWORK}/privateDnsZones/corp.internal/virtualNetworkLinks/vnet-new-{TOKEN}"]
    found = {name: document for name, document in documents().items() if name not in without}
    listed = [entry(name) for name in (*kept, *reversed(found))]
    arm.on("GET", f"{GROUP}/resources", {"value": [*listed, *others]})
    for name, document in found.items():
        arm.on("GET", name, document)
    state = {"privateLinkServiceConnectionState": {"status": "Approved"}}
    connections = [
        {"id": CONNECTION, "properties": {"privateEndpoint": {"id": ENDPOINT}, **state}},
        {"id": f"{SERVICE}/privateEndpointConnections/pep-new.1", "properties": {"privateEndpoint": {"id": f"{NETWORK}/privateEndpoints/pep-new-{TOKEN}"}, **state}},
        {"id": f"{SERVICE}/privateEndpointConnections/theirs.1", "properties": {"privateEndpoint": {"id": ENDPOINT.replace("rg-dev", "rg-theirs")}, **state}},
    ]  # fmt: skip
    arm.on("GET", SERVICE, {"id": SERVICE, "properties": {"privateEndpointConnections": connections}})


def deletable(arm: FakeArm) -> list[str]:
    """Let each be deleted, gone at the second look afterwards; the list tells what was, in order."""
    gone: list[str] = []
    present = documents()

    def deletes(resource: str) -> None:
        looks = iter([(200, {"properties": {}}, {})])

        def delete(_: Any) -> Any:
            gone.append(resource)
            return 202, None, {}

        def get(_: Any) -> Any:
            if resource not in gone:
                return 200, present.get(resource, {}), {}
            return next(looks, (404, {"error": {"code": "ResourceNotFound", "message": "gone"}}, {}))

        arm.routes["DELETE", resource.lower()] = delete
        arm.routes["GET", resource.lower()] = get

    for resource in ALL:
        deletes(resource)
    return gone
