"""What `fwdctl probe` says of targets: which answer, which are missing, which cannot be counted.

The box is a real shell behind the exec protocol; its curl and getent are told what to say.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from support.fake_arm import NETWORK
from support.probe_world import forwarders, hub_stopped, one_dead_target, without_header

if TYPE_CHECKING:
    from support.probe_world import World

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the fake service needs a PTY")


def test_one_missing_server_is_a_warning_that_names_it(world: World) -> None:
    world.shells.environ["SERVERS"] = "1"
    forwarders(world)
    assert world.run("probe", "spoke", "-o", "json") == 0
    (path,) = world.envelope["data"]["paths"]
    assert path["verdict"] == "pass"
    assert path["samples"]["made"] == 4 + 12 + 4
    assert [(warning["code"], warning["evidence"]) for warning in path["warnings"]] == [
        (
            "TARGET_DOWN",
            "1 of 2 servers answer; target 192.168.42.66:8000 takes no connection",
        )
    ]


def test_servers_that_were_left_out_by_chance_are_not_counted(world: World) -> None:
    world.shells.environ["ALIKE"] = "4"
    assert world.run("probe", "spoke", "-o", "json") == 0
    (path,) = world.envelope["data"]["paths"]
    assert (path["samples"]["made"], path["warnings"]) == (4 + 12, [])
    asked = [path for method, path in world.arm.calls if method == "POST" and "/ci-hub/" in path]
    assert len(asked) == 1  # what the forwarders run; not before and after the connections as well


def test_only_the_hub_can_name_a_missing_server(world: World) -> None:
    world.shells.environ["SERVERS"] = "1"
    hub_stopped(world)
    assert world.run("probe", "spoke", "-o", "json") == 0
    (path,) = world.envelope["data"]["paths"]
    (warning,) = path["warnings"]
    assert (warning["code"], warning["next"]) == ("TARGET_DOWN", "fwdctl probe hub")
    assert warning["evidence"].endswith("only the hub can tell which is missing")


@pytest.mark.parametrize("check", ["tcp", "http", "tls"])
@pytest.mark.parametrize("which", ["spoke", "hub"])
def test_counters_tell_which_targets_answer_whatever_the_protocol(
    world: World, check: str, which: str
) -> None:
    without_header(world, check)
    forwarders(world)
    assert world.run("probe", which, "-o", "json") == 0
    path = world.envelope["data"]["paths"][-1]
    assert (path["path"], path["servers"], path["serversExpected"]) == (f"{which}/web", {}, 2)
    assert path["checks"][-1] == {
        "check": "targets",
        "verdict": "pass",
        "reason": "2 of 2 targets took connections: 192.168.42.65:8000, 192.168.42.66:8000",
    }


def test_a_target_without_connections_is_a_warning(world: World) -> None:
    world.shells.environ["SERVERS"] = "1"
    without_header(world, "tcp")
    forwarders(world)
    assert world.run("probe", "spoke", "-o", "json") == 0
    (path,) = world.envelope["data"]["paths"]
    assert path["reason"] == "1 of 2 targets took connections: 192.168.42.65:8000"
    assert path["samples"]["made"] == 4 + 12
    (warning,) = path["warnings"]
    assert warning["code"] == "TARGET_DOWN"
    assert "192.168.42.66:8000" in warning["evidence"]


def test_what_was_not_asked_is_said_and_is_no_pass(world: World) -> None:
    without_header(world, "tcp")
    hub_stopped(world)
    assert world.run("probe", "spoke", "-o", "json") == 0
    (path,) = world.envelope["data"]["paths"]
    assert path["checks"][-1] == {
        "check": "targets",
        "verdict": "skip",
        "reason": "which servers answer was not asked: the hub's jump box does not run",
    }
    assert (path["verdict"], path["warnings"]) == ("pass", [])
    assert world.run("probe", "spoke") == 0
    assert "which servers answer was not asked: the hub's jump box does not run" in world.stdout.decode()


def test_counters_that_cannot_be_read_are_no_pass(world: World) -> None:
    without_header(world, "tcp")
    world.arm.fail("GET", f"{NETWORK}/loadBalancers/lbi", 403, "AuthorizationFailed")
    assert world.run("probe", "spoke", "-o", "json") == 0
    (path,) = world.envelope["data"]["paths"]
    assert path["checks"][-1]["verdict"] == "skip"
    assert path["checks"][-1]["reason"].startswith("which servers answer was not asked: ")


@pytest.mark.parametrize("which", ["hub", "all"])
def test_a_dead_target_of_a_forward_that_works_is_a_warning_whatever_is_probed(
    world: World, which: str
) -> None:
    one_dead_target(world)
    assert world.run("probe", which, "-o", "json") == 0
    data = world.envelope["data"]
    paths = {path["path"]: path for path in data["paths"]}
    direct = paths["hub/web/192.168.42.66:8000"]
    assert (direct["origin"], direct["verdict"]) == ("target", "fail")
    (cause,) = data["causes"]
    assert (cause["segment"], cause["code"]) == ("target", "TARGET_REFUSED")
    assert set(cause["paths"]) == set(paths) - {"hub/web/192.168.42.65:8000"}
    assert world.run("probe", which, "-o", "junit") == 0
    assert b"<failure" not in world.stdout


def test_strict_makes_warnings_failures(world: World) -> None:
    one_dead_target(world)
    assert world.run("probe", "hub", "--strict", "-o", "junit") == 4
    assert b'type="TARGET_REFUSED"' in world.stdout
    assert world.run("probe", "hub", "--strict", "-o", "json") == 4
    assert world.envelope["status"] == "failed"
    world.shells.environ.update(SERVERS="2", DEAD="-")
    assert world.run("probe", "hub", "--strict") == 0
