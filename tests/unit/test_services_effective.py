"""What applies to an interface: groups, routes, next hop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support.controlplane import NETWORK, refused, vnet
from support.scale_sets import with_machine

if TYPE_CHECKING:
    from fwdlab.arm.api import ArmApi

NIC = f"{NETWORK}/networkInterfaces/nic-server65"
HUB = f"{NETWORK}/virtualNetworks/hub"
WATCHER = f"{NETWORK}/networkWatchers/w"
PLACE = {"location": "westeurope"}


def rule(name: str, priority: int, **more: Any) -> dict[str, Any]:
    own = {"priority": priority, "direction": "Inbound", "access": "Deny", "protocol": "*"}
    ends = {"sourceAddressPrefix": "VirtualNetwork", "destinationAddressPrefix": "*"}
    ports = {"sourcePortRange": "*", "destinationPortRanges": ["22", "8000-8001"]}
    return {"name": name, "properties": {**own, **ends, **ports, **more}}


async def change_subnet(api: ArmApi, **properties: Any) -> None:
    network = await api.get(HUB)
    network["properties"]["subnets"][0]["properties"] |= properties
    await api.put(HUB, network)


async def test_the_rules_of_both_groups_in_order(api: ArmApi) -> None:
    await with_machine(api)
    assert (await api.action(NIC, "effectiveNetworkSecurityGroups"))["value"] == []
    group = f"{NETWORK}/networkSecurityGroups/g"
    await api.put(group, {**PLACE, "properties": {"securityRules": [rule("b", 300), rule("a", 200)]}})
    await change_subnet(api, networkSecurityGroup={"id": group})
    nic = await api.get(NIC)
    nic["properties"]["networkSecurityGroup"] = {"id": group}
    await api.put(NIC, nic)
    of_subnet, of_nic = (await api.action(NIC, "effectiveNetworkSecurityGroups"))["value"]
    assert of_subnet["association"] == {"subnet": {"id": f"{HUB}/subnets/shared"}}
    assert of_nic["association"] == {"networkInterface": {"id": NIC}}
    rules = of_nic["effectiveSecurityRules"]
    assert [one["name"] for one in rules[:3]] == [
        "securityRules/a",
        "securityRules/b",
        "defaultSecurityRules/AllowVnetInBound",
    ]
    assert rules[0] == {
        "name": "securityRules/a",
        "access": "Deny",
        "direction": "Inbound",
        "priority": 200,
        "protocol": "All",
        "sourceAddressPrefix": "VirtualNetwork",
        "sourceAddressPrefixes": ["VirtualNetwork"],
        "expandedSourceAddressPrefix": ["10.0.1.0/24", "168.63.129.16/32"],
        "sourcePortRange": "0-65535",
        "sourcePortRanges": ["0-65535"],
        "destinationAddressPrefix": "0.0.0.0/0",
        "destinationAddressPrefixes": ["0.0.0.0/0"],
        "destinationPortRange": "22-22",
        "destinationPortRanges": ["22-22", "8000-8001"],
    }


async def hop(api: ArmApi, machine: str, address: str) -> tuple[str, str, str]:
    asked = {"targetResourceId": machine, "sourceIPAddress": "10.0.1.9", "destinationIPAddress": address}
    found = await api.action(WATCHER, "nextHop", asked)
    return found["nextHopType"], found["routeTableId"], found.get("nextHopIpAddress", "")


async def test_routes_and_the_next_hop_that_they_give(api: ArmApi) -> None:
    machine = await with_machine(api)
    other = f"{NETWORK}/virtualNetworks/other"
    await api.put(other, vnet({"a": "10.9.0.0/24"}, "10.9.0.0/16"))
    for here, there in ((HUB, other), (other, HUB)):
        peering = {"remoteVirtualNetwork": {"id": there}}
        await api.put(f"{here}/virtualNetworkPeerings/p", {"properties": peering})
    table = f"{NETWORK}/routeTables/t"
    ways = (
        ("out", "0.0.0.0/0", "VirtualAppliance"),
        ("shut", "10.9.1.0/24", "None"),
        ("tag", "AzureCloud", "Internet"),
    )
    entries = [
        {"name": name, "properties": {"addressPrefix": prefix, "nextHopType": kind}}
        for name, prefix, kind in ways
    ]
    entries[0]["properties"]["nextHopIpAddress"] = "10.0.1.60"
    await api.put(table, {**PLACE, "properties": {"routes": entries}})
    await change_subnet(api, routeTable={"id": table})
    await api.put(WATCHER, PLACE)
    shown = (await api.action(NIC, "effectiveRouteTable"))["value"]
    brief = {(one["source"], one["addressPrefix"][0]): (one["state"], one["nextHopType"]) for one in shown}
    assert brief["Default", "10.0.1.0/24"] == ("Active", "VnetLocal")
    assert brief["Default", "10.9.0.0/16"] == ("Active", "VNetPeering")
    assert brief["Default", "0.0.0.0/0"] == ("Invalid", "Internet")
    assert brief["User", "0.0.0.0/0"] == ("Active", "VirtualAppliance")
    assert ("Default", "10.1.17.4/32") not in brief  # an endpoint of a network that is not peered
    assert await hop(api, machine, "10.0.1.5") == ("VnetLocal", "System Route", "")
    assert await hop(api, machine, "10.9.0.9") == ("VNetPeering", "System Route", "")
    assert await hop(api, machine, "10.9.1.9") == ("None", table, "")
    assert await hop(api, machine, "8.8.8.8") == ("VirtualAppliance", table, "10.0.1.60")
    assert await hop(api, machine, "192.168.1.1") == ("None", "System Route", "")


async def test_a_private_endpoint_has_a_route_of_its_own(api: ArmApi) -> None:
    subnet = {"id": f"{NETWORK}/virtualNetworks/spoke/subnets/linked"}
    configuration = {"name": "ip", "properties": {"subnet": subnet}}
    nic = f"{NETWORK}/networkInterfaces/nic-spoke"
    await api.put(nic, {**PLACE, "properties": {"ipConfigurations": [configuration]}})
    machine = await api.get(await with_machine(api))
    machine["properties"]["networkProfile"]["networkInterfaces"] = [{"id": nic}]
    await api.put(machine["id"], machine)
    shown = (await api.action(nic, "effectiveRouteTable"))["value"]
    assert [one["nextHopType"] for one in shown if one["addressPrefix"] == ["10.1.17.4/32"]] == [
        "InterfaceEndpoint"
    ]


@pytest.mark.parametrize("verb", ["effectiveRouteTable", "effectiveNetworkSecurityGroups"])
async def test_an_interface_that_no_running_machine_has_is_refused(api: ArmApi, verb: str) -> None:
    machine = await with_machine(api)
    await api.action(machine, "deallocate")
    assert (await refused(api.action(NIC, verb))).code == "LabInterfaceNotInUse"


@pytest.mark.parametrize("sent", [None, {}, {"targetResourceId": HUB}, {"targetResourceId": 1}])
async def test_a_watcher_needs_a_machine(api: ArmApi, sent: Any) -> None:
    await api.put(WATCHER, PLACE)
    assert (await refused(api.action(WATCHER, "nextHop", sent))).status in {400, 404}
