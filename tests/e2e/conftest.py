"""A lab for the real programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.programs import RunningLab

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def az_lab(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[RunningLab]:
    """The seed template, deployed once, for az."""
    lab = RunningLab.up(tmp_path_factory.mktemp("az-lab"), f"az-{worker_id}")
    yield lab
    lab.down()
