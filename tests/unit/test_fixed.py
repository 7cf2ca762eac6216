"""What Azure fixes is compared with what the template itself has made, and refused with key and way round it."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from conftest import ROOT
from fwdctl.runtime import Runtime
from fwdctl.template import ended_boxes, fixed, parameters
from support.deployed_template import SPOKE, TEMPLATE, deploy
from support.deployment_target import AT_SUBSCRIPTION

if TYPE_CHECKING:
    from pathlib import Path

    from fwdctl.template.fixed import Place
    from fwdctl.template.parameters import Problem
    from support.fake_arm import FakeArm

COMPILED = ROOT / "infra" / "main.json"
GROUP = f"{AT_SUBSCRIPTION}/resourceGroups/rg-dev"
HUB, FORWARDER, JUMP, CORP = (
    TEMPLATE["parameters"][name]["defaultValue"] for name in ("hub", "forwarder", "jump", "corp")
)
THEIRS = f"{AT_SUBSCRIPTION}/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/hub/subnets"
SSH_KEY = "ssh-ed25519 AAAA"


@pytest.fixture(scope="module")
def running() -> dict[str, dict[str, Any]]:
    """What the template made, by id."""
    target, properties = deploy(availabilityZones=["1", "2", "3"], linkService={"natAddresses": 3})
    token = properties["outputs"]["RESOURCE_TOKEN"]["value"]
    found = {key: copy.deepcopy(document) for key, document in target.documents.items()}
    found[GROUP.lower()] = {"location": "westeurope"}
    found["token"] = {"token": token}
    return found


@dataclass
class World:
    """Azure with the deployment in it, and the hook that asks."""

    arm: FakeArm
    place: Place
    folder: Path

    def given(self, **changes: Any) -> parameters.Parameters:
        document = json.loads((ROOT / "infra" / "main.parameters.json").read_text("utf-8"))
        changes = {"linkService": {"natAddresses": 3}} | changes
        document["parameters"] |= {name: {"value": value} for name, value in changes.items()}
        file = self.folder / "main.parameters.json"
        file.write_text(json.dumps(document))
        return parameters.load(file, COMPILED, {})

    def refused(self, **changes: Any) -> list[Problem]:
        return list(fixed.problems(self.arm.client(), self.given(**changes), self.place))

    def deleted(self, **changes: Any) -> list[str]:
        """Boxes that the hook deletes."""
        given = self.given(**changes)
        return ended_boxes.delete_unchangeable(
            Runtime(environ={}), self.arm.client(), given, self.place, COMPILED
        )

    def change(self, key: str, **properties: Any) -> None:
        reply = self.arm.routes["GET", key.lower()]
        assert isinstance(reply, list)
        document = copy.deepcopy(reply[0][1])
        document["properties"] |= properties
        self.arm.on("GET", key, document)

    def connect(self, *connections: str) -> None:
        service = self.place.id("Microsoft.Network/privateLinkServices", "pl")
        self.change(service, privateEndpointConnections=[{"name": each} for each in connections])


@pytest.fixture
def world(arm: FakeArm, running: dict[str, dict[str, Any]], tmp_path: Path) -> World:
    for key, document in running.items():
        if "/providers/" in key or key == GROUP.lower():
            arm.on("GET", key, document)
    environ = {"AZURE_LOCATION": "westeurope", "CLOUD_INIT_ONPREM": "same"}
    ready = {"SSH_PUBLIC_KEY": SSH_KEY, "CLOUD_INIT_ONPREM": "same"}
    return World(arm, fixed.Place(GROUP, running["token"]["token"], environ, ready), tmp_path)


def test_what_runs_is_as_the_parameters_ask(world: World) -> None:
    assert world.refused() == []


def test_nothing_is_fixed_before_the_first_deployment(world: World) -> None:
    world.arm.fail("GET", GROUP, 404, "ResourceGroupNotFound")
    assert world.refused(availabilityZones=[]) == []


@pytest.mark.parametrize(
    ("changes", "key", "told"),
    [
        ({"availabilityZones": ["1"]}, "availabilityZones", ("has 1, 2, 3, which stays", "`azd down` and `azd up`")),
        ({"availabilityZones": []}, "availabilityZones", ("asks for none", "Write 1, 2, 3, or")),
        ({"hub": {**HUB, "existing": {"subnetId": f"{THEIRS}/fwd"}}, "deployOnPremServers": False}, "hub.existing.subnetId", ("/vnet-hub-", "`azd down`")),
        ({"adminUsername": "me"}, "adminUsername", ("has fwdadmin", "`az vmss delete --ids ")),
        ({"forwarder": {**FORWARDER, "image": {**FORWARDER["image"], "publisher": "Canonical"}}}, "forwarder.image.publisher", ("has MicrosoftCBLMariner", "`az vmss delete --ids ")),
        ({"forwarder": {**FORWARDER, "image": {**FORWARDER["image"], "offer": "other"}}}, "forwarder.image.offer", ("has azure-linux-3", "`az vmss delete --ids ")),
        ({"linkService": {"natAddresses": 2}}, "linkService.natAddresses", ("asks for 2; pl-", "`fwdctl link remove`")),
        ({"spokes": [{**SPOKE, "endpointAddress": "10.1.17.9"}]}, "spokes[0].endpointAddress", ("has 10.1.17.4", "`az network private-endpoint delete --ids ")),
        ({"spokes": [{**SPOKE, "linkedSubnetPrefix": "10.1.17.0/25"}]}, "spokes[0].linkedSubnetPrefix", ("linked has 10.1.17.0/24", "empty the subnet")),
        ({"spokes": [{**SPOKE, "jumpSubnetPrefix": "10.1.20.0/24"}]}, "spokes[0].jumpSubnetPrefix", ("jump has 10.1.16.0/24", "empty the subnet")),
        ({"spokes": [{**SPOKE, "appsDelegation": "Microsoft.App/environments"}]}, "spokes[0].appsDelegation", ("apps has none", "remove first what uses")),
        ({"spokes": [{**SPOKE, "appsSubnetPrefix": "10.1.24.0/22"}]}, "spokes[0].appsSubnetPrefix", ("apps has 10.1.8.0/21", "empty the subnet")),
        ({"hub": {**HUB, "sharedSubnetPrefix": "10.0.1.0/27"}}, "hub.sharedSubnetPrefix", ("shared has 10.0.1.0/26", "empty the subnet")),
        ({"hub": {**HUB, "addressPrefix": "10.0.1.0/25"}}, "hub.addressPrefix", ("has 10.0.1.192/26", "remove those subnets")),
        ({"corp": {**CORP, "addressPrefix": "192.168.42.0/25"}}, "corp.addressPrefix", ("servers has 192.168.42.0/24", "empty the subnet")),
    ],
)  # fmt: skip
def test_what_azure_would_refuse_is_named_with_the_way_round_it(
    world: World, changes: dict[str, Any], key: str, told: tuple[str, str]
) -> None:
    world.connect("pep-app.1")
    world.change(world.place.subnet("app", "apps"), ipConfigurations=[{"id": "somebody's"}])
    mine = {"name": "mine", "properties": {"addressPrefix": "10.0.1.192/26"}}
    world.change(world.place.id("Microsoft.Network/virtualNetworks", "vnet-hub"), subnets=[mine])
    first, *others = world.refused(**changes)
    assert {each.path for each in (first, *others)} == {key}
    assert told[0] in first.text
    assert told[1] in first.suggestion


def test_addresses_may_go_and_ranges_move_while_nobody_uses_them(world: World) -> None:
    world.connect()
    moved = {**SPOKE, "appsSubnetPrefix": "10.1.24.0/22", "appsDelegation": "Microsoft.App/environments"}
    assert world.refused(linkService={"natAddresses": 2}, spokes=[moved]) == []


def test_more_nat_addresses_are_nothing_to_refuse(world: World) -> None:
    world.connect("pep-app.1")
    assert world.refused(linkService={"natAddresses": 8}) == []


def test_another_orchestration_mode_is_refused(world: World) -> None:
    machines = world.place.id("Microsoft.Compute/virtualMachineScaleSets", "vmss")
    world.change(machines, orchestrationMode="Flexible")
    (problem,) = world.refused()
    assert "asks for Uniform" in problem.text
    assert f"az vmss delete --ids {machines}" in problem.suggestion


def test_another_region_is_refused(world: World) -> None:
    world.place = replace(world.place, before={"AZURE_LOCATION": "North Europe"})
    (problem,) = world.refused()
    assert (problem.path, problem.text) == ("location", "is NorthEurope, and rg-dev lies in westeurope")
    assert problem.suggestion.startswith("Run `azd env set AZURE_LOCATION westeurope`, or")


@pytest.mark.parametrize(
    ("ready", "key", "keep"),
    [
        ({"SSH_PUBLIC_KEY": "ssh-ed25519 BBBB"}, "sshPublicKey", "Set SSH_PUBLIC_KEY to"),
        ({"CLOUD_INIT_ONPREM": "new"}, "cloudInitOnPrem", "Restore infra/cloud-init/onprem-server"),
    ],
)
def test_stand_in_servers_keep_key_and_cloud_init(
    world: World, ready: dict[str, str], key: str, keep: str
) -> None:
    world.place = replace(world.place, ready={**world.place.ready, **ready})
    found = world.refused()
    assert [each.path for each in found] == [key, key]  # both servers
    assert found[0].suggestion.startswith(keep)
    assert f"/vm-server65-{world.place.token}`." in found[0].suggestion
    assert world.refused(deployOnPremServers=False) == []


@pytest.mark.parametrize("state", ["Succeeded", "Failed", "Stopped", "Running"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"jump": {**JUMP, "image": "mcr.microsoft.com/x:1"}},
        {"jump": {**JUMP, "lifetimeSeconds": 60}},
        {"jump": {**JUMP, "unattendedSeconds": 300}},
        {"spokes": [{**SPOKE, "dnsServers": ["10.1.8.4"]}]},
    ],
)
def test_a_box_that_has_ended_is_deleted_if_it_must_change(
    world: World, changes: dict[str, Any], state: str
) -> None:
    deleted = boxes(world, state)
    wanted = [f"ci-app-{world.place.token}"] if changes and state in {"Succeeded", "Failed"} else []
    assert world.deleted(**changes) == deleted == wanted


def test_a_box_that_moves_to_another_subnet_is_deleted_whatever_its_state(world: World) -> None:
    deleted = boxes(world, "Running")
    theirs = {
        "name": "app",
        "existing": {"endpointSubnetId": f"{THEIRS}/pe", "jumpSubnetId": f"{THEIRS}/aci"},
        "endpointAddress": "10.1.17.4",
        "dnsZoneName": "fwdctl.internal",
    }
    world.deleted(spokes=[theirs])
    assert deleted == [f"ci-app-{world.place.token}"]


def boxes(world: World, state: str) -> list[str]:
    """Let both boxes be deleted, the spoke's being in a state; the list tells which are."""
    deleted: list[str] = []
    for name, now in (("hub", "Running"), ("app", state)):
        box = world.place.id("Microsoft.ContainerInstance/containerGroups", f"ci-{name}")
        world.change(box, instanceView={"state": now})
        let_be_deleted(world.arm, box, deleted)
    return deleted


def let_be_deleted(arm: FakeArm, box: str, deleted: list[str]) -> None:
    before = arm.routes["GET", box.lower()]
    assert isinstance(before, list)
    name, whole = box.rpartition("/")[2], before[0]

    def get(_: Any) -> Any:
        gone = (404, {"error": {"code": "ResourceNotFound", "message": "gone"}}, {})
        return gone if name in deleted else whole

    def delete(_: Any) -> Any:
        deleted.append(name)
        return 202, None, {}

    arm.routes["GET", box.lower()] = get
    arm.routes["DELETE", box.lower()] = delete
