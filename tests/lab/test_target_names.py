"""Names at both ends of a forward: targets in a zone that is linked to the hub, own names in the spoke's zone."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from conftest import ROOT
from support.operator import Operator
from support.programs import RunningLab

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.lab, pytest.mark.az, pytest.mark.xdist_group("names"), pytest.mark.timeout(240)]

ZONE, NAME = "privateDnsZones/onprem.example", "db.onprem.example"
RESOLVED_AFTER = 40.0
"""Seconds: the agents resolve every 15 s, then the load balancer's probe must pass."""


@pytest.fixture
def operator(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Operator]:
    """A lab whose only target is a name that nobody resolves yet."""
    folder = tmp_path_factory.mktemp("names")
    document = json.loads((ROOT / "infra" / "main.parameters.json").read_text("utf-8"))
    (forward,) = document["parameters"]["forwards"]["value"]
    forward |= {"targets": [f"{NAME}:8000"], "hostNames": ["shop", "store"]}
    file = folder / "main.parameters.json"
    file.write_text(json.dumps(document))
    lab = RunningLab.up(folder, f"names-{worker_id}", "--parameters", str(file))
    try:
        lab.fwdctl("jump", "start", "all")
        yield Operator(lab)
    finally:
        lab.down()


def lead_to(operator: Operator, *addresses: str) -> None:
    """Give the name these addresses, in a zone that is linked to the hub."""
    operator.put(ZONE, {}, location="global")
    network = operator.named("virtualNetworks", "hub")["id"]
    link = {"registrationEnabled": False, "virtualNetwork": {"id": network}}
    operator.put(f"{ZONE}/virtualNetworkLinks/hub", link, location="global")
    records = [{"ipv4Address": address} for address in addresses]
    operator.put(f"{ZONE}/A/db", {"ttl": 10, "aRecords": records})


def servers_once_there(operator: Operator, wanted: set[str]) -> dict[str, Any]:
    """The paths, as soon as just these servers answer the spoke and nothing is left to warn of."""
    deadline = time.monotonic() + RESOLVED_AFTER
    while True:
        paths = operator.probe("all", "--samples", "8")
        path = paths["app/web"]
        found = path["verdict"], set(path["servers"]), path["warnings"]
        if found == ("pass", wanted, []) or time.monotonic() > deadline:
            assert found == ("pass", wanted, [])
            return paths


def test_a_target_s_name_is_followed_from_its_first_record_to_its_last(operator: Operator) -> None:
    """One story, in this order: agents go on with the last good addresses of a name that is gone."""
    assert operator.probe(exit_code=4)["app/web"]["verdict"] == "fail"  # nobody knows it yet
    lead_to(operator, "192.168.42.65")
    paths = servers_once_there(operator, {"server65"})
    assert paths[f"hub/web/{NAME}:8000"]["verdict"] == "pass"
    lead_to(operator, "192.168.42.65", "192.168.42.66")  # every address gets its share
    servers_once_there(operator, {"server65", "server66"})
    lead_to(operator, "192.168.42.66")
    servers_once_there(operator, {"server66"})


def test_each_own_name_of_a_forward_is_tested(operator: Operator) -> None:
    lead_to(operator, "192.168.42.66")
    servers_once_there(operator, {"server66"})
    zone = operator.lab.topology["spokes"][0]["zone"]
    paths = operator.probe("spoke", exit_code=0)
    assert {label: path["verdict"] for label, path in paths.items()} == {
        "app/web": "pass",
        f"app/web/store.{zone}": "pass",
    }
    operator.delete(f"privateDnsZones/{zone}/A/store")
    paths = operator.probe("spoke", exit_code=4)
    assert paths["app/web"]["verdict"] == "pass"
    broken = paths[f"app/web/store.{zone}"]["broken"]
    assert (broken["code"], broken["evidence"].split(";")[0]) == (
        "DNS_NXDOMAIN",
        f"zone {zone} has no A record 'store'",
    )
    operator.follow(broken["next"])
    operator.probe("spoke", exit_code=0)
