"""The forwarders: what their agents report, and what each does with a connection."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from fwdctl.probe import agents
from fwdctl.probe.hops import route
from fwdctl.probe.hops.commands import az, lines
from fwdctl.probe.model import Broken

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fwdctl.deployment import Forward
    from fwdctl.probe.agents import Report
    from fwdctl.probe.evidence import Evidence
    from fwdctl.probe.model import PathResult

INSTANCE = re.compile(
    r"/resourceGroups/([^/]+)/providers/Microsoft\.Compute/virtualMachineScaleSets/([^/]+)/virtualMachines/([^/]+)/",
    re.IGNORECASE,
)
"""Group, scale set and instance in the id of a scale set machine's interface."""


def broken(evidence: Evidence, result: PathResult) -> Broken | None:
    """What the agents say to the hub's box, then what happens to packets sent to each forwarder."""
    forward = result.path.forward
    if not evidence.targets(forward) or route.refusal_of_hub(evidence, forward) is not None:
        return None  # the hub's box does not run, or is refused: it cannot ask them
    health = evidence.health(forward)
    told = reported(evidence.read(evidence.reports, forward), forward, health)
    return told or observed(evidence.read(evidence.through_each_forwarder, forward), health)


def reported(
    reports: Mapping[str, Report | None], forward: Forward, health: Sequence[Mapping[str, Any]]
) -> Broken | None:
    """The first thing that is wrong on any forwarder: forwarding, rules, then targets on all of them."""
    answered = {address: report for address, report in reports.items() if report is not None}
    idle = [address for address, report in answered.items() if report.get("forwarding") is False]
    if idle:
        text = f"IPv4 forwarding is off on {', '.join(idle)}"
        return Broken("forwarder", "FWD_NO_FORWARDING", text, reimage(health, idle))
    bare = [a for a, report in answered.items() if not agents.entry(report, forward).get("rulesInPlace")]
    if bare:
        text = f"the rules of forward '{forward.name}' are not in place on {', '.join(bare)}"
        return Broken("forwarder", "FWD_RULES_MISSING", text, reimage(health, bare))
    dead = agents.down_everywhere(answered.values(), forward)
    if len(dead) == len(forward.targets) > 0:
        said = "; ".join(f"{address}: {error}" for address, error in sorted(dead.items()))
        return Broken(
            "target",
            "TARGET_DOWN",
            f"the targets answer the hub's jump box, but the forwarders reach none: {said}",
            "Check what is between the forwarders and the targets: does a firewall admit them, "
            "does a route lead there and back?",
        )
    return None


def observed(results: Sequence[PathResult], health: Sequence[Mapping[str, Any]]) -> Broken | None:
    """What forwarders do with a connection while the targets are known to answer.

    A forwarder has no service of its own on the port: refused means that no rule takes the packets, silence
    that they are taken and do not come back.
    """
    for failure, code, text in (
        ("refused", "FWD_RULES_MISSING", "refused, so no rule takes it, by"),
        ("timeout", "FWD_NO_FORWARDING", "not passed on, or not masqueraded, by"),
    ):
        found = [result.path for result in results if _failed(result, failure)]
        if found:
            hosts = [path.host for path in found]
            port = f"port {found[0].port} (forward '{found[0].forward.name}')"
            return Broken("forwarder", code, f"{port} is {text} {', '.join(hosts)}", reimage(health, hosts))
    return None


def _failed(result: PathResult, failure: str) -> bool:
    failures = [sample.failure for sample in result.observation.samples]
    return result.verdict == "fail" and failure in failures


def reimage(health: Sequence[Mapping[str, Any]], addresses: Sequence[str]) -> str:
    """What to type to set forwarders up anew: the scale set's present model first, then one after the other.

    Args:
        health: of the load balancer's backends, with the ids of their interfaces (`Networks.rule_health`).
        addresses: of the forwarders.
    """
    instances: dict[tuple[str, str], list[str]] = {}
    unknown = set(addresses)
    for entry in health:
        interface = entry.get("networkInterfaceIPConfigurationId") or ""
        found = INSTANCE.search(str(interface if isinstance(interface, str) else interface.get("id", "")))
        if found and entry.get("ipAddress") in unknown:
            instances.setdefault((found[1], found[2]), []).append(found[3])
            unknown.remove(str(entry["ipAddress"]))
    if unknown or not instances:
        return f"Set the machines {', '.join(sorted(addresses))} up anew, one at a time."
    commands = []
    for (group, scale_set), numbers in instances.items():
        where = ("-g", group, "-n", scale_set, "--instance-ids")
        commands.append(az("vmss", "update-instances", *where, *numbers))
        commands += [az("vmss", "reimage", *where, number) for number in numbers]
    return lines(*commands)
