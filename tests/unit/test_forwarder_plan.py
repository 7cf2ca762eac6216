"""Which steps a rollout or a restart takes, and when a forwarder may go down."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fwdctl.errors import FwdctlError
from fwdctl.forwarders.drift import differences
from fwdctl.forwarders.plan import (
    Step,
    Turn,
    fault_elsewhere,
    lacking,
    plan_restart,
    plan_rollout,
    served,
)
from support.fleets import SETUP, fleet, instance, outdated, report, user_data

if TYPE_CHECKING:
    from fwdctl.forwarders.fleet import Fleet

WEB = frozenset({"web"})


def rollout(found: Fleet) -> list[Turn]:
    return plan_rollout(found, differences(found), 60.0)


def test_nothing_is_done_where_nothing_differs() -> None:
    assert rollout(fleet(instance("0"), instance("1"))) == []


def test_user_data_is_handed_on_without_anything_else_and_first() -> None:
    lacks = instance("1", setup=replace(SETUP, user_data=user_data("old")))
    handed = Turn("1", ("user data",), (Step.hand_on,))
    assert rollout(fleet(instance("0"), lacks)) == [handed]
    assert handed.is_harmless
    both = replace(lacks, number="2", report=report(programs="programs1"))
    turns = rollout(fleet(instance("0"), lacks, both))
    assert [(turn.instance, turn.is_harmless) for turn in turns] == [("1", True), ("2", True), ("2", False)]


def test_a_forwarder_that_was_left_drained_gets_its_user_data_back() -> None:
    left = instance("1", setup=replace(SETUP, user_data=user_data(drain=True)))
    assert rollout(fleet(instance("0"), left)) == [Turn("1", ("user data",), (Step.hand_on,))]


def test_a_new_agent_takes_an_update_a_drain_and_a_reimage() -> None:
    [turn] = rollout(fleet(instance("0"), outdated("1")))
    assert (turn.instance, turn.why, turn.drain) == ("1", ("agent",), 60.0)
    assert turn.steps == (Step.upgrade, Step.drain, Step.reimage, Step.hand_on, Step.wait)


def test_an_update_that_may_bring_a_newer_image_is_drained_for_too() -> None:
    latest = replace(SETUP, image="canonical:ubuntu:server:latest")
    found = fleet(outdated("1", setup=replace(latest, programs="programs1")), setup=latest)
    [turn] = rollout(found)
    assert turn.steps == (Step.drain, Step.upgrade, Step.drain, Step.reimage, Step.hand_on, Step.wait)


@pytest.mark.parametrize("changed", [{"image": "a:b:c:0"}, {"size": "Standard_B1s"}])
def test_another_image_or_size_comes_with_the_update(changed: dict[str, str]) -> None:
    [turn] = rollout(fleet(instance("0"), instance("1", latest=False, setup=replace(SETUP, **changed))))
    assert turn.steps == (Step.drain, Step.upgrade, Step.hand_on, Step.wait)


def test_what_was_updated_and_not_reimaged_goes_on_with_the_reimage() -> None:
    half = instance("1", report=report(programs="programs1"))
    [turn] = rollout(fleet(instance("0"), half))
    assert turn.steps == (Step.drain, Step.reimage, Step.hand_on, Step.wait)


def test_forwarders_that_take_no_connections_go_first() -> None:
    found = fleet(outdated("0"), outdated("1"), outdated("2", health={"web": "Down"}))
    assert [turn.instance for turn in rollout(found)] == ["2", "0", "1"]


def test_a_restart_is_drained_for_and_awaited() -> None:
    found = fleet(instance("0"), instance("1"), instance("2", health={"web": "Down"}))
    assert [turn.instance for turn in plan_restart(found, (), 60.0)] == ["2", "0", "1"]
    [turn] = plan_restart(found, ("1", "1"), 60.0)
    assert turn.steps == (Step.drain, Step.restart, Step.hand_on, Step.wait)
    with pytest.raises(FwdctlError, match="no instance '7'") as error:
        plan_restart(found, ("7",), 60.0)
    assert (error.value.exit_code, error.value.suggestion) == (2, "Use one of these: 0, 1, 2.")


def test_only_forwards_that_somebody_serves_count_as_health() -> None:
    dead = {"web": "Up", "sql": "Down"}
    found = fleet(instance("0", health=dead), instance("1", health=dead))
    assert served(found) == WEB
    assert fault_elsewhere(found, "0", served(found)) == ""


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"health": {"web": "Down"}}, "it takes no connections for web"),
        ({"health": {}}, "it takes no connections for web"),
        ({"power": "deallocated"}, "it is deallocated"),
        ({"report": report(draining=True)}, "it is drained"),
    ],
)
def test_no_forwarder_may_go_down_while_another_one_is_not_healthy(other: dict[str, str], why: str) -> None:
    found = fleet(instance("0"), instance("1", **other), instance("2"))
    assert fault_elsewhere(found, "0", WEB) == f"forwarder 1 is not healthy: {why}"
    assert fault_elsewhere(found, "1", WEB) == ""


@pytest.mark.parametrize(
    ("own", "why"),
    [
        ({}, ""),
        ({"report": None}, "its agent does not answer"),
        ({"report": report(hash="old")}, "it forwards old, not new"),
        ({"report": report(hash="old", refused="bad port")}, "it forwards old, not new: bad port"),
        ({"report": report(programs="programs1")}, "it runs the agent programs1, not programs2"),
        ({"report": report(forwarding=False)}, "its rules are not in place"),
        ({"report": report(draining=True)}, "it is drained"),
        ({"health": {"web": "Down"}}, "it takes no connections for web"),
    ],
)
def test_a_forwarder_is_awaited_until_it_does_all_that_is_wanted(own: dict[str, str], why: str) -> None:
    assert lacking(fleet(instance("0", **own), instance("1")), "0", WEB) == why
