"""What people type daily to look at machines and networks, with -d and --expand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from support.az_program import Az
    from support.programs import RunningLab

pytestmark = [
    pytest.mark.az,
    pytest.mark.lab,
    pytest.mark.xdist_group("az-lab"),
    pytest.mark.timeout(180),
]
# Command, with {names} of the template's resources; what of the answer counts; and how that has to be.
SHOWN: list[tuple[str, str, Any]] = [
    ("vm list -d", "[].powerState", ["VM running", "VM running"]),
    (
        "vm show -d -n {vm}",
        "[powerState, privateIps, publicIps, fqdns]",
        ["VM running", "192.168.42.65", "", ""],
    ),
    ("vm get-instance-view -n {vm}", "instanceView.statuses[1].displayStatus", "VM running"),
    ("vm list-ip-addresses -n {vm}", "[0].virtualMachine.network.privateIpAddresses", ["192.168.42.65"]),
    (
        "vmss list-instances -n {scale_set} --expand instanceView",
        "[].instanceView.statuses[1].code",
        ["PowerState/running"] * 3,
    ),
    (
        "vmss get-instance-view -n {scale_set} --instance-id *",
        "[].statuses[1].displayStatus",
        ["VM running"] * 3,
    ),
    (
        "network nic show -n {nic} --expand ipConfigurations/subnet",
        "ipConfigurations[0].[privateIPAddress, subnet.name]",
        ["192.168.42.65", "servers"],
    ),
    (
        "network vnet show -n {network} --expand subnets/ipConfigurations",
        "subnets[?name=='shared'].ipConfigurations[].privateIPAddress | contains(@, '{balancer_address}')",
        True,
    ),
    (
        "network vnet subnet show --vnet-name {network} -n shared --expand networkSecurityGroup",
        "networkSecurityGroup.defaultSecurityRules[5].name",
        "DenyAllOutBound",
    ),
    ("network nsg show -n {group} --expand subnets", "subnets[].name", ["shared"]),
    ("network nsg list", "length([?name=='{group}'].defaultSecurityRules[])", 6),
    ("network nsg rule list --nsg-name {group} --include-default", "[?priority==`65500`] | length(@)", 2),
    (
        "network lb show -n {balancer} --expand backendAddressPools/backendIPConfigurations",
        "backendAddressPools[].backendIPConfigurations[].primary",
        [True] * 3,
    ),
    (
        "network private-endpoint show -n {endpoint} --expand networkInterfaces",
        "networkInterfaces[].ipConfigurations[].privateIPAddress | contains(@, '{endpoint_address}')",
        True,
    ),
    (
        "network private-link-service show -n {service} --expand networkInterfaces",
        "networkInterfaces[].privateLinkService.id | [0] | ends_with(@, '/{service}')",
        True,
    ),
]


@pytest.fixture(scope="module")
def names(az_lab: RunningLab) -> dict[str, str]:
    """Of the template's resources."""
    topology, token = az_lab.topology, az_lab.environ["RESOURCE_TOKEN"]
    hub, endpoint = topology["hub"], topology["spokes"][0]["privateEndpoint"]
    return {
        "vm": f"vm-server65-{token}",
        "nic": f"nic-server65-{token}",
        "network": f"vnet-hub-{token}",
        "group": f"nsg-shared-{token}",
        "scale_set": hub["scaleSet"],
        "balancer": hub["loadBalancer"]["name"],
        "balancer_address": hub["loadBalancer"]["address"],
        "endpoint": endpoint["name"],
        "endpoint_address": endpoint["address"],
        "service": hub["privateLinkService"],
    }


@pytest.mark.parametrize(("command", "query", "wanted"), SHOWN, ids=[row[0] for row in SHOWN])
def test_what_is_looked_at_daily(
    az: Az, names: dict[str, str], command: str, query: str, wanted: Any
) -> None:
    assert az.json(*command.format(**names).split(), "--query", query.format(**names)) == wanted


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
