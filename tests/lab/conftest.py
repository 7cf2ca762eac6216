"""A running lab for each worker, shared by the tests of a file; faults are healed after each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.programs import RunningLab

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def deployed_lab(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[RunningLab]:
    """The seed template, deployed once."""
    lab = RunningLab.up(tmp_path_factory.mktemp("lab"), f"test-{worker_id}")
    yield lab
    lab.down()


@pytest.fixture
def lab(deployed_lab: RunningLab) -> Iterator[RunningLab]:
    """The deployed lab, with no fault and stopped boxes afterwards."""
    yield deployed_lab
    deployed_lab.lab("heal")
    deployed_lab.fwdctl("jump", "stop", "all")
