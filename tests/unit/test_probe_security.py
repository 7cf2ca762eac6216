"""Network security rules, judged as Azure judges them."""

from __future__ import annotations

from typing import Any

import pytest

from fwdctl.deployment import Forward
from fwdctl.probe.security import denied

NETWORKS = [
    {
        "properties": {
            "subnets": [
                {
                    "properties": {
                        "addressPrefix": "10.0.1.0/26",
                        "networkSecurityGroup": {"id": "/subscriptions/s/resourceGroups/RG/x/y/z/nsg"},
                    }
                }
            ]
        }
    }
]
WEB = Forward(name="web", port=8000, targets=("192.168.42.65:8000",))


def rule(name: str, priority: int, access: str, **more: Any) -> dict[str, Any]:
    values = {
        "direction": "Inbound",
        "protocol": "Tcp",
        "destinationPortRange": "*",
        "sourceAddressPrefix": "*",
        "destinationAddressPrefix": "*",
    }
    return {"name": name, "properties": {**values, "priority": priority, "access": access, **more}}


def judge(*rules: dict[str, Any]) -> str:
    group = {
        "id": "/subscriptions/s/resourceGroups/rg/x/y/z/NSG",
        "name": "nsg",
        "properties": {"securityRules": list(rules)},
    }
    found = denied([group], NETWORKS, ["10.0.1.8"], ["10.0.1.5"], WEB)
    return found.evidence if found else ""


@pytest.mark.parametrize(
    "rules",
    [
        [],
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
