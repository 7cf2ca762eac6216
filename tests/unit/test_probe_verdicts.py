"""What tools say, the verdicts that follow, and JUnit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from fwdctl.deployment import Forward
from fwdctl.probe.judge import judge, skipped
from fwdctl.probe.junit import junit
from fwdctl.probe.model import Broken, Finding, Observation, PathResult, Sample
from fwdctl.probe.parse import IncompleteError, parse, sample
from fwdctl.probe.run import exit_code
from support.probe_paths import GOOD, PATH, WEB, observed


def answered(tool: str, server: str = "", seen: str = "") -> Sample:
    return Sample(tool, connected=True, answered=True, server=server, seen=seen)


OTHER = Sample("curl", connected=True, answered=True, server="b")

REFUSED = Sample("curl", connected=False, answered=False, failure="refused", text="refused")

SICK = Sample("curl", connected=True, answered=False, failure="status", text="HTTP status 503")


@pytest.mark.parametrize(
    "text",
    ["", "end", "name 0 getent 0 1.2.3.4,\n", "name 0 getent 0 1.2.3.4,\nen", "end\nname 0 getent 0 x,\n", "what\nend\n",
     "name x getent 0 a,\nend\n", "sample 0 http\nend\n", "sample 0 http curl x\t\nend\n", "odd 0 1\nend\n"],
)  # fmt: skip
def test_an_incomplete_report_is_never_a_verdict(text: str) -> None:
    with pytest.raises(IncompleteError):
        parse(text, 1)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("tcp bash 124\t\t\t\t\t", "no answer in time"),
        ("tcp nc 143\t\t\t\t\t", "no answer in time"),
        ("tcp bash 1\t\t\t\t\t", "exit code 1"),
        ("tcp bash 124\t\t\t\t\tConnection timed out", "Connection timed out"),
    ],
)
def test_a_tool_that_said_nothing_is_described_in_words(line: str, text: str) -> None:
    assert sample(line).text == text


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("http curl 0\t@200 0.0001 0.0 10.0.0.1\tserver65\r\t\t\t", answered("curl", "server65", "HTTP 200")),
        ("http curl 28\t@000 0.0 0.0\t\t\t\tcurl: (28) Connection timed out", "timeout"),
        ("http curl 52\t@000 0.0001 0.0 10.0.0.1\t\t\t\tcurl: (52) Empty reply from server", "reset"),
        ("http curl 6\t@000 0.0 0.0\t\t\t\tcurl: (6) Could not resolve host: x", "name"),
        ("http curl 22\t@500 0.1 0.0 10.0.0.1\t\t\t\t", "status"),
        ("http none 127\t\t\t\t\t", "tool"),
        ("http none 127\t\t\t\t\tcurl ended with 139", "tool"),
        ("http curl 0\t@200 0.0001 0.0 10.0.0.1\ta\x1b[2J\t\t\tc", answered("curl", r"a\x1b[2J", "HTTP 200")),
        ("tcp bash 124\t\t\t\t\t", "timeout"),
        ("tcp bash 143\t\t\t\t\t", "timeout"),
        ("tcp curl 28\t@000 0.0002 0.0 10.0.0.1\t\t\t\tcurl: (28) timed out", answered("curl")),
        ("tcp curl 56\t@000 0.0002 0.0 10.0.0.1\t\t\t\tcurl: (56) reset", answered("curl")),
        ("tcp-only bash 0\t\t\t\t\tno tool for mssql; ", "tool"),
        ("tcp-only bash 1\t\t\t\t\tno tool for mssql; Connection refused", "refused"),
        ("tls curl 60\t@000 0.1 0.2 10.0.0.1\t\t\t\t", answered("curl", "", "a TLS handshake")),
        ("tls bash 0\t~\t\t\t16 03 03 00 7a\t", answered("bash", "", "a TLS ServerHello")),
        ("tls bash 0\t~\t\t\t15 03 03 00 02 02 70\t", answered("bash", "", "TLS alert unrecognized name")),
        ("tls bash 0\t~\t\t\t15 03 03 00 02 02 07\t", answered("bash", "", "TLS alert 7")),
        ("tls bash 0\t~\t\t\t48 54 54 50\t", "other"),
        ("tls bash 0\t~\t\t\t\t", "reset"),
        ("tls bash 124\t~\t\t\t\t", "timeout"),
        ("mssql nc 0\t~\t\t\t04 01\t", answered("nc", "", "a pre-login answer")),
        ("mssql nc 0\t~\t\t\t03 01\t", "other"),
        ("postgres bash 0\t~\t\t\t53\t", answered("bash", "", "TLS is offered")),
        ("postgres bash 0\t~\t\t\t52\t", "other"),
        ("banner bash 0\t~\t\t\t1b 5b 32 4a 0a\t", answered("bash", "", r"'\x1b[2J'")),
        ("http python3 0\t@404 0.1 0.0 10.0.0.1\ts\t\t\t\t0", answered("python3", "s", "HTTP 404")),
        (
            "https python3 0\t@000 0.1 0.0 x\t\t\t\t[SSL: TLSV1_ALERT_PROTOCOL_VERSION]\t1",
            answered("python3", "", "[SSL: TLSV1_ALERT_PROTOCOL_VERSION]"),
        ),
        ("tcp python3 0\t@000 0.0 0.0 \t\t\t\t[Errno 113] No route to host\t1", "unreachable"),
    ],
)
def test_what_tools_say(line: str, expected: Sample | str) -> None:
    found = sample(line)
    if isinstance(expected, str):
        assert (found.answered, found.failure) == (False, expected)
    else:
        assert found == expected


@pytest.mark.parametrize(
    ("seen", "verdict", "checks"),
    [
        (observed(GOOD, OTHER, GOOD, OTHER), "pass", ["name", "tcp", "protocol", "targets"]),
        (observed(GOOD, REFUSED, GOOD, REFUSED), "pass", ["name", "tcp", "protocol", "targets"]),
        (observed(*[REFUSED] * 4), "fail", ["name", "tcp"]),
        (observed(*[SICK] * 4), "fail", ["name", "tcp", "protocol"]),
        (observed(GOOD, GOOD, GOOD), "inconclusive", ["name", "tcp"]),
        (observed(addresses=(), status=2), "fail", ["name"]),
        (observed(addresses=("10.9.9.9",)), "fail", ["name"]),
        (observed(addresses=("10.1.17.4", "10.9.9.9")), "fail", ["name"]),
        (observed(addresses=(), status=124), "fail", ["name"]),
        (Observation(), "inconclusive", ["name"]),
    ],
)
def test_verdicts_stop_at_the_first_failure(seen: Observation, verdict: str, checks: list[str]) -> None:
    result = judge(PATH, seen)
    assert (result.verdict, [finding.check for finding in result.findings]) == (verdict, checks)
    assert all(finding.reason for finding in result.findings)


def test_failed_connections_are_told_on_a_path_that_passes() -> None:
    result = judge(PATH, observed(GOOD, REFUSED, GOOD, REFUSED))
    assert "1 of 2 servers answered: a; 2 of 4 connections failed" in result.reason
    assert result.lacks_servers
    assert not judge(PATH, observed(GOOD, OTHER, GOOD, OTHER)).lacks_servers


@pytest.mark.parametrize(
    ("forward", "reason"),
    [
        (replace(WEB, identity_header=""), "which servers answer was not asked"),
        (Forward("db", 1433, WEB.targets), "which servers answer was not asked"),
        (WEB, "no answer has the header X-Who"),
    ],
)
def test_a_path_that_does_not_tell_its_servers_says_so_and_passes(forward: Forward, reason: str) -> None:
    result = judge(replace(PATH, forward=forward), observed(*[answered("curl")] * 4))
    assert (result.verdict, result.lacks_servers) == ("pass", False)
    assert result.findings[-1] == Finding("targets", "skip", reason)


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        (["pass"], 0),
        (["pass", "skip"], 0),
        (["pass", "inconclusive"], 5),
        (["inconclusive", "fail"], 4),
        (["skip"], 5),
    ],
)
def test_exit_codes(verdicts: list[Any], code: int) -> None:
    assert exit_code([PathResult(PATH, (Finding("tcp", verdict, "r"),)) for verdict in verdicts]) == code


def test_junit() -> None:
    broken = Broken("target", "TARGET_DOWN", "no <answer> \x01", "fwdctl probe hub")
    results = [
        judge(PATH, observed(GOOD, OTHER, GOOD, OTHER)),
        PathResult(PATH, (Finding("tcp", "fail", "it & fails"),), broken=broken),
        skipped(PATH, "cut", "inconclusive"),
        skipped(PATH, "not known"),
    ]
    root = ET.fromstring(junit(results))  # noqa: S314 - our own text
    assert root.attrib == {
        "name": "fwdctl probe",
        "tests": "4",
        "failures": "1",
        "errors": "1",
        "skipped": "1",
    }
    (suite,) = root
    assert [[child.tag for child in case] for case in suite] == [
        ["system-out"], ["failure", "system-out"], ["error", "system-out"], ["skipped", "system-out"],
    ]  # fmt: skip
    failure = suite[1][0]
    assert (failure.get("type"), failure.get("message")) == ("TARGET_DOWN", "it & fails")
    assert r"no <answer> \x01" in (failure.text or "")


def test_junit_is_ascii_so_that_no_stream_can_spoil_it() -> None:
    text = junit([skipped(PATH, "10 \u2013 20 漢", "inconclusive")])
    (found,) = ET.fromstring(text.encode("ascii")).iter("error")  # noqa: S314 - our own text
    assert found.get("message") == "10 \u2013 20 漢"
