"""What scripts may rely on: exit codes and JSON of `fwdctl forwarder`, through main()."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from support.fake_arm import CONTAINERS, GROUP, container_group
from support.fleets import report, user_data
from support.probe_world import forwarders

if TYPE_CHECKING:
    from support.probe_world import World

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the fake service needs a PTY")

SET = f"{GROUP}/providers/Microsoft.Compute/virtualMachineScaleSets/vmss"
START = f"az vmss start -g {GROUP.split('/')[4]} -n vmss --instance-ids 1"
ADDRESSES = {"0": "10.0.1.6", "1": "10.0.1.7"}
TAGS = {"fwdctl-config-hash": "programs2", "fwdctl-forwards-hash": "new"}
IMAGE = {"imageReference": {"publisher": "a", "offer": "b", "sku": "c", "version": "1.0.0"}}
CURL = """#!/bin/sh
for url; do :; done
address=${url#http://}
exec cat "${0%/*}/status-${address%%:*}"
"""
NEW = user_data(healthPort=18099)


def machine(number: str, **more: Any) -> dict[str, Any]:
    return {
        "instanceId": number,
        "tags": TAGS,
        "zones": [str(int(number) + 1)],
        "sku": {"name": "B"},
        "properties": {"latestModelApplied": True, "storageProfile": IMAGE, "userData": NEW},
        **more,
    }


def tell(world: World, address: str, **more: Any) -> None:
    (world.cwd / "tools" / f"status-{address}").write_text(json.dumps(report(**more)) + "\n")


def deploy(world: World, **instances: dict[str, Any]) -> None:
    """A scale set of two that is as deployed, but for the instances that are given as `m0` and `m1`."""
    arm, found = world.arm, [instances.get(f"m{number}") or machine(number) for number in ADDRESSES]
    world.topology["hub"] |= {"scaleSet": "vmss", "healthPort": 18099}
    (world.cwd / "tools" / "curl").write_text(CURL)
    properties = {"virtualMachineProfile": {"userData": NEW, "storageProfile": IMAGE}}
    arm.on("GET", SET, {"tags": TAGS, "sku": {"name": "B", "capacity": 2}, "properties": properties})
    arm.on("GET", f"{SET}/virtualMachines", {"value": found})
    entries = []
    for number, address in ADDRESSES.items():
        own = f"{SET}/virtualMachines/{number}"
        arm.on("GET", own, next(each for each in found if each["instanceId"] == number))
        arm.on("GET", f"{own}/instanceView", {"statuses": [{"code": "PowerState/running"}]})
        held = {
            "id": f"{own}/networkInterfaces/n/ipConfigurations/i",
            "properties": {"privateIPAddress": address},
        }
        entries.append({"properties": {"ipConfigurations": [held]}})
        tell(world, address)
    arm.on("GET", f"{SET}/networkInterfaces", {"value": entries})


def test_status_of_forwarders_that_are_well(world: World) -> None:
    deploy(world)
    assert world.run("forwarder", "status", "-o", "json") == 0
    data = world.envelope["data"]
    assert data.keys() == {"resourceGroup", "scaleSet", "wanted", "agentsAsked", "healthKnown", "instances"}
    assert data["wanted"] == {"hash": "new", "programs": "programs2"}
    assert [each["instance"] for each in data["instances"]] == ["0", "1"]
    assert data["instances"][0] == {
        "instance": "0",
        "address": "10.0.1.6",
        "zone": "1",
        "power": "running",
        "latestModel": True,
        "health": {"web": "Up"},
        "answers": True,
        "hash": "new",
        "wantedHash": "new",
        "refused": None,
        "programs": "programs2",
        "draining": False,
        "forwarding": True,
        "rulesInPlace": True,
        "targets": {"up": 1, "total": 1},
        "conntrack": {"count": 10, "max": 100, "established": 2},
        "uptime": None,
    }
    assert world.run("forwarder", "status") == 0
    lines = world.stdout.decode().splitlines()
    assert " ".join(lines[1].split()) == "ID ADDRESS ZONE POWER MODEL HEALTH WHAT THE AGENT SAYS"
    said = "new, rules in place, forwarding on, targets 1/1, conntrack 10 (10 %)"
    assert " ".join(lines[2].split()) == f"0 10.0.1.6 1 running latest up {said}"


def test_a_forwarder_that_takes_no_connections_is_4(world: World) -> None:
    deploy(world)
    down = {"ipAddress": "10.0.1.7", "state": "Down"}
    forwarders(world, {"ipAddress": "10.0.1.6", "state": "Up"}, down)
    (world.cwd / "tools" / "status-10.0.1.7").write_text("")
    assert world.run("forwarder", "status", "-o", "json") == 4
    one = world.envelope["data"]["instances"][1]
    assert (one["health"], one["answers"], one["hash"], one["targets"]) == (
        {"web": "Down"},
        False,
        None,
        None,
    )
    assert world.run("forwarder", "status") == 4
    assert "no answer" in world.stdout.decode()


@pytest.mark.parametrize("command", ["status", "drift"])
def test_a_box_that_cannot_be_asked_is_5_with_the_rest_told(world: World, command: str) -> None:
    deploy(world)
    world.arm.fail("POST", f"{CONTAINERS}/ci-hub/containers/jump/exec", 409, "ContainerGroupStopped")
    world.arm.on("GET", f"{CONTAINERS}/ci-hub", container_group("ci-hub", "Stopped"))
    world.arm.fail("POST", f"{CONTAINERS}/ci-hub/start", 403, "AuthorizationFailed")
    assert world.run("forwarder", command, "-o", "json") == 5
    envelope = world.envelope
    assert (envelope["status"], envelope["data"]["agentsAsked"]) == ("inconclusive", False)
    if command == "status":
        assert envelope["data"]["instances"][0]["health"] == {"web": "Up"}
        assert envelope["data"]["instances"][0]["answers"] is None
        assert envelope["errors"][0]["code"] == "agents_not_asked"
        assert world.run("forwarder", "status") == 5
        assert world.stdout.decode().count("unknown") == 2
    else:
        assert [each["instance"] for each in envelope["data"]["unknown"]] == ["0", "1"]


def test_no_drift_is_0_and_drift_is_4_by_instance(world: World) -> None:
    deploy(world)
    assert world.run("forwarder", "drift", "-o", "json") == 0
    assert world.envelope["data"] | {"wanted": None} == {
        "resourceGroup": "rg-dev",
        "scaleSet": "vmss",
        "wanted": None,
        "agentsAsked": True,
        "healthKnown": True,
        "differences": [],
        "unknown": [],
    }
    tell(world, "10.0.1.7", hash="old")
    assert world.run("forwarder", "drift", "-o", "json") == 4
    assert world.envelope["data"]["differences"] == [
        {"instance": "1", "what": "running", "has": "old", "wanted": "new"}
    ]
    [error] = world.envelope["errors"]
    assert error["code"] == "forwarders_differ"
    assert error["suggestion"].endswith("`fwdctl forwarder restart --instance 1` starts it anew.")


def test_a_rollout_plans_and_hands_user_data_on(world: World) -> None:
    old = machine("1", properties={"storageProfile": IMAGE, "userData": user_data("old")})
    deploy(world, m1=old)
    given: list[Any] = []

    def take(body: Any) -> tuple[int, Any, dict[str, str]]:
        given.append(body["properties"]["userData"])
        world.arm.on("GET", f"{SET}/virtualMachines/1", body)
        return 200, body, {}

    assert world.run("forwarder", "rollout", "--dry-run", "-o", "json") == 0
    plan = [{"instance": "1", "why": ["user data"], "steps": [{"step": "hand on user data"}]}]
    data = world.envelope["data"]
    assert (data["dryRun"], data["plan"], data["done"]) == (True, plan, [])
    world.arm.routes["PUT", f"{SET}/virtualMachines/1".lower()] = take
    assert world.run("forwarder", "rollout", "-o", "json") == 0
    assert world.envelope["data"]["done"] == [{"instance": "1", "openConnections": None}]
    assert given == [NEW]
    assert "(✓) Done: Forwarder 1 has the scale set's user data" in world.stderr


def test_a_rollout_does_not_end_well_while_an_agent_runs_something_else(world: World) -> None:
    deploy(world)
    tell(world, "10.0.1.7", hash="old", refused="two ports are the same")
    assert world.run("forwarder", "rollout", "-o", "json") == 4
    assert world.envelope["errors"][0]["code"] == "forwarders_differ"
    assert world.run("forwarder", "rollout") == 4
    assert "Nothing to do: no forwarder lacks user data" in world.stdout.decode()


def test_a_rollout_that_cannot_begin_tells_its_plan(world: World) -> None:
    tags = {**TAGS, "fwdctl-config-hash": "programs1"}
    deploy(world, m0=machine("0", tags=tags), m1=machine("1", tags=tags))
    for address in ADDRESSES.values():
        tell(world, address, programs="programs1")
    forwarders(world, {"ipAddress": "10.0.1.6", "state": "Up"}, {"ipAddress": "10.0.1.7", "state": "Down"})
    tell(world, "10.0.1.7", programs="programs1", draining=True)
    world.arm.on(
        "GET", f"{SET}/virtualMachines/1/instanceView", {"statuses": [{"code": "PowerState/stopped"}]}
    )
    assert world.run("forwarder", "rollout", "-o", "json") == 4
    envelope = world.envelope
    assert (envelope["status"], envelope["data"]["done"]) == ("failed", [])
    assert [turn["instance"] for turn in envelope["data"]["plan"]] == ["1", "0"]
    [error] = envelope["errors"]
    assert error["message"] == f"Stopped at forwarder 1: it is stopped; start it with `{START}`."
    assert "`fwdctl forwarder rollout`" in error["suggestion"]


def test_an_unknown_instance_is_2_with_the_known_ones(world: World) -> None:
    deploy(world)
    assert world.run("forwarder", "restart", "--instance", "9", "-o", "json") == 2
    assert world.envelope["errors"][0]["suggestion"] == "Use one of these: 0, 1."


def test_a_network_without_forwarders_is_3(world: World) -> None:
    assert world.run("forwarder", "status", "-o", "json") == 3
    assert world.envelope["errors"][0]["code"] == "no_scale_set"


HEALTH = f"{GROUP}/providers/Microsoft.Network/loadBalancers/lbi/loadBalancingRules/web/health"


def test_a_reader_who_may_not_ask_for_health_sees_the_rest(world: World) -> None:
    deploy(world)
    world.arm.fail("POST", HEALTH, 403, "AuthorizationFailed")
    assert world.run("forwarder", "status", "-o", "json") == 5
    envelope = world.envelope
    assert (envelope["data"]["healthKnown"], envelope["errors"][0]["code"]) == (False, "health_not_known")
    assert (
        envelope["data"]["instances"][0] | {"health": {}, "hash": "new"} == envelope["data"]["instances"][0]
    )
    assert world.run("forwarder", "restart", "-o", "json") == 5  # nothing goes down unseen
    assert world.envelope["errors"][0]["code"] == "health_not_known"


def test_forwarders_of_somebody_else_are_looked_at_and_never_changed(world: World) -> None:
    deploy(world)
    properties = {"virtualMachineProfile": {"storageProfile": IMAGE}}
    world.arm.on("GET", SET, {"sku": {"name": "B"}, "properties": properties})
    assert world.run("forwarder", "status") == 0
    for command in ("rollout", "restart"):
        assert world.run("forwarder", command, "--dry-run", "-o", "json") == 3
        assert world.envelope["errors"][0]["code"] == "not_of_the_template"


def test_a_scale_set_without_instances_is_4(world: World) -> None:
    deploy(world)
    world.arm.on("GET", f"{SET}/virtualMachines", {"value": []})
    world.arm.on("GET", f"{SET}/networkInterfaces", {"value": []})
    assert world.run("forwarder", "status", "-o", "json") == 4
    assert world.envelope["data"]["instances"] == []
