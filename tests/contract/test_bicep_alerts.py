"""Alerts of the compiled template: none unless asked for, about the right resources, to the right group."""

from __future__ import annotations

from typing import Any

import pytest

from support.deployed_template import WEB, deploy, of_type, topology
from support.deployment_target import AT_SUBSCRIPTION, MemoryTarget

THEIRS = f"{AT_SUBSCRIPTION}/resourceGroups/ops/providers/Microsoft.Insights/actionGroups/on-call"
OWN = {"email": "on-call@example.com"}


def deployed(alerts: dict[str, Any], **changes: Any) -> MemoryTarget:
    target, properties = deploy(alerts=alerts, **changes)
    topology(properties)
    return target


def rules(target: MemoryTarget) -> dict[str, dict[str, Any]]:
    """By metric."""
    found = [each["properties"] for each in of_type(target, "metricAlerts")]
    return {each["criteria"]["allOf"][0]["metricName"]: each for each in found}


def test_nobody_is_told_by_default() -> None:
    target = deployed({})
    for kind in ("actionGroups", "metricAlerts", "activityLogAlerts"):
        assert of_type(target, kind) == [], kind


@pytest.mark.parametrize(
    ("metric", "kind", "condition"),
    [
        ("DipAvailability", "loadBalancers", ("LessThan", 100, "Average")),
        ("PLSNatPortsUsage", "privateLinkServices", ("GreaterThan", 80, "Maximum")),
        ("Inbound Flows", "virtualMachineScaleSets", ("GreaterThan", 102400, "Maximum")),
    ],
)
def test_each_metric_is_that_of_its_resource(metric: str, kind: str, condition: tuple[str, int, str]) -> None:
    target = deployed(OWN)
    (resource,) = of_type(target, kind)
    rule = rules(target)[metric]
    assert rule["scopes"] == [resource["id"]]
    (criterion,) = rule["criteria"]["allOf"]
    assert criterion["metricNamespace"].lower() in resource["id"].lower()
    assert (criterion["operator"], criterion["threshold"], criterion["timeAggregation"]) == condition


def test_a_change_of_a_connection_is_told_from_the_activity_log() -> None:
    (rule,) = of_type(deployed(OWN), "activityLogAlerts")
    assert rule["properties"]["scopes"] == [f"{AT_SUBSCRIPTION}/resourceGroups/rg-dev"]
    _, operations = rule["properties"]["condition"]["allOf"]
    service = "Microsoft.Network/privateLinkServices/privateEndpointConnections"
    assert {each["equals"] for each in operations["anyOf"]} == {
        f"{service}/write",
        f"{service}/delete",
        "Microsoft.Network/privateEndpoints/delete",
    }


@pytest.mark.parametrize("alerts", [OWN, {"actionGroupId": THEIRS}])
def test_every_alert_tells_the_one_group(alerts: dict[str, Any]) -> None:
    target = deployed(alerts)
    groups = of_type(target, "actionGroups")
    assert [each["properties"]["emailReceivers"][0]["emailAddress"] for each in groups] == list(OWN.values())[
        : "email" in alerts
    ]
    group = groups[0]["id"] if groups else THEIRS
    told = [each["properties"]["actions"] for each in of_type(target, "metricAlerts")]
    told += [each["properties"]["actions"]["actionGroups"] for each in of_type(target, "activityLogAlerts")]
    assert told == [[{"actionGroupId": group}]] * 4


def test_flows_are_compared_with_what_fits_to_the_fewest_targets_and_into_azures_own_limit() -> None:
    one = {**WEB, "name": "one", "port": 8001, "targets": WEB["targets"][:1]}
    many = {**WEB, "targets": [f"192.168.42.{number}:8000" for number in range(60, 70)]}
    limits = [
        rules(deployed(OWN, forwards=forwards))["Inbound Flows"]["criteria"]["allOf"][0]["threshold"]
        for forwards in ([WEB, one], [many])
    ]
    assert limits == [51200, 400000]
