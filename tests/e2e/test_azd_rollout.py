"""A new agent by the real azd, rolled out while a workload goes on: hook, rollout and drift agree."""

from __future__ import annotations

import re

import pytest

from support.azd_project import OF_AZD, Project
from support.programs import FWDCTL, run
from support.traffic import Traffic

pytestmark = [*OF_AZD, pytest.mark.timeout(600)]
COUNT = 2


def test_a_new_agent_is_deployed_and_rolled_out_under_traffic(project: Project) -> None:
    forwarder = project.parameter("forwarder")
    project.edit_parameters("forwarder", {**forwarder, "instanceCount": COUNT})
    project.azd("up", "--no-prompt", seconds=300)
    traffic = Traffic(project.lab, project.topology(), 8000, 6)

    with (project.folder / "infra" / "cloud-init" / "forwarder" / "agent.py").open("a") as agent:
        agent.write("# another one\n")
    done = project.azd("provision", "--no-prompt", seconds=300)
    assert re.search(
        "fwdctl forwarder rollout +forwarders 0 1 have the agent of before", done.stdout + done.stderr
    )
    differ = project.fwdctl("forwarder", "drift", "-o", "json", expect=4).json["data"]["differences"]
    assert [(each["instance"], each["what"]) for each in differ] == [("0", "agent"), ("1", "agent")]

    words = ("forwarder", "rollout", "--drain", "3")
    run([*FWDCTL, *words], environ=project.environ, cwd=project.folder, seconds=400)
    project.fwdctl("forwarder", "drift")
    again = project.azd("provision", "--no-state", "--no-prompt", seconds=300)
    assert "forwarder rollout" not in again.stdout + again.stderr
    seen = traffic.settled()
    assert seen["made"] > 1000
    assert seen["failed"] == []
