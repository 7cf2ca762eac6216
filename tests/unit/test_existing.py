"""What Azure would refuse of existing networks is found before a deployment, with key and way round it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from conftest import ROOT
from fwdctl.template import existing, parameters
from support.fake_arm import NETWORK, FakeArm

if TYPE_CHECKING:
    from pathlib import Path

HUB, THEIRS = f"{NETWORK}/virtualNetworks/hub", f"{NETWORK}/virtualNetworks/theirs"
ZONE = f"{NETWORK}/privateDnsZones/a.internal"
CONTAINERS = {"properties": {"serviceName": "Microsoft.ContainerInstance/containerGroups"}}
SUBNETS: dict[str, dict[str, Any]] = {
    f"{HUB}/subnets/fwd": {"addressPrefix": "10.0.1.0/26"},
    f"{HUB}/subnets/nat": {
        "addressPrefixes": ["10.0.1.128/26"],
        "privateLinkServiceNetworkPolicies": "Disabled",
    },
    f"{HUB}/subnets/jump": {"addressPrefix": "10.0.1.64/26", "delegations": [CONTAINERS]},
    f"{THEIRS}/subnets/pe": {"addressPrefix": "10.7.0.0/26"},
    f"{THEIRS}/subnets/aci": {"addressPrefix": "10.7.0.64/26", "delegations": [CONTAINERS]},
}


@pytest.fixture
def given(tmp_path: Path) -> parameters.Parameters:
    document = json.loads((ROOT / "infra" / "main.parameters.json").read_text("utf-8"))
    document["parameters"]["hub"]["value"] |= {
        "natSubnetPrefix": "10.0.1.128/26",
        "existing": {
            "subnetId": f"{HUB}/subnets/fwd",
            "natSubnetId": f"{HUB}/subnets/nat",
            "jumpSubnetId": f"{HUB}/subnets/jump",
        },
    }
    theirs = {
        "name": "theirs",
        "existing": {
            "endpointSubnetId": f"{THEIRS}/subnets/pe",
            "jumpSubnetId": f"{THEIRS}/subnets/aci",
            "dnsZoneId": ZONE,
        },
        "endpointAddress": "10.7.0.9",
        "dnsZoneName": "a.internal",
    }
    document["parameters"] |= {"spokes": {"value": [theirs]}, "deployOnPremServers": {"value": False}}
    file = tmp_path / "main.parameters.json"
    file.write_text(json.dumps(document))
    return parameters.load(file, ROOT / "infra" / "main.json", {})


def found(
    arm: FakeArm, given: parameters.Parameters, region: str = "West Europe"
) -> list[tuple[str, str, str]]:
    for network in (HUB, THEIRS):
        arm.on("GET", network, {"location": "westeurope", "properties": {}})
    for key, properties in SUBNETS.items():
        arm.routes.setdefault(("GET", key.lower()), [(200, {"properties": properties}, {})])
    arm.routes.setdefault(("GET", ZONE.lower()), [(200, {"properties": {}}, {})])
    problems = existing.problems(arm.client(), given, region)
    return [(each.path, each.text, each.suggestion) for each in problems]


def test_networks_that_will_do_have_no_problem(arm: FakeArm, given: parameters.Parameters) -> None:
    assert found(arm, given) == []


@pytest.mark.parametrize(
    ("subnet", "properties", "told"),
    [
        (f"{HUB}/subnets/fwd", {"addressPrefix": "10.0.1.0/27"}, ("hub.existing.subnetId", "has 10.0.1.0/27, not 10.0.1.0/26", "Correct the range")),
        (f"{HUB}/subnets/nat", {"addressPrefix": "10.0.1.128/26", "privateLinkServiceNetworkPolicies": "Enabled"}, ("hub.existing.natSubnetId", "has policies for link services", f"--ids {HUB}/subnets/nat --private-link-service-network-policies Disabled`")),
        (f"{HUB}/subnets/jump", {"addressPrefix": "10.0.1.64/26", "delegations": []}, ("hub.existing.jumpSubnetId", "is not delegated", f"--ids {HUB}/subnets/jump --delegations Microsoft.ContainerInstance/containerGroups`")),
        (f"{THEIRS}/subnets/pe", {"addressPrefix": "10.7.1.0/26"}, ("spokes[0].existing.endpointSubnetId", "endpointAddress 10.7.0.9 lies outside", "free address")),
    ],
)  # fmt: skip
def test_what_a_subnet_lacks_is_told_with_the_command(
    arm: FakeArm,
    given: parameters.Parameters,
    subnet: str,
    properties: dict[str, Any],
    told: tuple[str, str, str],
) -> None:
    arm.on("GET", subnet, {"properties": properties})
    ((path, text, suggestion),) = found(arm, given)
    assert path == told[0]
    assert told[1] in text
    assert told[2] in suggestion


@pytest.mark.parametrize(
    ("missing", "path"),
    [(f"{THEIRS}/subnets/aci", "spokes[0].existing.jumpSubnetId"), (ZONE, "spokes[0].existing.dnsZoneId")],
)
def test_what_is_not_there_is_named(
    arm: FakeArm, given: parameters.Parameters, missing: str, path: str
) -> None:
    arm.fail("GET", missing, 404, "ResourceNotFound")
    ((at, said, _),) = found(arm, given)
    assert (at, said) == (path, f"does not exist: {missing}")


def test_another_region_is_refused(arm: FakeArm, given: parameters.Parameters) -> None:
    told = found(arm, given, "northeurope")
    assert {text for _, text, _ in told} == {"lies in westeurope, and the deployment in northeurope"}
    assert len(told) == len(SUBNETS)
