"""What the compiled variants ask ARM for: nothing public, requests where somebody else has to approve."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from conftest import ROOT
from fwdctl.template import topology_file
from support.deployed_template import of_type
from support.deployed_variant import ENVIRONMENT, asked, deploy
from support.deployment_target import AT_SUBSCRIPTION, Client, MemoryTarget

if TYPE_CHECKING:
    from pathlib import Path

BASE = f"{AT_SUBSCRIPTION}/resourceGroups/rg-net/providers/Microsoft.Network"
EXISTING = {
    "frontendId": f"{BASE}/loadBalancers/lb/frontendIPConfigurations/f",
    "frontendAddress": "10.9.0.4",
    "natSubnetId": f"{BASE}/virtualNetworks/v/subnets/nat",
}


def properties(target: MemoryTarget, kind: str) -> list[dict[str, Any]]:
    return [document["properties"] for document in of_type(target, kind)]


@pytest.mark.parametrize("variant", ["key-vault", "service-consumer", "service-provider"])
def test_nothing_is_public_and_no_subnet_has_a_way_out_of_its_own(variant: str) -> None:
    target, done = deploy(variant)
    assert done["provisioningState"] == "Succeeded", done.get("error")
    assert of_type(target, "publicIPAddresses") == of_type(target, "natGateways") == []
    subnets = properties(target, "subnets")
    assert subnets
    assert all(subnet["defaultOutboundAccess"] is False for subnet in subnets)
    assert all(subnet["networkSecurityGroup"]["id"] for subnet in subnets)
    assert {
        tuple(document["tags"].items()) for document in target.documents.values() if "tags" in document
    } == {(("azd-env-name", "dev"),)}


@pytest.mark.parametrize(
    ("variant", "changes"),
    [
        ("key-vault", {}),
        ("service-consumer", {}),
        ("service-provider", {}),
        ("service-provider", {"existing": EXISTING}),
    ],
)
def test_what_is_handed_over_serves_as_a_topology_file(
    variant: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    _, done = deploy(variant, **changes)
    file = tmp_path / "topology.json"
    file.write_text(json.dumps(done["outputs"]["FWD_TOPOLOGY"]["value"]))
    found = topology_file.load(file)
    assert found.resource_group == "rg-dev"
    assert [box.name for box in found.boxes] == {"key-vault": ["vault"], "service-consumer": ["crm"]}.get(
        variant, [] if changes else ["hub"]
    )


def test_a_consumer_asks_by_alias_and_has_the_subnets_that_it_needs() -> None:
    target, done = deploy("service-consumer")
    (endpoint,) = properties(target, "privateEndpoints")
    (request,) = endpoint["manualPrivateLinkServiceConnections"]
    assert endpoint["privateLinkServiceConnections"] == []
    assert request["properties"]["privateLinkServiceId"] == ENVIRONMENT["LINK_SERVICE_ALIAS"]
    assert request["properties"]["requestMessage"] == "CRM of team B"
    assert {subnet["name"] for subnet in of_type(target, "subnets")} == {"jump", "linked"}
    assert "hub" not in done["outputs"]["FWD_TOPOLOGY"]["value"]


def test_a_provider_lets_in_the_link_service_and_its_own_box() -> None:
    target, _ = deploy("service-provider")
    (group,) = properties(target, "networkSecurityGroups")
    rules = [rule["properties"] for rule in group["securityRules"]]
    assert [(rule["access"], rule["sourceAddressPrefix"]) for rule in rules] == [
        ("Allow", "AzureLoadBalancer"),
        ("Allow", "10.2.0.64/26"),
        ("Allow", "10.2.0.128/26"),
        ("Deny", "*"),
        ("Allow", "AzureCloud"),
    ]
    assert rules[1]["destinationPortRanges"] == ["80", "22"]
    (service,) = properties(target, "privateLinkServices")
    assert service["visibility"]["subscriptions"] == ["*"]
    assert service["autoApproval"]["subscriptions"] == []
    web, ssh = properties(target, "virtualMachines")
    program, _ = yaml.safe_load(base64.b64decode(web["osProfile"]["customData"]))["write_files"]
    server = (ROOT / "infra" / "cloud-init" / "onprem-server" / "server.py").read_text("utf-8")
    assert program["content"].split() == server.split()
    compile(program["content"], "server.py", "exec")
    assert "customData" not in ssh["osProfile"]


def test_an_existing_load_balancer_gets_nothing_but_the_service() -> None:
    target, done = deploy("service-provider", existing=EXISTING, sshPublicKey="")
    assert done["provisioningState"] == "Succeeded", done.get("error")
    kinds = {document.get("type", "").rpartition("/")[2] for document in target.documents.values()}
    assert kinds <= {"", "resourceGroups", "deployments", "privateLinkServices"}
    (service,) = properties(target, "privateLinkServices")
    assert service["loadBalancerFrontendIpConfigurations"] == [{"id": EXISTING["frontendId"]}]


@pytest.mark.parametrize("key", ["frontendId", "natSubnetId"])
def test_what_an_existing_load_balancer_lacks_is_named(key: str) -> None:
    rest = {name: value for name, value in EXISTING.items() if name != key}
    template, values = asked("service-provider", existing=rest)
    target = MemoryTarget()
    answer = asyncio.run(Client(target).put(AT_SUBSCRIPTION, "dev-1", template, **values))
    assert f"existing.{key} is missing." in answer.body["error"]["message"]
    assert target.documents == {}


def test_the_vault_is_closed_to_the_public() -> None:
    target, done = deploy("key-vault")
    (vault,) = properties(target, "vaults")
    assert vault["publicNetworkAccess"] == "Disabled"
    assert vault["networkAcls"] == {"bypass": "None", "defaultAction": "Deny"}
    assert "enablePurgeProtection" not in vault
    (spoke,) = done["outputs"]["FWD_TOPOLOGY"]["value"]["spokes"]
    assert spoke["hostName"] == f"{done['outputs']['VAULT_NAME']['value']}.vault.azure.net"
    assert spoke["zone"] == "privatelink.vaultcore.azure.net"
