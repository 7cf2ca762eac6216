"""Verdicts of health probes."""

from __future__ import annotations

from fwdlab.fabric.health import Verdict, judge

UP = "Up_Probe_Success"
DOWN = "Down_Probe_HttpStatusCodeError"


def after(first: Verdict, *seen: str, threshold: int = 2) -> list[tuple[str, str]]:
    found, verdict = [], first
    for each in seen:
        verdict = judge(verdict, each, threshold, quick=False)
        found.append((verdict.state, verdict.reason))
    return found


def test_first_success_counts_at_once() -> None:
    assert judge(Verdict(), UP, 3, quick=True) == Verdict("Up", "Up_Probe_Success")
    assert judge(Verdict(), UP, 3, quick=False).state == "Up"


def test_first_failure_counts_after_the_quick_time() -> None:
    assert judge(Verdict(), DOWN, 3, quick=True).state == "NA"
    assert judge(Verdict(), DOWN, 3, quick=False) == Verdict("Down", "Down_Probe_HttpStatusCodeError")


def test_threshold_on_the_way_down_and_up() -> None:
    assert after(Verdict("Up", "Up_Probe_Success"), DOWN, DOWN, UP, UP) == [
        ("Up", "Up_Probe_ApproachingUnhealthyThreshold"),
        ("Down", "Down_Probe_HttpStatusCodeError"),
        ("Down", "Down_Probe_ApproachingHealthyThreshold"),
        ("Up", "Up_Probe_Success"),
    ]


def test_one_success_starts_the_count_anew() -> None:
    assert [state for state, _ in after(Verdict("Up", ""), DOWN, UP, DOWN, DOWN)] == [
        "Up",
        "Up",
        "Up",
        "Down",
    ]


def test_threshold_of_one() -> None:
    assert [state for state, _ in after(Verdict("Up", ""), DOWN, UP, threshold=1)] == ["Down", "Up"]
