"""After `azd down` the environment's names go from zones that stay."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from conftest import ROOT
from support.existing_networks import ZONE, read
from support.fake_arm import GROUP, FakeArm
from support.frame import make_runtime, project, run

if TYPE_CHECKING:
    from pathlib import Path

    from fwdctl.runtime import Runtime


@pytest.fixture
def runtime(tmp_path: Path, arm: FakeArm, monkeypatch: pytest.MonkeyPatch) -> Runtime:
    """A project whose spoke has its names in an existing zone."""
    monkeypatch.setattr("fwdctl.azure.credential.log_in", lambda *_: arm.login())
    project(tmp_path)
    shutil.copytree(ROOT / "infra", tmp_path / "infra", ignore=shutil.ignore_patterns("validation-*"))
    read(tmp_path)
    shutil.move(tmp_path / "main.parameters.json", tmp_path / "infra" / "main.parameters.json")
    return make_runtime(tmp_path, {}, sleep=lambda _: None)


def records(arm: FakeArm, *environments: str) -> list[str]:
    """Records marked with environments, or not; the list tells which are deleted."""
    deleted: list[str] = []
    listed = []
    for number, environment in enumerate(environments):
        name = f"host{number}"
        metadata = {"metadata": {"azd-env-name": environment}} if environment else {}
        listed.append({"id": f"{ZONE}/A/{name}", "name": name, "properties": metadata})

        def delete(_: Any, name: str = name) -> Any:
            deleted.append(name)
            return 200, None, {}

        arm.routes["DELETE", f"{ZONE}/a/{name}".lower()] = delete
        arm.fail("GET", f"{ZONE}/A/{name}", 404, "NotFound")
    arm.on("GET", f"{ZONE}/A", {"value": listed})
    return deleted


def test_names_of_the_environment_go_and_others_stay(runtime: Runtime, arm: FakeArm) -> None:
    deleted = records(arm, "dev", "", "prod", "dev")
    arm.fail("GET", GROUP, 404, "ResourceGroupNotFound")
    ran = run(runtime, "hook", "postdown", "-o", "json")
    assert ran.code == 0
    assert deleted == ["host0", "host3"]
    assert ran.envelope["data"] == {
        "environment": "dev",
        "removed": ["host0.a.internal", "host3.a.internal"],
    }


def test_nothing_goes_while_the_resource_group_is_there(runtime: Runtime, arm: FakeArm) -> None:
    deleted = records(arm, "dev")
    arm.on("GET", GROUP, {"location": "westeurope"})
    ran = run(runtime, "hook", "postdown")
    assert (ran.code, deleted) == (0, [])
    assert "The resource group is still there" in ran.stderr


def test_not_to_be_able_is_a_warning(runtime: Runtime, arm: FakeArm) -> None:
    arm.fail("GET", GROUP, 404, "ResourceGroupNotFound")
    arm.fail("GET", f"{ZONE}/A", 403, "AuthorizationFailed")
    ran = run(runtime, "hook", "postdown")
    assert ran.code == 0
    assert "Warning: Names of this environment may be left in existing zones" in ran.stderr


def test_without_existing_zones_azure_is_not_asked(runtime: Runtime, arm: FakeArm) -> None:
    shutil.copy(ROOT / "infra" / "main.parameters.json", runtime.cwd / "infra" / "main.parameters.json")
    assert run(runtime, "hook", "postdown").code == 0
    assert arm.calls == []
