"""One table of what counts as alive, for the agent and for the probe with each tool of a box."""

from __future__ import annotations

import importlib
import os
import pathlib
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from fwdctl.deployment import Forward
from fwdctl.probe.model import Path
from support.check_cases import CASES, LIMIT
from support.check_servers import serving
from support.local_box import LocalBox, install
from support.probe_paths import BOX

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(os.name != "posix", reason="runs /bin/sh")


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[str, int]]:
    with ExitStack() as stack:
        yield {case.name: stack.enter_context(serving(case.behaviour)) for case in CASES}


def paths(ports: dict[str, int], checks: set[str]) -> list[Path]:
    return [
        Path(f"{case.name}/{check}", "target", BOX, forward, "127.0.0.1", forward.port)
        for case in CASES
        for check in case.expected
        for forward in [Forward("f", ports[case.name], check=check, server_name=case.server_name)]
        if check in checks
    ]


AGENT = pathlib.Path(__file__).parents[2] / "infra" / "cloud-init" / "forwarder"
EXPECTED = {f"{case.name}/{check}": alive for case in CASES for check, alive in case.expected.items()}
HTTP, TALK = {"http", "https"}, {"tls", "mssql", "postgres", "banner"}


@pytest.mark.parametrize(
    ("tools", "checks"),
    [
        ("curl", {*HTTP, "tcp", "tls"}),
        ("wget timeout", HTTP),
        ("bash od dd timeout", {"tcp", *TALK}),
        ("openssl timeout", {"tls"}),
        ("busybox", {"http", "tcp", *TALK}),
        ("python3", {*HTTP, "tcp", *TALK}),
        ("busybox python3", {"https", "mssql"}),
    ],
)
def test_the_probe_with_each_tool(ports: dict[str, int], tools: str, checks: set[str], tmp_path: Any) -> None:
    install(tmp_path, tools)
    tested = paths(ports, checks)
    if tools.startswith("wget"):
        tested = [path for path in tested if not path.forward.server_name]
    box, seconds = LocalBox(tmp_path), LIMIT
    results = {result.path: result for result in box.test(tested, seconds)}
    for _ in range(
        3
    ):  # a busy machine may be too slow for one that is alive; none that is dead is asked again
        slow = [path for path, r in results.items() if EXPECTED[path.label] and r.verdict != "pass"]
        seconds *= 2
        results |= {result.path: result for result in box.test(slow, seconds)} if slow else {}
    assert {path.label: result.verdict for path, result in results.items()} == {
        path.label: "pass" if EXPECTED[path.label] else "fail" for path in tested
    }, [r.reason for path, r in results.items() if (r.verdict == "pass") != EXPECTED[path.label]]
    assert all(result.reason for result in results.values())


@pytest.mark.skipif(not (AGENT / "checks.py").exists(), reason="an agent of an older shape")
def test_the_agent(ports: dict[str, int]) -> None:
    sys.path.append(str(AGENT))
    checks, configuration = importlib.import_module("checks"), importlib.import_module("configuration")

    def ask(path: Path) -> str:
        target = f"{path.host}:{path.port}"
        own = path.forward
        forward = configuration.Forward("f", 1, (target,), "roundRobin", own.check, "/", own.server_name)
        # As for the probe: a busy machine may be too slow for one that is alive.
        said: str = checks.check_target(forward, target, LIMIT)
        for longer in (2, 4, 8):
            if said and EXPECTED[path.label]:
                said = checks.check_target(forward, target, longer * LIMIT)
        return said

    tested = paths(ports, {"tcp", *HTTP, *TALK})
    with ThreadPoolExecutor(16) as pool:
        said = {path.label: words for path, words in zip(tested, pool.map(ask, tested), strict=True)}
    assert {label: not words for label, words in said.items()} == EXPECTED, said
