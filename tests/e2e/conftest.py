"""A lab for the real programs."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from conftest import ROOT, bicep_compiler
from support.azd_project import COPIED, Project, ready_hooks_environment
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
    folder = tmp_path_factory.mktemp("azd") / "my template"
    folder.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(
                source,
                folder / name,
                ignore=shutil.ignore_patterns("__pycache__", "hooks_env", "validation-*"),
            )
        else:
            shutil.copy(source, folder / name)
    ready_hooks_environment(folder / "hooks")
    return folder


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Iterator[Project]:
    """A project with an environment `dev` in a fresh, empty lab."""
    folder = tmp_path / "my project"
    shutil.copytree(template, folder, symlinks=True)
    lab = RunningLab.up(tmp_path, "azd", "--empty")
    ssh = tmp_path / ".ssh"
    ssh.mkdir()
    key = ssh / "id_ed25519"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", 'DOMAIN\\user "quoted" name', "-f", str(key)],
        check=True,
        timeout=30,
    )
    environ = {**lab.environ, "AZD_BICEP_TOOL_PATH": str(bicep_compiler())}
    made = Project(folder, lab, environ)
    made.azd(
        "env",
        "new",
        "dev",
        "--no-prompt",
        "--subscription",
        environ["AZURE_SUBSCRIPTION_ID"],
        "--location",
        "westeurope",
    )
    yield made
    lab.down()
