"""`fwdctl lab break` and `heal`; what the faults lead to is in the matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.programs import RunningLab

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("deployed-lab"), pytest.mark.timeout(180)]


def test_healing_ends_a_fault_and_waits_for_health(lab: RunningLab) -> None:
    lab.lab("break", "rules-missing")
    lab.fwdctl("probe", "spoke", "--timeout", "2", "--no-explain", expect=4)
    assert lab.lab("heal", "-o", "json").json["data"] == {"healed": ["rules-missing"], "healthy": True}
    lab.fwdctl("probe", "spoke")


def test_a_link_that_was_made_meanwhile_gives_way_when_healing(lab: RunningLab) -> None:
    """A network has one link to a zone, so the original could not come back next to it."""
    subscription, name = (lab.environ[key] for key in ("AZURE_SUBSCRIPTION_ID", "RESOURCE_GROUP_NAME"))
    group = f"/subscriptions/{subscription}/resourceGroups/{name}"
    links = f"{group}/providers/Microsoft.Network/privateDnsZones/fwdctl.internal/virtualNetworkLinks"
    (original,) = lab.arm("GET", links)["value"]
    lab.lab("break", "zone-not-linked")
    lab.arm("PUT", f"{links}/mine", {key: original[key] for key in ("location", "properties")})
    lab.lab("heal")
    assert [link["name"] for link in lab.arm("GET", links)["value"]] == [original["name"]]
    lab.fwdctl("probe", "spoke")


def test_a_fault_of_machines_that_are_gone_is_healed(lab: RunningLab) -> None:
    lab.lab("break", "agents-down")
    subscription, group = (lab.environ[key] for key in ("AZURE_SUBSCRIPTION_ID", "RESOURCE_GROUP_NAME"))
    below = f"/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute"
    scale_set = f"{below}/virtualMachineScaleSets/{lab.topology['hub']['scaleSet']}"
    sku = lab.arm("GET", scale_set)["sku"]
    lab.arm("PATCH", scale_set, {"sku": {**sku, "capacity": 1}})
    try:
        assert lab.lab("heal", "-o", "json").json["data"]["healed"] == ["agents-down"]
    finally:
        lab.arm("PATCH", scale_set, {"sku": sku})
        lab.lab("heal")


def test_an_unknown_fault_lists_those_that_exist(lab: RunningLab) -> None:
    done = lab.lab("break", "earthquake", expect=2)
    assert "target-down" in done.stderr


def test_a_fault_cannot_be_caused_twice(lab: RunningLab) -> None:
    lab.lab("break", "link-rejected")
    assert "in force already" in lab.lab("break", "link-rejected", expect=2).stderr


def test_an_unknown_server_lists_those_that_exist(lab: RunningLab) -> None:
    done = lab.lab("break", "target-down", "--target", "nobody", expect=2)
    assert "server65" in done.stderr


def test_healing_what_is_not_broken(lab: RunningLab) -> None:
    assert "not in force" in lab.lab("heal", "target-down", expect=3).stderr
    assert lab.lab("heal", "-o", "json").json["data"] == {"healed": []}


def test_healing_waits_for_no_health_where_nothing_is_deployed(tmp_path: Path) -> None:
    empty = RunningLab.up(tmp_path, "nothing", "--empty")
    try:
        empty.lab("break", "arm-slow")
        assert empty.lab("heal", "-o", "json").json["data"] == {"healed": ["arm-slow"]}
    finally:
        empty.down()
