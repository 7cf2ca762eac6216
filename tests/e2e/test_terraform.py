"""Terraform's azurerm in an empty lab, where terraform and the provider can be had."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.programs import RunningLab, clean_environ, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.programs import Done

pytestmark = [
    pytest.mark.az,
    pytest.mark.lab,
    pytest.mark.timeout(600),
    pytest.mark.skipif(shutil.which("terraform") is None, reason="there is no terraform on PATH"),
]
CONFIGURATION = Path(__file__).parent / "terraform"


class Terraform:
    """A working directory and the environment of the lab that it is about."""

    def __init__(self, environ: dict[str, str], folder: Path) -> None:
        self.environ = environ
        self.folder = folder

    def __call__(self, verb: str, *options: str, expect: int | None = 0) -> Done:
        environ = {**self.environ, "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
        words = ["terraform", verb, "-no-color", "-input=false", *options]
        return run(words, environ=environ, cwd=self.folder, seconds=300, expect=expect)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in which `terraform init` has found the provider; skipped where it cannot."""
    made = Path(shutil.copytree(CONFIGURATION, tmp_path / "terraform"))
    initialised = Terraform(clean_environ(tmp_path), made)("init", expect=None)
    if initialised.returncode:
        said = " ".join(initialised.stderr.split())
        pytest.skip(f"terraform cannot get azurerm: {said[:300]}")
    return made


@pytest.fixture
def lab(folder: Path, tmp_path: Path) -> Iterator[RunningLab]:
    made = RunningLab.up(tmp_path, "terraform", "--empty")
    yield made
    made.down()


def test_the_pattern_is_made_works_and_goes(lab: RunningLab, folder: Path) -> None:
    terraform = Terraform(lab.environ, folder)
    terraform("apply", "-auto-approve")
    terraform("plan", "-detailed-exitcode")  # 0: nothing differs from what was asked for
    probed = lab.fwdctl("probe", "spoke", "-g", "rg-terraform", "-o", "json").json
    (path,) = probed["data"]["paths"]
    assert path["verdict"] == "pass"
    terraform("destroy", "-auto-approve")
    group = f"/subscriptions/{lab.environ['AZURE_SUBSCRIPTION_ID']}/resourceGroups"
    assert lab.arm("GET", group)["value"] == []
