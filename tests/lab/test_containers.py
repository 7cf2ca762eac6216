"""Container groups as Azure runs them: a process that ends, policies, logs."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from support.programs import FWDCTL

if TYPE_CHECKING:
    from collections.abc import Iterator

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


@pytest.fixture
def short_lived(lab: RunningLab) -> Iterator[str]:
    """Path of the hub's box, stopped, of which 10 s unattended are enough to end itself."""
    name = lab.environ["HUB_JUMP_NAME"]
    providers = f"/subscriptions/{lab.environ['AZURE_SUBSCRIPTION_ID']}/resourceGroups/rg-lab/providers"
    path = f"{providers}/Microsoft.ContainerInstance/containerGroups/{name}"
    before = lab.arm("GET", path)
    [container] = before["properties"]["containers"]
    command = container["properties"]["command"]
    assert command[-2:] == ["600", "28800"]
    put_group(lab, name, [*command[:-2], "10", "28800"], "Never")
    lab.fwdctl("jump", "stop", "hub")
    yield path
    put_group(lab, name, command, "Never")


@pytest.mark.parametrize("heard", [False, True], ids=["while it starts", "while it works"])
def test_a_box_whose_client_was_killed_ends_itself(lab: RunningLab, short_lived: str, *, heard: bool) -> None:
    words = ["jump", "exec", "hub", "--start", "--", "sh", "-c", "echo works; exec sleep 600"]
    with subprocess.Popen(
        [*FWDCTL, *words], env=lab.environ, cwd=lab.home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as client:
        assert client.stdout is not None
        assert not heard or client.stdout.readline() == b"works\n"
        assert heard or state_after(lab, short_lived, "Running") == "Running"
        client.kill()
    assert state_after(lab, short_lived, "Succeeded", seconds=30) == "Succeeded"
    # Such a box can be started again by whoever needs it next.
    lab.fwdctl("jump", "exec", "hub", "--start", "--", "true")
    assert state_after(lab, short_lived, "Stopped", seconds=0) == "Stopped"


def test_a_box_that_a_person_has_started_stays(lab: RunningLab, short_lived: str) -> None:
    lab.fwdctl("jump", "start", "hub")
    assert state_after(lab, short_lived, "Succeeded", seconds=20) == "Running"


@pytest.mark.parametrize(("code", "state"), [("0", "Succeeded"), ("7", "Failed")])
def test_a_command_that_ends_by_itself_ends_the_group(lab: RunningLab, code: str, state: str) -> None:
    path = put_group(lab, f"ends-{code}", ["sh", "-c", f"echo said; exit {code}"], "Never")
    try:
        assert state_after(lab, path, state) == state
    finally:
        lab.arm("DELETE", path)
