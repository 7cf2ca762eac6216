"""Probes: plan, script on this machine's own tools, parser, verdicts, explanations, JUnit."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from fwdctl.deployment import Box, Deployment, Forward, Hub
from fwdctl.errors import FwdctlError
from fwdctl.probe.judge import judge, skipped
from fwdctl.probe.junit import junit
from fwdctl.probe.model import Broken, Finding, Observation, Path, PathResult, Sample
from fwdctl.probe.parse import IncompleteError, parse, sample
from fwdctl.probe.plan import plan
from fwdctl.probe.run import exit_code
from fwdctl.probe.script import script
from support.probe_paths import BOX, GOOD, PATH, SPOKE, WEB, observed

if TYPE_CHECKING:
    from collections.abc import Iterator


def answered(tool: str, server: str = "") -> Sample:
    return Sample(tool, connected=True, answered=True, server=server)


OTHER = Sample("curl", connected=True, answered=True, server="b")

REFUSED = Sample("curl", connected=False, answered=False, failure="refused", text="refused")

SICK = Sample("curl", connected=True, answered=False, failure="status", text="HTTP status 503")


def deployment(*forwards: Forward) -> Deployment:
    hub = Hub(Box("hub", "ci-hub"), "lbi", "10.0.1.5")
    return Deployment("rg", None, hub, (SPOKE,), forwards, "x")


def test_plan_of_everything() -> None:
    paths = plan(deployment(WEB), "all")
    assert [(p.label, p.host, p.samples, p.expected) for p in paths] == [
        ("hub/web/192.168.42.65:8000", "192.168.42.65", 1, 0),
        ("hub/web/192.168.42.66:8000", "192.168.42.66", 1, 0),
        ("hub/web", "10.0.1.5", 4, 2),
        ("spoke/web", "server.corp.internal", 4, 2),
    ]


@pytest.mark.parametrize(
    ("forward", "samples", "made", "expected"),
    [
        (WEB, 9, 9, 2),
        (WEB, 1, 1, 0),
        (Forward("web", 1, ("a:1", "b:1"), "sourceHash", "http"), 0, 4, 0),
        (Forward("db", 1433, ("a:1", "b:1")), 0, 4, 2),
        (Forward("db", 1433, ("a:1",)), 0, 2, 1),
        (Forward("db", 1433), 0, 1, 0),
        (Forward("db", 1433, ("a:1", "b:1"), check="none"), 5, 0, 0),
        (Forward("web", 80, check="http"), 0, 1, 0),
    ],
)
def test_samples(forward: Forward, samples: int, made: int, expected: int) -> None:
    (path,) = plan(deployment(forward), "spoke", samples)
    assert (path.samples, path.expected) == (made, expected)


def test_unknown_targets_are_skipped_with_a_reason() -> None:
    paths = plan(deployment(Forward("web", 8000)), "hub")
    assert [(bool(path.skip), path.origin) for path in paths] == [(True, "target"), (False, "balancer")]


def test_nothing_forwarded() -> None:
    with pytest.raises(FwdctlError) as error:
        plan(deployment(), "all")
    assert (error.value.code, error.value.exit_code) == ("no_forwards", 3)


class Web(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(503 if self.path == "/sick" else 200)
        self.send_header("x-served-by", "server 65\t\x1b[1m")
        self.send_header("X-Other-X-Served-By", "somebody else")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def web() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Web) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join(5)


@pytest.fixture(scope="module")
def closed() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def run(paths: list[Path], tools: str, tmp_path: Any) -> list[PathResult]:
    for tool in ["sh", *tools.split()]:
        found = shutil.which(tool)
        if tool == "python3":  # a link to a virtual environment's python does not find its library
            found = str(tmp_path / "python3")
            (tmp_path / "python3").write_text(f'#!/bin/sh\nexec {os.path.realpath(sys.executable)} "$@"\n')
            (tmp_path / "python3").chmod(0o755)
        elif found is None:
            pytest.skip(f"{tool} is not installed")
        else:
            (tmp_path / tool).symlink_to(found)
    command = ["/bin/sh", "-c", script(paths, 3, python="python3" in tools)]
    answer = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, check=True, timeout=60)
    assert answer.stderr == b""
    return [judge(p, s) for p, s in zip(paths, parse(answer.stdout.decode(), len(paths)), strict=True)]


@pytest.mark.skipif(os.name != "posix", reason="runs /bin/sh")
@pytest.mark.parametrize("tools", ["curl", "wget", "python3", "curl timeout"])
def test_http_with_each_tool(web: int, closed: int, tools: str, tmp_path: Any) -> None:
    well = Forward("web", web, check="http", identity_header="X-Served-By")
    sick = replace(well, check_path="/sick", identity_header="")
    paths = [
        Path("1", "target", BOX, well, "127.0.0.1", web, samples=3, expected=2),
        Path("2", "target", BOX, sick, "127.0.0.1", web),
        Path("3", "target", BOX, well, "127.0.0.1", closed),
    ]
    good, bad, gone = run(paths, tools, tmp_path)
    (name,) = good.servers
    assert (good.verdict, good.servers[name]) == ("pass", 3)
    assert name.startswith("server 65")
    assert name.isprintable()
    assert bad.servers == {}
    assert tools.split(maxsplit=1)[0] in good.findings[0].reason
    assert (bad.verdict, bad.findings[-1].check) == ("fail", "protocol")
    assert "503" in bad.reason
    assert (gone.verdict, gone.findings[-1].check) == ("fail", "tcp")
    assert "refused" in gone.reason


@pytest.mark.skipif(os.name != "posix", reason="runs /bin/sh")
@pytest.mark.parametrize("tools", ["bash", "python3", "curl", "nc"])
def test_tcp_with_each_tool(web: int, closed: int, tools: str, tmp_path: Any) -> None:
    db = Forward("db", web)
    paths = [
        Path("1", "target", BOX, db, "127.0.0.1", web),
        Path("2", "target", BOX, db, "127.0.0.1", closed),
    ]
    assert [result.verdict for result in run(paths, tools, tmp_path)] == ["pass", "fail"]


@pytest.mark.skipif(os.name != "posix", reason="runs /bin/sh")
@pytest.mark.parametrize("tools", ["curl", "python3", "openssl timeout"])
def test_tls_with_each_tool_against_plain_http(web: int, tools: str, tmp_path: Any) -> None:
    (result,) = run(
        [Path("1", "target", BOX, Forward("s", web, check="tls"), "127.0.0.1", web)], tools, tmp_path
    )
    assert [(finding.check, finding.verdict) for finding in result.findings] == [
        ("tcp", "pass"),
        ("protocol", "fail"),
    ]


@pytest.mark.skipif(os.name != "posix", reason="runs /bin/sh")
@pytest.mark.parametrize("tools", ["getent", "python3", "python3 getent timeout"])
def test_names_with_each_tool(tools: str, tmp_path: Any) -> None:
    none = Forward("x", 1, check="none")
    paths = [
        Path("1", "spoke", BOX, none, "localhost", 1, "127.0.0.1", 0),
        Path("2", "spoke", BOX, none, "localhost", 1, "127.0.0.9", 0),
        Path("3", "spoke", BOX, none, "no-such-name.invalid", 1, "127.0.0.1", 0),
    ]
    right, wrong, missing = run(paths, tools, tmp_path)
    assert right.findings[0].verdict == "pass"
    assert wrong.findings[-1].verdict == "fail"
    assert missing.findings[-1].verdict in {"fail", "inconclusive"}  # a resolver may answer "try again"


@pytest.mark.skipif(os.name != "posix", reason="runs /bin/sh")
def test_a_box_without_tools_is_inconclusive(web: int, tmp_path: Any) -> None:
    paths = [PATH, Path("2", "target", BOX, WEB, "127.0.0.1", web)]
    assert [result.verdict for result in run(paths, "", tmp_path)] == ["inconclusive", "inconclusive"]


@pytest.mark.parametrize(
    "text",
    ["", "end", "name 0 getent 0 1.2.3.4,\n", "name 0 getent 0 1.2.3.4,\nen", "end\nname 0 getent 0 x,\n", "what\nend\n",
     "name x getent 0 a,\nend\n", "sample 0 http\nend\n", "sample 0 http curl x\t\nend\n", "odd 0 1\nend\n"],
)  # fmt: skip
def test_an_incomplete_report_is_never_a_verdict(text: str) -> None:
    with pytest.raises(IncompleteError):
        parse(text, 1)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("http curl 0\t@200 0.0001 0.0 10.0.0.1\tserver65\r\t", answered("curl", "server65")),
        ("http curl 28\t@000 0.0 0.0\t\tcurl: (28) Connection timed out", "timeout"),
        ("http curl 52\t@000 0.0001 0.0 10.0.0.1\t\tcurl: (52) Empty reply from server", "reset"),
        ("http curl 6\t@000 0.0 0.0\t\tcurl: (6) Could not resolve host: x", "name"),
        ("http curl 22\t@500 0.1 0.0 10.0.0.1\t\t", "status"),
        ("http none 127\t\t\t", "tool"),
        ("http curl 0\t@200 0.0001 0.0 10.0.0.1\ta\x1b[2J\tb\tc", answered("curl", "a[2J")),
        ("tcp bash 124\t\t\t", "timeout"),
        ("tcp curl 28\t@000 0.0002 0.0 10.0.0.1\t\tcurl: (28) timed out", answered("curl")),
        ("tls curl 60\t@000 0.1 0.2 10.0.0.1\t\t", answered("curl")),
        ("http python3 0\t@404 0.1 0.0 10.0.0.1\ts\t\t0", answered("python3", "s")),
        ("tcp python3 0\t@000 0.0 0.0 \t\t[Errno 113] No route to host\t1", "unreachable"),
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
        (observed(addresses=(), status=124), "inconclusive", ["name"]),
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
    assert "no <answer> ?" in (failure.text or "")


def test_junit_is_ascii_so_that_no_stream_can_spoil_it() -> None:
    text = junit([skipped(PATH, "10 \u2013 20 漢", "inconclusive")])
    (found,) = ET.fromstring(text.encode("ascii")).iter("error")  # noqa: S314 - our own text
    assert found.get("message") == "10 \u2013 20 漢"
