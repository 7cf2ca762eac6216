"""All faults, and which of them are tried two at a time."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from lab.matrix.codes import SEGMENTS
from lab.matrix.faults_before import BOX, NAME, PRIVATE_ENDPOINT
from lab.matrix.faults_behind import BALANCER, FORWARDER, ROUTE, TARGET
from lab.matrix.harmless import HARMLESS

if TYPE_CHECKING:
    from lab.matrix.fault import Fault

FAULTS = (*BOX, *NAME, *PRIVATE_ENDPOINT, *BALANCER, *FORWARDER, *ROUTE, *TARGET, *HARMLESS)

WITHOUT_AGENTS = {f"fwdctl lab break {name}" for name in ("rules-missing", "agents-down", "no-forwarding")}
"""Whatever mends one of these starts the agents, and so mends the others."""


def pairs(*, of_hops: bool = False) -> list[tuple[Fault, Fault]]:
    """Each two faults of different hops that a probe tells apart by their codes, the first hop's first.

    Args:
        of_hops: one fault for each hop, rather than for each code of a hop.
    """
    chosen: dict[object, Fault] = {}
    for fault in FAULTS:
        if fault.code and fault not in HARMLESS and fault not in BOX and fault.probe == ("spoke",):
            chosen.setdefault(fault.rank if of_hops else (fault.code, fault.rank), fault)
    ordered = sorted(chosen.values(), key=lambda fault: fault.rank)
    return [
        (first, second)
        for first, second in combinations(ordered, 2)
        if first.rank < second.rank
        and first.code != second.code
        and not {first.cause[-1], second.cause[-1]} <= WITHOUT_AGENTS
        and (SEGMENTS[first.code] != SEGMENTS[second.code] or SEGMENTS[first.code] == "route")
    ]
