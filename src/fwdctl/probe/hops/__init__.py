"""Why a path fails: hop by hop, until one segment is shown to be broken.

Everything here costs extra requests and runs on failures only. Nothing is guessed: where evidence ends, the
explanation says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING

from fwdctl.errors import FwdctlError
from fwdctl.probe.hops import balancer, endpoint, forwarder, link_service, name, next_hop, route, target
from fwdctl.probe.hops.commands import az, provision
from fwdctl.probe.model import Broken, Path, PathResult
from fwdctl.threads import side_by_side

if TYPE_CHECKING:
    from fwdctl.probe.evidence import Evidence

    Hop = Callable[[Evidence, PathResult], Broken | None]

SPOKE, HUB, DIRECT = "spoke", "balancer", "target"
ORDER: tuple[tuple[Hop, tuple[str, ...]], ...] = (
    (endpoint.missing, (SPOKE,)),
    (name.broken, (SPOKE,)),
    (route.box_refused, (SPOKE,)),
    (endpoint.broken, (SPOKE,)),
    (balancer.misled, (SPOKE, HUB)),
    (forwarder.absent, (SPOKE, HUB)),
    (balancer.empty, (SPOKE, HUB)),
    (route.lacks_peering, (SPOKE, HUB, DIRECT)),
    (link_service.refused, (SPOKE,)),
    (route.refused, (HUB,)),
    (forwarder.closed, (SPOKE, HUB)),
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
ASK_OWNER = "Ask the owner of the link service to test what is behind it."
NEEDS_HUB = target.silent
"""The first hop that only the hub's jump box can tell of."""


def look_ahead(evidence: Evidence, paths: Sequence[Path]) -> None:
    """Begin to read what is needed whatever the tests find, while they go on."""
    reads: list[Callable[[], object]] = [evidence.running_hub]
    for forward in dict.fromkeys(path.forward for path in paths):
        reads += [partial(ask, forward) for ask in (evidence.health, evidence.instances, evidence.given)]
    _in_background(reads)


def explain(
    evidence: Evidence, results: Sequence[PathResult], shown: Callable[[str], None] = lambda _: None
) -> list[PathResult]:
    """The results with what broke those that failed, and what should be known of those that passed.

    `shown` is told what is looked at, for a display.
    """
    evidence.note(results)
    if any(result.verdict == "fail" for result in results):
        networks = evidence.networks
        _in_background(
            partial(evidence.read, ask)
            for ask in (networks.virtual_networks, networks.security_groups, networks.private_link_services)
        )

    def one(result: PathResult) -> PathResult:
        result = endpoint.tested_anew(evidence, result)
        if result.verdict == "fail":
            return replace(result, broken=_broken(evidence, result, shown))
        return _with_warnings(evidence, result) if result.path.origin in {SPOKE, HUB} else result

    return side_by_side(one, results)


def _in_background(reads: Iterable[Callable[[], object]]) -> None:
    """Ask side by side and wait for nothing: who needs an answer waits for it, and sees a failure again."""

    def read(ask: Callable[[], object]) -> None:
        with suppress(FwdctlError):
            ask()

    for ask in reads:
        Thread(target=read, args=(ask,), name="fwdctl-evidence", daemon=True).start()


def _with_warnings(evidence: Evidence, result: PathResult) -> PathResult:
    """A path that works, with what should be known all the same."""
    if result.verdict != "pass":
        return result
    forward = result.path.forward
    others: list[Broken] = []
    for look in (forwarder.unwell, forwarder.drift, forwarder.strained):
        try:
            others += look(evidence, forward)
        except FwdctlError as error:
            evidence.unread[error.message] = error
    if result.lacks_servers:
        drifts = any(each.code == "FWD_CONFIG_DRIFT" for each in others)
        is_explained = drifts and any(evidence.reports_now(forward).values())
        result = target.missing(evidence, result, is_explained=is_explained)
    known = (*result.warnings, *target.silent_ones(evidence, forward), *others)
    return replace(result, warnings=tuple(dict.fromkeys(known)))


def _broken(evidence: Evidence, result: PathResult, shown: Callable[[str], None]) -> Broken:
    for hop, origins in ORDER:
        if result.path.origin in origins:
            area = hop.__module__.rpartition(".")[2].replace("_", " ")
            shown(f"Looking for what is broken: {result.path.label}, {area}")
            try:
                # Where the targets are not known, the hub's box has nothing to ask them.
                if hop is NEEDS_HUB and result.path.origin != DIRECT and result.path.forward.targets:
                    evidence.wake_hub()
                    evidence.ask_all(result.path.forward)
                found = hop(evidence, result)
                found = next_hop.with_route(evidence, result, found) if found is not None else None
            except FwdctlError as error:
                if result.path.origin != DIRECT:  # a direct test is evidence enough of its target
                    why = f"evidence could not be read: {error.message}"
                    return _unexplained(evidence, why, error.suggestion)
                found = None
            if found is not None:
                return _after_deployment(evidence, found)
    return _end_of_evidence(evidence, result)


def _after_deployment(evidence: Evidence, broken: Broken) -> Broken:
    """What provisioning would mend; where the last deployment failed, that comes first."""
    failed = evidence.failed_deployment() if provision(evidence.deployment) in broken.suggestion else None
    if failed is None:
        return broken
    return replace(
        broken,
        evidence=f"the last deployment failed: {failed.error}; {broken.evidence}",
        suggestion=az("deployment sub show", "-n", failed.name, "--query", "properties.error"),
    )


def _end_of_evidence(evidence: Evidence, result: PathResult) -> Broken:
    """What is said where no hop is shown to be broken."""
    forward = result.path.forward
    seen, hub = "endpoint and load balancer look right", evidence.deployment.hub
    if not hub.load_balancer:
        seen = "the endpoint looks right, which load balancer is behind it is not known"
    if not forward.targets:
        why = f"{seen}, and what is behind the forwarders is not written down"
        return _unexplained(evidence, why, "" if hub.box or hub.load_balancer else ASK_OWNER)
    if not evidence.targets(forward):
        why = f"{seen}, forwarders and targets can be asked from the hub only, whose jump box does not run"
        return _unexplained(evidence, why)
    refusal = route.refusal_of_hub(evidence, forward)
    if refusal is not None:
        why = f"the forwarders cannot be asked either: {refusal.evidence}"
        return _unexplained(evidence, why, refusal.suggestion)
    why = "everything that can be asked looks right"
    if evidence.probe(forward) is None:
        why += "; the rule has no health probe, so Azure does not say which forwarders are well"
    if evidence.hidden:
        why += f"; not readable: {'; '.join(evidence.hidden)}"
    return _unexplained(evidence, why)


def _unexplained(evidence: Evidence, why: str, suggestion: str = "") -> Broken:
    return Broken("unknown", "PATH_UNEXPLAINED", why, suggestion or evidence.ask_hub())
