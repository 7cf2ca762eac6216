"""A deployment of which only a file tells: what it leaves out is not known, and not taken for good."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from support.programs import Done, RunningLab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

SOON = ("--timeout", "1", "--retries", "0")


def described(lab: RunningLab) -> dict[str, Any]:
    """A consumer's knowledge: the own spoke by ids, and a port; nothing of what is behind the endpoint."""
    topology = lab.topology
    (spoke,) = topology["spokes"]
    subscription = lab.environ["AZURE_SUBSCRIPTION_ID"]
    place = f"/subscriptions/{subscription}/resourceGroups/{topology['resourceGroup']}/providers"
    endpoint = spoke["privateEndpoint"]
    return {
        "version": 1,
        "resourceGroup": topology["resourceGroup"],
        "spokes": [
            {
                "name": "mine",
                "jump": f"{place}/Microsoft.ContainerInstance/containerGroups/{spoke['jump']}",
                "privateEndpoint": {
                    **endpoint,
                    "name": f"{place}/Microsoft.Network/privateEndpoints/{endpoint['name']}",
                },
                "hostName": spoke["hostName"],
            }
        ],
        "forwards": [{"name": "web", "port": 8000, "check": "http"}],
    }


def probe(lab: RunningLab, document: dict[str, Any], which: str, expect: int) -> Done:
    (lab.home / "topology.json").write_text(json.dumps(document))
    return lab.fwdctl("probe", which, "--topology", "topology.json", *SOON, "-o", "json", expect=expect)


def test_a_file_tells_what_to_test_and_nothing_else_is_claimed(lab: RunningLab) -> None:
    lab.fwdctl("jump", "start", "all")
    passed = probe(lab, described(lab), "spoke", 0)
    assert [path["path"] for path in passed.json["data"]["paths"]] == ["mine/web"]
    assert "(topology file " in passed.stderr
    lab.lab("break", "rules-missing")
    (cause,) = probe(lab, described(lab), "spoke", 4).json["data"]["causes"]
    assert cause["code"] == "PATH_UNEXPLAINED"
    assert "which load balancer is behind it is not known" in cause["evidence"]
    assert cause["next"] == "Ask the owner of the link service to test what is behind it."
    lab.lab("heal")
    lab.lab("break", "link-pending")
    (cause,) = probe(lab, described(lab), "spoke", 4).json["data"]["causes"]
    assert cause["code"] == "PE_PENDING"


def test_a_file_with_everything_tells_as_much_as_the_environment(lab: RunningLab) -> None:
    lab.fwdctl("jump", "start", "all")
    assert probe(lab, lab.topology, "all", 0).json["data"]["causes"] == []
    lab.lab("break", "rules-missing")
    (cause,) = probe(lab, lab.topology, "spoke", 4).json["data"]["causes"]
    assert cause["code"] == "FWD_RULES_MISSING"
