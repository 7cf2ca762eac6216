"""The real az deploys, previews and removes templates of its own and ours."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from support.az_program import Az


pytestmark = [
    pytest.mark.az,
    pytest.mark.lab,
    pytest.mark.xdist_group("az-lab"),
    pytest.mark.timeout(180),
]


def test_deployments_are_shown_with_their_operations(az: Az) -> None:
    deployments = az.json("deployment", "sub", "list", group=False)
    name = deployments[0]["name"]
    assert az.json("deployment", "sub", "show", "-n", name, group=False)["properties"]["outputs"]
    assert az.json("deployment", "operation", "sub", "list", "-n", name, group=False)


def test_what_if_looks_into_the_modules(az: Az, tmp_path: Path) -> None:
    """A forward more: rule, probe and ports, in modules two deep; beside what other tests have changed."""
    deployments = az.json("deployment", "sub", "list", group=False)
    name = next(one["name"] for one in deployments if "FWD_TOPOLOGY" in one["properties"]["outputs"])
    shown = az.json("deployment", "sub", "show", "-n", name, group=False)["properties"]["parameters"]
    parameters = {key: {"value": entry["value"]} for key, entry in shown.items()}
    file = tmp_path / "parameters.json"
    arguments = ["-l", "westeurope", "-f", str(ROOT / "infra" / "main.json"), "-p", f"@{file}"]

    def deltas() -> dict[str, list[dict[str, Any]]]:
        file.write_text(json.dumps(parameters))
        printed = az("deployment", "sub", "what-if", *arguments, "--no-pretty-print", group=False).stdout
        changes = json.loads(printed)["changes"]
        assert {change["changeType"] for change in changes} <= {"NoChange", "Modify"}
        return {change["resourceId"].split("/providers/")[-1]: change["delta"] or [] for change in changes}

    before = deltas()
    forwards = parameters["forwards"]["value"]
    forwards.append({**forwards[0], "name": "second", "port": 8001})
    after = deltas()
    balancer = f"Microsoft.Network/loadBalancers/{az.topology['hub']['loadBalancer']['name']}"
    changed = {one for one, delta in after.items() if delta != before[one]}
    assert {one.rsplit("/", 1)[0] for one in changed} == {
        "Microsoft.Compute/virtualMachineScaleSets",  # its tag names what is forwarded
        "Microsoft.Network/loadBalancers",
        "Microsoft.Network/networkSecurityGroups",
    }
    (scale_set,) = (one for one in changed if "/virtualMachineScaleSets/" in one)
    assert {entry["path"] for entry in after[scale_set]} == {"tags.fwdctl-forwards-hash"}
    delta = {entry["path"]: entry for entry in after[balancer]}
    assert set(delta) == {"properties.loadBalancingRules", "properties.probes"}
    (rule,) = delta["properties.loadBalancingRules"]["children"]
    assert rule["propertyChangeType"] == "Create"
    assert (rule["after"]["name"], rule["after"]["properties"]["frontendPort"]) == ("second", 8001)
    pretty = az("deployment", "sub", "what-if", *arguments, group=False).stdout
    assert f"~ {balancer}" in pretty
    assert '"second"' in pretty


def test_az_deploys_at_the_subscription_and_removes_the_group(az: Az, tmp_path: Path) -> None:
    file = tmp_path / "group.json"
    file.write_text(
        json.dumps(
            {
                "$schema": "https://schema.management.azure.com/schemas/2018-05-01/subscriptionDeploymentTemplate.json#",
                "contentVersion": "1.0.0.0",
                "resources": [
                    {
                        "type": "Microsoft.Resources/resourceGroups",
                        "apiVersion": "2025-04-01",
                        "name": "rg-other",
                        "location": "[deployment().location]",
                    }
                ],
                "outputs": {"GROUP": {"type": "string", "value": "rg-other"}},
            }
        )
    )
    made = az.json(
        "deployment", "sub", "create", "-n", "other", "-l", "westeurope", "-f", str(file), group=False
    )
    assert made["properties"]["outputs"]["GROUP"]["value"] == "rg-other"
    shown = az.json("deployment", "sub", "show", "-n", "other", group=False)
    assert shown["properties"]["provisioningState"] == "Succeeded"
    operations = az.json("deployment", "operation", "sub", "list", "-n", "other", group=False)
    targets = [
        one["properties"]["targetResource"]["resourceName"]
        for one in operations
        if one["properties"].get("targetResource")
    ]
    assert targets == ["rg-other"]
    assert az.tsv("group", "exists", "-n", "rg-other", group=False) == "true"
    az("group", "delete", "-n", "rg-other", "--yes", group=False)
    assert az.tsv("group", "exists", "-n", "rg-other", group=False) == "false"
    assert "ResourceGroupNotFound" in az("group", "show", "-n", "rg-other", group=False, expect=3).stderr


def test_a_key_vault_is_deleted_recovered_and_purged(az: Az) -> None:
    own = ["-n", "kv-of-mine"]

    def deleted() -> list[str]:
        return az.tsv("keyvault", "list-deleted", "--query", "[].name", group=False).split()

    made = az.json("keyvault", "create", *own, "-l", "westeurope", "--no-self-perms", "--retention-days", "7")
    assert made["properties"]["enableSoftDelete"] is True
    assert az.tsv("keyvault", "list", "--query", "[].name") == "kv-of-mine"
    az("keyvault", "delete", *own)
    assert deleted() == ["kv-of-mine"]
    again = az("keyvault", "create", *own, "-l", "westeurope", "--no-self-perms", expect=None)
    assert again.returncode != 0
    assert "ConflictError" in again.stderr
    az("keyvault", "recover", *own, group=False)
    shown = az.json("keyvault", "show", *own, group=False)
    assert shown["properties"]["softDeleteRetentionInDays"] == 7
    az("keyvault", "delete", *own)
    az("keyvault", "purge", *own, group=False)
    assert deleted() == []


def test_az_deploys_a_template_of_its_own(az: Az, tmp_path: Path) -> None:
    file = tmp_path / "network.json"
    file.write_text(
        json.dumps(
            {
                "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
                "contentVersion": "1.0.0.0",
                "parameters": {"count": {"type": "int"}},
                "resources": [
                    {
                        "type": "Microsoft.Network/virtualNetworks",
                        "apiVersion": "2025-05-01",
                        "name": "[format('more-{0}', copyIndex())]",
                        "location": "westeurope",
                        "copy": {"name": "networks", "count": "[parameters('count')]"},
                        "properties": {
                            "addressSpace": {
                                "addressPrefixes": ["[format('172.{0}.0.0/16', add(20, copyIndex()))]"]
                            }
                        },
                    }
                ],
            }
        )
    )
    arguments = ["-n", "more", "-f", str(file), "-p", "count=2"]
    preview = az("deployment", "group", "what-if", *arguments, "--no-pretty-print").stdout
    assert [change["changeType"] for change in json.loads(preview)["changes"]] == ["Create", "Create"]
    az("deployment", "group", "create", *arguments)
    names = az.tsv("network", "vnet", "list", "--query", "[?starts_with(name, 'more')].name").split()
    assert names == ["more-0", "more-1"]


def test_a_load_balancer_over_addresses_neither_forwards_nor_carries_a_link_service(az: Az) -> None:
    """The pattern's first idea, line by line: a pool of the servers' addresses. It deploys; nothing comes of it."""
    hub = az.tsv("network", "vnet", "list", "--query", "[?contains(name, 'hub')].name")
    subnet = az.tsv("network", "vnet", "subnet", "show", "--vnet-name", hub, "-n", "shared", "--query", "id")
    network = az.tsv("network", "vnet", "show", "-n", hub, "--query", "id")
    name, own = ["--name", "ilb-direct"], ["--lb-name", "ilb-direct", "-n", "direct"]
    az(
        "network",
        "lb",
        "create",
        *name,
        "--sku",
        "Standard",
        "--backend-pool-name",
        "direct",
        "--subnet",
        subnet,
    )
    az("network", "lb", "probe", "create", *own, "--protocol", "tcp", "--port", "8000")
    az(
        *["network", "lb", "address-pool", "create", *own],
        *["--backend-address", "name=server65", "ip-address=192.168.42.65"],
        *["--backend-address", "name=server66", "ip-address=192.168.42.66"],
        *["--vnet", network],
    )
    az(
        *["network", "lb", "rule", "create", *own, "--protocol", "tcp"],
        *["--frontend-ip", "LoadBalancerFrontEnd", "--backend-pool-name", "direct"],
        *["--frontend-port", "8000", "--backend-port", "8000", "--probe", "direct"],
    )
    shown = az.json("network", "lb", "show", *name)
    listed = shown["backendAddressPools"][0]["loadBalancerBackendAddresses"]
    assert [entry["ipAddress"] for entry in listed] == ["192.168.42.65", "192.168.42.66"]
    frontend = shown["frontendIPConfigurations"][0]
    az.lab.fwdctl("jump", "start", "hub")
    for address, code in (("192.168.42.65", 0), (frontend["privateIPAddress"], 28)):  # 28: timed out
        command = f"curl -sS -o /dev/null --max-time 2 http://{address}:8000/"
        assert az.lab.fwdctl("jump", "exec", "hub", "--", "sh", "-c", command, expect=None).returncode == code
    refused = az(
        *["network", "private-link-service", "create", "-n", "direct", "--subnet", subnet],
        *["--lb-frontend-ip-configs", frontend["id"]],
        expect=None,
    )
    assert refused.returncode != 0
    assert "IPBasedLoadBalancer" in refused.stderr.replace(" ", "")
    az("network", "lb", "delete", *name)


def test_an_unsupported_type_is_named(az: Az) -> None:
    identity = f"/subscriptions/{az.lab.environ['AZURE_SUBSCRIPTION_ID']}/resourceGroups/{az.group}"
    done = az(
        "rest",
        "--method",
        "put",
        "--url",
        f"{identity}/providers/Microsoft.Cache/redis/r?api-version=2024-11-01",
        "--body",
        '{"location": "westeurope"}',
        group=False,
        expect=None,
    )
    assert done.returncode != 0
    assert "Microsoft.Cache/redis" in done.stderr
