"""Faults that an operator makes with az: the probe names them, and the printed commands heal them."""

from __future__ import annotations

import re
import shlex
import time
from typing import TYPE_CHECKING, Any

import pytest

from support.programs import run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.az_program import Az

pytestmark = [
    pytest.mark.az,
    pytest.mark.lab,
    pytest.mark.xdist_group("az-lab"),
    pytest.mark.timeout(180),
]

RULE = ("network", "lb", "rule", "update", "-n", "web", "--lb-name", "{balancer}")
PROBE = ("network", "lb", "probe", "update", "-n", "web", "--lb-name", "{balancer}")
FAULTS: dict[str, tuple[Sequence[str], str, str, int]] = {
    "another backend port": ((*RULE, "--backend-port", "8001"), "load balancer", "LB_WRONG_PORT", 4),
    "no pool": ((*RULE, "--set", "backendAddressPools=[]"), "load balancer", "LB_NO_POOL", 4),
    "another path": ((*PROBE, "--path", "/nothing"), "load balancer", "LB_WRONG_PROBE", 4),
    "no instance": (
        ("vmss", "scale", "-n", "{scale_set}", "--new-capacity", "0"),
        "forwarder",
        "FWD_NO_INSTANCES",
        4,
    ),
    "all off": (("vmss", "deallocate", "-n", "{scale_set}"), "forwarder", "FWD_NO_INSTANCES", 4),
    "one off": (
        ("vmss", "deallocate", "-n", "{scale_set}", "--instance-ids", "{instance}"),
        "forwarder",
        "FWD_UNHEALTHY",
        0,
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_and_the_printed_command_heals_it(az: Az, fault: str) -> None:
    command, segment, code, exit_code = FAULTS[fault]
    hub = az.topology["hub"]
    names = {
        "balancer": hub["loadBalancer"]["name"],
        "scale_set": hub["scaleSet"],
        "instance": az.tsv("vmss", "list-instances", "-n", hub["scaleSet"], "--query", "[0].instanceId"),
    }
    az(*(word.format(**names) for word in command))
    cause = until(az, exit_code, code)
    assert (cause["segment"], cause["code"], cause["paths"]) == (segment, code, ["spoke/web"])
    for line in re.split(r"\n| && ", cause["next"]):
        run(shlex.split(line), environ=az.lab.environ, cwd=az.lab.home, seconds=120)
    until(az, 0, "")


def until(az: Az, exit_code: int, code: str) -> dict[str, Any]:
    """Probe until health probes have seen the change; the cause, or an empty one."""
    deadline = time.monotonic() + 40
    while True:
        done = az.lab.fwdctl("probe", "spoke", "--timeout", "2", "-o", "json", expect=None)
        found = done.json["data"]["causes"]
        if done.returncode == exit_code and [cause["code"] for cause in found] == ([code] if code else []):
            return dict(found[0]) if found else {}
        assert time.monotonic() < deadline, done.stdout + done.stderr
