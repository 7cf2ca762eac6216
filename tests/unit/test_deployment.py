"""Which deployment is meant, and what it consists of."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from fwdctl.deployment import Box, Place, locate, read
from fwdctl.deployment.discover import complete
from fwdctl.errors import FwdctlError
from fwdctl.runtime import Runtime
from support.fake_arm import CONTAINERS, GROUP, NETWORK, FakeArm, container_group, fake_arm

if TYPE_CHECKING:
    from pathlib import Path

TOPOLOGY: dict[str, Any] = {
    "version": 1,
    "resourceGroup": "rg-dev",
    "hub": {
        "jump": "ci-hub",
        "container": "jump",
        "loadBalancer": {"name": "lbi", "address": "10.0.1.5"},
        "scaleSet": "vmss",
        "privateLinkService": "pl",
    },
    "spokes": [
        {
            "name": "spoke",
            "jump": "ci-spoke",
            "container": "jump",
            "privateEndpoint": {"name": "pep", "address": "10.1.17.4"},
            "hostName": "onprem-server.corp.internal",
            "zone": "corp.internal",
        }
    ],
    "forwards": [
        {"name": "web", "port": 8000, "targets": ["192.168.42.65:8000"], "check": "http", "checkPath": "/"}
    ],
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "azure.yaml").write_text("name: x\n")
    return tmp_path


def environment(project: Path, name: str, *, default: bool = True, **values: str) -> None:
    folder = project / ".azure" / name
    folder.mkdir(parents=True)
    (folder / ".env").write_text("".join(f'{key}="{value}"\n' for key, value in values.items()))
    if default:
        (project / ".azure" / "config.json").write_text(
            json.dumps({"version": 1, "defaultEnvironment": name})
        )


def test_the_resource_group_option_wins(project: Path) -> None:
    environment(project, "dev", RESOURCE_GROUP_NAME="rg-dev")
    place = locate(Runtime(environ={}, cwd=project), resource_group="other")
    assert (place.values, place.source) == ({"RESOURCE_GROUP_NAME": "other"}, "--resource-group")


def test_the_environment_option(project: Path) -> None:
    environment(project, "dev", RESOURCE_GROUP_NAME="rg-dev")
    environment(project, "prod", default=False, RESOURCE_GROUP_NAME="rg-prod")
    place = locate(Runtime(environ={}, cwd=project), environment="prod")
    assert (place.values["RESOURCE_GROUP_NAME"], place.source) == ("rg-prod", "azd environment 'prod'")


def test_the_selected_environment_before_the_process(project: Path) -> None:
    environment(project, "dev", RESOURCE_GROUP_NAME="rg-dev", AZURE_SUBSCRIPTION_ID="S1")
    runtime = Runtime(environ={"RESOURCE_GROUP_NAME": "rg-lab", "AZURE_SUBSCRIPTION_ID": "s1"}, cwd=project)
    assert locate(runtime).source == "azd environment 'dev'"


def test_another_subscription_in_the_process_wins(project: Path) -> None:
    environment(project, "dev", RESOURCE_GROUP_NAME="rg-dev", AZURE_SUBSCRIPTION_ID="s1")
    runtime = Runtime(environ={"RESOURCE_GROUP_NAME": "rg-lab", "AZURE_SUBSCRIPTION_ID": "s2"}, cwd=project)
    assert locate(runtime).source == "process environment"


def test_an_empty_subscription_in_the_process_is_none(project: Path) -> None:
    environment(project, "dev", RESOURCE_GROUP_NAME="rg-dev", AZURE_SUBSCRIPTION_ID="s1")
    runtime = Runtime(environ={"AZURE_SUBSCRIPTION_ID": ""}, cwd=project)
    assert locate(runtime).source == "azd environment 'dev'"


def test_the_process_environment_needs_no_project(tmp_path: Path) -> None:
    assert (
        locate(Runtime(environ={"RESOURCE_GROUP_NAME": "rg"}, cwd=tmp_path)).source == "process environment"
    )


@pytest.mark.parametrize(
    ("prepare", "environ", "code"),
    [
        (lambda p: (p / "azure.yaml").unlink(), {}, "azd_project_not_found"),
        (lambda _: None, {}, "azd_environment_not_chosen"),
        (lambda p: environment(p, "dev", AZURE_LOCATION="x"), {}, "not_provisioned"),
        (
            lambda p: environment(p, "dev", RESOURCE_GROUP_NAME="r", AZURE_SUBSCRIPTION_ID="s1"),
            {"AZURE_SUBSCRIPTION_ID": "s2"},
            "subscription_contradicts",
        ),
    ],
)
def test_no_deployment(project: Path, prepare: Any, environ: dict[str, str], code: str) -> None:
    prepare(project)
    with pytest.raises(FwdctlError) as error:
        locate(Runtime(environ=environ, cwd=project))
    assert (error.value.code, error.value.exit_code) == (code, 3)
    assert error.value.suggestion


def test_the_topology() -> None:
    deployment = read(Place({"FWD_TOPOLOGY": json.dumps(TOPOLOGY), "AZURE_SUBSCRIPTION_ID": "s"}, "x"))
    assert deployment.complete
    assert deployment.boxes == (Box("hub", "ci-hub", "jump"), Box("spoke", "ci-spoke", "jump"))
    assert (deployment.hub.address, deployment.spokes[0].address) == ("10.0.1.5", "10.1.17.4")
    assert deployment.forwards[0].targets == ("192.168.42.65:8000",)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"version": 2}', "version 2 is not 1"),
        ('{"version": 1}', "'resourceGroup' is missing"),
        ('{"version": 1, "resourceGroup": "r", "spokes": 3}', "int"),
        ('{"version": 1, "resourceGroup": "r", "spokes": [{}]}', "'name' is missing"),
        ('{"version": 1, "resourceGroup": "r", "forwards": [{"name": "w", "port": "x"}]}', "invalid literal"),
        (
            '{"version": 1, "resourceGroup": "r", "forwards": [{"name": "w", "port": 1, "check": "ftp"}]}',
            "'ftp'",
        ),
    ],
)
def test_a_topology_that_cannot_be_used(text: str, why: str) -> None:
    with pytest.raises(FwdctlError) as error:
        read(Place({"FWD_TOPOLOGY": text, "RESOURCE_GROUP_NAME": "r"}, "azd environment 'dev'"))
    assert (error.value.code, error.value.exit_code) == ("topology_invalid", 3)
    assert why in error.value.message


def test_the_seeds_four_outputs_name_the_boxes() -> None:
    values = {
        "RESOURCE_GROUP_NAME": "rg",
        "RESOURCE_TOKEN": "t",
        "HUB_JUMP_NAME": "h",
        "SPOKE_JUMP_NAME": "s",
    }
    deployment = read(Place(values, "x"))
    assert (deployment.complete, deployment.boxes) == (False, (Box("hub", "h"), Box("spoke", "s")))


def network(name: str) -> str:
    return f"{NETWORK}/virtualNetworks/{name}"


def resources(arm: FakeArm) -> None:
    subnet = {"id": f"{network('vnet-hub')}/subnets/shared"}
    frontend = f"{NETWORK}/loadBalancers/lbi/frontendIPConfigurations/fe"
    boxes = [
        container_group("box-a", "", subnetIds=[{"id": f"{network('vnet-spoke')}/subnets/jump"}]),
        container_group("box-b", "", subnetIds=[{"id": f"{network('VNET-HUB')}/subnets/jump"}]),
    ]
    arm.on("GET", CONTAINERS, {"value": boxes})
    arm.on(
        "GET",
        f"{NETWORK}/loadBalancers",
        {
            "value": [
                {
                    "id": f"{NETWORK}/loadBalancers/lbi",
                    "name": "lbi",
                    "properties": {
                        "frontendIPConfigurations": [
                            {"id": frontend, "properties": {"privateIPAddress": "10.0.1.5"}}
                        ],
                        "loadBalancingRules": [
                            {"name": "web", "properties": {"frontendPort": 8000, "protocol": "Tcp"}},
                            {"name": "dns", "properties": {"frontendPort": 53, "protocol": "Udp"}},
                        ],
                    },
                }
            ]
        },
    )
    service = {
        "id": f"{NETWORK}/privateLinkServices/pl",
        "name": "pl",
        "properties": {
            "loadBalancerFrontendIpConfigurations": [{"id": frontend}],
            "ipConfigurations": [{"properties": {"subnet": subnet}}],
        },
    }
    arm.on("GET", f"{NETWORK}/privateLinkServices", {"value": [service]})
    connection = {"properties": {"privateLinkServiceId": service["id"].upper()}}
    endpoint = {
        "id": f"{NETWORK}/privateEndpoints/pep",
        "name": "pep",
        "properties": {
            "subnet": {"id": f"{network('vnet-spoke')}/subnets/linked"},
            "manualPrivateLinkServiceConnections": [connection],
            "networkInterfaces": [{"id": f"{NETWORK}/networkInterfaces/nic"}],
        },
    }
    other = {"id": "x", "name": "vault", "properties": {"privateLinkServiceConnections": []}}
    arm.on("GET", f"{NETWORK}/privateEndpoints", {"value": [other, endpoint]})
    address = {"properties": {"ipConfigurations": [{"properties": {"privateIPAddress": "10.1.17.4"}}]}}
    arm.on("GET", f"{NETWORK}/networkInterfaces/nic", address)
    zone = f"{NETWORK}/privateDnsZones/corp.internal"
    arm.on("GET", f"{NETWORK}/privateDnsZones", {"value": [{"name": "corp.internal"}]})
    link = {"properties": {"virtualNetwork": {"id": network("vnet-spoke")}}}
    arm.on("GET", f"{zone}/virtualNetworkLinks", {"value": [link]})
    record = {"name": "server", "properties": {"aRecords": [{"ipv4Address": "10.1.17.4"}]}}
    arm.on("GET", f"{zone}/ALL", {"value": [record]})


@pytest.mark.parametrize("values", [{}, {"HUB_JUMP_NAME": "box-b", "SPOKE_JUMP_NAME": "box-a"}])
def test_discovery_follows_the_links(values: dict[str, str]) -> None:
    with fake_arm() as arm:
        resources(arm)
        start = read(Place({"RESOURCE_GROUP_NAME": "rg-dev", **values}, "--resource-group"))
        found = complete(start, arm.client())
    assert found.complete
    assert found.boxes == (Box("hub", "box-b", "jump"), Box("spoke", "box-a", "jump"))
    assert (found.hub.load_balancer, found.hub.address, found.hub.link_service) == ("lbi", "10.0.1.5", "pl")
    spoke = found.spokes[0]
    assert (spoke.endpoint, spoke.address, spoke.host_name) == ("pep", "10.1.17.4", "server.corp.internal")
    assert [(forward.name, forward.port, forward.targets) for forward in found.forwards] == [
        ("web", 8000, ())
    ]


def test_an_empty_group_and_a_missing_one() -> None:
    start = read(Place({"RESOURCE_GROUP_NAME": "rg-dev"}, "--resource-group"))
    with fake_arm() as arm:
        arm.on("GET", CONTAINERS, {"value": []})
        arm.on("GET", f"{NETWORK}/privateLinkServices", {"value": []})
        with pytest.raises(FwdctlError) as error:
            complete(start, arm.client())
        assert (error.value.code, error.value.exit_code) == ("nothing_found", 3)
        arm.fail("GET", CONTAINERS, 404, "ResourceGroupNotFound")
        with pytest.raises(FwdctlError, match=GROUP.rsplit("/", 1)[-1]) as error:
            complete(start, arm.client())
        assert error.value.code == "resource_group_not_found"
