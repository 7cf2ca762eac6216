"""What counts as a difference between the scale set and its forwarders."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fwdctl.forwarders.drift import differences, silent
from fwdctl.forwarders.setup import Setup
from support.fleets import SETUP, fleet, instance, outdated, report, user_data


def told(*args: object, **more: object) -> list[tuple[str, str, str, str]]:
    found = differences(fleet(*args, **more))  # type: ignore[arg-type]
    return [(each.instance, each.what, each.has, each.wanted) for each in found]


def test_forwarders_that_are_as_deployed_do_not_differ() -> None:
    assert told(instance("0"), instance("1")) == []


@pytest.mark.parametrize(
    ("changed", "what", "has", "wanted"),
    [
        ({"user_data": user_data("old")}, "user data", "old", "new"),
        ({"user_data": user_data(drain=True)}, "user data", "new, drained", "new"),
        ({"user_data": ""}, "user data", "none", "new"),
        ({"user_data": "%%"}, "user data", "another document", "new"),
        (
            {"image": "canonical:ubuntu:server:0.9.0"},
            "image",
            "canonical:ubuntu:server:0.9.0",
            SETUP.image,
        ),
        ({"size": "Standard_B1s"}, "size", "Standard_B1s", SETUP.size),
    ],
)
def test_each_part_of_a_machine_is_compared(
    changed: dict[str, str], what: str, has: str, wanted: str
) -> None:
    machine = instance("1", setup=replace(SETUP, **changed), latest=False)
    assert (("1", what, has, wanted) in told(instance("0"), machine)) is True


def test_the_agent_that_runs_counts_not_the_tag_of_a_model_that_was_applied_without_a_reimage() -> None:
    machine = instance("0", report=report(programs="programs1"))
    assert told(machine) == [("0", "agent", "programs1", "programs2")]


def test_an_agent_that_does_not_tell_its_programs_is_judged_by_the_tag() -> None:
    quiet = report()
    del quiet["programs"]
    assert told(instance("0", report=quiet)) == []
    assert told(outdated("0", report=quiet)) == [("0", "agent", "programs1", "programs2")]


def test_an_earlier_model_is_no_difference_where_only_the_forwards_are_newer() -> None:
    handed = instance("0", latest=False, setup=replace(SETUP, forwards="old"))
    assert told(handed) == []
    assert told(instance("0", latest=False)) == [("0", "model", "an earlier one", "the latest one")]


def test_what_an_agent_runs_is_compared_and_what_it_refused_is_said() -> None:
    wrong = report(hash="old", refused="two ports are the same")
    assert told(instance("0", report=wrong)) == [("0", "running", "old (two ports are the same)", "new")]


def test_a_scale_set_whose_tag_and_user_data_contradict_each_other_is_said_once() -> None:
    assert told(instance("0"), setup=replace(SETUP, forwards="other"))[0] == (
        "scale set",
        "tag",
        "other",
        "new",
    )


def test_what_is_not_told_is_not_compared() -> None:
    bare = replace(SETUP, programs="", image="", size="")
    assert told(instance("0", setup=Setup(SETUP.user_data, forwards="new"))) == []
    assert told(instance("0"), setup=bare) == []


def test_an_agent_that_does_not_answer_is_unknown_with_the_reason() -> None:
    quiet, off = instance("1", report=None), instance("2", report=None, power="deallocated")
    assert silent(fleet(instance("0"), quiet, off)) == {
        "1": "its agent does not answer",
        "2": "it is deallocated",
    }
    assert silent(fleet(quiet, unasked="The hub has no jump box.")) == {"1": "The hub has no jump box."}
