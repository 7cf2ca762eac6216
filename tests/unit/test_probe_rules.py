"""Network security rules, judged as Azure judges them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from fwdctl.azure.documents import same
from fwdctl.probe.hops.rules import PLATFORM, PLATFORM_DNS, End, Flow, denied
from support.probe_azure import typed

if TYPE_CHECKING:
    from fwdctl.probe.model import Broken

BASE = "/subscriptions/s/resourceGroups/RG/providers/Microsoft.Network"


def network(*subnets: dict[str, Any], **more: Any) -> dict[str, Any]:
    space = {"addressPrefixes": ["10.0.1.0/24"]}
    return {"properties": {"addressSpace": space, "subnets": [{"properties": s} for s in subnets], **more}}


def guarded_by(name: str) -> dict[str, Any]:
    return {"networkSecurityGroup": {"id": f"{BASE}/networkSecurityGroups/{name}"}}


SHARED = {"addressPrefix": "10.0.1.0/26", **guarded_by("nsg")}
JUMPS = {"addressPrefixes": ["10.0.1.64/26"]}
HUB = (network(SHARED, JUMPS),)
FORWARDERS = End("the forwarders", ("10.0.1.5", "10.0.1.6"), HUB)
FLOW = Flow(End("the link service", ("10.0.1.8",), HUB, guarded=False), FORWARDERS, 8000)
JUMP = Flow(End("the hub's jump box", ("10.0.1.68",), HUB), FORWARDERS, 8000)


def rule(name: str, priority: int, access: str, **more: Any) -> dict[str, Any]:
    values = {
        "direction": "Inbound",
        "protocol": "Tcp",
        "destinationPortRange": "*",
        "sourceAddressPrefix": "*",
        "destinationAddressPrefix": "*",
    }
    return {"name": name, "properties": {**values, "priority": priority, "access": access, **more}}


DEFAULTS = [  # azure-docs, network-security-groups-overview
    (65000, "Allow", "Inbound", "VirtualNetwork", "VirtualNetwork"),
    (65001, "Allow", "Inbound", "AzureLoadBalancer", "*"),
    (65500, "Deny", "Inbound", "*", "*"),
    (65000, "Allow", "Outbound", "VirtualNetwork", "VirtualNetwork"),
    (65001, "Allow", "Outbound", "*", "Internet"),
    (65500, "Deny", "Outbound", "*", "*"),
]


def group(name: str, *rules: dict[str, Any]) -> dict[str, Any]:
    defaults = [
        rule(f"default-{way}-{priority}", priority, access, protocol="*", direction=way,
             sourceAddressPrefix=source, destinationAddressPrefix=destination)
        for priority, access, way, source, destination in DEFAULTS
    ]  # fmt: skip
    properties = {"securityRules": list(rules), "defaultSecurityRules": defaults}
    return {"id": f"{BASE}/networkSecurityGroups/{name.upper()}", "name": name, "properties": properties}


def ask(flow: Flow, *rules: dict[str, Any]) -> Broken | None:
    return ask_all(flow, group("nsg", *rules))


def ask_all(flow: Flow, *documents: dict[str, Any]) -> Broken | None:
    return denied(flow, lambda wanted: next((each for each in documents if same(each["id"], wanted)), {}))


def judge(*rules: dict[str, Any]) -> str:
    found = ask(FLOW, *rules)
    return found.evidence if found else ""


@pytest.mark.parametrize(
    "rules",
    [
        [rule("allow", 100, "Allow"), rule("deny", 200, "Deny")],
        [rule("other-port", 100, "Deny", destinationPortRange="22"), rule("allow", 200, "Allow")],
        [rule("other-ports", 100, "Deny", destinationPortRange="8001-9000"), rule("allow", 200, "Allow")],
        [rule("other-source", 100, "Deny", sourceAddressPrefix="10.9.0.0/16"), rule("a", 200, "Allow")],
        [rule("probes", 100, "Deny", sourceAddressPrefix="AzureLoadBalancer"), rule("a", 200, "Allow")],
        [rule("udp", 100, "Deny", protocol="Udp"), rule("allow", 200, "Allow")],
        [rule("outbound", 100, "Deny", direction="Outbound"), rule("allow", 200, "Allow")],
    ],
)
def test_what_lets_the_port_through(rules: list[dict[str, Any]]) -> None:
    assert judge(*rules) == ""


@pytest.mark.parametrize(
    "deciding",
    [
        rule("no", 100, "Deny"),
        rule("no", 100, "Deny", destinationPortRange="7000-8000"),
        rule("no", 100, "Deny", destinationPortRange=None, destinationPortRanges=["22", "8000"]),
        rule("no", 100, "Deny", sourceAddressPrefix=None, sourceAddressPrefixes=["10.0.1.0/26"]),
        rule("no", 100, "Deny", sourceAddressPrefix="VirtualNetwork", destinationAddressPrefix="10.0.1.5"),
    ],
)
def test_the_first_matching_rule_is_named(deciding: dict[str, Any]) -> None:
    assert judge(rule("later", 200, "Allow"), deciding).startswith("rule no of network security group nsg")


def own_rules(link: str = "Allow", jump: str = "Allow") -> list[dict[str, Any]]:
    """As the template makes them."""
    ports: dict[str, Any] = {"destinationPortRange": None, "destinationPortRanges": ["8000", "18099"]}
    return [
        rule("allow-probes", 100, "Allow", sourceAddressPrefix="AzureLoadBalancer"),
        rule("allow-link-service", 110, link, sourceAddressPrefix="10.0.1.0/26", **ports),
        rule("allow-hub-jump", 120, jump, sourceAddressPrefix="10.0.1.64/26", **ports),
        rule("deny-inbound", 4096, "Deny"),
    ]


@pytest.mark.parametrize(
    ("flow", "rules", "name", "origin"),
    [
        (FLOW, own_rules(link="Deny", jump="Deny"), "allow-link-service", "the link service (10.0.1.8)"),
        (JUMP, own_rules(link="Deny", jump="Deny"), "allow-hub-jump", "the hub's jump box (10.0.1.68)"),
        (JUMP, own_rules(jump="Deny"), "allow-hub-jump", "the hub's jump box (10.0.1.68)"),
    ],
)
def test_a_refused_flow_is_named_and_allowed_again(
    flow: Flow, rules: list[dict[str, Any]], name: str, origin: str
) -> None:
    found = ask(flow, *rules)
    assert found is not None
    assert found.evidence == (
        f"rule {name} of network security group nsg refuses port 8000 from {origin} "
        "to the forwarders (10.0.1.5, 10.0.1.6)"
    )
    assert typed(found) == f"az network nsg rule update -g RG --nsg-name nsg -n {name} --access Allow"


@pytest.mark.parametrize(("link", "jump"), [("Deny", "Allow"), ("Allow", "Deny")])
def test_another_flow_s_rule_is_no_explanation(link: str, jump: str) -> None:
    assert ask(FLOW if link == "Allow" else JUMP, *own_rules(link, jump)) is None


@pytest.mark.parametrize(
    ("flow", "rules", "priority", "source"),
    [
        # Not even who refuses everything is told to let everything in.
        (JUMP, [r for r in own_rules() if r["name"] != "allow-hub-jump"], 4095, "10.0.1.64/26"),
        (FLOW, [rule("none", 4096, "Deny")], 4095, "10.0.1.0/26"),
        (
            FLOW,
            [rule("a", 4095, "Allow", destinationPortRange="22"), rule("no", 4096, "Deny")],
            4094,
            "10.0.1.0/26",
        ),
    ],
)
def test_before_a_rule_that_refuses_everything_comes_one_that_allows_the_flow(
    flow: Flow, rules: list[dict[str, Any]], priority: int, source: str
) -> None:
    found = ask(flow, *rules)
    assert found is not None
    assert typed(found) == (
        f"az network nsg rule create -g RG --nsg-name nsg -n allow-8000-{priority} --priority {priority} "
        f"--access Allow --direction Inbound --protocol Tcp --source-address-prefixes {source} "
        "--destination-address-prefixes 10.0.1.0/26 --destination-port-ranges 8000"
    )


CREATE = (
    "az network nsg rule create -g RG --nsg-name nsg -n allow-8000-{0} --priority {0} --access Allow "
    "--direction Inbound --protocol Tcp --source-address-prefixes {1} --destination-address-prefixes 10.0.1.0/26 "
    "--destination-port-ranges 8000"
)


def test_a_rule_without_room_before_it_moves_down() -> None:
    found = ask(FLOW, rule("no", 100, "Deny"))
    assert found is not None
    assert typed(found).splitlines() == [
        "az network nsg rule update -g RG --nsg-name nsg -n no --priority 101",
        CREATE.format(100, "10.0.1.0/26"),
    ]


def test_where_no_rule_fits_the_rules_are_listed() -> None:
    found = ask(FLOW, rule("no", 100, "Deny"), rule("next", 101, "Allow", destinationPortRange="22"))
    assert found is not None
    assert typed(found) == "az network nsg rule list -g RG --nsg-name nsg -o table"


@pytest.mark.parametrize("priority", [4096, 103, 100])
def test_two_flows_are_given_rules_that_do_not_overwrite_each_other(priority: int) -> None:
    """Neither each other's, nor one that is there, whose name `allow-8000-4095` might be."""
    rules = [
        rule("allow-8000-4095", 4000, "Allow", destinationPortRange="22"),
        rule("no", priority, "Deny"),
    ]
    told = []
    for flow in (replace(FLOW, number=0, of=2), replace(JUMP, number=1, of=2)):
        found = ask(flow, *rules)
        assert found is not None
        told.append(typed(found).splitlines())
    assert len({lines[-1].partition(" -n ")[2].partition(" --access")[0] for lines in told}) == 2
    assert not any("allow-8000-4095" in lines[-1] for lines in told)
    assert [lines[:-1] for lines in told] == (
        [["az network nsg rule update -g RG --nsg-name nsg -n no --priority 102"]] * 2
        if priority == 100
        else [[], []]
    )


def outbound(name: str, priority: int, access: str = "Deny", **more: Any) -> dict[str, Any]:
    return rule(name, priority, access, direction="Outbound", **more)


def test_what_leaves_is_judged_by_the_outbound_rules_of_its_own_subnet() -> None:
    spoke = (
        network({**JUMPS, **guarded_by("spoke")}, {"addressPrefix": "10.0.1.128/26", **guarded_by("pe")}),
    )
    box = End("jump box 'spoke'", ("10.0.1.68",), spoke)
    endpoint = End("the private endpoint", ("10.0.1.132",), spoke, guarded=False)
    shut = group("spoke", outbound("no-out", 200, destinationAddressPrefix="*"))
    found = ask_all(Flow(box, endpoint, 8000), shut, group("pe", rule("no-in", 100, "Deny")))
    assert found is not None
    assert found.evidence == (
        "outbound rule no-out of network security group spoke refuses port 8000 from jump box 'spoke' "
        "(10.0.1.68) to the private endpoint (10.0.1.132)"
    )
    assert typed(found) == (
        "az network nsg rule create -g RG --nsg-name spoke -n allow-8000-out-199 --priority 199 --access Allow "
        "--direction Outbound --protocol Tcp --source-address-prefixes 10.0.1.64/26 "
        "--destination-address-prefixes 10.0.1.128/26 --destination-port-ranges 8000"
    )
    # The endpoint's subnet has no say but where its network policies are on.
    assert ask_all(Flow(box, endpoint, 8000), group("spoke"), group("pe", rule("no-in", 100, "Deny"))) is None
    on = Flow(box, replace(endpoint, guarded=True), 8000)
    found = ask_all(on, group("spoke"), group("pe", rule("no-in", 100, "Deny")))
    assert found is not None
    assert found.evidence.startswith("rule no-in of network security group pe ")


PEER = {
    "properties": {
        "peeringState": "Connected",
        "remoteAddressSpace": {"addressPrefixes": ["192.168.42.0/24"]},
    }
}


@pytest.mark.parametrize(
    ("prefix", "more", "refused"),
    [
        ("VirtualNetwork", {"virtualNetworkPeerings": [PEER]}, True),
        ("Internet", {"virtualNetworkPeerings": [PEER]}, False),
        ("VirtualNetwork", {}, False),
        ("Internet", {}, True),
        # Behind a gateway is what nobody can read: private addresses count as the network's.
        ("VirtualNetwork", {"virtualNetworkPeerings": [{"properties": {"useRemoteGateways": True}}]}, True),
        ("Internet", {"virtualNetworkPeerings": [{"properties": {"useRemoteGateways": True}}]}, False),
        ("AzureLoadBalancer", {}, False),
        ("Storage", {}, False),
        ("192.168.42.64/29", {}, True),
    ],
)
def test_service_tags_hold_what_azure_says(prefix: str, more: dict[str, Any], *, refused: bool) -> None:
    senders = End("the forwarders", ("10.0.1.5",), (network(SHARED, **more),))
    flow = Flow(senders, End("the target", ("192.168.42.65",)), 8000)
    found = ask(flow, outbound("no", 100, destinationAddressPrefix=prefix))
    assert (found is not None) == refused


def test_a_user_s_route_widens_the_virtual_network() -> None:
    table = {"id": f"{BASE}/routeTables/rt", "properties": {"routes": [{"properties": {"addressPrefix": "192.168.0.0/16"}}]}}  # fmt: skip
    subnet = {**SHARED, "routeTable": {"id": table["id"]}}
    flow = Flow(End("f", ("10.0.1.5",), (network(subnet),)), End("t", ("192.168.42.65",)), 8000)
    shut = group("nsg", outbound("no", 100, destinationAddressPrefix="VirtualNetwork"))
    assert ask_all(flow, shut) is None
    assert ask_all(flow, shut, table) is not None


def test_default_rules_decide_last() -> None:
    stranger = replace(FLOW, source=End("the link service", ("10.9.9.9",), guarded=False))
    found = ask(stranger)
    assert found is not None
    assert "rule default-Inbound-65500 of" in found.evidence
    assert ask(FLOW) is None


def test_health_probes_are_let_in_by_their_tag() -> None:
    probes = Flow(End("the platform's health probes", (PLATFORM,), guarded=False), FORWARDERS, 18099)
    assert ask(probes) is None
    assert ask(probes, rule("yes", 100, "Allow", sourceAddressPrefix="AzureLoadBalancer"), rule("no", 110, "Deny")) is None  # fmt: skip
    found = ask(probes, rule("no", 110, "Deny"))
    assert found is not None
    assert "--source-address-prefixes AzureLoadBalancer " in typed(found)


def test_the_platform_s_dns_is_refused_by_its_own_tag_only() -> None:
    dns = Flow(replace(FORWARDERS, words="f"), End("the platform's DNS", (PLATFORM_DNS,), guarded=False), 53, protocol="Udp")  # fmt: skip
    assert ask(dns, outbound("all", 100, destinationAddressPrefix="*", protocol="*")) is None
    assert (
        ask(dns, outbound("dns", 100, destinationAddressPrefix="AzurePlatformDNS", protocol="*")) is not None
    )


@pytest.mark.parametrize("direction", ["Inbound", "Outbound"])
def test_the_interface_s_group_counts_as_well_as_the_subnet_s(direction: str) -> None:
    own = f"{BASE}/networkSecurityGroups/nic"
    machines = replace(FORWARDERS, groups=dict.fromkeys(FORWARDERS.addresses, own))
    flow = (
        Flow(machines, FLOW.source, 8000) if direction == "Outbound" else replace(FLOW, destination=machines)
    )
    shut = rule("no", 100, "Deny", direction=direction)
    for subnet, nic, named in (("nsg", "nic", "nic"), ("nic", "nsg", "nsg")):
        found = ask_all(flow, group(subnet), group(nic, shut))
        assert found is not None
        assert f"security group {named} " in found.evidence
    # Both refuse: what comes in meets the subnet's first, what goes out the interface's.
    found = ask_all(flow, group("nsg", shut), group("nic", shut))
    assert found is not None
    assert f"security group {'nsg' if direction == 'Inbound' else 'nic'} " in found.evidence


def test_application_security_groups_hold_their_members() -> None:
    application = f"{BASE}/applicationSecurityGroups/forwarders"
    by = {
        "destinationAddressPrefix": None,
        "destinationApplicationSecurityGroups": [{"id": application.upper()}],
    }
    members = dict.fromkeys(FORWARDERS.addresses, frozenset({application.lower()}))
    assert ask(
        replace(FLOW, destination=replace(FORWARDERS, applications=members)), rule("no", 100, "Deny", **by)
    )
    assert ask(FLOW, rule("no", 100, "Deny", **by)) is None


def test_a_rule_about_some_source_ports_only_decides_nothing() -> None:
    assert ask(FLOW, rule("no", 100, "Deny", sourcePortRange="1024")) is None
    assert ask(FLOW, rule("no", 100, "Deny", sourcePortRange="1024-65535")) is not None
