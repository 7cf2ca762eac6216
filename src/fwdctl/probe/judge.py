"""What was seen on a path -> a verdict for each check, in order, stopping at the first failure. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from fwdctl.probe.model import Finding, Path, PathResult, Sample, Sight

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwdctl.probe.model import Verdict

NAME_UNKNOWN = 2
NOT_THERE = 127
WORDS = {
    "refused": "the connection is refused",
    "timeout": "no answer in time",
    "unreachable": "there is no route",
    "reset": "the connection is cut",
    "name": "the name does not resolve",
    "status": "the server reports an error",
    "tool": "the box has no tool for it",
    "other": "it fails",
}


def judge(path: Path, sight: Sight) -> PathResult:
    """Verdicts for name, tcp, protocol and targets; what comes after a failure is left out."""
    if path.skip:
        return skipped(path, path.skip)
    findings: list[Finding] = []
    if path.address:
        findings.append(_name(path, sight))
        if findings[-1].verdict != "pass":
            return PathResult(path, tuple(findings), sight)
    if path.kind == "none":
        findings.append(Finding("tcp", "skip", "the forward's check is none"))
        return PathResult(path, tuple(findings), sight)
    findings += _connections(path, sight.samples)
    return PathResult(path, tuple(findings), sight)


def skipped(path: Path, reason: str, verdict: Verdict = "skip") -> PathResult:
    """A path that was not tested, or of which nothing is known."""
    return PathResult(path, (Finding("tcp", verdict, reason),))


def _name(path: Path, sight: Sight) -> Finding:
    if not sight.name_tool or sight.name_status == NOT_THERE:
        return Finding("name", "inconclusive", "the box has neither getent nor python3")
    by = f"({sight.name_tool})"
    if sight.addresses == (path.address,):
        return Finding("name", "pass", f"{path.host} is {path.address} {by}")
    if sight.addresses:
        found = ", ".join(sight.addresses)
        return Finding("name", "fail", f"{path.host} is {found}, not the endpoint's {path.address} {by}")
    if sight.name_status == NAME_UNKNOWN:
        return Finding("name", "fail", f"{path.host} does not resolve {by}")
    return Finding("name", "inconclusive", f"the look-up of {path.host} ended with {sight.name_status} {by}")


def _connections(path: Path, samples: Sequence[Sample]) -> list[Finding]:
    if len(samples) < path.samples:
        return [Finding("tcp", "inconclusive", f"{len(samples)} of {path.samples} connections reported")]
    where = f"{path.host}:{path.port}"
    connected = [sample for sample in samples if sample.connected]
    if not connected:
        if all(sample.failure == "tool" for sample in samples):
            return [Finding("tcp", "inconclusive", f"{WORDS['tool']} ({samples[0].text})")]
        return [Finding("tcp", "fail", f"{where}: {_why(samples)}")]
    findings = [Finding("tcp", "pass", f"{where} connects ({connected[0].tool})")]
    if path.kind == "tcp":
        return findings
    answered = [sample for sample in samples if sample.answered]
    if not answered:
        return [*findings, Finding("protocol", "fail", f"{where}: {_why(connected)}")]
    tool = answered[0].tool
    findings.append(Finding("protocol", "pass", f"{len(answered)} of {len(samples)} answered ({tool})"))
    servers = sorted({sample.server for sample in answered if sample.server})
    if path.kind == "http" and servers:
        lost = len(samples) - len(answered)
        failed = f"; {lost} of {len(samples)} connections failed" if lost else ""
        findings.append(Finding("targets", "pass", _servers(path, servers) + failed))
    elif path.expected > 1:
        findings.append(Finding("targets", "skip", "the servers do not say who they are"))
    return findings


def _servers(path: Path, servers: Sequence[str]) -> str:
    names = ", ".join(servers)
    if path.expected > 1:
        return f"{len(servers)} of {path.expected} servers answered: {names}"
    return f"answered by {names}"


def _why(samples: Sequence[Sample]) -> str:
    """The commonest failure in words, with what the tool said."""
    bad = [sample for sample in samples if not sample.answered]
    failure, _ = Counter(sample.failure for sample in bad).most_common(1)[0]
    said = next(sample for sample in bad if sample.failure == failure)
    return f"{WORDS[failure]} ({said.tool}: {said.text.removeprefix(f'{said.tool}: ')})"
