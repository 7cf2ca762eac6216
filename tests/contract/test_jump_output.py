"""What scripts may rely on: exit codes and JSON of `fwdctl jump`, through main()."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from fwdctl.jump import session
from support.fake_arm import CONTAINERS, container_group

if TYPE_CHECKING:
    from support.probe_world import World

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the fake service needs a PTY")


def test_exec_is_transparent(world: World) -> None:
    script = "cat; printf 'e\\n' >&2; exit 3"
    assert world.run("jump", "exec", "spoke", "--", "sh", "-c", script, stdin=b"a\0\xff\n") == 3
    assert (world.stdout, world.stderr) == (b"a\0\xff\n", "e\n")


def test_exec_that_cannot_run_is_125(world: World) -> None:
    world.arm.fail("POST", f"{CONTAINERS}/ci-spoke/containers/jump/exec", 409, "ContainerGroupStopped")
    world.arm.on("GET", f"{CONTAINERS}/ci-spoke", container_group("ci-spoke", "Stopped"))
    assert world.run("jump", "exec", "spoke", "--", "id") == 125
    assert "fwdctl jump start spoke" in world.stderr


def test_exec_whose_end_is_unknown_is_5(world: World) -> None:
    world.shells.faults.cut_output = 1200
    assert (
        world.run("jump", "exec", "spoke", "--", "sh", "-c", "while :; do echo xxxxxxxxxxxxxxxxxxxxxx; done")
        == 5
    )


def test_status_start_and_stop(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    life = world.cwd / "life"
    monkeypatch.setattr(session, "LIFE", str(life))
    world.arm.on("GET", f"{CONTAINERS}/ci-hub", container_group("ci-hub", "Stopped"))
    assert world.run("jump", "status", "-o", "json") == 0
    boxes = world.envelope["data"]["boxes"]
    assert [(box["name"], box["state"]) for box in boxes] == [("hub", "Stopped"), ("spoke", "Running")]
    assert set(boxes[0]) == {"name", "containerGroup", "state", "address", "image", "reason"}
    assert world.run("jump", "start", "spoke", "-o", "json") == 0
    assert world.envelope["data"]["boxes"][0]["outcome"] == "already running"
    assert life.read_text() == "stay\n"
    world.arm.on("POST", f"{CONTAINERS}/ci-spoke/stop", (204, None, {}))
    assert world.run("jump", "stop", "all", "-o", "json") == 0
    assert [box["outcome"] for box in world.envelope["data"]["boxes"]] == ["already stopped", "stopped"]


def test_a_missing_box_is_3(world: World) -> None:
    world.arm.fail("GET", f"{CONTAINERS}/ci-spoke", 404, "ResourceNotFound")
    assert world.run("jump", "status", "-o", "json") == 3
    assert world.envelope["data"]["boxes"][1]["state"] == "Missing"
