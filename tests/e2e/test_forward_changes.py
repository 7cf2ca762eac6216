"""The real azd changes what is forwarded while a workload uses it; nobody runs a command by hand."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from support.azd_project import OF_AZD, Project
from support.traffic import Traffic

pytestmark = [*OF_AZD, pytest.mark.timeout(900)]
LIVE_SECONDS = 30
KEPT = 20


def hashes(project: Project, health_port: int) -> set[str]:
    """What the forwarders say that they forward; one that does not answer says nothing."""
    ask = ("curl", "-s", f"http://127.0.0.1:{health_port}/status")
    forwarders = [node["name"] for node in project.nodes() if node["name"].startswith("fwd")]
    assert len(forwarders) == 3
    said = [project.lab.lab("shell", name, "--", *ask, expect=None).stdout for name in forwarders]
    return {json.loads(text or "{}").get("hash", "") for text in said}


def provision(project: Project, **parameters: Any) -> float:
    """Change parameters and deploy; seconds from azd's end until every forwarder forwards them."""
    for name, value in parameters.items():
        project.edit_parameters(name, value)
    done = project.azd("provision", "--no-prompt", seconds=240)
    began = time.monotonic()
    assert "forwarder rollout" not in done.stdout + done.stderr
    hub = project.topology()["hub"]
    while (said := hashes(project, hub["healthPort"])) != {hub["forwardsHash"]}:
        assert time.monotonic() - began < LIVE_SECONDS, f"{said} is not {hub['forwardsHash']}: {done}"
        time.sleep(0.5)
    return time.monotonic() - began


def test_forwards_change_while_a_workload_uses_one(project: Project) -> None:
    project.azd("up", "--no-prompt", seconds=240)
    topology = project.topology()
    [web] = topology["forwards"]
    web = {name: value for name, value in web.items() if value}
    corp = project.parameter("corp")
    first, second = corp["servers"]
    traffic = Traffic(project.lab, topology, web["port"], KEPT)

    added = {**web, "name": "second", "port": 8001}
    provision(project, forwards=[web, added])
    project.fwdctl("probe", "spoke")

    only_second = {**web, "targets": [f"{second['address']}:8000"]}
    provision(project, forwards=[only_second, added])
    time.sleep(1)
    asked = traffic.state()["servers"]
    assert asked[second["name"]] - asked[first["name"]] > 0.5  # the first gets no new connection any more

    moved = {**added, "port": 8002, "targets": [f"{first['address']}:9000"]}
    servers = [{**first, "port": 9000}, second]
    provision(project, forwards=[only_second, moved], corp={**corp, "servers": servers})
    deadline = time.monotonic() + LIVE_SECONDS
    while (last := project.fwdctl("probe", "spoke", expect=None)).returncode:
        assert time.monotonic() < deadline, last

    provision(project, forwards=[only_second])
    project.fwdctl("probe", "all")
    project.fwdctl("forwarder", "drift")

    # The load balancer probes the new port half a minute before the agents know of it.
    forwarder = project.parameter("forwarder")
    provision(project, forwarder={**forwarder, "healthPort": forwarder["healthPort"] - 1})
    project.fwdctl("probe", "all")
    project.fwdctl("forwarder", "drift")  # nothing differs, though the instances' model is an earlier one

    seen = traffic.state()
    assert seen["made"] > 500
    assert (seen["failed"], seen["broken"]) == ([], [])
