"""Runs a scenario inside the lab's namespaces: in a process of its own, because nobody comes back out of them."""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent
Scenario = Callable[[Path], Awaitable[None]]


def run_inside(scenario: Scenario, *, seconds: float = 60) -> None:
    """Run a function of a test module inside the lab's namespaces; its failure is the test's.

    The function gets an empty directory, which must be empty again (but for what it keeps on purpose) at the end.
    """
    file = sys.modules[scenario.__module__].__file__
    directory = Path(tempfile.mkdtemp(prefix="fwdlab-test-"))
    try:
        done = subprocess.run(
            [sys.executable, "-P", __file__, str(file), scenario.__name__, str(directory)],
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if done.returncode:
            pytest.fail(f"{scenario.__name__}: {done.stdout}\n{done.stderr}", pytrace=False)
    finally:
        shutil.rmtree(directory)


def _main() -> None:
    from fwdlab.nodes import fork_server
    from fwdlab.process import launch

    launch.enter_namespaces()
    fork_server.start()
    launch.collect_orphans()
    sys.path.insert(0, str(TESTS))
    specification = importlib.util.spec_from_file_location("scenarios", sys.argv[1])
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    asyncio.run(getattr(module, sys.argv[2])(Path(sys.argv[3])))


if __name__ == "__main__":
    _main()
