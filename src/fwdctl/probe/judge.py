"""What was seen on a path -> a verdict for each check, in order, stopping at the first failure. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from fwdctl.probe.model import Broken, Finding, Observation, Path, PathResult, Sample, Verdict

NAME_UNKNOWN = 2
NOT_THERE = 127
TIMED_OUT = 124
"""As `timeout` ends; every other status is the tool's own trouble."""
NOT_ASKED = "which servers answer was not asked"
WORDS = {
    "refused": "the connection is refused",
    "timeout": "no answer in time",
    "unreachable": "there is no route",
    "reset": "the connection is cut",
    "name": "the name does not resolve",
    "status": "the server reports an error",
    "tool": "no tool of the box can test it",
    "other": "it fails",
}


def judge(path: Path, observed: Observation) -> PathResult:
    """Verdicts for name, tcp, protocol and targets; what comes after a failure is left out."""
    if path.skip:
        return skipped(path, path.skip)
    findings: list[Finding] = []
    if path.address:
        findings.append(_name(path, observed))
        if findings[-1].verdict != "pass":
            return PathResult(path, tuple(findings), observed)
    findings += _connections(path, observed.samples)
    result = PathResult(path, tuple(findings), observed, warnings=_redirects(path, observed.samples))
    return _with_servers(result) if result.verdict == "pass" else result


def skipped(path: Path, reason: str, verdict: Verdict = "skip") -> PathResult:
    """A path that was not tested, or of which nothing is known."""
    return PathResult(path, (Finding("tcp", verdict, reason),))


def _name(path: Path, observed: Observation) -> Finding:
    if not observed.name_tool or observed.name_status == NOT_THERE:
        return Finding("name", "inconclusive", "the box has neither getent, python3 nor nslookup")
    by = f"({observed.name_tool})"
    if observed.addresses == (path.address,):
        return Finding("name", "pass", f"{path.host} is {path.address} {by}")
    if observed.addresses:
        found = ", ".join(observed.addresses)
        return Finding("name", "fail", f"{path.host} is {found}, not the endpoint's {path.address} {by}")
    if observed.name_status == NAME_UNKNOWN:
        return Finding("name", "fail", f"{path.host} does not resolve {by}")
    if observed.name_status == TIMED_OUT:
        return Finding("name", "fail", f"no DNS server answers for {path.host} in time {by}")
    return Finding(
        "name", "inconclusive", f"the look-up of {path.host} ended with {observed.name_status} {by}"
    )


def _connections(path: Path, samples: Sequence[Sample]) -> list[Finding]:
    if len(samples) < path.samples or not samples:
        return [Finding("tcp", "inconclusive", f"{len(samples)} of {path.samples} connections reported")]
    where = f"{path.host}:{path.port}"
    connected = [sample for sample in samples if sample.connected]
    # What failed because of the box's own tools says nothing about the path.
    tested = [sample for sample in samples if sample.failure != "tool"]
    if connected:
        tcp = Finding("tcp", "pass", f"{where} connects ({connected[0].tool})")
        return [tcp, *_protocol(path, [sample for sample in tested if sample.connected], samples)]
    if tested:
        return [Finding("tcp", "fail", f"{where}: {_why(tested)}")]
    return [Finding("tcp", "inconclusive", f"{WORDS['tool']} ({samples[0].text})")]


def _protocol(path: Path, tested: Sequence[Sample], samples: Sequence[Sample]) -> list[Finding]:
    """What the connections said that the box's tools could test."""
    if path.kind == "tcp":
        asked_for = [Finding("protocol", "skip", "not asked: the forward's check is none")]
        return asked_for if path.forward.check == "none" else []
    answered = [sample for sample in tested if sample.answered]
    if answered:
        said = f"{len(answered)} of {len(samples)} answered ({_seen(answered)})"
        return [Finding("protocol", "pass", said)]
    if tested:
        return [Finding("protocol", "fail", f"{path.host}:{path.port}: {_why(tested)}")]
    text = next(sample.text for sample in samples if sample.failure == "tool")
    return [Finding("protocol", "inconclusive", f"{WORDS['tool']} ({text})")]


def _seen(answered: Sequence[Sample]) -> str:
    """The tool, and the commonest sign of life."""
    seen, _ = Counter(sample.seen for sample in answered).most_common(1)[0]
    return f"{answered[0].tool}: {seen}" if seen else answered[0].tool


def _redirects(path: Path, samples: Sequence[Sample]) -> tuple[Broken, ...]:
    """A warning where clients of a spoke are sent to a host that need not be there for them."""
    if path.origin != "spoke":
        return ()
    hosts = {_host(sample.location) for sample in samples if sample.location}
    return tuple(
        Broken(
            "target",
            "TARGET_REDIRECTS",
            f"the answer through {path.label} sends clients to the host '{host}', not to {path.host}",
            f"Let the servers of forward '{path.forward.name}' redirect to {path.host} or to a path only, "
            f"or make {host} reachable from the spoke.",
        )
        for host in sorted(hosts - {"", path.host.lower(), path.address})
    )


def _host(location: str) -> str:
    """The host in a redirection; empty where it names none."""
    try:
        return urlsplit(location.partition(" ")[0]).hostname or ""
    except ValueError:
        return ""


def _with_servers(result: PathResult) -> PathResult:
    """The result with what the answers' header says about who answered."""
    path, names = result.path, ", ".join(result.servers)
    if names and path.expected > 1:
        said = f"{len(result.servers)} of {path.expected} servers answered: {names}"
        return with_targets(result, "pass", said, answering=len(result.servers))
    if names:
        return with_targets(result, "pass", f"answered by {names}")
    if path.expected > 1:
        missing = f"no answer has the header {path.header}" if path.header else NOT_ASKED
        return with_targets(result, "skip", missing)
    return result


def with_targets(
    result: PathResult,
    verdict: Verdict,
    reason: str,
    *,
    answering: int | None = None,
    idle: tuple[str, ...] = (),
) -> PathResult:
    """The result with another finding about which targets answered."""
    if verdict == "pass" and result.observation.lost:
        reason += f"; {lost_in_words(result.observation)}"
    findings = [finding for finding in result.findings if finding.check != "targets"]
    findings.append(Finding("targets", verdict, reason))
    return replace(result, findings=tuple(findings), answering=answering, idle=idle)


def lost_in_words(observed: Observation) -> str:
    """How many connections failed, and how."""
    bad = Counter(WORDS[sample.failure] for sample in observed.samples if not sample.answered)
    how = ", ".join(f"{words} x{number}" for words, number in bad.most_common())
    return f"{observed.lost} of {len(observed.samples)} connections failed: {how}"


def _why(samples: Sequence[Sample]) -> str:
    """The commonest failure in words, with what the tool said."""
    bad = [sample for sample in samples if not sample.answered]
    failure, _ = Counter(sample.failure for sample in bad).most_common(1)[0]
    said = next(sample for sample in bad if sample.failure == failure)
    words = said.text.removeprefix(f"{said.tool}: ")
    return f"{WORDS[failure]} ({said.tool}{'' if words == WORDS[failure] else f': {words}'})"
