"""A copy of the template as an azd project, for the real azd."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from conftest import ROOT, bicep_compiler
from support.programs import FWDCTL, Done, RunningLab, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OF_AZD = [pytest.mark.azd, pytest.mark.bicep, pytest.mark.lab, pytest.mark.xdist_group("azd")]
"""Marks of a test that takes a project through the real azd."""
COPIED = ("azure.yaml", "infra", "hooks", "src", "pyproject.toml", "README.md", "LICENSE")

VAULT_MODULE = """\
param name string
param location string
param tags object

resource vault 'Microsoft.KeyVault/vaults@2025-05-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    sku: { family: 'A', name: 'standard' }
    tenantId: tenant().tenantId
    enableRbacAuthorization: true
    softDeleteRetentionInDays: 7
  }
}

output name string = vault.name
"""
VAULT_USE = """
module vault 'modules/vault.bicep' = {
  scope: resourceGroup
  params: { name: 'kv-${resourceToken}', location: location, tags: tags }
}

output VAULT_NAME string = vault.outputs.name
"""


class Project:
    """A clone of the template with an azd environment of its own, in an empty lab."""

    def __init__(self, folder: Path, lab: RunningLab, environ: dict[str, str]) -> None:
        self.folder = folder
        self.lab = lab
        self.environ = environ

    def azd(self, *arguments: str, expect: int | None = 0, seconds: float = 120) -> Done:
        return run(["azd", *arguments], environ=self.environ, cwd=self.folder, expect=expect, seconds=seconds)

    def start_azd(self, *arguments: str) -> subprocess.Popen[str]:
        """Begin a command of azd in the background; its two outputs come as one."""
        return subprocess.Popen(
            ["azd", *arguments],
            env=self.environ,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def fwdctl(self, *arguments: str, expect: int | None = 0) -> Done:
        return run([*FWDCTL, *arguments], environ=self.environ, cwd=self.folder, expect=expect)

    def values(self) -> dict[str, str]:
        printed: dict[str, str] = self.azd("env", "get-values", "--output", "json").json
        return printed

    def topology(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.values()["FWD_TOPOLOGY"])
        return found

    def nodes(self) -> list[dict[str, Any]]:
        """What runs in the lab."""
        found: list[dict[str, Any]] = self.lab.lab("status", "-o", "json").json["data"]["nodes"]
        return found

    def refused(self, *arguments: str) -> str:
        """What azd prints of a command that fails."""
        done = self.azd(*arguments, expect=None)
        assert done.returncode != 0, done
        return done.stdout + done.stderr

    def parameter(self, name: str) -> Any:
        file = self.folder / "infra" / "main.parameters.json"
        return json.loads(file.read_text())["parameters"][name]["value"]

    def add_predown(self, program: str) -> None:
        """Give the project a hook of its user's that runs before everything is deleted."""
        (self.folder / "hooks" / "predown.py").write_text(program)
        with (self.folder / "azure.yaml").open("a") as file:
            file.write("  predown:\n    kind: python\n    run: hooks/predown.py\n    interactive: true\n")

    def edit_parameters(self, name: str, value: object) -> None:
        file = self.folder / "infra" / "main.parameters.json"
        document = json.loads(file.read_text())
        document["parameters"][name] = {"value": value}
        file.write_text(json.dumps(document, indent=2))

    def add_vault(self) -> None:
        """Let the template deploy a key vault too."""
        infra = self.folder / "infra"
        (infra / "modules" / "vault.bicep").write_text(VAULT_MODULE)
        main = infra / "main.bicep"
        main.write_text(main.read_text() + VAULT_USE)


@contextmanager
def new_project(template: Path, home: Path, lab_name: str, comment: str = "dev@example") -> Iterator[Project]:
    """A project with an environment `dev` in a fresh, empty lab, which goes with it.

    Args:
        template: as `copy_template` makes it.
        home: an empty folder for project, key and settings.
        lab_name: of the lab.
        comment: of the SSH key.
    """
    folder = home / "my project"
    shutil.copytree(template, folder, symlinks=True)
    (home / ".ssh").mkdir()
    key = str(home / ".ssh" / "id_ed25519")
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", key], check=True, timeout=30
    )
    lab = RunningLab.up(home, lab_name, "--empty")
    try:
        project = Project(folder, lab, {**lab.environ, "AZD_BICEP_TOOL_PATH": str(bicep_compiler())})
        place = ("--subscription", lab.environ["AZURE_SUBSCRIPTION_ID"], "--location", "westeurope")
        project.azd("env", "new", "dev", "--no-prompt", *place)
        yield project
    finally:
        lab.down()


def copy_template(folder: Path) -> Path:
    """Copy what belongs to the template into a new folder, hooks' packages in place; the folder."""
    folder.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "hooks_env", "validation-*")
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy(source, folder / name)
    _ready_hooks_environment(folder / "hooks")
    return folder


def _ready_hooks_environment(hooks: Path) -> None:
    """The virtual environment that azd would make, with the packages of this one: no index is asked."""
    subprocess.run([sys.executable, "-m", "venv", str(hooks / "hooks_env")], check=True, timeout=60)
    site = next((hooks / "hooks_env" / "lib").glob("python*/site-packages"))
    (site / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")
