"""What is asked on a path, what was observed, and what that means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from fwdctl.deployment import Box, Forward, Spoke

Verdict = Literal["pass", "fail", "skip", "inconclusive"]
Origin = Literal["spoke", "balancer", "target", "forwarder"]


@dataclass(frozen=True)
class Options:
    """How to probe.

    Attributes:
        which: `hub`, `spoke`, `all` or a spoke's name.
        samples: fresh connections for each path, 0 for as many as the targets suggest.
        timeout: seconds for one connection.
        retries: times that a path which fails is asked again, after a few seconds.
        keep_running: leave boxes running that were started.
        ports: those that are tested; all that are forwarded where none is named.
        explain: say why a path fails, and what should be known of one that works.
        hub: whether the hub's box is started for an explanation: when nothing else tells, or in any case.
    """

    which: str
    samples: int = 0
    timeout: float = 5.0
    retries: int = 1
    keep_running: bool = False
    ports: tuple[int, ...] = ()
    explain: bool = True
    hub: Literal["never", "auto", "always"] = "auto"


@dataclass(frozen=True)
class Path:
    """One way from a box to a server.

    Attributes:
        label: unique, e.g. `spoke/web`, `hub/web`, `hub/web/192.168.42.65:8000`.
        origin: `spoke`: by name through the endpoint; `balancer`: the load balancer's address;
            `target`: a server itself; `forwarder`: a forwarder, around the load balancer.
        host: name or address that is connected to.
        address: what the name has to resolve to; empty where no name is involved or nobody knows.
        samples: fresh connections to make; 0 where only the name is asked.
        expected: servers that should answer in turn; 0 where that is unknown.
        skip: why nothing is tested; empty where it is.
        spoke: whose path; None in the hub.
    """

    label: str
    origin: Origin
    box: Box
    forward: Forward
    host: str
    port: int
    address: str = ""
    samples: int = 1
    expected: int = 0
    skip: str = ""
    spoke: Spoke | None = None

    @property
    def kind(self) -> str:
        """What is asked: the forward's check; a connection at least where it has none."""
        return "tcp" if self.forward.check == "none" else self.forward.check

    @property
    def sni(self) -> str:
        """The name that TLS asks for; empty where only an address is known."""
        try:
            ip_address(self.host)
        except ValueError:
            return self.forward.server_name or self.host
        return self.forward.server_name

    @property
    def header(self) -> str:
        """HTTP header in which a server names itself; empty where servers do not."""
        return self.forward.identity_header if self.kind in {"http", "https"} else ""

    @property
    def is_to_service(self) -> bool:
        """Whether a service of Azure itself is behind the endpoint, such as a key vault."""
        return self.spoke is not None and self.spoke.zone.startswith("privatelink.")

    @property
    def is_counted(self) -> bool:
        """Whether only the forwarders' counters can tell which targets answer."""
        return self.expected > 1 and not self.header and not self.skip


@dataclass(frozen=True)
class Sample:
    """One connection as the box saw it.

    Attributes:
        connected: TCP was established.
        answered: the protocol answered as it should (for plain TCP: connected).
        server: from the forward's identity header, empty without one.
        failure: empty, or one of refused, timeout, reset, unreachable, name, status, tool, other.
        text: what the tool said.
        seen: the sign of life, in words; empty for plain TCP.
        location: where an HTTP answer redirects to.
    """

    tool: str
    connected: bool
    answered: bool
    server: str = ""
    failure: str = ""
    text: str = ""
    seen: str = ""
    location: str = ""


@dataclass(frozen=True)
class Observation:
    """All that a box reported of one path; `name_tool` is empty where no name was asked."""

    name_tool: str = ""
    name_status: int = 0
    addresses: tuple[str, ...] = ()
    samples: tuple[Sample, ...] = ()

    @property
    def lacks_tool(self) -> bool:
        """Whether python3 may know more: nslookup, for one, does not read /etc/hosts."""
        return self.name_tool in {"none", "nslookup"} or any(
            sample.failure == "tool" for sample in self.samples
        )

    @property
    def lost(self) -> int:
        """Connections that failed."""
        return sum(not sample.answered and sample.failure != "tool" for sample in self.samples)


@dataclass(frozen=True)
class Finding:
    """The verdict of one check, with a reason of one line."""

    check: Literal["name", "tcp", "protocol", "targets"]
    verdict: Verdict
    reason: str


@dataclass(frozen=True)
class Broken:
    """Where a path is broken.

    Attributes:
        segment: box, name, endpoint, load balancer, forwarder, route, target, or unknown.
        code: section in docs/codes.md.
        evidence: what shows it, one line.
        suggestion: the next command to run, or what to look at.
    """

    segment: str
    code: str
    evidence: str
    suggestion: str

    @property
    def cause(self) -> tuple[object, ...]:
        """Equal for what one thing breaks, whatever each path shows of it."""
        return self.segment, self.code, self.suggestion

    def data(self) -> dict[str, Any]:
        return {
            "segment": self.segment,
            "code": self.code,
            "evidence": self.evidence,
            "next": self.suggestion,
        }


@dataclass(frozen=True)
class PathResult:
    """A path, its findings in order, and an explanation where it fails or something should be known.

    Attributes:
        answering: how many servers answered, by header or counters; None where that is not known.
        idle: targets that answered no connection, as far as they can be named.
        earlier: why it failed, for each time that it was asked before.
        is_evidence: a direct test of a target whose forward works: it fails, and breaks no path.
    """

    path: Path
    findings: tuple[Finding, ...]
    observation: Observation = Observation()
    answering: int | None = None
    idle: tuple[str, ...] = ()
    broken: Broken | None = None
    warnings: tuple[Broken, ...] = ()
    earlier: tuple[str, ...] = ()
    is_evidence: bool = False

    @property
    def word(self) -> str:
        """The verdict for people: a path that works with something that they should know is a warning."""
        if self.is_evidence or (self.verdict == "pass" and self.warnings):
            return "warn"
        return "untested" if self.verdict == "inconclusive" else self.verdict

    @property
    def causes(self) -> tuple[Broken, ...]:
        """What broke it, or what should be known of it."""
        return ((self.broken,) if self.broken else ()) + self.warnings

    @property
    def verdict(self) -> Verdict:
        """The worst of the findings: fail, then inconclusive, then pass; skip if nothing else."""
        found = {finding.verdict for finding in self.findings}
        order: tuple[Verdict, ...] = ("fail", "inconclusive", "pass")
        return next((verdict for verdict in order if verdict in found), "skip")

    @property
    def reason(self) -> str:
        """What was seen, and how often it was asked."""
        reason = self.seen
        if not self.earlier:
            return reason
        times = "twice" if len(self.earlier) == 1 else f"{len(self.earlier) + 1} times"
        again = f"asked {times}" if self.verdict == "fail" else f"asked {times}, at first: {self.earlier[0]}"
        return f"{reason} ({again})"

    @property
    def seen(self) -> str:
        """The reason of the finding that decided the verdict; of the last one where all is well."""
        deciding = [finding for finding in self.findings if finding.verdict == self.verdict]
        if not deciding:
            return ""
        return (deciding[-1] if self.verdict == "pass" else deciding[0]).reason

    @property
    def failed_check(self) -> str:
        """The check at which the path failed; empty where it did not."""
        return self.findings[-1].check if self.verdict == "fail" else ""

    @property
    def lacks_servers(self) -> bool:
        """Whether the path works, but fewer servers answered than should."""
        return self.verdict == "pass" and self.answering is not None and self.answering < self.path.expected

    @property
    def servers(self) -> dict[str, int]:
        """Answers by server name."""
        names = [sample.server for sample in self.observation.samples if sample.answered and sample.server]
        return {name: names.count(name) for name in sorted(set(names))}

    def data(self) -> dict[str, Any]:
        path, samples = self.path, self.observation.samples
        return {
            "path": path.label,
            "origin": path.origin,
            "box": path.box.name,
            "forward": path.forward.name,
            "host": path.host,
            "port": path.port,
            "verdict": self.verdict,
            "reason": self.reason,
            "asked": len(self.earlier) + 1,
            "checks": [{"check": f.check, "verdict": f.verdict, "reason": f.reason} for f in self.findings],
            "samples": {"made": len(samples), "answered": len(samples) - self.observation.lost},
            "servers": self.servers,
            "serversExpected": path.expected,
            "broken": self.broken.data() if self.broken else None,
            "warnings": [warning.data() for warning in self.warnings],
        }


@dataclass(frozen=True)
class Cause:
    """One thing that is wrong, with all that it does.

    Attributes:
        broken: what it is, as the first path shows it.
        evidence: what the paths show, each line once.
        results: the paths that it breaks, or that should be known of.
    """

    broken: Broken
    evidence: tuple[str, ...]
    results: tuple[PathResult, ...]

    @property
    def paths(self) -> list[str]:
        return [result.path.label for result in self.results]

    def data(self) -> dict[str, Any]:
        return {**self.broken.data(), "evidence": "; ".join(self.evidence), "paths": self.paths}


def causes(results: Sequence[PathResult]) -> list[Cause]:
    """What is wrong, each thing once, in the order of the paths; what breaks a path before warnings."""
    found: dict[tuple[object, ...], list[tuple[Broken, PathResult]]] = {}
    for result in sorted(results, key=lambda each: each.verdict != "fail" or each.is_evidence):
        for broken in result.causes:
            found.setdefault(broken.cause, []).append((broken, result))
    return [
        Cause(
            pairs[0][0],
            tuple(dict.fromkeys(broken.evidence for broken, _ in pairs)),
            tuple(dict.fromkeys(result for _, result in pairs)),
        )
        for pairs in found.values()
    ]
