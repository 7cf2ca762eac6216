"""`fwdctl env check` and the preprovision hook ask Azure the same."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from conftest import ROOT
from fwdctl.errors import FwdctlError
from support.existing_networks import HUB, THEIRS, ZONE, read
from support.frame import make_runtime, project, run

if TYPE_CHECKING:
    from pathlib import Path

    from fwdctl.runtime import Runtime
    from support.fake_arm import FakeArm


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    project(tmp_path)
    shutil.copytree(ROOT / "infra", tmp_path / "infra", ignore=shutil.ignore_patterns("validation-*"))
    read(tmp_path)
    shutil.move(tmp_path / "main.parameters.json", tmp_path / "infra" / "main.parameters.json")
    return make_runtime(tmp_path, {"AZURE_LOCATION": "westeurope", "HOME": str(tmp_path)})


def test_env_check_says_what_azure_would_refuse(
    runtime: Runtime, arm: FakeArm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fwdctl.azure.credential.log_in", lambda *_: arm.login())
    for network in (HUB, THEIRS, ZONE):
        arm.fail("GET", network, 404, "ResourceNotFound")
    ran = run(runtime, "env", "check", "-o", "json")
    assert ran.code == 2
    wrong = ran.envelope["errors"][0]
    assert wrong["code"] == "parameters_invalid"
    assert (
        f"hub.existing.subnetId: does not exist: {HUB}/subnets/fwd (and 5 more problems)" in wrong["message"]
    )


def test_without_a_login_it_says_what_can_be_seen_without_azure(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(*_: object) -> None:
        raise FwdctlError("not_logged_in", "Nobody is logged in.")

    monkeypatch.setattr("fwdctl.azure.credential.log_in", nobody)
    ran = run(runtime, "env", "check", "-o", "json")
    assert [error["code"] for error in ran.envelope["errors"]] == ["not_provisioned"]
