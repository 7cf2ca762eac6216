"""How `fwdctl lab up` deploys, with an ARM that answers from a script."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from fwdctl.errors import FwdctlError
from fwdctl.progress import Progress
from fwdlab.cli import deploy
from fwdlab.cli.setup import LabDeployment
from support.frame import make_runtime

if TYPE_CHECKING:
    from pathlib import Path

PLAN = LabDeployment("lab-1", "westeurope", {"resources": []}, {"name": {"value": "lab"}})
PATH = "/subscriptions/s/providers/Microsoft.Resources/deployments/lab-1"
BLAMED = {"code": "DeploymentFailed", "message": "See details.", "details": [
    {"code": "Conflict", "message": "See details.", "details": [{"code": "SubnetInUse", "message": "Busy."}]},
    {"code": "Other", "message": "Later."},
]}  # fmt: skip


class ScriptedArm:
    """Answers the requests of one deployment whose state changes with each look at it."""

    subscription_id = "s"

    def __init__(self, *states: dict[str, Any]) -> None:
        self.states = list(states)
        self.sent: list[Any] = []

    def request(self, method: str, path: str, body: Any = None) -> Any:
        if method == "PUT":
            assert path == PATH
            self.sent.append(body)
            return {}
        if path == f"{PATH}/operations":
            done = {"resourceType": "Microsoft.Network/virtualNetworks", "resourceName": "vnet"}
            found = [("Succeeded", done), ("Running", {**done, "resourceName": "late"}), ("Succeeded", None)]
            properties = [{"provisioningState": state, "targetResource": target} for state, target in found]
            return {"value": [{"properties": each} for each in properties]}
        assert (method, path) == ("GET", PATH)
        return {"properties": self.states.pop(0)}


def run(folder: Path, *states: dict[str, Any]) -> tuple[dict[str, Any], ScriptedArm, str]:
    now = [0.0]
    runtime = make_runtime(folder, clock=lambda: now[0], sleep=lambda _: now.__setitem__(0, now[0] + 50))
    arm = ScriptedArm(*states)
    outputs = deploy.deploy(runtime, arm, PLAN, Progress(runtime))  # type: ignore[arg-type]
    return outputs, arm, runtime.stderr.getvalue()  # type: ignore[attr-defined]


RUNNING = {"provisioningState": "Running"}


def test_a_deployment_is_followed_to_its_outputs(tmp_path: Path) -> None:
    outputs = {"A": {"type": "String", "value": "x"}}
    found, arm, said = run(tmp_path, RUNNING, {"provisioningState": "Succeeded", "outputs": outputs})
    assert found == outputs
    assert arm.sent[0]["location"] == "westeurope"
    assert arm.sent[0]["properties"]["parameters"] == PLAN.parameters
    assert said.splitlines() == ["Deploying: Microsoft.Network/virtualNetworks vnet ..."]


def test_a_failed_deployment_names_the_error_that_began_it(tmp_path: Path) -> None:
    with pytest.raises(FwdctlError) as caught:
        run(tmp_path, RUNNING, {"provisioningState": "Failed", "error": BLAMED})
    assert (caught.value.code, caught.value.exit_code) == ("deployment_failed", 1)
    assert caught.value.message == "The deployment failed: Busy (SubnetInUse)."


def test_a_deployment_that_does_not_end(tmp_path: Path) -> None:
    with pytest.raises(FwdctlError) as caught:
        run(tmp_path, *[RUNNING] * 9)
    assert caught.value.code == "deployment_timeout"


@pytest.mark.skipif(sys.platform != "linux", reason="the lab needs Linux")
def test_the_process_trusts_the_lab_only_while_it_deploys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os
    from types import SimpleNamespace

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "mine")
    monkeypatch.delenv("NO_PROXY", raising=False)
    names = {
        "AZURE_SUBSCRIPTION_ID": "s",
        "AZURE_TENANT_ID": "t",
        "REQUESTS_CA_BUNDLE": "lab",
        "NO_PROXY": "*",
    }
    state = SimpleNamespace(environment=names, base_url="https://127.0.0.1:1")
    client = SimpleNamespace(state=state, control=lambda *_: {"token": "T"})
    with deploy.azure_of(make_runtime(tmp_path), client) as arm:  # type: ignore[arg-type]
        assert (os.environ["REQUESTS_CA_BUNDLE"], os.environ["NO_PROXY"]) == ("lab", "*")
        assert (arm.subscription_id, arm.login.endpoint, arm.login.token()) == ("s", state.base_url, "T")
    assert os.environ["REQUESTS_CA_BUNDLE"] == "mine"
    assert "NO_PROXY" not in os.environ
