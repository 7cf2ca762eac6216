"""Every fault of the lab leads to the code, the hop and the exit code of the table here, and healing ends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from fwdlab.faults import FAULTS
from support.programs import RunningLab

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("deployed-lab"), pytest.mark.timeout(180)]


@dataclass(frozen=True)
class Expected:
    """How `fwdctl probe spoke` ends.

    Attributes:
        code: of the broken hop, of a warning, or of an error; empty where a probe does not mind the fault.
        hop: the segment that is named; empty where it is none.
        exit_code: of the command.
    """

    code: str
    hop: str
    exit_code: int = 4


MINDS_NOT = Expected("", "", 0)
EXPECTED = {
    "target-down": Expected("TARGET_DOWN", "target", 0),
    "target-refuses": Expected("TARGET_REFUSED", "target", 0),
    "rules-missing": Expected("FWD_RULES_MISSING", "forwarder"),
    "no-forwarding": Expected("FWD_NO_FORWARDING", "forwarder"),
    "link-pending": Expected("PE_PENDING", "endpoint"),
    "link-rejected": Expected("PE_REJECTED", "endpoint"),
    "dns-record-missing": Expected("DNS_NXDOMAIN", "name"),
    "dns-wrong-address": Expected("DNS_WRONG_ADDRESS", "name"),
    "zone-not-linked": Expected("DNS_ZONE_NOT_LINKED", "name"),
    "nsg-deny": Expected("NSG_DENIED", "route"),
    "peering-removed": Expected("ROUTE_NO_PEERING", "route"),
    "jump-slow": MINDS_NOT,
    "jump-start-fails": Expected("JUMP_START_FAILED", "box", 5),
    "exec-refused": Expected("arm_unavailable", "", 5),
    "exec-cut": Expected("", "", 5),
    "exec-empty-first-message": MINDS_NOT,
    "arm-throttled": MINDS_NOT,
    "arm-5xx": MINDS_NOT,
    "token-expired": MINDS_NOT,
    "arm-forbidden": Expected("not_authorized", "", 3),
    "resources-slow": MINDS_NOT,
    "writes-slow": MINDS_NOT,
    "newer-image": MINDS_NOT,
    "arm-slow": MINDS_NOT,
}


def test_every_fault_has_an_expectation() -> None:
    assert list(EXPECTED) == list(FAULTS)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_fault_leads_to_its_code(lab: RunningLab, name: str) -> None:
    expected = EXPECTED[name]
    if not name.startswith("jump-"):  # these are about boxes that are stopped
        lab.fwdctl("jump", "start", "all")
    lab.lab("break", name)
    probed = lab.fwdctl("probe", "spoke", "--timeout", "2", "-o", "json", expect=None)
    assert probed.returncode == expected.exit_code, probed.stdout + probed.stderr
    assert told(probed.json) == ({(expected.hop, expected.code)} if expected.code else set()), probed.stdout
    healed = lab.lab("heal", "-o", "json").json["data"]
    assert healed == {"healed": [name], "healthy": True}
    lab.fwdctl("probe", "spoke")


def told(envelope: dict[str, Any]) -> set[tuple[str, str]]:
    """The segments and codes that a probe names; errors have no segment."""
    paths = (envelope["data"] or {"paths": []})["paths"]
    broken = [each for path in paths for each in (path["broken"], *path["warnings"]) if each]
    return {(each["segment"], each["code"]) for each in broken} | {
        ("", error["code"]) for error in envelope["errors"]
    }


def test_a_link_that_was_made_meanwhile_gives_way_when_healing(lab: RunningLab) -> None:
    """A network has one link to a zone, so the original could not come back next to it."""
    subscription, name = (lab.environ[key] for key in ("AZURE_SUBSCRIPTION_ID", "RESOURCE_GROUP_NAME"))
    group = f"/subscriptions/{subscription}/resourceGroups/{name}"
    links = f"{group}/providers/Microsoft.Network/privateDnsZones/corp.internal/virtualNetworkLinks"
    (original,) = lab.arm("GET", links)["value"]
    lab.lab("break", "zone-not-linked")
    lab.arm("PUT", f"{links}/mine", {key: original[key] for key in ("location", "properties")})
    lab.lab("heal")
    assert [link["name"] for link in lab.arm("GET", links)["value"]] == [original["name"]]
    lab.fwdctl("probe", "spoke")


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
