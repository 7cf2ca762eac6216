"""The shims as azd runs them: the virtual environment's Python, cwd hooks/, azd's environment, no arguments."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from typing import TYPE_CHECKING

import pytest

from conftest import ROOT
from support.fake_program import write_program
from support.frame import ED25519, project

if TYPE_CHECKING:
    from pathlib import Path

FAKE_AZD = """
import os, pathlib, sys
home = pathlib.Path(os.environ["HOME"])
with (home / "calls").open("a") as calls, (home / "set").open("ab") as values:
    calls.write(" ".join(sys.argv[1:]) + chr(10))
    values.write(pathlib.Path(sys.argv[4]).read_bytes())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A clone of the template in a folder whose name has a blank, with an environment and a key."""
    folder = project(tmp_path / "my project")
    for name in ("azure.yaml", "infra", "hooks", "src"):
        source, target = ROOT / name, folder / name
        if source.is_dir():
            shutil.copytree(
                source, target, ignore=shutil.ignore_patterns("__pycache__", "hooks_env", "validation-*")
            )
        else:
            shutil.copy(source, target)
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id_ed25519.pub").write_text(f"{ED25519} me\\too\n")
    return folder


def environ(folder: Path, **more: str) -> dict[str, str]:
    """What azd's hooks get: its own process environment and the values of the azd environment."""
    mine = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(
            ("AZURE_", "AZD_", "FWD", "RESOURCE_", "CLOUD_INIT", "SSH_", "HUB_", "SPOKE_", "PYTHON")
        )
    }
    return {**mine, "HOME": str(folder.parent), "AZURE_ENV_NAME": "dev", "PYTHONSAFEPATH": "1", **more}


def run_shim(folder: Path, name: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(folder / "hooks" / f"{name}.py")],
        cwd=folder / "hooks",
        env=environ(folder, **more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def with_fake_azd(folder: Path) -> dict[str, str]:
    tools = folder.parent / "tools"
    tools.mkdir()
    write_program(tools, "azd", FAKE_AZD)
    return {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}


def test_preprovision_sets_all_in_one_call(folder: Path) -> None:
    done = run_shim(folder, "preprovision", **with_fake_azd(folder))
    assert done.returncode == 0, done.stderr
    assert len((folder.parent / "calls").read_text().splitlines()) == 1
    names = [line.split("=")[0] for line in (folder.parent / "set").read_text().splitlines()]
    assert names == ["CLOUD_INIT_FWD", "CLOUD_INIT_ONPREM", "SSH_PUBLIC_KEY"]
    assert str(folder.parent / ".ssh" / "id_ed25519.pub") in done.stderr


def test_the_shim_runs_the_sources_beside_it(folder: Path) -> None:
    (folder / "src" / "fwdctl" / "main.py").write_text(
        "def main(words):\n    print('beside', words)\n    return 9\n"
    )
    done = run_shim(folder, "preprovision")
    assert (done.returncode, done.stdout) == (9, "beside ['hook', 'preprovision']\n")


def test_a_failing_hook_ends_with_a_message_and_not_0(folder: Path) -> None:
    shutil.rmtree(folder.parent / ".ssh")
    done = run_shim(folder, "preprovision", **with_fake_azd(folder))
    assert done.returncode == 2
    assert done.stderr.startswith("ERROR: No SSH public key")
    assert "ssh-keygen" in done.stderr
    assert not (folder.parent / "calls").exists()


def test_postprovision_before_provisioning_says_so(folder: Path) -> None:
    done = run_shim(folder, "postprovision")
    assert done.returncode == 3
    assert "azd provision" in done.stderr


def ready_hooks_environment(hooks: Path) -> None:
    """The virtual environment that azd would make, with the packages of this one, so that no index is asked."""
    subprocess.run([sys.executable, "-m", "venv", str(hooks / "hooks_env")], check=True, timeout=60)
    site = next((hooks / "hooks_env" / "lib").glob("python*/site-packages"))
    (site / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")


@pytest.mark.azd
def test_the_real_azd_runs_preprovision_and_takes_its_values(folder: Path) -> None:
    ready_hooks_environment(folder / "hooks")
    shutil.rmtree(folder / ".azure")
    config = folder.parent / "config"
    config.mkdir()
    (config / "config.json").write_text('{"extension":{"sources":{}}}')
    own = environ(
        folder, AZD_CONFIG_DIR=str(config), AZURE_DEV_COLLECT_TELEMETRY="no", AZD_SKIP_UPDATE_CHECK="true"
    )
    del own["AZURE_ENV_NAME"]

    def azd(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["azd", *words], cwd=folder, env=own, capture_output=True, text=True, timeout=100, check=True
        )

    azd("env", "new", "dev", "--no-prompt")
    first = azd("hooks", "run", "preprovision")
    assert "SSH_PUBLIC_KEY set" in first.stderr
    values = json.loads(azd("env", "get-values", "--output", "json").stdout)
    assert values["SSH_PUBLIC_KEY"] == f"{ED25519} me-too"
    assert {"CLOUD_INIT_FWD", "CLOUD_INIT_ONPREM"} <= values.keys()
    second = azd("hooks", "run", "preprovision")
    assert second.stderr.count("unchanged") == 3
    assert json.loads(azd("env", "get-values", "--output", "json").stdout) == values
