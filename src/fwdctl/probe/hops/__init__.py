"""Why a path fails: hop by hop, until one segment is shown to be broken.

Everything here costs extra requests and runs on failures only. Nothing is guessed: where evidence ends, the
explanation says so.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwdctl.errors import FwdctlError
from fwdctl.jump.boxes import side_by_side
from fwdctl.probe.hops import balancer, endpoint, forwarder, link_service, name, next_hop, route, target
from fwdctl.probe.hops.commands import fwdctl
from fwdctl.probe.model import Broken

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fwdctl.probe.evidence import Evidence
    from fwdctl.probe.model import PathResult

    Hop = Callable[[Evidence, PathResult], Broken | None]

SPOKE, HUB, DIRECT = "spoke", "balancer", "target"
ORDER: tuple[tuple[Hop, tuple[str, ...]], ...] = (
    (endpoint.missing, (SPOKE,)),
    (name.broken, (SPOKE,)),
    (route.box_refused, (SPOKE,)),
    (endpoint.broken, (SPOKE,)),
    (balancer.lacks_rule, (SPOKE, HUB)),
    (route.lacks_peering, (SPOKE, HUB, DIRECT)),
    (link_service.refused, (SPOKE,)),
    (route.refused, (HUB,)),
    (route.probes_refused, (SPOKE, HUB)),
    (route.targets_refused, (SPOKE, HUB, DIRECT)),
    (next_hop.dropped, (SPOKE, HUB, DIRECT)),
    (target.silent, (SPOKE, HUB, DIRECT)),
    (forwarder.broken, (SPOKE, HUB)),
    (balancer.unhealthy, (SPOKE, HUB)),
    (target.unwell, (SPOKE, HUB)),
    (next_hop.diverted, (SPOKE, HUB)),
)
"""Each hop with the origins of the paths that it is asked about.

A cause stands before what it leads to: where no target lives, no forwarder is healthy either.
"""


def explain(evidence: Evidence, results: Sequence[PathResult]) -> list[PathResult]:
    """The results with what broke those that failed, and which targets are missing in those that passed."""
    evidence.note(results)

    def one(result: PathResult) -> PathResult:
        result = endpoint.tested_anew(evidence, result)
        if result.verdict == "fail":
            return replace(result, broken=_broken(evidence, result))
        return target.missing(evidence, result) if result.lacks_servers else result

    return side_by_side(one, results)


def _broken(evidence: Evidence, result: PathResult) -> Broken:
    for hop, origins in ORDER:
        if result.path.origin in origins:
            try:
                found = hop(evidence, result)
                found = next_hop.with_route(evidence, result, found) if found is not None else None
            except FwdctlError as error:
                if result.path.origin != DIRECT:  # a direct test is evidence enough of its target
                    return _unexplained(evidence, result, f"evidence could not be read: {error.message}")
                found = None
            if found is not None:
                return found
    return _end_of_evidence(evidence, result)


def _end_of_evidence(evidence: Evidence, result: PathResult) -> Broken:
    """What is said where no hop is shown to be broken."""
    forward = result.path.forward
    if not forward.targets and evidence.running_hub() is not None:
        why = "endpoint and load balancer look right, and what is behind the forwarders is not written down"
        return _unexplained(evidence, result, why, fwdctl(evidence.deployment, "jump", "shell", "hub"))
    if not evidence.targets(forward):
        return _unexplained(
            evidence,
            result,
            "endpoint and load balancer look right, forwarders and targets can be asked from the hub only, "
            "whose jump box does not run",
            fwdctl(evidence.deployment, "probe", "all"),
        )
    refusal = route.refusal_of_hub(evidence, forward)
    if refusal is not None:
        why = f"the forwarders cannot be asked either: {refusal.evidence}"
        return _unexplained(evidence, result, why, refusal.suggestion)
    unread = f", but not readable: {'; '.join(evidence.unread)}" if evidence.unread else ""
    return _unexplained(evidence, result, f"everything that can be asked looks right{unread}")


def _unexplained(evidence: Evidence, result: PathResult, why: str, suggestion: str = "") -> Broken:
    words = ("probe", "hub") if result.path.origin == SPOKE else ("jump", "shell", "hub")
    other = fwdctl(evidence.deployment, *words)
    return Broken("unknown", "PATH_UNEXPLAINED", f"{result.reason}; {why}", suggestion or other)
