"""A hub without any spoke: its own way works, and a consumer that the template knows nothing of comes by alias."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from conftest import ROOT
from support.operator import Operator
from support.programs import RunningLab

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.lab, pytest.mark.az, pytest.mark.timeout(240)]

CONTAINERS = {"name": "c", "properties": {"serviceName": "Microsoft.ContainerInstance/containerGroups"}}
SUBNETS = {"jump": ("172.16.0.0/26", [CONTAINERS]), "linked": ("172.16.0.64/26", [])}


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Operator]:
    folder = tmp_path_factory.mktemp("provider")
    document = json.loads((ROOT / "infra" / "main.parameters.json").read_text("utf-8"))
    document["parameters"]["spokes"] = {"value": []}
    service = {"visibility": "anyone", "autoApproval": [], "natAddresses": 2}
    document["parameters"]["linkService"] = {"value": service}
    file = folder / "main.parameters.json"
    file.write_text(json.dumps(document))
    lab = RunningLab.up(folder, f"provider-{worker_id}", "--parameters", str(file))
    try:
        yield Operator(lab)
    finally:
        lab.down()


def consumer(operator: Operator, alias: str) -> str:
    """A network of somebody else with a box and an endpoint that asks by alias; the connection's state."""
    subnets = [
        {"name": name, "properties": {"addressPrefix": prefix, "delegations": delegations}}
        for name, (prefix, delegations) in SUBNETS.items()
    ]
    space = {"addressPrefixes": ["172.16.0.0/24"]}
    network = operator.put("virtualNetworks/consumer", {"addressSpace": space, "subnets": subnets})
    operator.follow(
        f"az network private-endpoint create -g {operator.group} -n fwdctl --vnet-name consumer --subnet linked "
        f"--connection-name fwdctl --private-connection-resource-id {alias} --manual-request true "
        '--request-message "Team B"'
    )
    endpoint = operator.get("privateEndpoints/fwdctl")
    box = {
        "osType": "Linux",
        "subnetIds": [{"id": f"{network['id']}/subnets/jump"}],
        "containers": [
            {
                "name": "tools",
                "properties": {
                    "image": "mcr.microsoft.com/azurelinux/base/python:3.12",
                    "command": ["sleep", "3600"],
                    "resources": {"requests": {"cpu": 1, "memoryInGB": 1}},
                },
            }
        ],
    }
    group = operator.base.replace("Microsoft.Network", "Microsoft.ContainerInstance/containerGroups/theirs")
    operator.lab.arm("PUT", group, {"location": "westeurope", "properties": box})
    connection = endpoint["properties"]["manualPrivateLinkServiceConnections"][0]["properties"]
    return str(connection["privateLinkServiceConnectionState"]["status"])


def test_the_hub_is_probed_alone(operator: Operator) -> None:
    paths = operator.probe("all", exit_code=0)
    assert set(paths) == {"hub/web", "hub/web/192.168.42.65:8000", "hub/web/192.168.42.66:8000"}
    refused = operator.lab.fwdctl("probe", "spoke", expect=3)
    assert "spoke" in refused.stderr


def test_a_consumer_connects_by_alias_once_it_is_approved(operator: Operator) -> None:
    alias, service = (operator.lab.environ[f"LINK_SERVICE_{name}"] for name in ("ALIAS", "ID"))
    assert alias.endswith(".azure.privatelinkservice")
    assert consumer(operator, alias) == "Pending"
    foreign = operator.probe("all", "-g", operator.group, exit_code=4)["consumer/web"]
    assert foreign["broken"]["code"] == "PE_PENDING"
    (connection,) = operator.lab.arm("GET", service)["properties"]["privateEndpointConnections"]
    operator.follow(
        f'az network private-endpoint-connection approve --id {connection["id"]} --description "Team B"'
    )
    assert operator.probe("all", "-g", operator.group, exit_code=0)["consumer/web"]["verdict"] == "pass"
