"""The forwarders' counters: which targets took connections between two readings."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from fwdctl.azure.networks import Backend
from fwdctl.deployment import Deployment, Hub
from fwdctl.errors import FwdctlError
from fwdctl.probe.counters import Count, counted, with_count
from fwdctl.probe.judge import judge
from fwdctl.probe.model import Path, Sample
from support.probe_paths import BOX, PATH, WEB, observed

if TYPE_CHECKING:
    from fwdctl.probe.evidence import Evidence

A, B = WEB.targets
WELL = Sample("curl", connected=True, answered=True)
LOST = Sample("curl", connected=False, answered=False, failure="timeout", text="timed out")
NAMELESS = replace(PATH, forward=replace(WEB, identity_header=""))


def report(first: int | None, second: int | None, state: str = "up") -> dict[str, Any]:
    """What an agent reports, with the second target's state; None is no counter."""
    targets = [
        {"address": address, "state": its} | ({} if number is None else {"connections": number})
        for address, its, number in ((A, "up", first), (B, state, second))
    ]
    return {"forwards": [{"name": "web", "targets": targets}]}


def evidence(*readings: dict[str, Any], hub: bool = True, down: str = "", **more: Any) -> Evidence:
    waiting = iter(readings)
    addresses = list(readings[0]) if readings else []
    health = [Backend(each, "Down" if each == down else "Up") for each in addresses]
    facts = {
        "running_hub": lambda: BOX if hub else None,
        "health": lambda _: health,
        "reports": lambda _: next(waiting),
        "deployment": Deployment("rg", None, Hub(BOX, more.pop("balancer", "lbi")), (), (WEB,), "x"),
    }
    return SimpleNamespace(**facts, **more)  # type: ignore[return-value]


def count(*readings: dict[str, Any], **more: Any) -> Count:
    done, counts = counted(evidence(*readings, **more), [WEB], lambda: "done")
    assert done == "done"
    return counts["web"]


def test_forwarders_of_an_unknown_load_balancer_are_not_asked() -> None:
    assert count({}, {}, balancer="").unknown.endswith(
        "which load balancer sends to the forwarders is not known"
    )


def test_growth_is_summed_over_the_forwarders() -> None:
    before = {"10.0.1.6": report(5, 7), "10.0.1.7": report(0, 0)}
    after = {"10.0.1.6": report(7, 7), "10.0.1.7": report(1, 0)}
    assert count(before, after) == Count(taken={A: 3, B: 0})


def test_rules_that_were_written_anew_count_from_zero() -> None:
    assert count({"f": report(50, 70)}, {"f": report(2, 1)}) == Count(taken={A: 2, B: 1})


def test_a_target_that_no_forwarder_reaches_took_nothing() -> None:
    after = {"f": report(4, 4, state="down"), "g": report(4, 4, state="down")}
    assert count({"f": report(0, 0), "g": report(0, 0)}, after) == Count(taken={A: 8})
    half = {"f": report(4, 4, state="down"), "g": report(4, 4)}
    assert count({"f": report(0, 0), "g": report(0, 0)}, half) == Count(taken={A: 8, B: 8})


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ({"f": None}, {"f": report(1, 1)}, "the forwarders' agents do not answer the hub (f)"),
        ({"f": report(0, 0)}, {"f": None}, "the forwarders' agents do not answer the hub (f)"),
        ({"f": report(0, 0)}, {"f": report(None, None)}, "forwarder f has no counters"),
        ({"f": report(None, None)}, {"f": report(9, 9)}, "forwarder f has no counters"),
        ({"f": report(0, 0)}, {"f": report(1, 1), "g": report(9, 9)}, "forwarder g has no counters"),
        ({"f": report(3, 4)}, {"f": report(3, 4)}, "the forwarders counted no connection"),
        ({}, {}, "the forwarders' agents do not answer the hub (any address)"),
    ],
)
def test_what_is_not_known_is_no_count(before: Any, after: Any, reason: str) -> None:
    found = count(before, after)
    assert found == Count(unknown=f"which servers answer is not known: {reason}")


def test_a_forwarder_that_takes_no_connections_need_not_answer() -> None:
    before, after = ({"f": report(n, n), "g": None} for n in (0, 1))
    assert count(before, after, down="g") == Count(taken={A: 1, B: 1})


def test_the_hub_s_box_is_needed() -> None:
    assert count(hub=False).unknown == "which servers answer was not asked: the hub's jump box does not run"


def test_a_refusal_is_said() -> None:
    def refuse() -> None:
        raise FwdctlError("not_authorized", "You may not read that.")

    facts = SimpleNamespace(running_hub=refuse)
    _, counts = counted(facts, [WEB], lambda: 0)  # type: ignore[arg-type]
    assert counts["web"].unknown == "which servers answer was not asked: You may not read that"


def test_connections_that_failed_make_the_direct_tests_decide() -> None:
    """A target that has just died still takes connections."""
    result = judge(NAMELESS, observed(WELL, LOST, WELL, LOST))
    direct = [
        judge(Path(f"hub/web/{t}", "target", BOX, WEB, t.partition(":")[0], 8000), observed(sample))
        for t, sample in ((A, LOST), (B, WELL))
    ]
    facts = evidence(targets=lambda _: direct)
    found = with_count(facts, result, Count(taken={A: 2, B: 2}))
    assert (found.verdict, found.answering, found.idle, found.lacks_servers) == ("pass", 1, (A,), True)
    assert (
        found.reason
        == f"1 of 2 targets took connections: {B}; 2 of 4 connections failed: no answer in time x2"
    )
    # Where all connections were answered, nobody asks the targets themselves.
    well = with_count(evidence(), judge(NAMELESS, observed(*[WELL] * 4)), Count(taken={A: 2, B: 2}))
    assert (well.answering, well.lacks_servers) == (2, False)
