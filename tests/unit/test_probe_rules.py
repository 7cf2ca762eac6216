"""Network security rules, judged as Azure judges them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fwdctl.probe.hops.rules import Flow, denied

if TYPE_CHECKING:
    from fwdctl.probe.model import Broken

NETWORKS = [
    {
        "properties": {
            "subnets": [
                {
                    "properties": {
                        "addressPrefix": "10.0.1.0/26",
                        "networkSecurityGroup": {"id": "/subscriptions/s/resourceGroups/RG/x/y/z/nsg"},
                    }
                },
                {"properties": {"addressPrefixes": ["10.0.1.64/26"]}},
            ]
        }
    }
]
FLOW = Flow("the link service", ("10.0.1.8",), ("10.0.1.5", "10.0.1.6"), 8000)
JUMP = Flow("the hub's jump box", ("10.0.1.68",), ("10.0.1.5", "10.0.1.6"), 8000)


def rule(name: str, priority: int, access: str, **more: Any) -> dict[str, Any]:
    values = {
        "direction": "Inbound",
        "protocol": "Tcp",
        "destinationPortRange": "*",
        "sourceAddressPrefix": "*",
        "destinationAddressPrefix": "*",
    }
    return {"name": name, "properties": {**values, "priority": priority, "access": access, **more}}


def ask(flow: Flow, *rules: dict[str, Any]) -> Broken | None:
    group = {
        "id": "/subscriptions/s/resourceGroups/rg/x/y/z/NSG",
        "name": "nsg",
        "properties": {"securityRules": list(rules), "defaultSecurityRules": [rule("none", 65500, "Deny")]},
    }
    return denied([group], NETWORKS, flow)


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
    assert found.suggestion == f"az network nsg rule update -g rg --nsg-name nsg -n {name} --access Allow"


@pytest.mark.parametrize(("link", "jump"), [("Deny", "Allow"), ("Allow", "Deny")])
def test_another_flow_s_rule_is_no_explanation(link: str, jump: str) -> None:
    assert ask(FLOW if link == "Allow" else JUMP, *own_rules(link, jump)) is None


@pytest.mark.parametrize(
    ("flow", "rules", "priority", "source"),
    [
        # Not even who refuses everything is told to let everything in.
        (JUMP, [r for r in own_rules() if r["name"] != "allow-hub-jump"], 4095, "10.0.1.64/26"),
        (FLOW, [], 4096, "10.0.1.0/26"),
        (FLOW, [rule("ours", 4096, "Allow", destinationPortRange="22")], 4095, "10.0.1.0/26"),
    ],
)
def test_before_a_rule_that_refuses_everything_comes_one_that_allows_the_flow(
    flow: Flow, rules: list[dict[str, Any]], priority: int, source: str
) -> None:
    found = ask(flow, *rules)
    assert found is not None
    assert found.suggestion == (
        f"az network nsg rule create -g rg --nsg-name nsg -n allow-8000-{priority} --priority {priority} "
        f"--access Allow --direction Inbound --protocol Tcp --source-address-prefixes {source} "
        "--destination-address-prefixes 10.0.1.0/26 --destination-port-ranges 8000"
    )


def test_where_no_rule_fits_before_the_rules_are_listed() -> None:
    found = ask(FLOW, rule("no", 100, "Deny"))
    assert found is not None
    assert found.suggestion == "az network nsg rule list -g rg --nsg-name nsg -o table"
