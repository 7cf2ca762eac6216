"""Which targets answer, for any protocol: the forwarders' own counters before and after the samples.

A forwarder counts the new connections that it leads to each target. The counters are of a forward, not of a
path, and other clients move them too: they show that a target takes connections, not whose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from fwdctl.errors import FwdctlError
from fwdctl.probe import agents
from fwdctl.probe.judge import NOT_ASKED, with_targets

if TYPE_CHECKING:
    from fwdctl.deployment import Forward
    from fwdctl.probe.agents import Report
    from fwdctl.probe.evidence import Evidence
    from fwdctl.probe.model import Path, PathResult

T = TypeVar("T")
NOT_KNOWN = "which servers answer is not known"


@dataclass(frozen=True)
class Count:
    """New connections to the targets of one forward.

    Attributes:
        unknown: why there is no count; empty where there is one.
        taken: connections by target, for targets that some forwarder reaches.
    """

    unknown: str = ""
    taken: Mapping[str, int] = field(default_factory=dict)


def count_targets(
    evidence: Evidence, paths: Sequence[Path], test: Callable[[], list[PathResult]]
) -> list[PathResult]:
    """The results of a test, with findings about the targets where only counters can tell."""
    forwards = list(dict.fromkeys(path.forward for path in paths if path.is_counted))
    results, counts = counted(evidence, forwards, test)
    evidence.note(results)
    return [
        with_count(evidence, result, counts[result.path.forward.name])
        if result.path.is_counted and result.verdict == "pass"
        else result
        for result in results
    ]


def counted(
    evidence: Evidence, forwards: Sequence[Forward], work: Callable[[], T]
) -> tuple[T, dict[str, Count]]:
    """Do something, and count the connections meanwhile, by name of the forward."""
    before = _read(evidence, forwards[0])  # every agent reports every forward
    done = work()
    after = before if isinstance(before, str) else _read(evidence, forwards[0])
    if isinstance(before, str) or isinstance(after, str):
        return done, {forward.name: Count(str(after)) for forward in forwards}
    return done, {forward.name: _count(forward, before, after) for forward in forwards}


def with_count(evidence: Evidence, result: PathResult, count: Count) -> PathResult:
    """The result with what the counters say of its targets."""
    if count.unknown:
        return with_targets(result, "skip", count.unknown)
    targets = result.path.forward.targets
    # Some connections failed: a target that took connections need not have answered them.
    failing = evidence.targets(result.path.forward) if result.observation.lost else []
    silent = {f"{r.path.host}:{r.path.port}" for r in failing if r.verdict == "fail"}
    idle = tuple(text for text in targets if not count.taken.get(text) or text in silent)
    taking = [text for text in targets if text not in idle]
    said = f"{len(taking)} of {len(targets)} targets took connections: {', '.join(taking) or 'none'}"
    return with_targets(result, "pass", said, answering=len(taking), idle=idle)


def _read(evidence: Evidence, forward: Forward) -> dict[str, Report] | str:
    """The reports of all forwarders that the load balancer uses, or why there are none."""
    try:
        if evidence.running_hub() is None:
            return f"{NOT_ASKED}: the hub's jump box does not run"
        used = [each.address for each in evidence.health(forward) if each.state != "Down"]
        reports = evidence.reports(forward)
    except FwdctlError as error:
        return f"{NOT_ASKED}: {error.message.rstrip('.')}"
    if not used and not evidence.deployment.hub.load_balancer:
        return f"{NOT_ASKED}: which load balancer sends to the forwarders is not known"
    silent = [address for address in used if reports.get(address) is None]
    if silent or not used:
        named = ", ".join(silent) or "any address"
        return f"{NOT_KNOWN}: the forwarders' agents do not answer the hub ({named})"
    return {address: report for address, report in reports.items() if report is not None}


def _count(forward: Forward, before: Mapping[str, Report], after: Mapping[str, Report]) -> Count:
    taken: dict[str, int] = {}
    for address, report in after.items():
        earlier, now = (_connections(each, forward) for each in (before.get(address, {}), report))
        if set(forward.targets) - (set(earlier) & set(now)):
            return Count(f"{NOT_KNOWN}: forwarder {address} has no counters")
        for target in forward.targets:
            grown = now[target] - earlier[target]
            taken[target] = taken.get(target, 0) + (grown if grown >= 0 else now[target])  # written anew
    if not any(taken.values()):
        return Count(f"{NOT_KNOWN}: the forwarders counted no connection")
    dead = agents.down_everywhere(after.values(), forward)
    return Count(taken={target: number for target, number in taken.items() if target not in dead})


def _connections(report: Report, forward: Forward) -> dict[str, int]:
    targets = agents.entry(report, forward).get("targets") or ()
    return {str(each["address"]): int(each["connections"]) for each in targets if "connections" in each}
