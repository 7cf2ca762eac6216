"""Networks that were there before: they get what is asked for, and nothing of them is written."""

from __future__ import annotations

from typing import Any

import pytest

from support.deployed_template import SPOKE, TEMPLATE, deploy, of_type, topology, user_data
from support.deployment_target import AT_SUBSCRIPTION, MemoryTarget

NET = f"{AT_SUBSCRIPTION}/resourceGroups/net/providers/Microsoft.Network"
HUB_NET, SPOKE_NET = (f"{NET}/virtualNetworks/{name}" for name in ("hub", "theirs"))
ZONE = f"{NET}/privateDnsZones/a.internal"
HUB = {
    **TEMPLATE["parameters"]["hub"]["defaultValue"],
    "existing": {"subnetId": f"{HUB_NET}/subnets/fwd", "natSubnetId": f"{HUB_NET}/subnets/nat"},
    "natSubnetPrefix": "10.0.1.128/26",
}
THEIRS = {
    "name": "theirs",
    "existing": {"endpointSubnetId": f"{SPOKE_NET}/subnets/pe", "dnsZoneId": ZONE},
    "endpointAddress": "10.7.0.9",
    "dnsZoneName": "a.internal",
}
BEFORE = (f"{AT_SUBSCRIPTION}/resourceGroups/net", HUB_NET, SPOKE_NET, ZONE)


def provisioned(**changes: Any) -> tuple[MemoryTarget, dict[str, Any]]:
    all_changes = {"hub": HUB, "spokes": [THEIRS], "deployOnPremServers": False, "cloudInitOnPrem": ""}
    target, properties = deploy(*BEFORE, **(all_changes | changes))
    return target, topology(properties)


def test_an_existing_hub_and_spoke_get_the_way_and_nothing_else() -> None:
    target, found = provisioned()
    written = [each for each in target.order if "/resourceGroups/net/" in each]
    assert written == [f"{ZONE}/A/onprem-server"]
    for kind in ("virtualNetworks", "networkSecurityGroups", "natGateways", "publicIPAddresses", "subnets"):
        assert not [each for each in target.order if f"/{kind}/" in each], kind
    [balancer], [service] = of_type(target, "loadBalancers"), of_type(target, "privateLinkServices")
    frontend = balancer["properties"]["frontendIPConfigurations"][0]["properties"]
    assert frontend["subnet"]["id"] == f"{HUB_NET}/subnets/fwd"
    nat = service["properties"]["ipConfigurations"][0]["properties"]
    assert nat["subnet"]["id"] == f"{HUB_NET}/subnets/nat"
    [endpoint] = of_type(target, "privateEndpoints")
    assert endpoint["properties"]["subnet"]["id"] == f"{SPOKE_NET}/subnets/pe"
    assert user_data(of_type(target, "virtualMachineScaleSets")[0])["inbound"] == [
        "10.0.1.0/26",
        "10.0.1.64/26",
        "10.0.1.128/26",
    ]
    assert of_type(target, "privateDnsZones") == [target.documents[ZONE.lower()]]
    assert (found["hub"]["jump"], found["spokes"][0]["jump"]) == ("", "")
    assert found["spokes"][0]["hostName"] == "onprem-server.a.internal"
    assert of_type(target, "containerGroups") == []


def test_boxes_come_where_a_subnet_for_them_is_named() -> None:
    jump = f"{HUB_NET}/subnets/jump"
    theirs = {**THEIRS, "existing": {**THEIRS["existing"], "jumpSubnetId": f"{SPOKE_NET}/subnets/aci"}}  # type: ignore[dict-item]
    target, found = provisioned(
        hub={**HUB, "existing": {**HUB["existing"], "jumpSubnetId": jump}}, spokes=[theirs]
    )
    subnets = {
        box["name"].split("-")[1]: box["properties"]["subnetIds"][0]["id"]
        for box in of_type(target, "containerGroups")
    }
    assert subnets == {"hub": jump, "theirs": f"{SPOKE_NET}/subnets/aci"}
    assert found["spokes"][0]["jump"].startswith("ci-theirs-")


def test_a_zone_of_its_own_is_linked_to_an_existing_network() -> None:
    own = {**THEIRS, "existing": {"endpointSubnetId": f"{SPOKE_NET}/subnets/pe"}, "dnsZoneName": "b.internal"}
    target, _ = provisioned(spokes=[own, SPOKE])
    links = {
        link["id"].split("/")[-3]: link["properties"]["virtualNetwork"]["id"]
        for link in of_type(target, "virtualNetworkLinks")
    }
    assert links["b.internal"] == SPOKE_NET
    assert "/resourceGroups/rg-dev/" in links["fwdctl.internal"]
    assert len(of_type(target, "virtualNetworks")) == 3


@pytest.mark.parametrize("egress", ["none", "existing"])
def test_a_hub_without_a_nat_gateway_has_no_public_address(egress: str) -> None:
    target, properties = deploy(hub={**HUB, "existing": None, "egress": egress})
    topology(properties)
    assert of_type(target, "publicIPAddresses") == of_type(target, "natGateways") == []
    assert not any(subnet["properties"].get("natGateway") for subnet in of_type(target, "subnets"))


def test_boxes_may_be_left_out() -> None:
    target, properties = deploy(
        hub={**HUB, "existing": None, "jump": False}, spokes=[{**SPOKE, "jump": False}]
    )
    assert (topology(properties)["hub"]["jump"], topology(properties)["spokes"][0]["jump"]) == ("", "")
    assert of_type(target, "containerGroups") == []
