"""Container groups as Azure runs them: a process that ends, policies, logs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from support.programs import RunningLab

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("deployed-lab")]


def put_group(lab: RunningLab, name: str, command: list[str], policy: str) -> str:
    group = f"/subscriptions/{lab.environ['AZURE_SUBSCRIPTION_ID']}/resourceGroups/rg-lab/providers"
    box = lab.arm(
        "GET", f"{group}/Microsoft.ContainerInstance/containerGroups/{lab.environ['HUB_JUMP_NAME']}"
    )
    body: dict[str, Any] = {
        "location": box["location"],
        "properties": {**box["properties"], "restartPolicy": policy},
    }
    body["properties"]["containers"][0]["properties"]["command"] = command
    path = f"{group}/Microsoft.ContainerInstance/containerGroups/{name}"
    lab.arm("PUT", path, body)
    return path


def state_after(lab: RunningLab, path: str, wanted: str, *, seconds: float = 10) -> str:
    deadline = time.monotonic() + seconds
    while True:
        state: str = lab.arm("GET", path)["properties"]["instanceView"]["state"]
        if state == wanted or time.monotonic() > deadline:
            return state
        time.sleep(0.1)


@pytest.mark.parametrize(("code", "state"), [("0", "Succeeded"), ("7", "Failed")])
def test_a_command_that_ends_by_itself_ends_the_group(lab: RunningLab, code: str, state: str) -> None:
    path = put_group(lab, f"ends-{code}", ["sh", "-c", f"echo said; exit {code}"], "Never")
    try:
        assert state_after(lab, path, state) == state
    finally:
        lab.arm("DELETE", path)
