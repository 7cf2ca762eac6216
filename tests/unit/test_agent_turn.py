"""The forwarder agent's turns: configurations come and go, targets live and die, rules are lost and put back."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from support.agent_program import agent_module
from support.agent_world import World, document

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

agent = agent_module("agent")
configuration = agent_module("configuration")
targets = agent_module("targets")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.end()


def test_a_forward_is_healthy_once_its_rules_are_written(world: World) -> None:
    world.give()
    assert world.healthy() == 404
    world.until(lambda: world.healthy() == 200)
    assert world.kernel.chains["nat"]["FWDCTL-8000"] == [
        "-A FWDCTL-8000 -p tcp -j DNAT --to-destination 198.51.100.1:80"
    ]
    assert world.healthy("/forward/other/9") == 404


def test_a_renamed_forward_stays_healthy_by_its_port(world: World) -> None:
    world.give()
    world.until(lambda: world.healthy() == 200)
    assert world.healthy("/forward/www/8000") == 200


def test_after_a_boot_nothing_is_healthy_before_the_first_checks(world: World, slow: threading.Event) -> None:
    [forward] = document()["forwards"]
    world.give(forwards=[{**forward, "targets": [NEW]}])
    for _ in range(5):
        world.turn()
        assert world.healthy() == 503
    slow.set()
    world.until(lambda: world.healthy() == 200)


NEW = "198.51.100.2:80"


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Checks of every target but the first wait for this."""
    released = threading.Event()

    def check(_forward: Any, address: str, *_: Any) -> str:
        if address == NEW:
            released.wait(30)
        return ""

    monkeypatch.setattr(targets, "check_target", check)
    monkeypatch.setattr(agent, "FIRST_CHECKS_SECONDS", 60.0)
    return released


def chosen(world: World) -> list[str]:
    """Where new connections go."""
    return [rule.rpartition(" ")[2] for rule in world.kernel.chains["nat"]["FWDCTL-8000"]]


def test_what_is_served_is_served_on_until_new_targets_have_been_checked(
    world: World, slow: threading.Event
) -> None:
    world.give()
    world.until(lambda: world.healthy() == 200)
    [forward] = document()["forwards"]
    world.give(hash="second", forwards=[{**forward, "name": "renamed", "targets": [NEW]}])
    for _ in range(5):
        world.turn()
        assert (world.healthy(), chosen(world)) == (200, ["198.51.100.1:80"])
    assert world.status()["hash"] == "second"
    slow.set()
    world.until(lambda: chosen(world) == [NEW])
    assert world.healthy() == 200


def test_nobody_waits_long_for_a_first_check(
    world: World, slow: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent, "FIRST_CHECKS_SECONDS", 0.0)
    world.give()
    world.until(lambda: world.healthy() == 200)
    [forward] = document()["forwards"]
    world.give(hash="second", forwards=[{**forward, "targets": [NEW]}])
    world.turn()
    assert (world.healthy(), chosen(world)) == (503, [])
    slow.set()


def test_a_target_keeps_its_state_when_only_its_check_or_its_neighbours_change(
    world: World, slow: threading.Event
) -> None:
    world.give()
    world.until(lambda: world.healthy() == 200)
    since = world.status()["forwards"][0]["targets"][0]["since"]
    [forward] = document()["forwards"]
    other = {**forward, "check": "http", "checkPath": "/x", "targets": ["198.51.100.1:80", NEW]}
    slow.set()
    world.give(hash="second", forwards=[other])
    world.until(lambda: len(chosen(world)) == 2)
    told = world.status()["forwards"][0]["targets"]
    assert (told[0]["state"], told[0]["since"]) == ("up", since)


def test_the_rules_of_an_agent_before_this_one_stay_until_targets_have_been_checked(
    world: World, slow: threading.Event, tmp_path: Path
) -> None:
    [forward] = document()["forwards"]
    world.give(forwards=[{**forward, "targets": [NEW]}])
    slow.set()
    world.until(lambda: world.healthy() == 200)
    slow.clear()
    again = World(tmp_path)
    again.kernel = world.kernel
    again.agent = agent.Agent(world.kernel, str(again.file), again.last_good)
    for _ in range(5):
        again.turn()
        assert (again.healthy(), chosen(again)) == (200, [NEW])  # else a restart of all would be an outage
        assert again.healthy("/forward/other/8001") == 404
    slow.set()
    again.until(lambda: again.status()["forwards"][0]["rulesInPlace"])
    assert (again.healthy(), chosen(again)) == (200, [NEW])


def test_an_unchanged_turn_writes_nothing(world: World) -> None:
    world.give()
    world.until(lambda: world.healthy() == 200)
    before = world.kernel.writes
    for _ in range(3):
        world.turn()
    assert world.kernel.writes == before


def test_a_new_configuration_takes_the_place_of_the_old_and_is_kept(world: World) -> None:
    world.give()
    world.until(lambda: world.healthy() == 200)
    kept = world.agent.targets.of(world.agent.config.forwards[0])[0]
    second = {"name": "db", "port": 1433, "targets": ["198.51.100.9:1433"], "check": "none"}
    world.give(hash="second", forwards=[*document()["forwards"], second])
    world.until(lambda: world.healthy("/forward/db/1433") == 200)
    assert world.status()["hash"] == "second"
    assert world.agent.targets.of(world.agent.config.forwards[0]) == [kept]
    assert json.loads(world.last_good.read_text())["hash"] == "second"
    world.give(hash="third", forwards=[second])
    world.until(lambda: world.healthy() == 404)
    assert "FWDCTL-8000" not in world.kernel.chains["nat"]
    assert kept.gone.is_set()


def test_draining_refuses_the_load_balancer_and_keeps_the_rules(world: World) -> None:
    world.give()
    world.until(lambda: world.healthy() == 200)
    world.give(hash="drained", drain=True)
    world.until(lambda: world.healthy() == 503)
    assert world.kernel.chains["nat"]["FWDCTL-8000"]
    assert world.status()["draining"] is True


def test_removed_rules_and_forwarding_are_put_back_at_once_and_counted(world: World) -> None:
    world.give()
    world.until(lambda: world.healthy() == 200)
    wanted = world.kernel.read()
    world.kernel.chains = {}
    world.kernel.forwarding = False
    world.agent._sight = (0.0, {})
    assert world.healthy() == 503
    world.turn()
    assert world.kernel.read() == wanted
    assert world.status()["repairs"] == 2
    assert world.healthy() == 200


def test_a_kernel_that_refuses_makes_the_forward_unhealthy_and_the_agent_stay_alive(world: World) -> None:
    world.give()
    world.until(lambda: world.healthy() == 200)
    world.kernel.chains = {}
    world.kernel.refuses = True
    world.agent._sight = (0.0, {})
    world.turn()
    assert (world.healthy(), world.agent.answer("/live")[0]) == (503, 200)
    assert "no permission" in world.status()["lastError"]
    world.kernel.refuses = False
    world.turn()
    assert world.healthy() == 200


def test_a_loop_that_hangs_is_not_live(world: World) -> None:
    world.give()
    world.until(lambda: world.healthy() == 200)
    world.agent._last_turn -= 1000
    assert (world.healthy(), world.agent.answer("/live")[0]) == (503, 503)


def test_status_and_metrics_tell_hash_rules_targets_and_conntrack(world: World) -> None:
    world.give()
    world.until(lambda: world.healthy() == 200)
    status = world.status()
    assert json.loads(json.dumps(status)) == status
    assert status["conntrack"] == {"count": 5, "max": 100}
    [forward] = status["forwards"]
    assert (forward["name"], forward["port"], forward["rulesInPlace"]) == ("web", 8000, True)
    [target] = forward["targets"]
    assert (target["address"], target["state"], target["connections"]) == ("198.51.100.1:80", "up", 0)
    metrics = world.agent.answer("/metrics")[1].splitlines()
    assert 'fwdctl_target_up{forward="web",target="198.51.100.1:80"} 1' in metrics
    assert "fwdctl_conntrack_count 5" in metrics
    assert (status["codes"], status["unread"]) == ([], None)


def test_connection_tracking_that_is_nearly_full_has_a_code(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.give()
    monkeypatch.setattr(world.kernel, "conntrack", lambda: {"count": 91, "max": 100})
    assert world.status()["codes"] == ["FWD_CONNTRACK_FULL"]
    assert 'fwdctl_problem{code="FWD_CONNTRACK_FULL"} 1' in world.agent.answer("/metrics")[1]
    monkeypatch.setattr(world.kernel, "conntrack", dict)  # a kernel that does not say
    assert world.status()["codes"] == []


def new_target() -> Any:
    forward = configuration.Forward("web", 8000, ())
    return targets.Target(forward, "198.51.100.1", "198.51.100.1:80")


def test_a_target_changes_its_state_after_two_checks_that_agree() -> None:
    target = new_target()
    states = []
    for error in ["", "refused", "", "refused", "refused", "", "refused", "", ""]:
        target.record(error)
        states.append(target.state)
    assert states == ["up", "up", "up", "up", "down", "down", "down", "down", "up"]
    assert target.last_error == "refused"
    assert target.since


def test_the_very_first_success_counts_at_once_and_a_failure_has_to_be_repeated() -> None:
    """Else one slow check after a restart would take away what an agent before this one serves."""
    target = new_target()
    target.record("refused")
    assert (target.state, target.against) == ("unknown", 1)
    target.record("refused")
    assert target.state == "down"
    target = new_target()
    target.record("")
    assert target.state == "up"


def test_two_checks_fit_into_the_time_for_new_targets() -> None:
    assert agent.FIRST_CHECKS_SECONDS > 2 * targets.CHECK_SECONDS + targets.RECHECK_SECONDS


def test_what_a_dead_target_never_answered_is_forgotten_after_it_left_the_rotation(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead: set[str] = set()
    monkeypatch.setattr(targets, "check_target", lambda _, address, *__: "dead" if address in dead else "")
    monkeypatch.setattr(targets, "RECHECK_SECONDS", 0.01)
    [forward] = document()["forwards"]
    world.give(forwards=[{**forward, "targets": ["198.51.100.1:80", NEW]}], checkInterval=0.1)
    world.until(lambda: world.healthy() == 200 and len(chosen(world)) == 2)
    assert world.kernel.forgotten == []
    dead.add(NEW)
    world.until(lambda: len(chosen(world)) == 1)
    world.until(lambda: world.kernel.forgotten == [(NEW, False)])


def test_checks_of_one_target_never_overlap_whatever_the_configuration_becomes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, most = [0], [0]

    def check(*_: Any) -> str:
        running[0] += 1
        most[0] = max(most[0], running[0])
        time.sleep(0.05)
        running[0] -= 1
        return ""

    monkeypatch.setattr(targets, "check_target", check)
    for number in range(10):
        world.give(hash=str(number), checkInterval=0.1 + number / 10)
        world.until(lambda number=number: world.status()["hash"] == str(number))  # type: ignore[misc]
        time.sleep(0.03)
    assert most == [1]


def test_a_dead_target_leaves_the_rotation_and_a_slow_one_holds_up_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = threading.Event()

    def checked(_forward: Any, address: str, _seconds: float, _host: str) -> str:
        if address == "198.51.100.2:80":
            end.wait(30)
        return ""

    monkeypatch.setattr(targets, "check_target", checked)
    world.give(forwards=[{"name": "web", "port": 8000, "targets": ["198.51.100.1:80", "198.51.100.2:80"]}])
    try:
        world.until(lambda: world.healthy() == 200)
        [first, second] = world.status()["forwards"][0]["targets"]
        assert (first["state"], second["state"]) == ("up", "unknown")
    finally:
        end.set()
