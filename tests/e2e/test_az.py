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
    az("container", "logs", "-n", spoke["jump"])
    az("container", "stop", "-n", spoke["jump"])
    states = az.json("container", "list", "--query", "[].name")
    assert spoke["jump"] in states
    assert az.tsv("container", "show", "-n", spoke["jump"], "--query", "instanceView.state") == "Stopped"


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


def test_a_load_balancer_over_addresses_carries_no_link_service(az: Az) -> None:
    """The pattern's first idea: a pool of the servers' addresses. It deploys, but no link service goes on it."""
    hub = az.tsv("network", "vnet", "list", "--query", "[?contains(name, 'hub')].name")
    subnet = az.tsv("network", "vnet", "subnet", "show", "--vnet-name", hub, "-n", "shared", "--query", "id")
    az(
        "network",
        "lb",
        "create",
        *["-n", "direct", "--sku", "Standard", "--backend-pool-name", "direct", "--subnet", subnet],
    )
    address = ["--backend-address", "name=server65", "ip-address=192.168.42.65"]
    network = az.tsv("network", "vnet", "show", "-n", hub, "--query", "id")
    az(
        "network",
        "lb",
        "address-pool",
        "create",
        "--lb-name",
        "direct",
        "-n",
        "more",
        *address,
        "--vnet",
        network,
    )
    frontend = az.tsv("network", "lb", "show", "-n", "direct", "--query", "frontendIPConfigurations[0].id")
    refused = az(
        "network",
        "private-link-service",
        "create",
        *["-n", "direct", "--subnet", subnet, "--lb-frontend-ip-configs", frontend],
        expect=None,
    )
    assert refused.returncode != 0
    assert "IPBasedLoadBalancer" in refused.stderr.replace(" ", "")


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
