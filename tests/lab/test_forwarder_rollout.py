"""Forwarders are renewed while a workload uses them: real packets, the real agent, the lab's Azure."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from conftest import ROOT
from fwdctl.template import cloudinit
from fwdctl.template.files import Template
from support.programs import FWDCTL, RunningLab, run
from support.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.lab, pytest.mark.timeout(400)]
KEPT = 8


class Fleet:
    """Two forwarders of a lab of its own, whose image has a fixed version."""

    def __init__(self, lab: RunningLab, folder: Path) -> None:
        self.lab, self._folder, self._agents = lab, folder, 0
        topology = lab.topology
        group = f"/subscriptions/{lab.environ['AZURE_SUBSCRIPTION_ID']}/resourceGroups/{topology['resourceGroup']}"
        self._path = (
            f"{group}/providers/Microsoft.Compute/virtualMachineScaleSets/{topology['hub']['scaleSet']}"
        )
        self.change(lambda model: model["sku"].update(capacity=2))
        self.image("1.0.0")
        self.traffic = Traffic(lab, topology, topology["forwards"][0]["port"], KEPT)

    def change(self, edit: Callable[[dict[str, Any]], object]) -> None:
        model = self.lab.arm("GET", self._path)
        edit(model)
        self.lab.arm("PUT", self._path, model)

    def image(self, version: str) -> None:
        """Name the version of the image and let the forwarders have it."""

        def edit(model: dict[str, Any]) -> None:
            storage = model["properties"]["virtualMachineProfile"]["storageProfile"]
            storage["imageReference"]["version"] = version

        self.change(edit)
        self.lab.arm("POST", f"{self._path}/manualupgrade", {"instanceIds": ["*"]})
        self.until_healthy()

    def new_agent(self) -> str:
        """Give the scale set another agent, as a deployment does; the hash of its programs."""
        self._agents += 1
        infra = self._folder / f"infra{self._agents}"
        shutil.copytree(ROOT / "infra" / "cloud-init", infra / "cloud-init")
        with (infra / "cloud-init" / "forwarder" / "agent.py").open("a") as program:
            program.write(f"# {self._agents}\n")
        rendered = cloudinit.render(Template(infra)).forwarder

        def edit(model: dict[str, Any]) -> None:
            model["tags"]["fwdctl-config-hash"] = rendered.config_hash
            model["properties"]["virtualMachineProfile"]["osProfile"]["customData"] = rendered.encoded

        self.change(edit)
        return rendered.config_hash

    def status(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.lab.fwdctl("forwarder", "status", "-o", "json", expect=None).json[
            "data"
        ]["instances"]
        return found

    def until_healthy(self) -> None:
        deadline = time.monotonic() + 40
        while (seen := self.lab.fwdctl("forwarder", "status", expect=None)).returncode:
            assert time.monotonic() < deadline, seen
            time.sleep(1)

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*FWDCTL, "forwarder", *words],
            env=self.lab.environ,
            cwd=self.lab.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """What it says on stderr, up to a line with these words."""
    said = ""
    assert process.stderr is not None
    for line in process.stderr:
        said += line
        if words in line:
            return said
    pytest.fail(f"it never said '{words}': {said}")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Fleet]:
    lab = RunningLab.up(tmp_path_factory.mktemp("rollout"), f"rollout-{worker_id}")
    try:
        yield Fleet(lab, tmp_path_factory.mktemp("agents"))
    finally:
        lab.down()


def test_a_new_agent_is_rolled_out_under_traffic_and_goes_on_after_a_stop(fleet: Fleet) -> None:
    programs = fleet.new_agent()
    drifted = fleet.lab.fwdctl("forwarder", "drift", "-o", "json", expect=4).json["data"]["differences"]
    assert [(each["instance"], each["what"]) for each in drifted] == [("0", "agent"), ("1", "agent")]
    planned = fleet.lab.fwdctl("forwarder", "rollout", "--dry-run", "-o", "json").json["data"]["plan"]
    assert [step["step"] for step in planned[0]["steps"]] == [
        "update to the model",
        "drain",
        "reimage",
        "hand on user data",
        "wait until healthy",
    ]

    stopped = fleet.start("rollout", "--drain", "60", "-o", "json")
    read_until(stopped, "waiting until its connections end")  # of the workload, which keeps some open
    fleet.lab.lab("shell", "fwd000001", "--", "systemctl", "stop", "fwdctl-agent")
    out, err = stopped.communicate(timeout=90)
    assert stopped.returncode == 4, out + err
    [error] = json.loads(out)["errors"]
    assert error["message"].startswith("Stopped at forwarder 0: forwarder 1 is not healthy: ")
    fleet.lab.lab("shell", "fwd000001", "--", "systemctl", "start", "fwdctl-agent")
    fleet.until_healthy()
    assert [each["draining"] for each in fleet.status()] == [False, False]
    before = fleet.traffic.settled()  # with what failed while one was drained and the other one ill
    assert before["broken"] == []  # nothing went down

    done = fleet.lab.fwdctl("forwarder", "rollout", "--drain", "2", "-o", "json").json["data"]
    assert next(step["step"] for step in done["plan"][0]["steps"]) == "drain"  # the model is applied already
    assert {each["programs"] for each in fleet.status()} == {programs}
    assert fleet.traffic.settled()["failed"] == before["failed"]
    counted = sum(each["openConnections"] for each in done["done"])
    assert counted >= KEPT
    # A forwarder without memory of a connection takes it up in the middle, and may by chance choose its target.
    after = fleet.traffic.until(lambda state: bool(state["broken"]), "some are seen to break")
    assert len(after["broken"]) <= counted
    assert after["made"] - before["made"] > 1000
    fleet.lab.fwdctl("forwarder", "drift")


def test_the_shell_offers_the_ids_of_the_forwarders(fleet: Fleet) -> None:
    line = "fwdctl forwarder restart --instance "
    asked = {"_FWDCTL_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": "4"}
    assert run(FWDCTL, environ={**fleet.lab.environ, **asked}).stdout.split() == ["0", "1"]


def test_ctrl_c_leaves_no_forwarder_drained(fleet: Fleet) -> None:
    failed = fleet.traffic.settled()["failed"]
    restart = fleet.start("restart", "--instance", "1", "--drain", "60")
    read_until(restart, "waiting until the load balancer notices the drain")
    restart.send_signal(signal.SIGINT)
    out, err = restart.communicate(timeout=60)
    assert (restart.returncode, "Forwarder 1 has its own user data back" in err) == (130, True), out + err
    assert "Stopping hub" in err
    fleet.lab.fwdctl("forwarder", "drift")
    assert fleet.traffic.settled()["failed"] == failed


def test_a_newer_image_that_an_update_brings_finds_the_forwarder_drained(fleet: Fleet) -> None:
    fleet.image("latest")
    programs, failed = fleet.new_agent(), fleet.traffic.settled()["failed"]
    fleet.lab.lab("break", "newer-image")
    done = fleet.lab.fwdctl("forwarder", "rollout", "--drain", "2")
    assert "is reimaged" not in done.stderr  # the newer image came with a fresh disk
    assert {each["programs"] for each in fleet.status()} == {programs}
    assert fleet.traffic.settled()["failed"] == failed
