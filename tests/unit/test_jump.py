"""Jump boxes: start, stop, and a session that leaves a box as it found it."""

from __future__ import annotations

import io
from typing import Any

import pytest

from fwdctl.channel import Outcome
from fwdctl.cli.jump import _changes
from fwdctl.deployment import Deployment, Hub, Spoke
from fwdctl.errors import FwdctlError
from fwdctl.jump import boxes, remote
from fwdctl.progress import Progress
from fwdctl.runtime import Runtime
from support.fake_arm import CONTAINERS, FakeArm, container_group
from support.jump_boxes import GROUP, HUB, MOVING_409, ONE, SECOND, SPOKE, group, starts

TWO = Deployment("rg-dev", None, Hub(HUB), (Spoke("spoke", SPOKE), Spoke("two", SECOND)), (), "x")


@pytest.mark.parametrize(
    ("which", "names"),
    [("hub", ["hub"]), ("spoke", ["spoke", "two"]), ("all", ["hub", "spoke", "two"]), ("two", ["two"])],
)
def test_words_for_boxes(which: str, names: list[str]) -> None:
    assert [box.name for box in boxes.select(TWO, which)] == names


@pytest.mark.parametrize(
    ("deployment", "which", "code", "exit_code"),
    [
        (TWO, "three", "unknown_box", 2),
        (Deployment("rg", None, Hub(None), (), (), "x"), "all", "no_jump_box", 3),
    ],
)
def test_no_such_box(deployment: Deployment, which: str, code: str, exit_code: int) -> None:
    with pytest.raises(FwdctlError) as error:
        boxes.select(deployment, which)
    assert (error.value.code, error.value.exit_code) == (code, exit_code)


@pytest.mark.parametrize(
    ("more", "advice"),
    [
        ({}, '"jump": true in infra/main.parameters.json'),
        ({"complete": False}, "`azd provision --no-state`"),
        ({"options": ("-g", "rg")}, "a container group in a subnet"),
    ],
)
def test_what_helps_where_there_is_no_box(more: dict[str, Any], advice: str) -> None:
    with pytest.raises(FwdctlError) as error:
        boxes.select(Deployment("rg", None, Hub(None), (), (), "x", **more), "spoke")
    assert advice in error.value.suggestion


def test_exactly_one_box() -> None:
    assert boxes.select_one(TWO, "spoke") == SPOKE
    assert boxes.select_one(ONE, "spoke") == SPOKE
    with pytest.raises(FwdctlError) as error:
        boxes.select_one(TWO, "all")
    assert (error.value.code, error.value.exit_code) == ("several_boxes", 2)


def test_start_waits_until_it_runs(arm: FakeArm, runtime: Runtime) -> None:
    starts(arm, group("Stopped"), group("Pending"), group("Pending"), group("Running"))
    changes = boxes.start(runtime, arm.client(), ONE, [SPOKE], Progress(runtime))
    assert changes == [boxes.Change(SPOKE, "started")]


def test_start_of_a_running_box_changes_nothing(arm: FakeArm, runtime: Runtime) -> None:
    arm.on("GET", GROUP, group("Running"))
    changes = boxes.start(runtime, arm.client(), ONE, [SPOKE], Progress(runtime))
    assert changes == [boxes.Change(SPOKE, "already running")]
    assert [method for method, _ in arm.calls] == ["GET"]


def test_start_that_fails_says_why(arm: FakeArm, runtime: Runtime) -> None:
    events = [{"type": "Warning", "message": "pull access denied"}]
    failed = group("Failed", instanceView={"state": "Failed", "events": events})
    starts(arm, group("Stopped"), failed)
    (change,) = boxes.start(runtime, arm.client(), ONE, [SPOKE], Progress(runtime))
    assert change.outcome == "failed"
    assert "pull access denied" in change.detail


@pytest.mark.parametrize("before", ["Stopped", "Failed", "Succeeded"])
def test_the_state_of_before_is_not_taken_for_a_start_that_failed(
    arm: FakeArm, runtime: Runtime, before: str
) -> None:
    pending = group(before, provisioningState="Pending")
    starts(arm, group(before), group(before), pending, group("Running"))
    changes = boxes.start(runtime, arm.client(), ONE, [SPOKE], Progress(runtime))
    assert changes == [boxes.Change(SPOKE, "started")]


def test_a_start_that_changes_nothing_has_failed(arm: FakeArm) -> None:
    now, pauses = [0.0], []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds

    runtime = Runtime(environ={}, stderr=io.StringIO(), sleep=sleep, clock=lambda: now[0])
    starts(arm, group("Stopped"), group("Stopped"))
    (change,) = boxes.start(runtime, arm.client(), ONE, [SPOKE], Progress(runtime))
    assert (change.outcome, "its state is Stopped" in change.detail) == ("failed", True)
    assert boxes.SETTLING < now[0] < 2 * boxes.SETTLING
    assert max(pauses) <= 0.5


def test_a_box_that_starts_already_is_waited_for(arm: FakeArm, runtime: Runtime) -> None:
    arm.on("GET", GROUP, group("Pending"), group("Running"))
    arm.on("POST", f"{GROUP}/start", MOVING_409)
    changes = boxes.start(runtime, arm.client(), ONE, [SPOKE], Progress(runtime))
    assert changes == [boxes.Change(SPOKE, "started")]


@pytest.mark.parametrize(
    ("state", "outcome"),
    [("Running", "stopped"), ("Stopped", "already stopped"), ("Succeeded", "already stopped")],
)
def test_stop(arm: FakeArm, runtime: Runtime, state: str, outcome: str) -> None:
    arm.on("GET", GROUP, group(state))
    arm.on("POST", f"{GROUP}/stop", (204, None, {}))
    assert boxes.stop(runtime, arm.client(), ONE, [SPOKE])[0].outcome == outcome
    assert (("POST", f"{GROUP}/stop") in arm.calls) == (outcome == "stopped")


def test_stop_of_a_missing_and_of_a_moving_box(arm: FakeArm) -> None:
    clock = iter(range(0, 1000, 7))
    runtime = Runtime(
        environ={}, stderr=io.StringIO(), sleep=lambda _: None, clock=lambda: float(next(clock))
    )
    arm.fail("GET", f"{CONTAINERS}/ci-hub", 404, "ResourceNotFound")
    arm.on("GET", GROUP, group("Pending"))
    arm.on("POST", f"{GROUP}/stop", MOVING_409)
    outcomes = {
        change.box.name: change.outcome for change in boxes.stop(runtime, arm.client(), ONE, [HUB, SPOKE])
    }
    assert outcomes == {"hub": "missing", "spoke": "still starting"}


def test_stop_reports_a_refusal(arm: FakeArm, runtime: Runtime) -> None:
    arm.fail("GET", GROUP, 403, "AuthorizationFailed")
    (change,) = boxes.stop(runtime, arm.client(), ONE, [SPOKE])
    assert change.outcome == "failed"
    assert "No permission" in change.detail


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [
        (404, "ResourceNotFound", 3),
        (403, "AuthorizationFailed", 3),
        (503, "ServerBusy", 5),
        (400, "BadRequest", 1),
    ],
)
def test_a_failure_keeps_its_exit_code(
    arm: FakeArm, runtime: Runtime, status: int, code: str, exit_code: int
) -> None:
    arm.fail("GET", GROUP, status, code)
    arm.on("GET", f"{CONTAINERS}/ci-hub", container_group("ci-hub", "Running"))
    result = _changes(boxes.start(runtime, arm.client(), ONE, [HUB, SPOKE], Progress(runtime)))
    (error,) = result.errors
    assert (result.exit_code, error.exit_code) == (exit_code, exit_code)
    assert error.suggestion != "Try again."


def test_a_start_that_never_ends_is_inconclusive(arm: FakeArm) -> None:
    clock = iter(range(0, 100000, 7))
    runtime = Runtime(
        environ={}, stderr=io.StringIO(), sleep=lambda _: None, clock=lambda: float(next(clock))
    )
    starts(arm, group("Stopped"), group("Pending"))
    result = _changes(boxes.start(runtime, arm.client(), ONE, [SPOKE], Progress(runtime)))
    assert (result.exit_code, result.errors[0].code) == (5, "jump_start_timeout")


@pytest.mark.parametrize(
    ("outcome", "exit_code", "advice"),
    [
        (Outcome("not_started", detail="the connection was cut"), 125, "Try again"),
        (Outcome("unsupported", detail="the container has neither"), 125, "image"),
        (Outcome("cut", detail="the connection was cut"), 5, "before you run it again"),
    ],
)
def test_an_exec_without_a_result_has_the_advice_of_its_cause(
    outcome: Outcome, exit_code: int, advice: str
) -> None:
    with pytest.raises(FwdctlError) as error:
        remote.exit_code(outcome)
    assert error.value.exit_code == exit_code
    assert advice in error.value.suggestion
    assert ("image" in error.value.suggestion) == (outcome.state == "unsupported")
