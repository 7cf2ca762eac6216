"""A lab for the real programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support.az_program import Az
from support.azd_project import Project, copy_template, new_project
from support.programs import RunningLab

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def az_lab(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[RunningLab]:
    """The seed template, deployed once, for az."""
    lab = RunningLab.up(tmp_path_factory.mktemp("az-lab"), f"az-{worker_id}")
    yield lab
    lab.down()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the template, in a folder whose name has a blank."""
    return copy_template(tmp_path_factory.mktemp("azd") / "my template")


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Iterator[Project]:
    """A project with an environment `dev` in a fresh, empty lab."""
    with new_project(template, tmp_path, "azd", 'DOMAIN\\user "quoted" name') as made:
        yield made


@pytest.fixture(scope="session")
def az_answers() -> list[dict[str, Any]]:
    """What az was answered in all tests before, as documents of resources."""
    return []


@pytest.fixture
def az(az_lab: RunningLab, az_answers: list[dict[str, Any]]) -> Az:
    return Az(az_lab, az_answers)
