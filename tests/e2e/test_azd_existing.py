"""The real az makes a hub, two spokes and a zone; the real azd adds the way, and takes only that away."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import pytest

from support import networks_of_others
from support.operator import Operator
from support.programs import run

if TYPE_CHECKING:
    from support.azd_project import Project

pytestmark = [
    pytest.mark.az,
    pytest.mark.azd,
    pytest.mark.bicep,
    pytest.mark.lab,
    pytest.mark.xdist_group("azd"),
    pytest.mark.timeout(300),
]


def az(project: Project, *words: str) -> str:
    return run(["az", *words], environ=project.environ, cwd=project.folder, seconds=120).stdout


def what_is_there(project: Project) -> dict[str, Any]:
    """What `az resource list` and `az resource show` say of the group of the networks."""
    listed = json.loads(az(project, "resource", "list", "-g", networks_of_others.GROUP))
    ids = sorted(each["id"] for each in listed)
    shown = json.loads(az(project, "resource", "show", "--ids", *ids))
    return {"listed": listed, "shown": shown}


def test_azd_adds_a_way_to_networks_of_others_and_takes_only_that_away(project: Project) -> None:
    networks_of_others.make(project.folder.parent, project.environ, guarded=True)
    given = networks_of_others.parameters(project.environ["AZURE_SUBSCRIPTION_ID"])
    for name, value in {**given, "alerts": {"email": "on-call@example.com"}}.items():
        project.edit_parameters(name, value)

    refused = project.azd("hooks", "run", "preprovision")
    printed = [line.strip() for line in (refused.stdout + refused.stderr).splitlines()]
    rules = [line for line in printed if line.startswith("az network nsg rule create ")]
    assert len(rules) == 4, printed  # probes, link service, and the jump box to the forward and the agents
    for rule in rules:
        az(project, *shlex.split(rule)[1:])
    before = what_is_there(project)

    up = project.azd("up", "--no-prompt")
    assert "az network nsg rule" not in up.stdout + up.stderr
    kinds = {each["type"] for each in json.loads(az(project, "resource", "list", "-g", "rg-dev"))}
    assert {
        f"Microsoft.Insights/{kind}" for kind in ("actionGroups", "metricAlerts", "activityLogAlerts")
    } < kinds
    assert not {f"Microsoft.Network/{kind}" for kind in ("virtualNetworks", "publicIPAddresses")} & kinds
    project.lab.environ |= project.values()
    Operator(project.lab).until_healed("all")  # a probe of all paths is green

    down = project.azd("down", "--force", "--purge", "--no-prompt")
    assert "onprem-server.one.internal" in down.stdout + down.stderr
    assert what_is_there(project) == before
