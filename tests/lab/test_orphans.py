"""A spoke and a name are removed from the template: what they leave behind is seen, stopped and removed."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from conftest import ROOT
from fwdctl.errors import FwdctlError
from fwdctl.runtime import Runtime
from fwdctl.template import ended_boxes, fixed, parameters
from fwdlab.cli.deploy import azure_of
from fwdlab.cli.labs import client_of
from support.operator import Operator
from support.programs import RunningLab
from support.provisioning import KEY, provision

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

LEFT = [
    ("endpoint connection", "Approved", "costs nothing"),
    ("private endpoint", "Approved", "costs by the hour"),
    ("jump box", "Running", "costs by the second"),
    ("DNS name", "10.1.17.4", "costs nothing"),
    ("zone link", "linked", "costs nothing"),
    ("DNS zone", "3 record sets", "costs by the month"),
    ("network", "4 subnets", "costs nothing"),
    ("security group", "1 rules", "costs nothing"),
]


@pytest.fixture(scope="module")
def removed(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[RunningLab]:
    """Two spokes were deployed, then one only, and a name less; all boxes run."""
    tmp_path = tmp_path_factory.mktemp("orphans")
    document = json.loads((ROOT / "infra" / "main.parameters.json").read_text("utf-8"))
    (first,) = document["parameters"]["spokes"]["value"]
    lab = RunningLab.up(tmp_path, f"orphans-{worker_id}", "--empty")
    try:
        old = {**first, "name": "old", "dnsZoneName": "old.fwdctl.internal"}
        (web,) = document["parameters"]["forwards"]["value"]
        provision(lab, tmp_path, 1, spokes=[first, old], forwards=[{**web, "hostNames": ["gone"]}])
        operator = Operator(lab)
        hub = operator.named("virtualNetworks", "vnet-hub")["name"]
        operator.put(f"virtualNetworks/{hub}/subnets/mine", {"addressPrefix": "10.0.1.128/27"})
        provision(lab, tmp_path, 2, spokes=[first])
        yield lab
    finally:
        lab.down()


def test_what_a_removed_spoke_leaves_is_listed_stopped_and_removed(removed: RunningLab) -> None:
    box = next(each["name"] for each in orphans(removed) if each["kind"] == "jump box")
    assert box.startswith("ci-old-")
    assert [(each["kind"], each["state"], each["costs"]) for each in orphans(removed)] == LEFT

    status = removed.fwdctl("jump", "status", "-o", "json")
    assert f"jump box {box} (Running, costs by the second)" in status.stderr
    assert "See `fwdctl env orphans`." in status.stderr
    assert [each["name"] for each in status.json["data"]["boxes"]] == ["hub", "app"]

    stopped = removed.fwdctl("jump", "stop", "all", "-o", "json").json["data"]["boxes"]
    assert (stopped[-1]["containerGroup"], stopped[-1]["outcome"]) == (box, "stopped")
    assert "(Stopped, costs nothing)" in removed.fwdctl("jump", "status").stderr

    refused = removed.fwdctl("env", "orphans", "--remove", "-o", "json", expect=2)
    assert refused.json["errors"][0]["code"] == "confirmation_needed"
    assert box in refused.stderr
    assert len(orphans(removed)) == len(LEFT)

    done = removed.fwdctl("env", "orphans", "--remove", "--yes", "-o", "json")
    assert all(each["deleted"] for each in done.json["data"]["orphans"])
    assert done.stderr.count("(✓) Done:") == len(LEFT)
    assert orphans(removed) == []
    assert removed.fwdctl("env", "orphans").stdout == "Nothing was left behind.\n"
    assert "orphans" not in removed.fwdctl("jump", "status").stderr
    assert removed.fwdctl("probe", "all").returncode == 0


def test_a_provision_leaves_what_somebody_else_has_added(removed: RunningLab) -> None:
    subnets = Operator(removed).named("virtualNetworks", "vnet-hub")["properties"]["subnets"]
    assert sorted(each["name"] for each in subnets) == ["jump", "mine", "shared"]


def test_a_box_that_has_ended_is_made_anew_where_it_must_change(removed: RunningLab, tmp_path: Path) -> None:
    """Azure updates none; the preprovision hook deletes it first."""
    end = "for p in /proc/[0-9]*; do grep -q fwdctl-lif[e] $p/cmdline && kill -TERM ${p#/proc/}; done"
    removed.fwdctl("jump", "exec", "spoke", "--start", "--", "sh", "-c", end, expect=None)
    deadline = time.monotonic() + 30
    while "Succeeded" not in (shown := removed.fwdctl("jump", "status").stdout):
        assert time.monotonic() < deadline, shown
        time.sleep(0.2)
    document = json.loads((ROOT / "infra" / "main.parameters.json").read_text("utf-8"))
    changed = {**document["parameters"]["jump"]["value"], "lifetimeSeconds": 3600}
    with pytest.raises(FwdctlError, match="LabContainerGroupEnded"):
        provision(removed, tmp_path, 3, jump=changed)

    runtime = Runtime(environ=removed.base, cwd=tmp_path)
    compiled = ROOT / "infra" / "main.json"
    given = parameters.load(tmp_path / "main.parameters.json", compiled, {})
    with azure_of(runtime, client_of(removed.name, runtime)) as clients:
        group, box = removed.topology["resourceGroup"], removed.topology["spokes"][0]["jump"]
        own = f"/subscriptions/{clients.subscription_id}/resourceGroups/{group}"
        before = {"AZURE_LOCATION": "westeurope"}
        place = fixed.Place(own, box.rpartition("-")[2], before, {"SSH_PUBLIC_KEY": KEY})
        assert list(fixed.problems(clients, given, place)) == []
        assert ended_boxes.delete_unchangeable(runtime, clients, given, place, compiled) == [box]
    provision(removed, tmp_path, 4, jump=changed)
    assert removed.fwdctl("jump", "exec", "spoke", "--start", "--", "echo", "anew").stdout == "anew\n"


def orphans(lab: RunningLab) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = lab.fwdctl("env", "orphans", "-o", "json").json["data"]["orphans"]
    return found
