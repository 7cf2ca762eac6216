"""Sessions: commands in a box that is left as it was found."""

from __future__ import annotations

import io
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from fwdctl.channel import Request
from fwdctl.errors import FwdctlError, StoppedError
from fwdctl.jump import session as module
from fwdctl.jump.session import Session
from fwdctl.progress import Progress
from fwdctl.runtime import Runtime
from support.aci_exec_server import AciExecServer, aci_exec_server
from support.frame import make_runtime
from support.jump_boxes import GROUP, MOVING_409, ONE, SPOKE, group, starts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.fake_arm import FakeArm

STOPPED_409 = (409, {"error": {"code": "ContainerGroupStopped", "message": "is stopped."}}, {})

posix = pytest.mark.skipif(os.name != "posix", reason="the fake service needs a PTY")


@pytest.fixture
def shells() -> Iterator[AciExecServer]:
    with aci_exec_server() as server:
        yield server


def admits(arm: FakeArm, shells: AciExecServer, *before: tuple[int, Any, dict[str, str]]) -> None:
    ticket = shells.ticket()
    arm.on(
        "POST",
        f"{GROUP}/containers/jump/exec",
        *before,
        {"webSocketUri": ticket.uri, "password": ticket.password},
    )


def session(runtime: Runtime, arm: FakeArm, **options: bool) -> Session:
    return Session(runtime, arm.client(), ONE, SPOKE, Progress(runtime), **options)


@posix
def test_a_running_box_costs_one_request_and_stays(
    arm: FakeArm, shells: AciExecServer, runtime: Runtime
) -> None:
    admits(arm, shells)
    with session(runtime, arm) as box:
        assert box.run(Request(("echo", "hi"), timeout=60)).stdout == b"hi\n"
    assert arm.calls == [("POST", f"{GROUP}/containers/jump/exec")]


@posix
def test_how_far_a_command_is_can_be_seen_on_a_terminal(
    arm: FakeArm, shells: AciExecServer, tmp_path: Path
) -> None:
    runtime = make_runtime(tmp_path, {"TERM": "xterm"}, terminal=True)
    admits(arm, shells)
    with session(runtime, arm) as box:
        request = Request(("/bin/sh", "-c", "sleep 0.5; echo half; echo more >&2; echo whole"), timeout=60)
        heard: list[bytes] = []
        outcome = box.run(
            request, doing="Testing", stage=lambda data: heard.append(data) or f"{b''.join(heard)!r}"
        )
        box.progress.clear()
    assert outcome.stdout == b"".join(heard) == b"half\nwhole\n"
    assert "b'', " in runtime.stderr.getvalue()
    assert r"b'half\nwhole\n', " in runtime.stderr.getvalue()


@posix
def test_a_stopped_box_is_started_and_stopped_again(
    arm: FakeArm, shells: AciExecServer, runtime: Runtime
) -> None:
    admits(arm, shells, STOPPED_409)
    starts(arm, group("Stopped"), group("Running"))
    arm.on("POST", f"{GROUP}/stop", (204, None, {}))
    with session(runtime, arm) as box:
        assert box.run(Request(("true",), timeout=60)).status == 0
    assert arm.calls[-1] == ("POST", f"{GROUP}/stop")


@pytest.fixture
def life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the box's first process would read."""
    path = tmp_path / "life"
    monkeypatch.setattr(module, "LIFE", str(path))
    return path


@posix
def test_keep_running_tells_the_box_to_stay(
    arm: FakeArm, shells: AciExecServer, runtime: Runtime, life: Path
) -> None:
    admits(arm, shells, STOPPED_409)
    starts(arm, group("Stopped"), group("Running"))
    with session(runtime, arm, keep_running=True) as box:
        box.run(Request(("true",), timeout=60))
        assert not life.exists()
    assert ("POST", f"{GROUP}/stop") not in arm.calls
    assert life.read_text() == "stay\n"


@posix
def test_boxes_that_are_to_stay_are_told_so(
    arm: FakeArm, shells: AciExecServer, runtime: Runtime, life: Path
) -> None:
    admits(arm, shells)
    module.stay(runtime, arm.client(), ONE, [SPOKE], Progress(runtime))
    assert life.read_text() == "stay\n"
    assert runtime.stderr.getvalue() == ""  # type: ignore[attr-defined]


def test_a_box_that_cannot_be_told_to_stay_is_a_warning(arm: FakeArm, runtime: Runtime) -> None:
    arm.fail("POST", f"{GROUP}/containers/jump/exec", 403, "AuthorizationFailed")
    module.stay(runtime, arm.client(), ONE, [SPOKE], Progress(runtime))
    said = runtime.stderr.getvalue()  # type: ignore[attr-defined]
    assert "spoke (ci-spoke) may end by itself after some minutes" in said


@posix
def test_a_box_is_told_that_somebody_works_with_it(
    arm: FakeArm, shells: AciExecServer, runtime: Runtime, life: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RENEWAL", 0.05)
    admits(arm, shells)
    wait = f"until [ -s {life} ]; do sleep 0.1; done; cat {life}; echo stay >{life}; sleep 0.5; cat {life}"
    with session(runtime, arm) as box:
        outcome = box.run(Request(("sh", "-c", wait), timeout=60))
    assert outcome.stdout == b"renew\nstay\n"
    told = len(arm.calls)
    assert told > 2
    time.sleep(0.5)
    assert len(arm.calls) <= told + 1


def test_a_start_of_a_minute_leaves_exec_its_patience(arm: FakeArm) -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    runtime = Runtime(environ={}, stderr=io.StringIO(), sleep=sleep, clock=lambda: now[0])
    ticket = {"webSocketUri": "ws://x", "password": "p"}
    arm.on("POST", f"{GROUP}/containers/jump/exec", STOPPED_409, MOVING_409, ticket)
    starts(arm, group("Stopped"), *[group("Pending")] * 40, group("Running"))
    with session(runtime, arm, keep_running=True) as box:
        assert box.ticket().uri == "ws://x"
    assert now[0] > 60


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_the_state_is_restored_on_any_exit(
    arm: FakeArm, runtime: Runtime, error: type[BaseException]
) -> None:
    arm.on("POST", f"{GROUP}/containers/jump/exec", STOPPED_409, {"webSocketUri": "ws://x", "password": "p"})
    starts(arm, group("Stopped"), group("Running"))
    arm.on("POST", f"{GROUP}/stop", (204, None, {}))

    def use() -> None:
        with session(runtime, arm) as box:
            box.ticket()
            raise error

    with pytest.raises(error):
        use()
    assert arm.calls[-1] == ("POST", f"{GROUP}/stop")


def test_a_box_that_somebody_else_starts_is_left_running(arm: FakeArm, runtime: Runtime) -> None:
    arm.on("POST", f"{GROUP}/containers/jump/exec", MOVING_409, {"webSocketUri": "ws://x", "password": "p"})
    arm.on("GET", GROUP, group("Pending"), group("Running"))
    arm.on("POST", f"{GROUP}/start", MOVING_409)
    with session(runtime, arm) as box:
        box.ticket()
    assert ("POST", f"{GROUP}/stop") not in arm.calls


def test_a_box_started_here_is_stopped_though_it_goes_on_starting(arm: FakeArm, runtime: Runtime) -> None:
    ticket = {"webSocketUri": "ws://x", "password": "p"}
    arm.on("POST", f"{GROUP}/containers/jump/exec", STOPPED_409, MOVING_409, ticket)
    starts(arm, group("Stopped"), group("Running"), group("Pending"), group("Running"))
    arm.on("POST", f"{GROUP}/stop", (204, None, {}))
    with session(runtime, arm) as box:
        box.ticket()
    assert arm.calls[-1] == ("POST", f"{GROUP}/stop")


def test_a_start_whose_answer_was_not_awaited_is_stopped_once_it_shows(
    arm: FakeArm, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    arm.on("POST", f"{GROUP}/containers/jump/exec", STOPPED_409)
    arm.on("GET", GROUP, group("Stopped"), group("Stopped"), group("Stopped"), group("Running"))
    arm.on("POST", f"{GROUP}/stop", (204, None, {}))

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    client = arm.client()
    monkeypatch.setattr(client.container_instances.container_groups, "begin_start", interrupted)
    with (
        pytest.raises(KeyboardInterrupt),
        Session(runtime, client, ONE, SPOKE, Progress(runtime)) as box,
    ):
        box.ticket()
    assert arm.calls[-1] == ("POST", f"{GROUP}/stop")


def test_a_start_under_way_in_a_thread_is_waited_for_and_stopped(arm: FakeArm) -> None:
    asked, answered = threading.Event(), threading.Event()

    def start(_: Any) -> tuple[int, Any, dict[str, str]]:
        asked.set()
        assert answered.wait(20)
        arm.on("GET", GROUP, group("Running"))
        return (204, None, {"Azure-AsyncOperation": f"{arm.url}/operation"})

    def use(box: Session) -> None:
        with pytest.raises(StoppedError):
            box.ticket()

    runtime = Runtime(environ={}, stderr=io.StringIO(), sleep=lambda _: answered.set())
    arm.on("POST", f"{GROUP}/containers/jump/exec", STOPPED_409)
    arm.on("GET", GROUP, group("Stopped"))
    arm.routes["POST", f"{GROUP}/start".lower()] = start
    arm.on("POST", f"{GROUP}/stop", (204, None, {}))
    with session(runtime, arm) as box:
        worker = threading.Thread(target=use, args=(box,))
        worker.start()
        assert asked.wait(20)
    worker.join(20)
    assert ("POST", f"{GROUP}/stop") in arm.calls


def test_a_start_that_was_refused_costs_no_wait(arm: FakeArm) -> None:
    pauses: list[float] = []
    runtime = Runtime(environ={}, stderr=io.StringIO(), sleep=pauses.append)
    arm.on("POST", f"{GROUP}/containers/jump/exec", STOPPED_409)
    arm.on("GET", GROUP, group("Stopped"))
    arm.fail("POST", f"{GROUP}/start", 403, "AuthorizationFailed")
    with pytest.raises(FwdctlError), session(runtime, arm) as box:
        box.ticket()
    assert pauses == []


def test_a_stopped_box_that_may_not_be_started(arm: FakeArm, runtime: Runtime) -> None:
    arm.on("POST", f"{GROUP}/containers/jump/exec", STOPPED_409)
    arm.on("GET", GROUP, group("Stopped"))
    with pytest.raises(FwdctlError) as error, session(runtime, arm, may_start=False) as box:
        box.ticket()
    assert (error.value.code, error.value.exit_code) == ("jump_not_running", 3)
    assert "fwdctl jump start spoke" in error.value.suggestion


def test_a_box_that_is_missing(arm: FakeArm, runtime: Runtime) -> None:
    arm.fail("POST", f"{GROUP}/containers/jump/exec", 404, "ResourceNotFound")
    arm.fail("GET", GROUP, 404, "ResourceNotFound")
    with pytest.raises(FwdctlError) as error, session(runtime, arm) as box:
        box.ticket()
    assert (error.value.code, error.value.exit_code) == ("jump_missing", 3)


def test_exec_that_stays_refused(arm: FakeArm) -> None:
    clock = iter(range(0, 100000, 7))
    runtime = Runtime(
        environ={}, stderr=io.StringIO(), sleep=lambda _: None, clock=lambda: float(next(clock))
    )
    arm.fail("POST", f"{GROUP}/containers/jump/exec", 409, "ExecRefused", "not now")
    arm.on("GET", GROUP, group("Running"))
    with pytest.raises(FwdctlError) as error, session(runtime, arm) as box:
        box.ticket()
    assert (error.value.code, error.value.exit_code) == ("exec_refused", 5)


def test_no_permission_is_said_at_once(arm: FakeArm, runtime: Runtime) -> None:
    arm.fail("POST", f"{GROUP}/containers/jump/exec", 403, "AuthorizationFailed")
    with pytest.raises(FwdctlError) as error, session(runtime, arm) as box:
        box.ticket()
    assert error.value.code == "not_authorized"
    assert len(arm.calls) == 1


def test_a_box_left_running_is_a_warning(arm: FakeArm, runtime: Runtime) -> None:
    arm.on("POST", f"{GROUP}/containers/jump/exec", STOPPED_409, {"webSocketUri": "ws://x", "password": "p"})
    starts(arm, group("Stopped"), group("Running"))
    arm.fail("POST", f"{GROUP}/stop", 403, "AuthorizationFailed")
    with session(runtime, arm) as box:
        box.ticket()
    assert "may still run and cost money" in runtime.stderr.getvalue()  # type: ignore[attr-defined]
