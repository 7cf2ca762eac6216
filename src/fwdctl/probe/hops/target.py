"""The targets: what they answer to the hub directly, and which are missing on a path that works."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from fwdctl.errors import FwdctlError
from fwdctl.probe import agents
from fwdctl.probe.counters import Count, counted, with_count
from fwdctl.probe.hops import route
from fwdctl.probe.judge import judge, lost_in_words
from fwdctl.probe.model import Broken, PathResult

if TYPE_CHECKING:
    from fwdctl.deployment import Forward
    from fwdctl.probe.agents import Report
    from fwdctl.probe.evidence import Evidence

MORE_SAMPLES = 6
"""Times the number of targets: connections made before a target is said to be missing."""
FEW_SAMPLES = 2
"""The same, where the servers' names have shown already that one is missing, and only not which."""


def silent(evidence: Evidence, result: PathResult) -> Broken | None:
    """All targets of the forward, if none answers the hub; else the target of a direct test."""
    path = result.path
    tests = [result] if path.origin == "target" else []
    tests = evidence.targets(path.forward) or tests
    if any(test.verdict != "fail" for test in tests):
        return _direct(result) if path.origin == "target" else None
    if path.origin != "target" and route.tests_refused(evidence, tests):
        return None  # they tell of a rule against the hub's jump box, and nothing of the targets
    if len(tests) < 2:  # noqa: PLR2004 - several
        return _direct(tests[0]) if tests else None
    told = [_direct(test) for test in tests]
    codes = {each.code for each in told}
    seen = "; ".join(f"{_place(test)}: {_reason(test)}" for test in tests)
    return Broken(
        "target",
        told[0].code if len(codes) == 1 else "TARGET_DOWN",
        f"no target of forward '{path.forward.name}' answers the hub: {seen}",
        f"Check the servers {', '.join(dict.fromkeys(test.path.host for test in tests))}: are they on, "
        "do they listen on these ports, do their firewalls admit the forwarders?",
    )


def silent_ones(evidence: Evidence, forward: Forward) -> list[Broken]:
    """Targets that this probe has tested directly and that do not answer, while the forward works."""
    return [_direct(test) for test in evidence.direct.get(forward.name, ()) if test.verdict == "fail"]


def unresolved(reports: Mapping[str, Report | None], forward: Forward) -> Broken | None:
    """Names of targets that forwarders cannot resolve; the last good addresses are used on."""
    failed = agents.unresolved((report for report in reports.values() if report), forward)
    if not failed:
        return None
    return _nameless("; ".join(f"{host}: {error}" for host, error in sorted(failed.items())))


def _nameless(said: str) -> Broken:
    return Broken(
        "target",
        "TARGET_DNS",
        f"the name of a target does not resolve: {said}",
        "Check the record of that name, and that the hub network's DNS servers have it.",
    )


def unwell(evidence: Evidence, result: PathResult) -> Broken | None:
    """The way is open, but what answers is not well."""
    if result.failed_check != "protocol":
        return None
    forward = result.path.forward
    logs = f"Check what the servers of forward '{forward.name}' say in their own logs."
    suggestion = logs if evidence.targets(forward) else evidence.ask_hub()
    return Broken("target", "TARGET_UNWELL", result.reason, suggestion)


def _direct(result: PathResult) -> Broken:
    """A target that does not answer the hub directly."""
    path = result.path
    if any(sample.failure == "name" for sample in result.observation.samples):
        return _nameless(f"{path.host}, asked by the hub's jump box")
    refused = any(sample.failure == "refused" for sample in result.observation.samples)
    code = "TARGET_REFUSED" if refused else "TARGET_DOWN"
    if result.failed_check == "protocol":
        code = "TARGET_UNWELL"
    return Broken(
        "target",
        code,
        f"target {_place(result)} of forward '{path.forward.name}': {_reason(result)}",
        f"Check the server {path.host}: is it on, does it listen on port {path.port}, "
        "does its firewall admit the forwarders?",
    )


def _place(result: PathResult) -> str:
    return f"{result.path.host}:{result.path.port}"


def _reason(result: PathResult) -> str:
    return result.reason.removeprefix(f"{_place(result)}: ")


def missing(evidence: Evidence, result: PathResult, *, is_explained: bool) -> PathResult:
    """A path that works, with a warning for each target that answers no connection.

    More connections come before anybody is accused: a few can meet the same server by chance. The hub counts
    only what they leave open. Where it is explained already, because forwarders have other targets, only
    those that do not answer the hub are named.
    """
    named_by_header = bool(result.path.header)
    if named_by_header and not is_explained:
        result = _sampled_again(evidence, result)
        if not result.lacks_servers:
            return result
    direct = [test for test in evidence.targets(result.path.forward) if test.verdict == "fail"]
    if not is_explained and not (named_by_header and direct):
        result = _counted_again(evidence, result)
        if not result.lacks_servers:
            return result
    if is_explained or direct:
        return replace(result, warnings=(*result.warnings, *map(_direct, direct)))
    seen = f"{result.answering} of {result.path.expected} servers answer"
    if result.observation.lost:
        seen += f" ({lost_in_words(result.observation)})"
    texts = [f"{seen}; target {text} takes no connection" for text in result.idle] or [
        f"{seen}; only the hub can tell which is missing"
    ]
    missed = (Broken("target", "TARGET_DOWN", text, evidence.ask_hub()) for text in texts)
    return replace(result, warnings=(*result.warnings, *missed))


def _sampled_again(evidence: Evidence, result: PathResult, times: int = MORE_SAMPLES) -> PathResult:
    """The result after more connections, `times` for each target; as it was where they cannot be made."""
    path = result.path
    try:
        (again,) = evidence.boxes.test([replace(path, samples=times * path.expected, address="")])
    except FwdctlError:
        return result
    samples = result.observation.samples + again.observation.samples
    return judge(replace(path, samples=len(samples)), replace(result.observation, samples=samples))


def _counted_again(evidence: Evidence, result: PathResult) -> PathResult:
    """The result after connections that the forwarders count; with a header, a few tell who is left out."""
    path, times = result.path, FEW_SAMPLES if result.path.header else MORE_SAMPLES
    merged, counts = counted(evidence, [path.forward], lambda: _sampled_again(evidence, result, times))
    count = counts[path.forward.name]
    if path.header:
        idle = tuple(text for text in path.forward.targets if count.taken and not count.taken.get(text))
        return replace(merged, idle=idle) if merged.lacks_servers else merged
    earlier = {text: 1 for text in path.forward.targets if text not in result.idle}
    return with_count(evidence, merged, Count(count.unknown, {**count.taken, **earlier}))
