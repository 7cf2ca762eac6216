"""What scripts may rely on: exit codes and JSON of `fwdctl probe`, through main().

The box is a real shell behind the exec protocol; its curl and getent are told what to say.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from support.aci_exec_server import Damage
from support.fake_arm import CONTAINERS, NETWORK, SUBSCRIPTION, container_group
from support.probe_world import broken, forwarders, hub_stopped, without_header

if TYPE_CHECKING:
    from support.probe_world import World

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the fake service needs a PTY")


def test_a_good_path(world: World) -> None:
    assert world.run("probe", "spoke", "-o", "json") == 0
    envelope = world.envelope
    assert set(envelope) == {"schema", "command", "status", "exitCode", "data", "errors"}
    assert (envelope["schema"], envelope["command"]) == ("fwdctl/v1", "probe spoke")
    assert (envelope["status"], envelope["exitCode"], envelope["errors"]) == ("succeeded", 0, [])
    (path,) = envelope["data"]["paths"]
    assert set(path) == {
        "path", "origin", "box", "forward", "host", "port", "verdict", "reason", "asked", "checks", "samples",
        "servers",
        "serversExpected", "broken", "warnings",
    }  # fmt: skip
    assert [check["check"] for check in path["checks"]] == ["name", "tcp", "protocol", "targets"]
    assert (path["samples"], path["servers"]) == ({"made": 4, "answered": 4}, {"server65": 2, "server66": 2})
    assert {check["verdict"] for check in envelope["data"]["checks"]} == {"pass"}


def test_a_running_box_is_asked_in_one_request(world: World) -> None:
    assert world.run("probe", "spoke", "--no-explain") == 0
    assert world.arm.calls == [("POST", f"{CONTAINERS}/ci-spoke/containers/jump/exec")]
    assert world.shells.connections == 1
    assert "spoke/web" in world.stdout.decode()


def test_a_line_says_what_is_tested_in_a_box_that_runs(world: World) -> None:
    assert world.run("probe", "spoke") == 0
    assert "\nTesting spoke/web from spoke (ci-spoke) ...\n" in world.stderr


def test_what_was_not_asked_is_told(world: World) -> None:
    without_header(world, "none")
    (forward,) = world.topology["forwards"]
    forward["targets"] = forward["targets"][:1]
    assert world.run("probe", "spoke") == 0
    assert "not asked: the forward's check is none" in world.stdout.decode()


def test_all_boxes_and_samples(world: World) -> None:
    assert world.run("probe", "all", "--samples", "6", "-o", "json") == 0
    paths = {path["path"]: path for path in world.envelope["data"]["paths"]}
    assert list(paths) == ["hub/web/192.168.42.65:8000", "hub/web/192.168.42.66:8000", "hub/web", "spoke/web"]
    assert paths["hub/web"]["samples"]["made"] == paths["spoke/web"]["samples"]["made"] == 6
    assert world.shells.connections == 3  # and what the forwarders' agents report


def test_a_broken_path_is_4_and_names_one_segment(world: World) -> None:
    broken(world)
    assert world.run("probe", "spoke", "-o", "json") == 4
    assert world.envelope["status"] == "failed"
    (path,) = world.envelope["data"]["paths"]
    assert set(path["broken"]) == {"segment", "code", "evidence", "next"}
    # The hub's box runs, and no target answers it either.
    assert (path["broken"]["segment"], path["broken"]["code"]) == ("target", "TARGET_REFUSED")


def hub_network(**more: Any) -> dict[str, Any]:
    """The hub's network, with what stands in it."""
    shared = {
        "addressPrefix": "10.0.1.0/26",
        "networkSecurityGroup": {"id": "/subscriptions/s/resourceGroups/rg-dev/x/y/z/nsg"},
    }
    return {
        "id": "/net/hub",
        "name": "vnet-hub",
        "properties": {
            "addressSpace": {"addressPrefixes": ["10.0.1.0/24"]},
            "subnets": [{"properties": shared}, {"properties": {"addressPrefix": "10.0.1.64/26"}}],
            **more,
        },
    }


def in_the_hub(world: World, *networks: dict[str, Any]) -> None:
    """Nothing answers; the load balancer stands in the hub's network."""
    broken(world)
    world.shells.environ["MODE"] = "silent"
    world.arm.on("GET", f"{NETWORK}/virtualNetworks", {"value": list(networks)})
    group = hub_network()["properties"]["subnets"][0]["properties"]["networkSecurityGroup"]["id"]
    document = {"id": group, "name": "nsg", "properties": {}}
    world.arm.on("GET", f"{NETWORK}/networkSecurityGroups", {"value": [document]})
    frontend = {"properties": {"subnet": {"id": "/net/hub/subnets/shared"}}}
    forwarders(world, frontendIPConfigurations=[frontend])


def test_a_removed_peering_is_the_one_cause_on_every_path(world: World) -> None:
    corp = {
        "id": "/net/corp",
        "name": "vnet-corp",
        "properties": {"addressSpace": {"addressPrefixes": ["192.168.42.0/24"]}},
    }
    in_the_hub(world, hub_network(), corp)
    assert world.run("probe", "all", "-o", "json") == 4
    told = {path["path"]: path["broken"] for path in world.envelope["data"]["paths"]}
    assert len(told) == 4
    assert {(each["code"], each["next"]) for each in told.values()} == {
        ("ROUTE_NO_PEERING", "azd provision --no-state")
    }
    assert "target 192.168.42.66:8000" in told["hub/web/192.168.42.66:8000"]["evidence"]


def test_each_path_names_the_rule_that_refuses_its_own_flow(world: World) -> None:
    in_the_hub(world, hub_network())
    flows = {"allow-link-service": "10.0.1.0/26", "allow-hub-jump": "10.0.1.64/26"}
    rules = [
        {
            "name": name,
            "properties": {
                "direction": "Inbound",
                "priority": 110 + number,
                "access": "Deny",
                "protocol": "Tcp",
                "sourceAddressPrefix": source,
                "destinationAddressPrefix": "10.0.1.0/26",
                "destinationPortRange": "8000",
            },
        }
        for number, (name, source) in enumerate(flows.items())
    ]
    group = {
        "id": "/subscriptions/s/resourceGroups/rg-dev/x/y/z/nsg",
        "name": "nsg",
        "properties": {"securityRules": rules},
    }
    world.arm.on("GET", f"{NETWORK}/networkSecurityGroups", {"value": [group]})
    service = {
        "name": "pl",
        "properties": {"ipConfigurations": [{"properties": {"privateIPAddress": "10.0.1.8"}}]},
    }
    world.arm.on("GET", f"{NETWORK}/privateLinkServices", {"value": [service]})
    box = container_group("ci-hub")
    box["properties"]["ipAddress"] = {"ip": "10.0.1.68"}
    world.arm.on("GET", f"{CONTAINERS}/ci-hub", box)
    assert world.run("probe", "all", "-o", "json") == 4
    told = {path["path"]: path["broken"] for path in world.envelope["data"]["paths"]}
    for path, name, source in (
        ("spoke/web", "allow-link-service", "the link service (10.0.1.8)"),
        ("hub/web", "allow-hub-jump", "the hub's jump box (10.0.1.68)"),
    ):
        assert told[path] == {
            "segment": "route",
            "code": "NSG_DENIED",
            "evidence": f"rule {name} of network security group nsg refuses port 8000 from {source} "
            "to the forwarders (10.0.1.6, 10.0.1.7)",
            "next": f"az network nsg rule update -g rg-dev --nsg-name nsg -n {name} --access Allow "
            "--subscription s",
        }


def test_silent_servers_are_to_be_looked_at_and_not_probed_again(world: World) -> None:
    in_the_hub(world, hub_network())
    assert world.run("probe", "all", "-o", "json") == 4
    told = {path["path"]: path["broken"] for path in world.envelope["data"]["paths"]}
    assert {each["code"] for each in told.values()} == {"TARGET_DOWN"}
    assert told["spoke/web"]["next"].startswith("Check the servers 192.168.42.65, 192.168.42.66: ")
    for path in told.values():
        assert path["evidence"].count("192.168.42.65:8000") == 1
    (cause,) = world.envelope["data"]["causes"]
    assert cause["paths"] == list(told)


def test_the_exit_code_does_not_depend_on_the_format(world: World) -> None:
    broken(world)
    assert [world.run("probe", "spoke", "-o", form) for form in ("table", "json", "junit")] == [4, 4, 4]
    assert b"<failure" in world.stdout


def test_lost_frames_are_inconclusive(world: World) -> None:
    world.shells.faults.output = (Damage(1400),)
    assert world.run("probe", "spoke", "--no-explain", "-o", "json") == 5
    assert world.envelope["status"] == "inconclusive"
    assert world.shells.connections == 2  # one retry


def test_one_lost_frame_leads_to_a_second_run(world: World) -> None:
    world.shells.faults.output = (Damage(1400),)
    world.shells.faults.connections = 1
    assert world.run("probe", "spoke", "--no-explain") == 0


def test_a_cut_is_inconclusive(world: World) -> None:
    world.shells.faults.cut_output = 500
    assert world.run("probe", "spoke", "--no-explain") == 5


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["probe", "moon"], 2),
        (["probe"], 2),
        (["probe", "spoke", "--samples", "-1"], 2),
        (["jump", "start", "moon"], 2),
        (["jump", "exec", "spoke"], 2),
        (["jump", "exec", "all", "--", "id"], 2),
        (["jump", "shell", "spoke"], 2),
    ],
)
def test_usage(world: World, argv: list[str], code: int) -> None:
    assert world.run(*argv) == code
    assert world.stdout == b""
    assert "ERROR: " in world.stderr


def test_failures_before_the_probe_have_an_envelope(world: World) -> None:
    world.arm.fail("POST", f"{CONTAINERS}/ci-spoke/containers/jump/exec", 404, "ResourceGroupNotFound")
    assert world.run("probe", "spoke", "-o", "json") == 3
    (error,) = world.envelope["errors"]
    assert (error["code"], world.envelope["data"]) == ("resource_group_not_found", None)
    assert error["suggestion"]


@pytest.mark.parametrize(
    ("fails", "status", "code"),
    [
        ("name", 403, "AuthorizationFailed"),
        ("name", 404, "ResourceNotFound"),
        ("connection", 403, "AuthorizationFailed"),
    ],
)
def test_evidence_that_cannot_be_read_shows_nothing_to_be_right(
    world: World, fails: str, status: int, code: str
) -> None:
    broken(world)
    if fails == "name":
        (world.cwd / "tools" / "getent").write_text("#!/bin/sh\nexit 2\n")
    unreadable = "privateDnsZones" if fails == "name" else "privateEndpoints/pep"
    world.arm.fail("GET", f"{NETWORK}/{unreadable}", status, code)
    assert world.run("probe", "spoke", "-o", "json") == 4
    (path,) = world.envelope["data"]["paths"]
    assert path["broken"]["code"] == "PATH_UNEXPLAINED"
    assert "evidence could not be read: " in path["broken"]["evidence"]
    assert "right" not in path["broken"]["evidence"]


@pytest.mark.parametrize("form", ["table", "json", "junit"])
def test_what_others_wrote_is_printed_in_every_encoding(world: World, form: str) -> None:
    broken(world)
    state = {
        "privateLinkServiceConnectionState": {"status": "Rejected", "description": "10 \u2013 20 漢\x1b[2J"}
    }
    endpoint = {"properties": {"privateLinkServiceConnections": [{"properties": state}]}}
    world.arm.on("GET", f"{NETWORK}/privateEndpoints/pep", endpoint)
    assert world.run("probe", "spoke", "-o", form, encoding="cp1252") == 4
    assert b"PE_REJECTED" in world.stdout
    assert b"\x1b" not in world.stdout


def test_one_cause_is_printed_once_with_its_paths(world: World) -> None:
    broken(world)
    world.environ = {"COLUMNS": "200"}
    assert world.run("probe", "all") == 4
    text = world.stdout.decode()
    assert text.count("Next: ") == text.count("(TARGET_REFUSED)") == 1
    assert "BROKEN: 4 paths at the target (TARGET_REFUSED)" in text
    assert "\n  Paths: hub/web/192.168.42.65:8000, hub/web/192.168.42.66:8000, hub/web, spoke/web\n" in text
    assert "\n  box ─ name ─ endpoint ─ link service ─ balancer ─ forwarder ─ ✗ target\n" in text


def test_a_denied_permission_is_said_once(world: World) -> None:
    broken(world)
    world.arm.fail("GET", f"{NETWORK}/loadBalancers/lbi", 403, "AuthorizationFailed")
    assert world.run("probe", "all", "--timeout", "1", "-o", "json") == 4
    unread = [cause for cause in world.envelope["data"]["causes"] if cause["code"] == "PATH_UNEXPLAINED"]
    assert [cause["paths"] for cause in unread] == [["hub/web", "spoke/web"]]


@pytest.mark.parametrize("which", ["hub", "all"])
def test_a_missing_box_is_5_and_said_once(world: World, which: str) -> None:
    for method, path in (("POST", "ci-hub/containers/jump/exec"), ("GET", "ci-hub")):
        world.arm.fail(method, f"{CONTAINERS}/{path}", 404, "ResourceNotFound")
    assert world.run("probe", which, "-o", "json") == 5
    (cause,) = world.envelope["data"]["causes"]
    assert (cause["segment"], cause["code"], len(cause["paths"])) == ("box", "JUMP_MISSING", 3)


@pytest.mark.parametrize("which", ["hub", "all"])
@pytest.mark.parametrize("unread", ["virtualNetworks", "loadBalancers/lbi", ""])
def test_the_command_that_ran_is_not_advised(world: World, which: str, unread: str) -> None:
    broken(world)
    world.shells.environ["DEAD"] = "10.0.1.5"  # the load balancer's address only
    if unread:
        world.arm.fail("GET", f"{NETWORK}/{unread}", 409, "Conflict")
    world.run("probe", which, "-o", "json")
    told = [cause["next"] for cause in world.envelope["data"]["causes"]]
    assert told
    assert not [each for each in told if each.startswith("fwdctl probe")]


def test_no_box_is_started_to_explain_where_it_may_not_be(world: World) -> None:
    broken(world)
    hub_stopped(world)
    assert world.run("probe", "spoke", "--hub", "never", "-o", "json") == 4
    assert ("POST", f"{CONTAINERS}/ci-hub/start") not in world.arm.calls
    (cause,) = world.envelope["data"]["causes"]
    assert (cause["code"], cause["next"]) == ("PATH_UNEXPLAINED", "fwdctl probe hub")


def test_an_explanation_can_be_left_out(world: World) -> None:
    broken(world)
    assert world.run("probe", "spoke", "--no-explain", "--retries", "0", "-o", "json") == 4
    assert world.envelope["data"]["causes"] == []
    assert world.arm.calls == [("POST", f"{CONTAINERS}/ci-spoke/containers/jump/exec")]


def test_a_forwarder_that_is_down_is_a_warning(world: World) -> None:
    down = {"ipAddress": "10.0.1.7", "state": "Down", "reason": "Down_Probe_HttpEndpointUnreachable"}
    forwarders(world, {"ipAddress": "10.0.1.6", "state": "Up"}, down)
    assert world.run("probe", "spoke", "-o", "json") == 0
    (cause,) = world.envelope["data"]["causes"]
    assert (cause["code"], cause["evidence"]) == (
        "FWD_UNHEALTHY",
        "forwarder 10.0.1.7 takes no connection: Down_Probe_HttpEndpointUnreachable",
    )


def test_an_answer_of_what_is_not_a_target_is_no_silent_pass(world: World) -> None:
    (forward,) = world.topology["forwards"]
    forward["targets"] = ["192.168.42.65:8000", "192.168.42.67:8000"]
    assert world.run("probe", "spoke", "-o", "json") == 0
    (cause,) = world.envelope["data"]["causes"]
    assert (cause["segment"], cause["code"]) == ("forwarder", "FWD_CONFIG_DRIFT")
    runs = "port 8000 to 192.168.42.65:8000, 192.168.42.66:8000 (10.0.1.6, 10.0.1.7)"
    assert cause["evidence"].endswith(f", but the forwarders run {runs}")


def test_the_last_deployment_that_failed_comes_before_what_would_fail_again(world: World) -> None:
    broken(world)
    document = {"name": "lbi", "tags": {"azd-env-name": "dev"}, "properties": {}}
    world.arm.on("GET", f"{NETWORK}/loadBalancers/lbi", document)
    inner = {"code": "PropertyChangeNotAllowed", "message": "Changing property\n'customData' is not allowed."}
    failed = {"code": "DeploymentFailed", "details": [inner]}
    world.arm.on(
        "GET",
        f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Resources/deployments",
        {
            "value": [
                deployment("dev-1", "dev", "2026-01-01T10:00:00Z"),
                deployment("dev-2", "dev", "2026-01-01T11:00:00Z", failed),
                deployment("other-9", "other", "2026-01-01T12:00:00Z"),
            ]
        },
    )
    assert world.run("probe", "spoke", "-o", "json") == 4
    (cause,) = world.envelope["data"]["causes"]
    assert cause["code"] == "LB_NO_RULE"
    assert cause["evidence"].startswith(
        "the last deployment failed: PropertyChangeNotAllowed: Changing property 'customData' is not allowed.; "
    )
    assert "azd provision" not in cause["next"]
    assert "az deployment sub show -n dev-2 " in cause["next"]


def deployment(
    name: str, environment: str, ended: str, error: dict[str, Any] | None = None
) -> dict[str, Any]:
    state = {"provisioningState": "Failed", "error": error} if error else {"provisioningState": "Succeeded"}
    return {
        "name": name,
        "tags": {"azd-env-name": environment},
        "properties": {"timestamp": ended, **state},
    }
