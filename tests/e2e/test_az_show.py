"""What people type daily to look at machines and networks, with -d and --expand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.az_program import Az

pytestmark = [
    pytest.mark.az,
    pytest.mark.lab,
    pytest.mark.xdist_group("az-lab"),
    pytest.mark.timeout(180),
]


def test_machines_with_details(az: Az) -> None:
    machines = az.json("vm", "list", "-d")
    assert {one["powerState"] for one in machines} == {"VM running"}
    name = machines[0]["name"]
    shown = az.json("vm", "show", "-d", "-n", name)
    assert shown["privateIps"] == machines[0]["privateIps"]
    assert shown["macAddresses"].startswith("00-0D-3A-")
    view = az.json("vm", "get-instance-view", "-n", name)
    assert view["instanceView"]["statuses"][1]["displayStatus"] == "VM running"
    assert az.json("vm", "list-ip-addresses", "-n", name)[0]["virtualMachine"]["name"] == name


def test_networks_with_what_they_refer_to(az: Az) -> None:
    interface = az.json("network", "nic", "list", "--query", "[?virtualMachine].name | [0]")
    az.json("network", "nic", "show", "-n", interface, "--expand", "networkSecurityGroup")
    network = az.json("network", "vnet", "list", "--query", "[?starts_with(name, 'vnet-hub')].name | [0]")
    subnets = az.json("network", "vnet", "subnet", "list", "--vnet-name", network)
    guarded = next(one["name"] for one in subnets if one.get("networkSecurityGroup"))
    where = ("network", "vnet", "subnet", "show", "--vnet-name", network, "-n", guarded)
    group = az.json(*where, "--expand", "networkSecurityGroup")["networkSecurityGroup"]
    assert group["defaultSecurityRules"]
    shown = az.json("network", "nsg", "show", "-n", group["name"], "--expand", "subnets")
    assert guarded in {one["name"] for one in shown["subnets"]}
    rules = az.json("network", "nsg", "rule", "list", "--nsg-name", group["name"], "--include-default")
    assert "DenyAllInBound" in {one["name"] for one in rules}


def test_a_rule_keeps_its_pool_and_a_zone_is_created_once(az: Az) -> None:
    balancer = az.topology["hub"]["loadBalancer"]["name"]
    rule = az.topology["forwards"][0]["name"]
    where = ("network", "lb", "rule", "update", "--lb-name", balancer, "-n", rule)
    assert az.json(*where, "--idle-timeout", "5")["backendAddressPool"]["id"]
    az("network", "private-dns", "zone", "create", "-n", "once.internal")
    again = az("network", "private-dns", "zone", "create", "-n", "once.internal", expect=None)
    assert "PreconditionFailed" in again.stderr
    az("network", "private-dns", "zone", "delete", "-n", "once.internal", "-y")
    kind = "Microsoft.Network/loadBalancers"
    assert az.json("resource", "show", "-n", balancer, "--resource-type", kind)["name"] == balancer
