"""Networks that fwdctl did not deploy, in which packets pass: found by a resource group alone, and tested."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.programs import RunningLab

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("foreign"), pytest.mark.timeout(180)]
TEMPLATE = Path(__file__).parent / "foreign" / "networks.json"
UNKNOWN = "the targets are not known without FWD_TOPOLOGY"


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[RunningLab]:
    """All of them side by side, a resource group each, with boxes that run."""
    lab = RunningLab.up(tmp_path_factory.mktemp("lab"), f"foreign-{worker_id}", "--template", str(TEMPLATE))
    try:
        _wait_for_health(lab)
        yield lab
    finally:
        lab.down()


def _wait_for_health(lab: RunningLab) -> None:
    """`lab up` waits for the load balancers of the project's own template only."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        nodes = lab.lab("status", "-o", "json").json["data"]["nodes"]
        health = [node["health"] for node in nodes if node["kind"] == "machine"]
        if all(text and "Down" not in text for text in health):
            return
        time.sleep(0.5)
    pytest.fail(f"servers are not healthy: {health}")


def probed(
    lab: RunningLab, group: str, *arguments: str, which: str = "all", expect: int = 0
) -> dict[str, tuple[str, str]]:
    """Verdict of each path, with where it leads or why it is not tested."""
    options = ("-g", f"rg-{group}", "--timeout", "2", "-o", "json", *arguments)
    paths = lab.fwdctl("probe", which, *options, expect=expect).json["data"]["paths"]
    return {
        path["path"]: (path["verdict"], f"{path['host']}:{path['port']}" if path["host"] else path["reason"])
        for path in paths
    }


@pytest.mark.parametrize(
    ("group", "spoke"),
    [("spelled", "spelled"), ("second", "second"), ("apart", "apart"), ("apart-client", "apart")],
)
def test_what_the_service_serves_is_tested_and_nothing_else(
    networks: RunningLab, group: str, spoke: str
) -> None:
    """An id in another spelling, a second frontend, an endpoint in another group, a service in another group."""
    assert probed(networks, group) == {
        "hub/web/targets": ("skip", UNKNOWN),
        "hub/web": ("pass", "10.9.0.5:8000"),
        f"vnet-{spoke}/web": ("pass", f"server.{spoke}.example:8000"),
    }


def test_each_link_service_is_tested(networks: RunningLab) -> None:
    assert probed(networks, "several") == {
        "hub/pl-one/web/targets": ("skip", UNKNOWN),
        "hub/pl-one/web": ("pass", "10.9.0.5:8000"),
        "vnet-one/web": ("pass", "server.one.example:8000"),
        "hub/pl-two/web-two/targets": ("skip", UNKNOWN),
        "hub/pl-two/web-two": ("pass", "10.9.0.6:9000"),
        "vnet-two/web-two": ("pass", "server.two.example:9000"),
    }


def test_the_list_of_connections_names_the_networks(networks: RunningLab) -> None:
    for group, spokes in (("several", ["vnet-one", "vnet-two"]), ("apart", ["vnet-apart"])):
        listed = networks.fwdctl("link", "list", "-g", f"rg-{group}", "-o", "json")
        assert sorted(each["spoke"] for each in listed.json["data"]["connections"]) == spokes
        assert "not known" not in listed.stderr


def test_a_rule_for_every_port_is_tested_at_the_named_ones(networks: RunningLab) -> None:
    refused = networks.fwdctl("probe", "spoke", "-g", "rg-ha", expect=2)
    assert "rule every of load balancer lb takes every port" in refused.stderr
    assert "--port" in refused.stderr
    assert probed(networks, "ha", "--port", "8000", "--port", "9000", which="spoke") == {
        "vnet-ha/every-8000": ("pass", "server.ha.example:8000"),
        "vnet-ha/every-9000": ("pass", "server.ha.example:9000"),
    }
    assert probed(networks, "ha", "--port", "7777", which="spoke", expect=4) == {
        "vnet-ha/every-7777": ("fail", "server.ha.example:7777")
    }


def test_a_box_is_found_when_its_endpoint_is_gone(networks: RunningLab) -> None:
    options = ("-g", "rg-lost", "--timeout", "2", "-o", "json")
    (path,) = networks.fwdctl("probe", "spoke", *options, expect=4).json["data"]["paths"]
    assert (path["path"], path["box"]) == ("vnet-lost/web", "vnet-lost")
    assert (path["broken"]["segment"], path["broken"]["code"]) == ("endpoint", "PE_MISSING")


def test_boxes_of_other_groups_are_started_and_stopped(networks: RunningLab) -> None:
    """By the probe's own group, and left as they were found."""

    def states() -> dict[str, str]:
        boxes = networks.fwdctl("jump", "status", "-g", "rg-apart", "-o", "json").json["data"]["boxes"]
        return {box["name"]: box["state"] for box in boxes}

    networks.fwdctl("jump", "stop", "all", "-g", "rg-apart")
    assert states() == {"hub": "Stopped", "vnet-apart": "Stopped"}
    assert probed(networks, "apart-client", which="spoke")["vnet-apart/web"][0] == "pass"
    assert states() == {"hub": "Stopped", "vnet-apart": "Stopped"}
    networks.fwdctl("jump", "start", "all", "-g", "rg-apart-client")
    assert states() == {"hub": "Running", "vnet-apart": "Running"}
