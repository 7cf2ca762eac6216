"""What is done to one machine of a scale set, as Azure answers: in its own time, and not always well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fwdctl.azure import clients, scale_sets
from fwdctl.azure.errors import ArmFailure
from fwdctl.azure.scale_sets import ScaleSet
from fwdctl.errors import FwdctlError
from support.fake_arm import GROUP, FakeArm, fake_arm

if TYPE_CHECKING:
    from collections.abc import Iterator

SET = f"{GROUP}/providers/Microsoft.Compute/virtualMachineScaleSets/vmss"
OWN = f"{SET}/virtualMachines/0"
PENDING = {"status": "InProgress"}


@pytest.fixture
def arm() -> Iterator[FakeArm]:
    with fake_arm() as arm:
        yield arm


def scale_set(arm: FakeArm) -> ScaleSet:
    return ScaleSet(arm.client(), "rg-dev", "vmss")


def accepted(arm: FakeArm) -> tuple[int, Any, dict[str, str]]:
    where = {"Azure-AsyncOperation": f"{arm.url}/operation", "Location": f"{arm.url}/result"}
    return 202, None, where


@pytest.mark.parametrize("result", [(200, None, {}), (204, None, {}), (200, {"status": "Succeeded"}, {})])
@pytest.mark.parametrize(
    ("action", "path", "body"),
    [
        ("manualupgrade", f"{SET}/manualupgrade", {"instanceIds": ["0"]}),
        ("reimage", f"{OWN}/reimage", None),
        ("restart", f"{OWN}/restart", None),
    ],
)
def test_an_action_ends_when_azure_has_done_it(
    arm: FakeArm, action: Any, path: str, body: Any, result: Any
) -> None:
    sent: list[Any] = []
    arm.routes["POST", path.lower()] = lambda content: (sent.append(content), accepted(arm))[1]  # type: ignore[func-returns-value]
    arm.on("GET", "/operation", PENDING, PENDING, {"status": "Succeeded"})
    arm.on("GET", "/result", result)
    scale_set(arm).act("0", action, lambda: None)
    assert sent == [body]
    assert arm.calls.count(("GET", "/operation")) == 3


def test_an_action_that_fails_says_why(arm: FakeArm) -> None:
    arm.on("POST", f"{OWN}/reimage", accepted(arm))
    failure = {"status": "Failed", "error": {"code": "OSProvisioningTimedOut", "message": "it did not boot"}}
    arm.on("GET", "/operation", PENDING, failure)
    with pytest.raises(ArmFailure, match="it did not boot"):
        scale_set(arm).act("0", "reimage", lambda: None)


def test_an_action_that_does_not_end_stops_the_wait(arm: FakeArm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale_sets, "LONGEST", 0.2)
    monkeypatch.setattr(clients, "TICK", 0.05)
    arm.on("POST", f"{OWN}/restart", accepted(arm))
    arm.on("GET", "/operation", PENDING)
    ticks: list[None] = []
    with pytest.raises(FwdctlError) as error:
        scale_set(arm).act("0", "restart", lambda: ticks.append(None))
    assert (error.value.code, error.value.exit_code) == ("operation_timed_out", 5)
    assert ticks


def test_user_data_is_put_with_the_machines_own_document_and_awaited(arm: FakeArm) -> None:
    machine = {"instanceId": "0", "location": "westeurope", "properties": {"vmId": "v", "userData": "b2xk"}}
    sent: list[Any] = []
    header = {"Azure-AsyncOperation": f"{arm.url}/operation"}
    arm.routes["PUT", OWN.lower()] = lambda content: (sent.append(content), (200, content, header))[1]  # type: ignore[func-returns-value]
    arm.on("GET", "/operation", PENDING, {"status": "Succeeded"})
    arm.on("GET", OWN, machine)
    scale_set(arm).give_user_data(machine, "bmV3")
    assert sent == [{**machine, "properties": {"vmId": "v", "userData": "bmV3"}}]
    assert arm.calls.count(("GET", "/operation")) == 2


def test_a_machine_that_azure_is_busy_with_is_told_as_409(arm: FakeArm) -> None:
    arm.fail("PUT", OWN, 409, "Conflict", "Another operation is in progress.")
    with pytest.raises(ArmFailure) as error:
        scale_set(arm).give_user_data({"instanceId": "0", "properties": {}}, "bmV3")
    assert error.value.status == 409
