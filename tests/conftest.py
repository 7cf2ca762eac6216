"""Shared rules of the suite: tests that need a program that is not there are skipped with a printed reason."""

from __future__ import annotations

import functools
import os
import re
import shutil
import signal
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HOW_TO_GET = {
    "az": "the Azure CLI is not on PATH (scripts/test --with-az installs it)",
    "azd": "azd is not on PATH (https://aka.ms/install-azd)",
    "bicep": "no Bicep compiler: neither AZD_BICEP_TOOL_PATH nor bicep on PATH",
    "lab": "the lab cannot run here",
}


def pytest_configure() -> None:
    """Let Ctrl-C reach what the tests start, also where a script put the suite into the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """On Windows the lab's own tests are left out: its parts do not even import there."""
    if sys.platform != "win32" or collection_path.suffix != ".py":
        return None
    return True if _needs_the_lab(collection_path) else None


def _needs_the_lab(file: Path) -> bool:
    """Whether a file of tests imports the lab, itself or by what supports it."""
    text = file.read_text("utf-8")
    supports = {
        ROOT / "tests" / "support" / f"{name}.py" for name in re.findall(r"from support\.(\w+)", text)
    }
    return "fwdlab" in text or any(_needs_the_lab(support) for support in supports)


def bicep_compiler() -> Path | None:
    """The Bicep compiler that the tests use, if there is one."""
    if named := os.environ.get("AZD_BICEP_TOOL_PATH"):
        return Path(named)
    if found := shutil.which("bicep"):
        return Path(found)
    beside = ROOT.parent / "shared" / "tools" / "bicep" / "bicep"
    return beside if beside.exists() else None


@functools.cache
def missing(marker: str) -> str | None:
    """Why tests with this marker cannot run here, None if they can."""
    if marker == "bicep":
        return None if bicep_compiler() else HOW_TO_GET[marker]
    if marker == "lab":
        from fwdlab.process import requirements

        failed = [requirement for requirement in requirements.check() if not requirement.ok]
        return f"{HOW_TO_GET['lab']}: {failed[0].name}: {failed[0].detail}" if failed else None
    return None if shutil.which(marker) else HOW_TO_GET[marker]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what cannot run here; fail it where FWDCTL_REQUIRE says that it must run."""
    required = os.environ.get("FWDCTL_REQUIRE", "").split(",")
    for marker in HOW_TO_GET:
        if item.get_closest_marker(marker) is None:
            continue
        reason = missing(marker)
        if reason and marker in required:
            pytest.fail(f"required here, but {reason}", pytrace=False)
        elif reason:
            pytest.skip(reason)
