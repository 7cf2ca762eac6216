"""Every quick fault, and some two at a time: named by code, hop and exit code, and mended by what is printed.

`scripts/matrix` tries all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fwdlab.faults import FAULTS as LAB_FAULTS
from lab.matrix.faults import FAULTS, pairs
from lab.matrix.rows import pair, single
from lab.matrix.world import World

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.matrix.fault import Fault
    from support.programs import RunningLab

pytestmark = [pytest.mark.lab, pytest.mark.az, pytest.mark.timeout(180)]
QUICK = [(fault,) for fault in FAULTS if not fault.is_slow]
TOGETHER = {
    ("no endpoint", "no rule"),
    ("no A record", "every server is off"),
    ("what the box may not send", "the connection is rejected"),
    ("the connection waits for approval", "the clients' rules are turned round"),
    ("a rule to another port", "no peering"),
    ("the forwarders' rules are gone", "one server is off"),
}
PAIRS = [both for both in pairs() if (both[0].name, both[1].name) in TOGETHER]


def side_by_side(tried: Iterable[tuple[Fault, ...]]) -> list[object]:
    """Each a parameter, for one of two workers."""
    return [
        pytest.param(
            faults,
            id=" + ".join(fault.name for fault in faults),
            marks=pytest.mark.xdist_group(f"matrix-{number % 2}"),
        )
        for number, faults in enumerate(tried)
    ]


@pytest.fixture(scope="module")
def world(deployed_lab: RunningLab) -> World:
    return World(deployed_lab)


def test_every_fault_of_the_lab_is_in_the_matrix() -> None:
    words = [line.split() for fault in FAULTS for line in fault.cause]
    assert {line[3] for line in words if line[:3] == ["fwdctl", "lab", "break"]} == set(LAB_FAULTS)


@pytest.mark.parametrize("faults", side_by_side(QUICK))
def test_a_fault_is_named_and_mended(world: World, faults: tuple[Fault]) -> None:
    row = single(world, *faults)
    assert not row.wrong, row


def test_the_pairs_are_known() -> None:
    assert len(PAIRS) == len(TOGETHER)


@pytest.mark.parametrize("faults", side_by_side(PAIRS))
def test_of_two_faults_the_first_hop_is_named_first(world: World, faults: tuple[Fault, Fault]) -> None:
    row = pair(world, *faults)
    assert not row.wrong, row
