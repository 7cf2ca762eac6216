"""Ctrl-C while boxes start: what may still start costs money, and the user has to hear of it."""

from __future__ import annotations

import io
import threading
from contextlib import suppress
from typing import Any

import pytest

from fwdctl.deployment import Box, Deployment, Hub, Spoke
from fwdctl.errors import StoppedError
from fwdctl.jump import boxes
from fwdctl.progress import Progress
from fwdctl.runtime import Runtime
from support.fake_arm import CONTAINERS, container_group, fake_arm

HUB, SPOKE = Box("hub", "ci-hub", "jump"), Box("spoke", "ci-spoke", "jump")
BOTH = Deployment("rg-dev", None, Hub(HUB), (Spoke("spoke", SPOKE),), (), "x")
WARNING = "may still start and cost money. Stop it with `fwdctl jump stop spoke`."


def interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def test_a_start_that_is_interrupted_names_the_box_and_the_way_to_stop_it() -> None:
    runtime = Runtime(environ={}, stderr=io.StringIO(), sleep=interrupt)
    with fake_arm() as arm:
        arm.on(
            "GET",
            f"{CONTAINERS}/ci-spoke",
            container_group("ci-spoke", "Stopped"),
            container_group("ci-spoke", "Pending"),
        )
        arm.on("POST", f"{CONTAINERS}/ci-spoke/start", (204, None, {}))
        with pytest.raises(KeyboardInterrupt):
            boxes.start(runtime, arm.client(), BOTH, [SPOKE], Progress(runtime))
    assert f"spoke (ci-spoke) {WARNING}" in runtime.stderr.getvalue()  # type: ignore[attr-defined]


def test_a_box_that_runs_or_was_not_asked_to_start_is_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = Runtime(environ={}, stderr=io.StringIO())
    with fake_arm() as arm:
        client = arm.client()
        monkeypatch.setattr(client.container_instances.container_groups, "get", interrupt)
        with pytest.raises(KeyboardInterrupt):
            boxes.start(runtime, client, BOTH, [SPOKE], Progress(runtime))
    assert runtime.stderr.getvalue() == ""  # type: ignore[attr-defined]


def test_of_several_boxes_only_those_under_way_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = Runtime(environ={}, stderr=io.StringIO())
    polled, ended = threading.Event(), threading.Event()

    def pending(_: Any) -> Any:
        return (200, container_group("ci-spoke", "Pending" if polled.is_set() else "Stopped"), {})

    def asked(_: Any) -> Any:
        polled.set()
        return (204, None, {})

    def interrupted(function: Any, items: Any) -> Any:
        def one(item: Any) -> None:
            with suppress(StoppedError):  # which ends a start that nobody waits for
                function(item)
            ended.set()

        threads = [threading.Thread(target=one, args=(item,)) for item in items]
        for thread in threads:
            thread.start()
        assert polled.wait(20)
        assert ended.wait(20)
        raise KeyboardInterrupt

    with fake_arm() as arm:
        arm.on("GET", f"{CONTAINERS}/ci-hub", container_group("ci-hub", "Running"))
        arm.routes["GET", f"{CONTAINERS}/ci-spoke".lower()] = pending
        arm.routes["POST", f"{CONTAINERS}/ci-spoke/start".lower()] = asked
        monkeypatch.setattr(boxes, "side_by_side", interrupted)
        with pytest.raises(KeyboardInterrupt):
            boxes.start(runtime, arm.client(), BOTH, [HUB, SPOKE], Progress(runtime))
        for thread in threading.enumerate():
            if thread.name.endswith("(one)"):
                thread.join(20)  # the other start notices that nobody waits for it any more
                assert not thread.is_alive()
    said = runtime.stderr.getvalue()  # type: ignore[attr-defined]
    assert f"spoke (ci-spoke) {WARNING}" in said
    assert said.count(WARNING[:9]) == 1
    assert "Failed" not in said
