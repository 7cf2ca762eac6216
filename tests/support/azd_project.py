"""A copy of the template as an azd project, for the real azd."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from typing import TYPE_CHECKING

from support.programs import FWDCTL, Done, RunningLab, run

if TYPE_CHECKING:
    from pathlib import Path

COPIED = ("azure.yaml", "infra", "hooks", "src", "pyproject.toml", "README.md", "LICENSE")


class Project:
    """A clone of the template with an azd environment of its own, in an empty lab."""

    def __init__(self, folder: Path, lab: RunningLab, environ: dict[str, str]) -> None:
        self.folder = folder
        self.lab = lab
        self.environ = environ

    def azd(self, *arguments: str, expect: int | None = 0, seconds: float = 120) -> Done:
        return run(["azd", *arguments], environ=self.environ, cwd=self.folder, expect=expect, seconds=seconds)

    def fwdctl(self, *arguments: str, expect: int | None = 0) -> Done:
        return run([*FWDCTL, *arguments], environ=self.environ, cwd=self.folder, expect=expect)

    def values(self) -> dict[str, str]:
        printed: dict[str, str] = self.azd("env", "get-values", "--output", "json").json
        return printed

    def edit_parameters(self, name: str, value: object) -> None:
        file = self.folder / "infra" / "main.parameters.json"
        document = json.loads(file.read_text())
        document["parameters"][name]["value"] = value
        file.write_text(json.dumps(document, indent=2))


def ready_hooks_environment(hooks: Path) -> None:
    """The virtual environment that azd would make, with the packages of this one: no index is asked."""
    subprocess.run([sys.executable, "-m", "venv", str(hooks / "hooks_env")], check=True, timeout=60)
    site = next((hooks / "hooks_env" / "lib").glob("python*/site-packages"))
    (site / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")
