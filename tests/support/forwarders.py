"""What is done to the forwarders of a lab while a workload uses them."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fwdctl.forwarders.user_data import hand_on
from fwdctl.progress import Progress
from fwdctl.runtime import Runtime
from fwdlab.cli import setup
from fwdlab.cli.deploy import azure_of, deploy
from fwdlab.cli.labs import client_of
from support.traffic import run_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.programs import RunningLab


class Forwarders:
    """The instances of the scale set, by the names of their nodes."""

    def __init__(self, lab: RunningLab) -> None:
        self._lab = lab
        self._runtime = Runtime(environ=lab.base, cwd=lab.home)
        self._client = client_of(lab.name, self._runtime)
        self._plan = setup.prepare(self._runtime, None, None)
        self._hub = lab.topology["hub"]
        self.parameters = {name: each["value"] for name, each in self._plan.parameters.items()}
        nodes = self._client.control("GET", "/lab/status")["nodes"]
        self.names = sorted(node["name"] for node in nodes if node["name"].startswith("fwd"))

    def forward(self, **parameters: Any) -> float:
        """Deploy with changed parameters, as azd and its hook do; the time at which that ended."""
        self.parameters.update(parameters)
        values = {name: {"value": value} for name, value in self.parameters.items()}
        plan = replace(self._plan, parameters=values)
        with azure_of(self._runtime, self._client) as clients, Progress(self._runtime) as progress:
            outputs = setup.environment_of(deploy(self._runtime, clients, plan, progress))
            hand_on(clients, outputs["RESOURCE_GROUP_NAME"], self._hub["scaleSet"])
        self._hub = json.loads(outputs["FWD_TOPOLOGY"])["hub"]
        return time.time()

    def in_force(self) -> bool:
        """Whether every agent forwards what was deployed last, with its rules in place."""
        return all(
            status.get("hash") == self._hub["forwardsHash"]
            and all(each["rulesInPlace"] for each in status["forwards"])
            for status in self.statuses()
        )

    def statuses(self) -> list[dict[str, Any]]:
        """What each agent says; empty where it does not answer."""
        ask = ("curl", "-s", "-m", "2", f"http://127.0.0.1:{self._hub['healthPort']}/status")
        return [json.loads(text or "{}") for text in self.everywhere(*ask)]

    def states(self, target: str) -> set[str]:
        """What the agents say of a target."""
        told = [
            each
            for status in self.statuses()
            for forward in status.get("forwards", ())
            for each in forward["targets"]
        ]
        return {each["state"] for each in told if each["address"] == target}

    def everywhere(self, *argv: str) -> list[str]:
        """Run a program on all of them at once; what it printed."""
        with ThreadPoolExecutor(len(self.names)) as pool:
            return list(pool.map(lambda name: run_in(self._lab, name, *argv), self.names))


def until(true: Callable[[], bool], what: str, seconds: float = 60) -> float:
    """Wait for a state; the time at which it was seen."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)
    return time.time()
