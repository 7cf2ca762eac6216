"""Hub, spoke and zone were made by somebody else with az: the template adds a way, and takes only that away."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from conftest import ROOT
from fwdctl.errors import FwdctlError
from fwdctl.forwarders import user_data
from fwdctl.runtime import Runtime
from fwdctl.template import existing, parameters
from fwdlab.cli.deploy import azure_of
from fwdlab.cli.labs import client_of
from support import networks_of_others
from support.operator import Operator
from support.programs import RunningLab
from support.provisioning import provision

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.lab, pytest.mark.az, pytest.mark.timeout(300)]


@pytest.fixture
def lab(tmp_path: Path, worker_id: str) -> Iterator[RunningLab]:
    """The networks, and a server in the hub's."""
    lab = RunningLab.up(tmp_path, f"existing-{worker_id}", "--empty")
    try:
        networks_of_others.make(tmp_path, lab.environ)
        yield lab
    finally:
        lab.down()


def group_of(lab: RunningLab) -> str:
    return f"/subscriptions/{lab.environ['AZURE_SUBSCRIPTION_ID']}/resourceGroups/net"


def is_there(lab: RunningLab, resource_id: str) -> bool:
    try:
        lab.arm("GET", resource_id)
    except FwdctlError:
        return False
    return True


def what_is_there(lab: RunningLab) -> dict[str, Any]:
    """Every resource of the group, whole, but for what counts records."""
    listed = lab.arm("GET", f"{group_of(lab)}/resources")["value"]
    found = {each["id"]: lab.arm("GET", each["id"]) for each in listed}
    for document in found.values():
        document["properties"].pop("numberOfRecordSets", None)  # the postdown hook is azd's
    return found


def refused(lab: RunningLab, home: Path) -> list[str]:
    """The keys in which the preprovision hook finds something wrong."""
    runtime = Runtime(environ=lab.base, cwd=home)
    given = parameters.load(home / "main.parameters.json", ROOT / "infra" / "main.json", {})
    with azure_of(runtime, client_of(lab.name, runtime)) as clients:
        return [each.path for each in existing.problems(clients, given, "westeurope")]


def values(lab: RunningLab, nat: str) -> dict[str, Any]:
    return networks_of_others.parameters(lab.environ["AZURE_SUBSCRIPTION_ID"], nat)


def test_the_way_comes_and_goes_and_the_networks_stay_as_they_were(lab: RunningLab, tmp_path: Path) -> None:
    before = what_is_there(lab)
    provision(lab, tmp_path, 1, **values(lab, "10.9.0.224/27"))  # not where the NAT address is
    assert refused(lab, tmp_path) == ["hub.existing.natSubnetId"]
    operator = Operator(lab)
    operator.until_healed("hub")
    service = operator.named("privateLinkServices", "pl-")
    interface = lab.arm("GET", service["properties"]["networkInterfaces"][0]["id"])
    address = interface["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"]
    broken = operator.probe("all", exit_code=4)["one/web"]["broken"]
    assert broken["code"] == "FWD_SOURCE_REFUSED"
    assert f"those of the link service come from {address}" in broken["evidence"]
    assert "Write 10.9.0.192/26 as hub.natSubnetPrefix" in broken["next"]

    provision(lab, tmp_path, 2, **values(lab, "10.9.0.192/26"))
    hand_on(lab, tmp_path)
    assert refused(lab, tmp_path) == []
    operator.until_healed("all")
    assert operator.probe("all", exit_code=0)["one/web"]["verdict"] == "pass"
    group = f"{group_of(lab).removesuffix('net')}{lab.topology['resourceGroup']}"
    lab.arm("DELETE", group)
    deadline = time.monotonic() + 60
    while is_there(lab, group):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert what_is_there(lab) == before


def hand_on(lab: RunningLab, home: Path) -> None:
    """As the postprovision hook does."""
    runtime = Runtime(environ=lab.base, cwd=home)
    with azure_of(runtime, client_of(lab.name, runtime)) as clients:
        user_data.hand_on(clients, lab.topology["resourceGroup"], lab.topology["hub"]["scaleSet"])
