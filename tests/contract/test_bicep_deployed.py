"""What the compiled template asks ARM for, seen by deploying it through the lab's template engine into memory."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.agent_program import agent_module
from support.deployed_template import (
    CLOUD_INIT,
    SERVERS,
    SPOKE,
    TEMPLATE,
    WEB,
    deploy,
    encoded,
    of_type,
    refused,
    topology,
    user_data,
)


def test_outputs_of_the_defaults() -> None:
    target, properties = deploy()
    found = topology(properties)
    outputs = {name: entry["value"] for name, entry in properties["outputs"].items()}
    token = outputs["RESOURCE_TOKEN"]
    assert outputs["RESOURCE_GROUP_NAME"] == "rg-dev"
    assert outputs["HUB_JUMP_NAME"] == f"ci-hub-{token}"
    assert outputs["SPOKE_JUMP_NAME"] == f"ci-app-{token}"
    assert found == {
        "version": 1,
        "resourceGroup": "rg-dev",
        "hub": {
            "jump": f"ci-hub-{token}",
            "container": "jump",
            "loadBalancer": {"name": f"lbi-{token}", "address": "10.0.0.4"},
            "scaleSet": f"vmss-{token}",
            "privateLinkService": f"pl-{token}",
            "healthPort": 18099,
            "forwardsHash": user_data(of_type(target, "virtualMachineScaleSets")[0])["hash"],
        },
        "spokes": [
            {
                "name": "app",
                "jump": f"ci-app-{token}",
                "container": "jump",
                "privateEndpoint": {"name": f"pep-app-{token}", "address": "10.1.17.4"},
                "hostName": "onprem-server.fwdctl.internal",
                "zone": "fwdctl.internal",
            }
        ],
        "forwards": [{**WEB, "serverName": "", "hostNames": []}],
    }
    [service] = of_type(target, "privateLinkServices")
    assert outputs["LINK_SERVICE_ID"] == service["id"]
    assert outputs["LINK_SERVICE_ALIAS"] == service["properties"]["alias"]


def test_every_resource_carries_the_environment_and_host_names_are_short() -> None:
    target, _ = deploy()
    taggable = [doc for doc in target.documents.values() if "location" in doc]
    assert len(taggable) > 15
    assert all(doc["tags"]["azd-env-name"] == "dev" for doc in taggable)
    machines = of_type(target, "virtualMachines")
    names = [machine["properties"]["osProfile"]["computerName"] for machine in machines]
    assert sorted(names) == ["server65", "server66"]
    assert all(len(machine["name"]) <= 64 for machine in machines)


@pytest.mark.parametrize("own", [CLOUD_INIT, "#cloud-config\n", "x"])
def test_a_cloud_init_that_is_not_fwdctls_has_no_known_hash(own: str) -> None:
    target, _ = deploy(cloudInitForwarder=encoded(own))
    [scale_set] = of_type(target, "virtualMachineScaleSets")
    assert scale_set["tags"]["fwdctl-config-hash"] == "unknown"


def test_what_is_forwarded_is_the_scale_sets_user_data_with_a_hash_that_follows_it() -> None:
    seen = []
    database = {"name": "db", "port": 1433, "targets": ["192.168.42.65:11433"], "identityHeader": ""}
    for forwards in ([WEB], [WEB, database], [{**WEB, "targets": WEB["targets"][:1]}], [WEB]):
        target, properties = deploy(forwards=forwards)
        [scale_set] = of_type(target, "virtualMachineScaleSets")
        told = user_data(scale_set)
        assert scale_set["tags"]["fwdctl-forwards-hash"] == told["hash"]
        assert topology(properties)["hub"]["forwardsHash"] == told["hash"]
        assert (told["version"], told["healthPort"]) == (1, 18099)
        assert told["inbound"] == ["10.0.1.0/26", "10.0.1.64/26"]
        assert [each["name"] for each in told["forwards"]] == [each["name"] for each in forwards]
        assert not any("identityHeader" in each for each in told["forwards"])
        config = agent_module("configuration").parse_text(json.dumps(told))
        assert (config.hash, config.forwards[0].port) == (told["hash"], WEB["port"])
        seen.append(told["hash"])
    assert seen[0] == seen[3]
    assert len(set(seen)) == 3


def test_a_stand_in_server_gets_its_own_port_as_user_data_and_no_other_custom_data() -> None:
    corp = TEMPLATE["parameters"]["corp"]["defaultValue"]
    first, _ = deploy()
    moved = {**corp, "servers": [{**SERVERS[0], "port": 9000}, SERVERS[1]]}
    second, _ = deploy(corp=moved)
    machines = [of_type(target, "virtualMachines") for target in (first, second)]
    assert [user_data(each)["ports"] for each in machines[0]] == [[8000], [8000]]
    assert [user_data(each)["ports"] for each in machines[1]] == [[9000], [8000]]
    assert machines[0][0]["properties"]["osProfile"] == machines[1][0]["properties"]["osProfile"]


def test_a_second_spoke_with_the_same_ranges_has_a_network_endpoint_box_and_zone_of_its_own() -> None:
    target, properties = deploy(
        spokes=[
            {**SPOKE, "name": "x", "dnsZoneName": "x.internal"},
            {**SPOKE, "name": "lab", "dnsZoneName": "lab.fwdctl.internal"},
            SPOKE,
        ]
    )
    found = topology(properties)
    assert [spoke["hostName"] for spoke in found["spokes"]] == [
        "onprem-server.x.internal",
        "onprem-server.lab.fwdctl.internal",
        "onprem-server.fwdctl.internal",
    ]
    assert len(of_type(target, "privateEndpoints")) == 3
    assert len(of_type(target, "containerGroups")) == 4
    assert len(of_type(target, "virtualNetworkLinks")) == 3
    assert {doc["name"] for doc in of_type(target, "privateDnsZones")} == {
        spoke["zone"] for spoke in found["spokes"]
    }
    assert len({spoke["jump"] for spoke in found["spokes"]}) == 3


def test_forwards_may_have_names_of_their_own_in_every_zone() -> None:
    database = {"name": "db", "port": 1433, "targets": ["192.168.42.65:11433"], "hostNames": ["db", "sql"]}
    spokes = [SPOKE, {**SPOKE, "name": "x", "dnsZoneName": "x.internal", "endpointAddress": "10.1.17.9"}]
    target, properties = deploy(
        spokes=spokes, forwards=[WEB, database, {**database, "name": "e", "port": 1434}]
    )
    assert [each["hostNames"] for each in topology(properties)["forwards"]] == [[], *[["db", "sql"]] * 2]
    records = {
        "/".join(document["id"].split("/")[-3::2]): document["properties"]["aRecords"][0]["ipv4Address"]
        for document in of_type(target, "A")
    }
    assert records == {
        f"{zone}/{name}": address
        for zone, address in {"fwdctl.internal": "10.1.17.4", "x.internal": "10.1.17.9"}.items()
        for name in ("onprem-server", "db", "sql")
    }
    [scale_set] = of_type(target, "virtualMachineScaleSets")
    assert not any("hostNames" in each for each in user_data(scale_set)["forwards"])


def test_a_second_forward_has_a_rule_and_a_probe_on_the_same_frontend_and_an_open_port() -> None:
    database = {"name": "db", "port": 1433, "targets": ["192.168.42.65:11433"]}
    target, properties = deploy(forwards=[WEB, database])
    assert topology(properties)["forwards"][1] == {
        **database,
        "balance": "roundRobin",
        "check": "tcp",
        "checkPath": "/",
        "identityHeader": "",
        "serverName": "",
        "hostNames": [],
    }
    [balancer] = of_type(target, "loadBalancers")
    rules = balancer["properties"]["loadBalancingRules"]
    assert [(rule["properties"]["frontendPort"], rule["properties"]["backendPort"]) for rule in rules] == [
        (8000, 8000),
        (1433, 1433),
    ]
    assert len({rule["properties"]["frontendIPConfiguration"]["id"] for rule in rules}) == 1
    paths = [
        (probe["properties"]["port"], probe["properties"]["requestPath"])
        for probe in balancer["properties"]["probes"]
    ]
    assert paths == [(18099, "/forward/web/8000"), (18099, "/forward/db/1433")]
    for rule, probe in zip(rules, balancer["properties"]["probes"], strict=True):
        assert rule["properties"]["probe"]["id"] == probe["id"]
    [group] = [doc for doc in of_type(target, "networkSecurityGroups") if "shared" in doc["name"]]
    ports = {
        rule["name"]: rule["properties"].get("destinationPortRanges")
        for rule in group["properties"]["securityRules"]
    }
    assert ports["allow-link-service"] == ["8000", "1433"]
    assert ports["allow-hub-jump"] == ["8000", "1433", "18099"]


def test_the_stand_in_admits_what_the_forwards_lead_to() -> None:
    """Its servers' own ports, and those of targets that are its servers; each once."""
    more = [
        {"name": "db", "port": 1433, "targets": ["192.168.42.65:11433", "192.168.42.66:11433"]},
        {"name": "elsewhere", "port": 443, "targets": ["172.16.9.9:8443"]},
    ]
    target, _ = deploy(forwards=[WEB, *more])
    [group] = [doc for doc in of_type(target, "networkSecurityGroups") if "corp" in doc["name"]]
    admitted = group["properties"]["securityRules"][0]
    assert admitted["name"] == "allow-hub"
    assert admitted["properties"]["destinationPortRanges"] == ["8000", "11433"]


def test_ssh_is_opened_when_asked_for_to_the_hub_jump_box_only() -> None:
    forwarder = {**TEMPLATE["parameters"]["forwarder"]["defaultValue"], "allowSsh": True}
    target, _ = deploy(forwarder=forwarder)
    rules = [
        rule
        for group in of_type(target, "networkSecurityGroups")
        for rule in group["properties"]["securityRules"]
    ]
    ssh = [rule["properties"] for rule in rules if rule["properties"].get("destinationPortRange") == "22"]
    assert [rule["sourceAddressPrefix"] for rule in ssh] == ["10.0.1.64/26"]


def test_without_the_stand_in_there_are_no_servers_and_no_peering() -> None:
    target, properties = deploy(deployOnPremServers=False, cloudInitOnPrem="")
    assert topology(properties)["forwards"] == [{**WEB, "serverName": "", "hostNames": []}]
    assert of_type(target, "virtualMachines") == []
    assert of_type(target, "virtualNetworkPeerings") == []
    assert len(of_type(target, "virtualNetworks")) == 2
    target, _ = deploy()
    assert len(of_type(target, "virtualNetworkPeerings")) == 2


@pytest.mark.parametrize(
    ("parameter", "variable"),
    [
        ("sshPublicKey", "SSH_PUBLIC_KEY"),
        ("cloudInitForwarder", "CLOUD_INIT_FWD"),
        ("cloudInitOnPrem", "CLOUD_INIT_ONPREM"),
    ],
)
def test_an_empty_value_of_the_hook_is_refused_before_anything_is_created(
    parameter: str, variable: str
) -> None:
    target, error = refused(**{parameter: ""})
    assert f"{parameter} ({variable}) is empty. The preprovision hook sets it" in error
    assert [one for one in target.order if "/resourceGroups/rg-dev/" in one] == []


@pytest.mark.parametrize(
    "changes",
    [
        {"forwards": [{**WEB, "port": 65535}]},
        {"forwards": [{**WEB, "balance": "random"}]},
        {"forwards": []},
        {"linkService": {"natAddresses": 9}},
        {"linkService": {"visibility": "public"}},
        {"spokes": [{**SPOKE, "endpoint": "10.1.17.5"}]},
        {"jump": {"image": "i", "lifetimeSeconds": 5}},
    ],
)
def test_values_outside_the_types_are_refused(changes: dict[str, Any]) -> None:
    target, error = refused(**changes)
    assert next(iter(changes)) in error
    assert target.order == []
