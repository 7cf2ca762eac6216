"""Causes: what one thing breaks is one cause, and what a path's word and the exit code are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fwdctl.errors import ExitCode
from fwdctl.probe.judge import judge
from fwdctl.probe.model import Broken, Path, PathResult, causes
from fwdctl.probe.parse import sample
from fwdctl.probe.run import as_evidence, exit_code
from support.probe_paths import BOX, GOOD, PATH, WEB, observed

WELL = judge(PATH, observed(*[GOOD] * 4))
LOST = sample("tcp bash 124\t\t\t")
FAILED = judge(PATH, observed(*[LOST] * 4))
DIRECT = Path("hub/web/192.168.42.65:8000", "target", BOX, WEB, "192.168.42.65", 8000)
DEAD = judge(DIRECT, observed(LOST))


def broken(code: str, evidence: str, suggestion: str = "az x") -> Broken:
    return Broken("route", code, evidence, suggestion)


def test_what_one_command_mends_is_one_cause_with_what_each_path_shows() -> None:
    one = replace(FAILED, broken=broken("NSG_DENIED", "port 80"))
    two = replace(DEAD, broken=broken("NSG_DENIED", "port 81"))
    other = replace(FAILED, broken=broken("NSG_DENIED", "port 80", "az y"))
    found = causes([one, two, one, other])
    assert [(cause.evidence, cause.broken.suggestion) for cause in found] == [
        (("port 80", "port 81"), "az x"),
        (("port 80",), "az y"),
    ]
    assert found[0].paths == ["spoke/web", "hub/web/192.168.42.65:8000"]
    assert found[0].data()["evidence"] == "port 80; port 81"


def test_what_breaks_a_path_comes_before_warnings() -> None:
    warned = replace(WELL, warnings=(broken("FWD_UNHEALTHY", "one is down"),))
    failed = replace(FAILED, broken=broken("NSG_DENIED", "port 80"))
    assert [cause.broken.code for cause in causes([warned, failed])] == ["NSG_DENIED", "FWD_UNHEALTHY"]


@pytest.mark.parametrize(
    ("results", "code", "strict"),
    [
        ([WELL], ExitCode.OK, ExitCode.OK),
        ([replace(WELL, warnings=(broken("X", "y"),))], ExitCode.OK, ExitCode.BROKEN),
        ([WELL, DEAD], ExitCode.OK, ExitCode.BROKEN),
        ([DEAD], ExitCode.BROKEN, ExitCode.BROKEN),
        ([FAILED, DEAD], ExitCode.BROKEN, ExitCode.BROKEN),
        ([], ExitCode.INCONCLUSIVE, ExitCode.INCONCLUSIVE),
    ],
)
def test_a_direct_test_counts_only_where_the_forward_does_not_work(
    results: list[PathResult], code: ExitCode, strict: ExitCode
) -> None:
    judged = as_evidence(results)
    assert (exit_code(judged), exit_code(judged, strict=True)) == (code, strict)


def test_words_of_a_path() -> None:
    assert [each.word for each in as_evidence([WELL, FAILED, DEAD])] == ["pass", "fail", "warn"]


def test_connections_that_failed_say_how() -> None:
    refused = replace(LOST, failure="refused", text="Connection refused")
    result = judge(PATH, observed(GOOD, LOST, refused, refused))
    assert result.verdict == "pass"
    assert result.reason.endswith(
        "; 3 of 4 connections failed: the connection is refused x2, no answer in time x1"
    )


def test_what_ends_a_tool_in_the_box_is_not_told() -> None:
    assert FAILED.reason == "server.corp.internal:8000: no answer in time (bash)"
