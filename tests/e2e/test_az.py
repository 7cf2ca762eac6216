"""The real Azure CLI against the lab: the commands of the pattern's users, unchanged."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from conftest import ROOT
from support.programs import Done, run

if TYPE_CHECKING:
    from pathlib import Path

    from support.programs import RunningLab

pytestmark = [
    pytest.mark.az,
    pytest.mark.lab,
    pytest.mark.xdist_group("az-lab"),
    pytest.mark.timeout(180),
]


class Az:
    """az in the lab's environment; `-g` is added."""

    def __init__(self, lab: RunningLab) -> None:
        self.lab = lab
        self.topology = lab.topology
        self.group = lab.topology["resourceGroup"]

    def __call__(self, *arguments: str, expect: int | None = 0, group: bool = True) -> Done:
        tail = ["-g", self.group] if group else []
        return run(
            ["az", *arguments, *tail], environ=self.lab.environ, cwd=self.lab.home, seconds=120, expect=expect
        )

    def json(self, *arguments: str, group: bool = True) -> Any:
        return json.loads(self(*arguments, "-o", "json", group=group).stdout)

    def tsv(self, *arguments: str, group: bool = True) -> str:
        return self(*arguments, "-o", "tsv", group=group).stdout.strip()


@pytest.fixture
def az(az_lab: RunningLab) -> Az:
    return Az(az_lab)


def ask(az: Az, *, seconds: int = 2) -> Done:
    """Ask the server by name from the spoke's box, which must run."""
    host = az.topology["spokes"][0]["hostName"]
    command = f"curl -sS --max-time {seconds} http://{host}:8000/"
    return az.lab.fwdctl("jump", "exec", "spoke", "--", "sh", "-c", command, expect=None)


def until_answered(az: Az) -> None:
    """Probes and targets come back within seconds."""
    deadline = time.monotonic() + 30
    while ask(az).returncode != 0:
        assert time.monotonic() < deadline, "the server never answered again"


def test_groups_and_resources_are_listed(az: Az) -> None:
    assert az.tsv("group", "list", "--query", "[].name", group=False) == az.group
    assert az.json("group", "show", "-n", az.group, group=False)["name"] == az.group
    types = {resource["type"] for resource in az.json("resource", "list")}
    assert "Microsoft.Network/privateLinkServices" in types
    assert "Microsoft.ContainerInstance/containerGroups" in types


def test_load_balancer_address_by_the_usual_query(az: Az) -> None:
    token = az.lab.environ["RESOURCE_TOKEN"]
    query = f"[?contains(name, '{token}')].frontendIPConfigurations[].privateIPAddress"
    assert az.tsv("network", "lb", "list", "--query", query) == az.topology["hub"]["loadBalancer"]["address"]
    shown = az.json("network", "lb", "show", "-n", az.topology["hub"]["loadBalancer"]["name"])
    assert shown["loadBalancingRules"][0]["frontendPort"] == 8000


def test_container_start_exec_stop_as_users_do(az: Az) -> None:
    spoke = az.topology["spokes"][0]
    az("container", "start", "-n", spoke["jump"])
    state = az.tsv("container", "show", "-n", spoke["jump"], "--query", "instanceView.state")
    assert state == "Running"
    url = f"http://{spoke['hostName']}:8000"
    answer = az("container", "exec", "-n", spoke["jump"], "--exec-command", f"curl -sS {url}").stdout
    assert '"server"' in answer
    assert az("container", "logs", "-n", spoke["jump"]).stdout.strip() == ""  # its own process only sleeps
    az("container", "stop", "-n", spoke["jump"])
    states = az.json("container", "list", "--query", "[].name")
    assert spoke["jump"] in states
    assert az.tsv("container", "show", "-n", spoke["jump"], "--query", "instanceView.state") == "Stopped"


def test_the_subscription_is_chosen_as_users_do(az: Az) -> None:
    subscription = az.lab.environ["AZURE_SUBSCRIPTION_ID"]
    az("account", "set", "-s", subscription, group=False)
    assert az.tsv("account", "show", "--query", "id", group=False) == subscription


def test_the_hub_box_reaches_servers_and_load_balancer(az: Az) -> None:
    hub = az.topology["hub"]["jump"]
    az("container", "start", "-n", hub)
    token = az.lab.environ["RESOURCE_TOKEN"]
    query = f"[?contains(name, '{token}')].frontendIPConfigurations[].privateIPAddress"
    balancer = az.tsv("network", "lb", "list", "--query", query)
    for address, servers in (
        ("192.168.42.65", {"server65"}),
        ("192.168.42.66", {"server66"}),
        (balancer, {"server65", "server66"}),
    ):
        command = f"curl -sS http://{address}:8000"
        answer = az("container", "exec", "-n", hub, "--exec-command", command).stdout
        assert any(f'"{server}"' in answer for server in servers), (address, answer)
    az("container", "stop", "-n", hub)


def test_rejecting_the_connection_stops_new_flows(az: Az) -> None:
    az.lab.fwdctl("jump", "start", "spoke")
    assert ask(az).returncode == 0
    service = az.topology["hub"]["privateLinkService"]
    resource = ["--type", "Microsoft.Network/privateLinkServices", "--resource-name", service]
    listed = az.json("network", "private-endpoint-connection", "list", *resource[:2], "-n", service)
    name = listed[0]["name"]
    az("network", "private-endpoint-connection", "reject", *resource, "-n", name, "--description", "no")
    assert ask(az).returncode != 0
    endpoint = az.topology["spokes"][0]["privateEndpoint"]["name"]
    shown = az.json("network", "private-endpoint", "show", "-n", endpoint)
    connections = shown["privateLinkServiceConnections"] + shown["manualPrivateLinkServiceConnections"]
    assert connections[0]["privateLinkServiceConnectionState"]["status"] == "Rejected"
    az("network", "private-endpoint-connection", "approve", *resource, "-n", name, "--description", "yes")
    assert ask(az).returncode == 0


def test_removing_the_record_breaks_the_name(az: Az) -> None:
    az.lab.fwdctl("jump", "start", "spoke")
    spoke = az.topology["spokes"][0]
    record = spoke["hostName"].removesuffix("." + spoke["zone"])
    set_ = ["-z", spoke["zone"], "-n", record, "-a", spoke["privateEndpoint"]["address"]]
    az("network", "private-dns", "record-set", "a", "remove-record", *set_)
    assert "resolve" in ask(az).stderr
    az("network", "private-dns", "record-set", "a", "add-record", *set_)
    assert ask(az).returncode == 0
    listed = az.json("network", "private-dns", "record-set", "a", "list", "-z", spoke["zone"])
    assert listed[0]["aRecords"][0]["ipv4Address"] == spoke["privateEndpoint"]["address"]
    links = az.json("network", "private-dns", "link", "vnet", "list", "-z", spoke["zone"])
    assert len(links) == len(az.topology["spokes"])


def test_removing_the_zones_link_breaks_the_name(az: Az) -> None:
    az.lab.fwdctl("jump", "start", "spoke")
    zone = az.topology["spokes"][0]["zone"]
    (link,) = az.json("network", "private-dns", "link", "vnet", "list", "-z", zone)
    own = ["-z", zone, "-n", link["name"]]
    az("network", "private-dns", "link", "vnet", "delete", *own, "--yes")
    assert "resolve" in ask(az).stderr
    network = ["-v", link["virtualNetwork"]["id"], "-e", "false"]
    az("network", "private-dns", "link", "vnet", "create", *own, *network)
    assert ask(az).returncode == 0


def test_removing_the_peering_breaks_the_forwarders_way(az: Az) -> None:
    az.lab.fwdctl("jump", "start", "spoke")
    networks = [n["name"] for n in az.json("network", "vnet", "list")]
    hub = next(name for name in networks if "hub" in name)
    corp = next(name for name in networks if "corp" in name)
    pairs = [(hub, corp), (corp, hub)]
    named = {one: az.json("network", "vnet", "peering", "list", "--vnet-name", one)[0] for one, _ in pairs}
    az("network", "vnet", "peering", "delete", "--vnet-name", hub, "-n", named[hub]["name"])
    state = ["--query", "[0].peeringState"]
    assert az.tsv("network", "vnet", "peering", "list", "--vnet-name", corp, *state) == "Disconnected"
    assert ask(az).returncode != 0
    # The side that is left has to go before the peering can be made anew (azure-docs, virtual-network-manage-peering).
    az("network", "vnet", "peering", "delete", "--vnet-name", corp, "-n", named[corp]["name"])
    for one, other in pairs:
        properties = ["--remote-vnet", other, "--allow-vnet-access", "--allow-forwarded-traffic"]
        own = ["--vnet-name", one, "-n", named[one]["name"]]
        az("network", "vnet", "peering", "create", *own, *properties)
    assert az.tsv("network", "vnet", "peering", "list", "--vnet-name", hub, *state) == "Connected"
    until_answered(az)


def test_removing_the_connection_is_final_and_a_new_endpoint_mends_it(az: Az) -> None:
    az.lab.fwdctl("jump", "start", "spoke")
    name = az.topology["hub"]["privateLinkService"]
    service = az.json("network", "private-link-service", "show", "-n", name)
    endpoint = az.topology["spokes"][0]["privateEndpoint"]
    before = az.json("network", "private-endpoint", "show", "-n", endpoint["name"])
    kind = ["--type", "Microsoft.Network/privateLinkServices"]
    (connection,) = az.json("network", "private-endpoint-connection", "list", *kind, "-n", name)
    own = [*kind, "--resource-name", name, "-n", connection["name"]]
    az("network", "private-endpoint-connection", "delete", *own, "--yes")
    assert ask(az).returncode != 0
    listed = az.json("network", "private-endpoint", "list")
    states = [
        one["privateLinkServiceConnectionState"]["status"]
        for entry in listed
        for one in [*entry["privateLinkServiceConnections"], *entry["manualPrivateLinkServiceConnections"]]
    ]
    assert states == ["Disconnected"]
    az("network", "private-endpoint", "delete", "-n", endpoint["name"])
    address = ["name=ip", "group-id=''", "member-name=''", f"private-ip-address={endpoint['address']}"]
    az(
        *["network", "private-endpoint", "create", "-n", endpoint["name"]],
        *["--subnet", before["subnet"]["id"], "--private-connection-resource-id", service["id"]],
        *["--connection-name", "again", "--ip-config", *address],
    )
    until_answered(az)


def test_scale_set_instances_and_reimage(az: Az) -> None:
    name = az.topology["hub"]["scaleSet"]
    instances = az.json("vmss", "list-instances", "-n", name)
    assert len(instances) == 3
    view = az.json("vmss", "get-instance-view", "-n", name, "--instance-id", instances[0]["instanceId"])
    assert any(status["code"] == "PowerState/running" for status in view["statuses"])
    az("vmss", "update-instances", "-n", name, "--instance-ids", "*")
    az("vmss", "reimage", "-n", name, "--instance-ids", instances[0]["instanceId"])
    az("vmss", "scale", "-n", name, "--new-capacity", "2")
    assert len(az.json("vmss", "list-instances", "-n", name)) == 2
    az("vmss", "scale", "-n", name, "--new-capacity", "3")


def test_security_rules_and_peerings(az: Az) -> None:
    groups = az.json("network", "nsg", "list")
    assert groups
    name = groups[0]["name"]
    rule = ["--nsg-name", name, "-n", "mine"]
    az("network", "nsg", "rule", "create", *rule, "--priority", "200", "--access", "Allow")
    assert "mine" in [r["name"] for r in az.json("network", "nsg", "rule", "list", "--nsg-name", name)]
    az("network", "nsg", "rule", "delete", *rule)
    networks = {n["name"]: n for n in az.json("network", "vnet", "list")}
    hub = next(name for name in networks if "hub" in name)
    peerings = az.json("network", "vnet", "peering", "list", "--vnet-name", hub)
    assert peerings[0]["peeringState"] == "Connected"


def test_a_denying_rule_stops_new_flows(az: Az) -> None:
    az.lab.fwdctl("jump", "start", "spoke")
    until_answered(az)
    groups = [group["name"] for group in az.json("network", "nsg", "list")]
    rule = ["--nsg-name", next(name for name in groups if "shared" in name), "-n", "closed"]
    ports = ["--priority", "100", "--direction", "Outbound", "--access", "Deny", "--protocol", "Tcp"]
    ports += ["--destination-address-prefixes", "192.168.42.0/24", "--destination-port-ranges", "8000"]
    az("network", "nsg", "rule", "create", *rule, *ports)
    assert ask(az).returncode != 0
    az("network", "nsg", "rule", "delete", *rule)
    until_answered(az)


def test_link_service_is_listed(az: Az) -> None:
    service = az.topology["hub"]["privateLinkService"]
    assert az.tsv("network", "private-link-service", "list", "--query", "[].name") == service
    shown = az.json("network", "private-link-service", "show", "-n", service)
    assert shown["alias"].endswith(".azure.privatelinkservice")


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
        "Microsoft.Network/loadBalancers",
        "Microsoft.Network/networkSecurityGroups",
    }
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


def read_until(descriptor: int, wanted: bytes, *, seconds: float = 30) -> bytes:
    """What a terminal shows, up to and with the wanted bytes."""
    shown = b""
    deadline = time.monotonic() + seconds
    while wanted not in shown:
        left = deadline - time.monotonic()
        assert left > 0, f"{wanted!r} never came; the terminal shows {shown!r}"
        if select.select([descriptor], [], [], left)[0]:
            shown += os.read(descriptor, 4096)
    return shown


def test_a_shell_in_a_terminal(az: Az) -> None:
    az.lab.fwdctl("jump", "start", "hub")
    master, slave = pty.openpty()
    argv = ["az", "container", "exec", "-g", az.group, "-n", az.topology["hub"]["jump"]]
    process = subprocess.Popen(
        [*argv, "--exec-command", "/bin/sh"], env=az.lab.environ, stdin=slave, stdout=slave, stderr=slave
    )
    try:
        os.close(slave)
        read_until(master, b"# ")
        os.write(master, b"echo $((6*7))\r")
        read_until(master, b"\r\n42\r\n")
        os.write(master, b"exit\r")
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()
        os.close(master)
