"""What Azure would refuse of existing networks is found before a deployment, with key and way round it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fwdctl.template import existing
from support.existing_networks import HUB, THEIRS, ZONE, read
from support.fake_arm import GROUP, NETWORK, FakeArm

if TYPE_CHECKING:
    from pathlib import Path

    from fwdctl.template import parameters

CONTAINERS = {"properties": {"serviceName": "Microsoft.ContainerInstance/containerGroups"}}
CORP = {
    "properties": {
        "peeringState": "Connected",
        "remoteAddressSpace": {"addressPrefixes": ["192.168.42.0/24"]},
    }
}
TABLE = f"{NETWORK}/routeTables/rt"
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
    return read(tmp_path)


def found(
    arm: FakeArm, given: parameters.Parameters, region: str = "West Europe"
) -> list[tuple[str, str, str]]:
    for network in (HUB, THEIRS):
        document = {"id": network, "location": "westeurope", "properties": {"virtualNetworkPeerings": [CORP]}}
        arm.routes.setdefault(("GET", network.lower()), [(200, document, {})])
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
        (f"{HUB}/subnets/nat", {"addressPrefixes": ["10.0.1.128/26", "10.8.0.0/26"], "privateLinkServiceNetworkPolicies": "Disabled"}, ("hub.existing.natSubnetId", "has 10.0.1.128/26, 10.8.0.0/26, not 10.0.1.128/26", "with one range")),
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


def hub(**properties: Any) -> dict[str, Any]:
    return {"id": HUB, "location": "westeurope", "properties": properties}


def routed(hop: str) -> dict[str, Any]:
    route = {"name": "corp", "properties": {"addressPrefix": "192.168.42.0/24", "nextHopType": hop}}
    return {"id": TABLE, "name": "rt", "properties": {"routes": [route]}}


NO_PEERING = {**CORP, "properties": {**CORP["properties"], "peeringState": "Disconnected"}}
DELETE = f"`az network route-table route delete -g rg-dev --route-table-name rt -n corp --subscription {GROUP.split('/')[2]}`"


@pytest.mark.parametrize(
    ("network", "hop", "told"),
    [
        (hub(), "", ("no route leads from hub to 192.168.42.65", "Peer hub with the network of the target")),
        (hub(virtualNetworkPeerings=[NO_PEERING]), "", ("no connected peering", "Peer hub")),
        (hub(), "None", ("route corp of rt sends what goes to 192.168.42.65 nowhere", DELETE)),
        (hub(virtualNetworkPeerings=[CORP]), "Internet", ("sends what goes to 192.168.42.65 to the internet", DELETE)),
        (hub(), "VirtualAppliance", None),
        (hub(subnets=[{"name": "GatewaySubnet"}]), "", None),
        (hub(virtualNetworkPeerings=[{"properties": {"useRemoteGateways": True}}]), "", None),
        (hub(addressSpace={"addressPrefixes": ["192.168.0.0/16"]}), "", None),
    ],
)  # fmt: skip
def test_a_hub_without_a_way_to_a_target_is_refused(
    arm: FakeArm,
    given: parameters.Parameters,
    network: dict[str, Any],
    hop: str,
    told: tuple[str, str] | None,
) -> None:
    arm.on("GET", HUB, network)
    own = {**SUBNETS[f"{HUB}/subnets/fwd"], **({"routeTable": {"id": TABLE}} if hop else {})}
    arm.on("GET", f"{HUB}/subnets/fwd", {"properties": own})
    arm.on("GET", TABLE, routed(hop))
    problems = found(arm, given)
    assert [path for path, _, _ in problems] == [f"forwards[0].targets[{n}]" for n in range(2) if told]
    for _, text, suggestion in problems[:1]:
        assert told is not None
        assert told[0] in text
        assert told[1] in suggestion


@pytest.mark.parametrize(
    ("region", "wanted", "told"),
    [
        ("West Europe", ["1", "3"], []),
        ("West Europe", ["1", "4"], [("availabilityZones[1]", "4 is no zone of West Europe, which has 1, 2, 3", 'Write ["1", "2", "3"], or some of them.')]),
        ("northcentralus", ["1"], [("availabilityZones[0]", "1 is no zone of northcentralus, which has none", "Write [].")]),
    ],
)  # fmt: skip
def test_a_zone_that_the_region_does_not_have(
    arm: FakeArm, tmp_path: Path, region: str, wanted: list[str], told: list[tuple[str, str, str]]
) -> None:
    zones = [{"logicalZone": number, "physicalZone": f"x-{number}"} for number in "123"]
    regions = [{"name": "westeurope", "availabilityZoneMappings": zones}, {"name": "northcentralus"}]
    arm.on("GET", f"/subscriptions/{GROUP.split('/')[2]}/locations", {"value": regions})
    problems = found(arm, read(tmp_path, availabilityZones=wanted), region)
    assert [each for each in problems if each[0].startswith("availability")] == told


@pytest.mark.parametrize(("network", "refused"), [(HUB, True), (THEIRS, False)])
def test_a_name_that_leads_back_to_the_endpoint(
    arm: FakeArm, tmp_path: Path, network: str, *, refused: bool
) -> None:
    """The forwarders find a target's name in the spoke's own zone only if that is linked to the hub too."""
    link = {"properties": {"virtualNetwork": {"id": network}}}
    arm.on("GET", f"{ZONE}/virtualNetworkLinks", {"value": [link]})
    targets = ["onprem-server.a.internal:8000", "other.a.internal:8000"]
    problems = found(arm, read(tmp_path, forwards=[{"name": "web", "port": 8000, "targets": targets}]))
    assert [path for path, _, _ in problems] == ["forwards[0].targets[0]"][:refused]
    assert not problems or "which the hub sees too" in problems[0][1]
