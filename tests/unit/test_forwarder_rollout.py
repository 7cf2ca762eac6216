"""A rollout that meets what happens at night: faults, Ctrl-C, an Azure that is busy, a newer image."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from fwdctl.azure.errors import ArmFailure
from fwdctl.errors import FwdctlError
from fwdctl.forwarders.drift import differences
from fwdctl.forwarders.plan import plan_restart, plan_rollout
from fwdctl.forwarders.rollout import Rollout
from fwdctl.probe.agents import configuration
from fwdctl.progress import Progress
from support.fleets import SETUP, fleet, instance, outdated, report
from support.frame import make_runtime

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fwdctl.forwarders.fleet import Fleet, Instance

OLD = replace(SETUP, programs="programs1")


@dataclass
class Night:
    """A scale set of three, and a clock that runs while somebody sleeps; `events` is what was done, in order.

    `at` changes the world when a step is reached, such as `drain 1`.
    """

    folder: Path
    disks: dict[str, str] = field(default_factory=lambda: dict.fromkeys("012", "programs1"))
    now: float = 0.0
    events: list[str] = field(default_factory=list)
    at: dict[str, Callable[[], None]] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    unasked: str = ""
    newer_image: bool = False
    open: int = 0

    def __post_init__(self) -> None:
        self.machines = {number: outdated(number) for number in self.disks}
        self.runtime = make_runtime(self.folder, clock=lambda: self.now, sleep=self._sleep)

    def _sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds

    def _did(self, event: str) -> None:
        self.events.append(event)
        if event in self.at:
            self.at[event]()

    # -- what a Watch is

    @property
    def scale_set(self) -> Any:
        return self

    def look(self) -> Fleet:
        self.now += 0.1
        return replace(fleet(*map(self._seen, self.machines.values())), unasked=self.unasked)

    def _seen(self, machine: Instance) -> Instance:
        drained = configuration(machine.setup.user_data).get("drain", False)
        up = machine.number not in self.down and not drained
        told = report(
            programs=self.disks[machine.number],
            draining=drained,
            conntrack={"established": self.open},
        )
        return replace(machine, health={"web": "Up" if up else "Down"}, report=told)

    def refused(self, _instance: Instance, _forwards: frozenset[str]) -> str:
        return ""

    # -- what a ScaleSet is

    def machine(self, number: str) -> dict[str, Any]:
        return {"instanceId": number, "properties": {"userData": self.machines[number].setup.user_data}}

    def give_user_data(self, document: dict[str, Any], user_data: str) -> None:
        number = document["instanceId"]
        self._did(f"{'drain' if configuration(user_data).get('drain') else 'hand on'} {number}")
        own = self.machines[number]
        self.machines[number] = replace(own, setup=replace(own.setup, user_data=user_data))

    def act(self, number: str, action: str, tick: Callable[[], None]) -> None:
        tick()
        self._did(f"{action} {number}")
        if action == "manualupgrade":
            self.machines[number] = instance(number)
        if action == "reimage" or (action == "manualupgrade" and self.newer_image):
            self.disks[number] = self.machines[number].setup.programs

    # -- what is tried

    def roll(
        self, restart: tuple[str, ...] = (), drain: float = 60.0
    ) -> tuple[list[Any], FwdctlError | None]:
        seen = self.look()
        turns = (
            plan_restart(seen, restart, drain) if restart else plan_rollout(seen, differences(seen), drain)
        )
        progress = Progress(self.runtime)
        rollout = Rollout(self.runtime, self, seen, progress, "fwdctl forwarder rollout", 300.0)  # type: ignore[arg-type]
        error = rollout.carry_out(turns, alone=False)
        return [(each.turn.instance, each.open) for each in rollout.ended], error

    @property
    def said(self) -> str:
        text: str = self.runtime.stderr.getvalue()  # type: ignore[attr-defined]
        return text


@pytest.fixture
def night(tmp_path: Path) -> Night:
    return Night(tmp_path)


def of(number: str) -> list[str]:
    return [f"{step} {number}" for step in ("manualupgrade", "drain", "reimage", "hand on")]


def test_one_after_the_other_is_updated_drained_reimaged_and_awaited(night: Night) -> None:
    assert night.roll() == ([("0", 0), ("1", 0), ("2", 0)], None)
    assert night.events == [*of("0"), *of("1"), *of("2")]
    assert night.roll() == ([], None)


def test_a_drain_lasts_as_long_as_connections_are_open_and_those_that_stay_are_counted(night: Night) -> None:
    night.open = 3
    assert night.roll(restart=("1",), drain=60.0) == ([("1", 3)], None)
    assert 60 < night.now < 75
    night.now, night.open = 0.0, 0
    assert night.roll(restart=("1",), drain=60.0) == ([("1", 0)], None)
    assert night.now < 10
    assert "3 connections still open" in night.said


def test_a_forwarder_that_falls_ill_meanwhile_stops_it_and_the_drain_is_undone(night: Night) -> None:
    night.at["drain 1"] = lambda: night.down.add("2")
    done, error = night.roll()
    assert (done, error is not None and error.code) == ([("0", 0)], "rollout_stopped")
    assert error is not None
    assert error.exit_code == 4
    assert error.message == (
        "Stopped at forwarder 1: forwarder 2 is not healthy: it takes no connections for web."
    )
    assert "`fwdctl forwarder rollout`" in error.suggestion
    assert night.events[-2:] == ["drain 1", "hand on 1"]
    assert "(i) Note: Forwarder 1 has its own user data back" in night.said
    night.down.clear()
    night.at.clear()
    night.events.clear()
    assert night.roll() == ([("1", 0), ("2", 0)], None)
    assert night.events == [*of("1")[1:], *of("2")]  # its model is applied already


def test_nothing_begins_while_another_forwarder_is_ill(night: Night) -> None:
    night.disks["2"], night.machines["2"] = "programs2", instance("2")
    night.down.add("2")
    done, error = night.roll()
    assert (done, night.events, error is not None and error.exit_code) == ([], [], 4)


def test_an_ill_forwarder_is_renewed_first(night: Night) -> None:
    night.down.add("2")
    night.at["reimage 2"] = night.down.clear
    assert night.roll() == ([("2", 0), ("0", 0), ("1", 0)], None)


def test_a_glimpse_of_ill_health_stops_nothing(night: Night) -> None:
    looks = 0
    seen = night._seen

    def flicker(machine: Instance) -> Instance:
        nonlocal looks
        looks += machine.number == "2"
        found = seen(machine)
        return replace(found, health={"web": "Down"}) if (machine.number, looks) == ("2", 3) else found

    night._seen = flicker  # type: ignore[method-assign]
    assert night.roll()[1] is None


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("step", ["drain 1", "reimage 1"])
def test_ctrl_c_gives_a_drained_forwarder_its_own_user_data_back(night: Night, step: str) -> None:
    night.at[step] = interrupt
    with pytest.raises(KeyboardInterrupt):
        night.roll()
    drained = [m.number for m in night.machines.values() if configuration(m.setup.user_data).get("drain")]
    assert drained == []
    assert "`fwdctl forwarder rollout` goes on where this stopped" in night.said
    night.at.clear()
    assert night.roll() == ([("1", 0), ("2", 0)], None)


def test_ctrl_c_while_azure_is_busy_with_the_machine_tries_again_and_says_what_is_left(night: Night) -> None:
    def busy() -> None:
        error = ArmFailure.__new__(ArmFailure)
        FwdctlError.__init__(error, "arm_refused", "Another operation is in progress.")
        error.status = 409
        raise error

    night.at |= {"reimage 1": interrupt, "hand on 1": busy}
    with pytest.raises(KeyboardInterrupt):
        night.roll()
    assert night.events.count("hand on 1") > 10
    assert "Forwarder 1 is still drained: Another operation is in progress." in night.said
    night.at.clear()
    assert night.roll() == ([("1", None), ("1", 0), ("2", 0)], None)


def test_a_newer_image_that_the_update_brings_saves_the_reimage(night: Night) -> None:
    night.newer_image = True
    assert night.roll()[1] is None
    assert night.events == [f"manualupgrade {number}" for number in "012"]


def test_a_forwarder_that_does_not_become_healthy_stops_it(night: Night) -> None:
    night.at["reimage 0"] = lambda: night.down.add("0")
    done, error = night.roll()
    assert done == []
    assert error is not None
    assert error.message == "Stopped at forwarder 0: after 300 s, it takes no connections for web."
    assert night.now > 300


def test_what_cannot_be_seen_for_a_while_is_looked_at_again_and_then_stops_it(night: Night) -> None:
    def blind() -> None:
        night.unasked = "The hub's jump box gave no answer."

    night.at["reimage 0"] = blind
    done, error = night.roll()
    assert (done, error is not None and (error.code, error.exit_code)) == ([], ("rollout_blind", 5))
    assert "fwdctl forwarder rollout" in (error.suggestion if error else "")


def test_without_agents_to_ask_only_the_harmless_part_is_done(night: Night) -> None:
    night.unasked = "The hub has no jump box."
    night.machines["0"] = replace(outdated("0"), setup=replace(OLD, user_data=""))
    done, error = night.roll()
    assert (done, night.events) == ([("0", None)], ["hand on 0"])
    assert error is not None
    assert (error.code, error.exit_code) == ("agents_not_asked", 5)


def test_the_only_forwarder_is_not_taken_down_unasked(night: Night) -> None:
    del night.machines["1"], night.machines["2"]
    _, error = night.roll()
    assert (error is not None and error.code, night.events) == ("single_forwarder", [])
