"""Terraform's azurerm in an empty lab, where terraform and the provider can be had."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.programs import RunningLab, run

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
    """A working directory of the lab's."""

    def __init__(self, lab: RunningLab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder

    def __call__(self, verb: str, *options: str, expect: int | None = 0) -> Done:
        environ = {**self.lab.environ, "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
        words = ["terraform", verb, "-no-color", "-input=false", *options]
        return run(words, environ=environ, cwd=self.folder, seconds=300, expect=expect)


@pytest.fixture
def terraform(tmp_path: Path) -> Iterator[Terraform]:
    """A folder in which `terraform init` has found the provider; skipped where it cannot."""
    folder = Path(shutil.copytree(CONFIGURATION, tmp_path / "terraform"))
    lab = RunningLab.up(tmp_path, "terraform", "--empty")
    made = Terraform(lab, folder)
    try:
        initialised = made("init", expect=None)
        if initialised.returncode:
            said = " ".join(initialised.stderr.split())
            pytest.skip(f"terraform cannot get azurerm: {said[:300]}")
        yield made
    finally:
        lab.down()


def test_the_pattern_is_made_works_and_goes(terraform: Terraform) -> None:
    terraform("apply", "-auto-approve")
    terraform("plan", "-detailed-exitcode")  # 0: nothing differs from what was asked for
    probed = terraform.lab.fwdctl("probe", "spoke", "-g", "rg-terraform", "-o", "json").json
    (path,) = probed["data"]["paths"]
    assert path["verdict"] == "pass"
    terraform("destroy", "-auto-approve")
    group = f"/subscriptions/{terraform.lab.environ['AZURE_SUBSCRIPTION_ID']}/resourceGroups"
    assert terraform.lab.arm("GET", group)["value"] == []
