from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import distributions, requires
from typing import TYPE_CHECKING

import pytest

from conftest import ROOT
from support.frame import ED25519

if TYPE_CHECKING:
    from pathlib import Path

# Runs both hooks in a process that has only the packages which hooks/requirements.txt brings.
BOTH_HOOKS = """
import io, json, sys
from pathlib import Path

missing, folder = set(json.loads(sys.argv[1])), Path(sys.argv[2])

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
sys.path.insert(0, "tests")
from fwdctl.main import main
from fwdctl.azure import credential
from fwdctl.runtime import Runtime
from support.fake_arm import CONTAINERS, GROUP, container_group, fake_arm
import azure.cli.core._profile, azure.cli.core.auth.util  # the login, which is a fake one here

def hook(name, **environ):
    out = io.StringIO()
    code = main(["hook", name, "-o", "json"], Runtime(environ=environ, cwd=folder, stdout=out))
    return code, [error["code"] for error in json.loads(out.getvalue())["errors"]]

print(hook("preprovision", SSH_PUBLIC_KEY=sys.argv[3], PATH=""))
topology = {"version": 1, "resourceGroup": "rg-dev", "hub": {"jump": "ci-hub", "scaleSet": "vmss"}}
with fake_arm() as arm:
    credential.log_in = lambda *_: arm.login()
    arm.on("GET", f"{CONTAINERS}/ci-hub", container_group("ci-hub"))
    arm.on("POST", f"{CONTAINERS}/ci-hub/stop", (204, None, {}))
    vmss = f"{GROUP}/providers/Microsoft.Compute/virtualMachineScaleSets/vmss"
    arm.on("GET", f"{vmss}/virtualMachines", {"value": []})
    print(hook("postprovision", RESOURCE_GROUP_NAME="rg-dev", FWD_TOPOLOGY=json.dumps(topology)))
"""


def packages(lines: list[str]) -> dict[str, str]:
    """Requirements by package."""
    names = (re.split(r"[\s;<>=!~\[(]", line)[0] for line in lines)
    return {re.sub("[-_.]+", "-", name).lower(): line for name, line in zip(names, lines, strict=True)}


def of_the_hooks() -> dict[str, str]:
    lines = (ROOT / "hooks" / "requirements.txt").read_text("utf-8").splitlines()
    return packages([line for line in lines if line and not line.startswith("#")])


def with_all_that_they_bring(names: set[str]) -> set[str]:
    """The packages and, recursively, those that they need without an extra."""
    known: set[str] = set()
    while names:
        known |= names
        needs = [line for name in names for line in requires(name) or () if "extra ==" not in line]
        names = {name for name in packages(needs) if name in INSTALLED} - known
    return known


INSTALLED = {re.sub("[-_.]+", "-", found.name).lower(): found for found in distributions()}


def modules(name: str) -> set[str]:
    """What an installed package is imported as; `azure` and `azure.mgmt` belong to many."""
    if name.startswith("azure-mgmt-"):
        return {name.replace("-", ".")}
    files = INSTALLED[name].files or ()
    return {
        file.parts[0].removesuffix(".py") for file in files if not file.parts[0].startswith(("azure", ".."))
    }


def test_hooks_install_some_of_the_projects_dependencies_with_the_same_bounds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert of_the_hooks().items() < packages(project["dependencies"]).items()
    assert not of_the_hooks().keys() & {"azure-mgmt-network", "azure-mgmt-privatedns"}


def test_hooks_need_nothing_that_they_do_not_install(tmp_path: Path) -> None:
    brought = with_all_that_they_bring(set(of_the_hooks()))
    missing = {module for name in INSTALLED.keys() - brought - {"fwdctl"} for module in modules(name)}
    missing -= {module for name in brought for module in modules(name)}
    assert {"azure.mgmt.network", "azure.mgmt.privatedns", "websockets", "aiohttp"} <= missing
    (tmp_path / "azure.yaml").write_text("name: x\n")
    shutil.copytree(ROOT / "infra", tmp_path / "infra")
    (tmp_path / ".azure" / "dev").mkdir(parents=True)
    (tmp_path / ".azure" / "dev" / ".env").touch()
    (tmp_path / ".azure" / "config.json").write_text('{"defaultEnvironment": "dev"}')
    argv = [sys.executable, "-c", BOTH_HOOKS, json.dumps(sorted(missing)), str(tmp_path), ED25519]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    # The first one comes as far as azd, which is not on its PATH.
    assert done.stdout.splitlines() == ["(3, ['azd_not_found'])", "(0, [])"], done.stderr


@pytest.mark.parametrize("name", ["preprovision", "postprovision", "postdown"])
def test_shims_are_short_and_named_in_azure_yaml(name: str) -> None:
    text = (ROOT / "hooks" / f"{name}.py").read_text("utf-8")
    assert len(text.splitlines()) <= 15
    assert f"run: hooks/{name}.py" in (ROOT / "azure.yaml").read_text("utf-8")


def test_no_project_file_in_the_hooks_folder_hides_the_list() -> None:
    """azd takes pyproject.toml before requirements.txt, and package.json would switch the installation off."""
    assert {path.name for path in (ROOT / "hooks").iterdir() if path.is_file()} == {
        "preprovision.py",
        "postprovision.py",
        "postdown.py",
        "requirements.txt",
    }
