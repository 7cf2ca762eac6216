"""Forwards change, agents restart and rules are flushed while a workload in a spoke uses one: nobody notices.

`scripts/bench forwarder` has more cases and a higher rate.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from support.forwarders import Forwarders, until
from support.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.programs import RunningLab

pytestmark = pytest.mark.lab
RATE, KEPT = 100, 30
SOON = 1.0
"""Seconds within which lost rules are back."""


@pytest.fixture
def traffic(lab: RunningLab) -> Iterator[Traffic]:
    made = Traffic(lab, lab.topology, 8000, KEPT, rate=RATE)
    yield made
    made.end()


@pytest.fixture
def forwarders(lab: RunningLab) -> Iterator[Forwarders]:
    """The lab's, which forward afterwards what they did before."""
    found = Forwarders(lab)
    before = dict(found.parameters)
    yield found
    found.forward(**before)
    until(found.in_force, "the forwarders are as they were")


def test_a_workload_notices_neither_changes_nor_restarts_and_a_flush_hardly(
    traffic: Traffic, forwarders: Forwarders
) -> None:
    [web] = forwarders.parameters["forwards"]
    first, second = (server["name"] for server in forwarders.parameters["corp"]["servers"])

    forwarders.forward(forwards=[web, {**web, "name": "second", "port": 8001}])
    until(forwarders.in_force, "a second forward is there")

    forwarders.forward(forwards=[{**web, "targets": web["targets"][1:]}])
    changed = until(forwarders.in_force, "the first target is gone")
    traffic.until(lambda state: state["servers"][second] > changed + SOON, "new connections go on")
    assert traffic.state()["servers"][first] < changed + SOON / 2  # and none to the first any more

    before = {status["uptime"] for status in forwarders.statuses()}
    forwarders.everywhere("systemctl", "restart", "fwdctl-agent")
    until(forwarders.in_force, "the agents are back")
    assert max(status["uptime"] for status in forwarders.statuses()) < min(before)

    seen = traffic.settled()
    assert (seen["failed"], seen["broken"], seen["kept"]) == ([], [], KEPT)

    flushed = time.time()
    forwarders.everywhere("sh", "-c", "iptables -t nat -F; iptables -F")
    until(lambda: all(status["repairs"] for status in forwarders.statuses()), "the agents have noticed")
    seen = traffic.settled()
    assert all(began < flushed + SOON for began, _, _ in seen["failed"])
    assert len(seen["failed"]) < RATE * SOON
    assert (seen["broken"], seen["kept"]) == ([], KEPT)
