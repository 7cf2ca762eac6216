"""The real Azure CLI against the lab: the commands of the pattern's users, unchanged."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.az_program import Az
    from support.programs import Done

pytestmark = [
    pytest.mark.az,
    pytest.mark.lab,
    pytest.mark.xdist_group("az-lab"),
    pytest.mark.timeout(180),
]


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
    approve = ["network", "private-endpoint-connection", "approve", *resource, "-n", name]
    assert "LabConnectionIsFinal" in az(*approve, "--description", "yes", expect=1).stderr
    az.lab.lab("break", "link-rejected")
    az.lab.lab("heal")
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
