"""What a probe finds out behind its tests: from Azure, and from the hub's box where only that can tell."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from support.programs import RunningLab

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("deployed-lab"), pytest.mark.timeout(180)]

SOON = ("--timeout", "2", "--retries", "0", "-o", "json")


def states(lab: RunningLab) -> dict[str, str]:
    boxes = lab.fwdctl("jump", "status", "-o", "json").json["data"]["boxes"]
    return {box["name"]: box["state"] for box in boxes}


def the_cause(lab: RunningLab, *words: str, expect: int = 4) -> dict[str, Any]:
    (cause,) = lab.fwdctl("probe", *words, *SOON, expect=expect).json["data"]["causes"]
    return dict(cause)


def test_a_spoke_names_dead_servers_and_leaves_the_hub_as_it_was(lab: RunningLab) -> None:
    lab.lab("break", "target-down", "--target", "all")
    done = lab.fwdctl("probe", "spoke", *SOON, expect=4)
    assert "its jump box is started and stopped again" in done.stderr
    (cause,) = done.json["data"]["causes"]
    assert (cause["segment"], cause["code"]) == ("target", "TARGET_DOWN")
    assert "192.168.42.65:8000" in cause["evidence"]
    assert "192.168.42.66:8000" in cause["evidence"]
    assert set(states(lab).values()) == {"Stopped"}
    asked = lab.fwdctl("probe", "spoke", "--hub", "never", *SOON, expect=4)
    assert "hub" not in asked.stderr
    (cause,) = asked.json["data"]["causes"]
    assert cause["code"] in {"LB_NO_HEALTHY_BACKEND", "PATH_UNEXPLAINED"}  # as far as the platform knows yet
    assert cause["next"] == "fwdctl probe hub"


def test_a_deployment_that_failed_comes_first(lab: RunningLab) -> None:
    subscription = f"/subscriptions/{lab.environ['AZURE_SUBSCRIPTION_ID']}"
    topology = lab.topology
    path = (
        f"{subscription}/resourceGroups/{topology['resourceGroup']}/providers/Microsoft.Network"
        f"/loadBalancers/{topology['hub']['loadBalancer']['name']}"
    )
    balancer = lab.arm("GET", path)
    environment = balancer["tags"]["azd-env-name"]
    fails = f"{subscription}/providers/Microsoft.Resources/deployments/{environment}-9"
    without = {**balancer, "properties": {**balancer["properties"], "loadBalancingRules": []}}
    lab.arm("PUT", path, without)
    try:
        assert the_cause(lab, "spoke")["next"].startswith("azd provision --no-state")
        lab.arm("PUT", fails, failing_deployment(environment))
        deadline = time.monotonic() + 30
        while lab.arm("GET", fails)["properties"]["provisioningState"] != "Failed":
            assert time.monotonic() < deadline
            time.sleep(0.2)
        cause = the_cause(lab, "spoke")
        assert cause["code"] == "LB_NO_RULE"
        assert cause["evidence"].startswith("the last deployment failed: ")
        assert "azd provision" not in cause["next"]
    finally:
        lab.arm("PUT", path, balancer)
        lab.arm("DELETE", fails)


def failing_deployment(environment: str) -> dict[str, Any]:
    """A subscription's deployment that is accepted and then fails."""
    template = {
        "$schema": "https://schema.management.azure.com/schemas/2018-05-01/subscriptionDeploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": [],
        "outputs": {
            "missing": {
                "type": "string",
                "value": "[reference(subscriptionResourceId('Microsoft.Resources/resourceGroups', 'rg-none'), "
                "'2024-03-01').location]",
            }
        },
    }
    properties = {"mode": "Incremental", "template": template}
    return {"location": "westeurope", "tags": {"azd-env-name": environment}, "properties": properties}


@pytest.mark.parametrize("fault", ["link-rejected", "no-forwarding"])
def test_explaining_is_quick_where_no_box_has_to_start(lab: RunningLab, fault: str) -> None:
    lab.fwdctl("jump", "start", "all")
    lab.lab("break", fault)
    taken = {}
    for option in ("--no-explain", "--explain"):
        begin = time.monotonic()
        lab.fwdctl("probe", "spoke", option, *SOON, expect=4)
        taken[option] = time.monotonic() - begin
    spent = taken["--explain"] - taken["--no-explain"]
    sys.stdout.write(f"{fault} is explained in {spent:.1f} s\n")
    assert spent < 20  # 3 s where nothing else runs (benchmarks/bench.py explain)
