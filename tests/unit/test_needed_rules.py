"""Security groups of existing networks: the hook prints what they must let in, as commands to type."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from fwdctl.template import needed_rules
from support.existing_networks import HUB, THEIRS, read
from support.fake_arm import NETWORK, SUBSCRIPTION, FakeArm

if TYPE_CHECKING:
    from pathlib import Path

DEFAULTS = [
    ("AllowVnetInBound", "Inbound", "Allow", 65000, "VirtualNetwork", "VirtualNetwork"),
    ("AllowAzureLoadBalancerInBound", "Inbound", "Allow", 65001, "AzureLoadBalancer", "*"),
    ("DenyAllInBound", "Inbound", "Deny", 65500, "*", "*"),
    ("AllowVnetOutBound", "Outbound", "Allow", 65000, "VirtualNetwork", "VirtualNetwork"),
    ("AllowInternetOutBound", "Outbound", "Allow", 65001, "*", "Internet"),
    ("DenyAllOutBound", "Outbound", "Deny", 65500, "*", "*"),
]
DENY = [
    ("deny-in", "Inbound", "Deny", 4000, "*", "*"),
    ("deny-out", "Outbound", "Deny", 4000, "*", "*"),
]
NSG = f"{NETWORK}/networkSecurityGroups/theirs"


def rules(rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    names = ("direction", "access", "priority", "sourceAddressPrefix", "destinationAddressPrefix")
    more = {"protocol": "*", "sourcePortRange": "*", "destinationPortRange": "*"}
    return [
        {"name": row[0], "properties": {**more, **dict(zip(names, row[1:], strict=True))}} for row in rows
    ]


def network(network_id: str, space: str, subnets: dict[str, str], *guarded: str) -> dict[str, Any]:
    def subnet(name: str, prefix: str) -> dict[str, Any]:
        group = {"networkSecurityGroup": {"id": NSG}} if name in guarded else {}
        properties = {"addressPrefix": prefix, **group}
        return {"id": f"{network_id}/subnets/{name}", "name": name, "properties": properties}

    own = [subnet(*each) for each in subnets.items()]
    return {"id": network_id, "properties": {"addressSpace": {"addressPrefixes": [space]}, "subnets": own}}


def commands(arm: FakeArm, folder: Path, own: list[tuple[Any, ...]], *guarded: str) -> list[dict[str, str]]:
    """The options of each command, by name."""
    ranges = {"fwd": "10.0.1.0/26", "jump": "10.0.1.64/26", "nat": "10.0.1.128/26"}
    arm.on("GET", HUB, network(HUB, "10.0.0.0/16", ranges, *guarded))
    theirs = {"pe": "10.7.0.0/26", "aci": "10.7.0.64/26"}
    arm.on("GET", THEIRS, network(THEIRS, "10.7.0.0/24", theirs, *guarded))
    group = {"securityRules": rules(own), "defaultSecurityRules": rules(DEFAULTS)}
    arm.on("GET", NSG, {"id": NSG, "name": "theirs", "properties": group})
    found = []
    for line in needed_rules.find(arm.client(), read(folder)).commands:
        words = shlex.split(line)
        assert words[:5] == ["az", "network", "nsg", "rule", "create"]
        assert words[-2:] == ["--subscription", SUBSCRIPTION]
        found.append(dict(zip(words[5::2], words[6::2], strict=True)))
    return found


def flows(found: list[dict[str, str]]) -> set[tuple[str, ...]]:
    names = (
        "--direction",
        "--source-address-prefixes",
        "--destination-address-prefixes",
        "--destination-port-ranges",
    )
    return {tuple(each[name] for name in names) for each in found}


def test_networks_without_groups_need_no_rule(arm: FakeArm, tmp_path: Path) -> None:
    assert commands(arm, tmp_path, []) == []


def test_azure_s_own_rules_refuse_only_the_exec_into_a_box(arm: FakeArm, tmp_path: Path) -> None:
    found = commands(arm, tmp_path, [], "fwd", "nat", "jump", "pe", "aci")
    assert flows(found) == {
        ("Inbound", "AzureCloud", "10.0.1.64/26", "19390"),
        ("Inbound", "AzureCloud", "10.7.0.64/26", "19390"),
    }


def test_a_group_that_refuses_everything_gets_a_rule_for_each_flow(arm: FakeArm, tmp_path: Path) -> None:
    found = commands(arm, tmp_path, DENY, "fwd", "jump", "aci")
    forwarders = "10.0.1.0/26"
    assert flows(found) >= {
        ("Inbound", "AzureLoadBalancer", forwarders, "18099"),
        ("Inbound", "10.0.1.128/26", forwarders, "8000"),
        ("Outbound", forwarders, "192.168.42.65", "8000"),
        ("Outbound", forwarders, "192.168.42.66", "8000"),
        ("Outbound", "10.7.0.64/26", "10.7.0.9", "8000"),
        ("Inbound", "AzureCloud", "10.0.1.64/26", "19390"),
    }
    priorities = [(each["--direction"], each["--priority"]) for each in found]
    assert len(set(priorities)) == len(priorities)
    assert all(int(each["--priority"]) < 4000 for each in found)


def test_what_passes_two_groups_needs_a_rule_in_both(arm: FakeArm, tmp_path: Path) -> None:
    found = commands(arm, tmp_path, DENY, "fwd", "jump")
    assert {each[0] for each in flows(found) if each[1] == "10.0.1.64/26"} == {"Inbound", "Outbound"}


def test_networks_that_may_not_be_read_are_named(arm: FakeArm, tmp_path: Path) -> None:
    for each in (HUB, THEIRS):
        arm.fail("GET", each, 403, "AuthorizationFailed")
    found = needed_rules.find(arm.client(), read(tmp_path))
    assert found.commands == []
    assert found.unread.keys() == {each.rpartition("/")[2] for each in (HUB, THEIRS)}
    assert all(found.unread.values())
