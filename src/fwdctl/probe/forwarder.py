"""Ask the forwarders' agents (`/status`, docs/architecture.md §3) from the hub's jump box."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from fwdctl.probe.evidence import in_order
from fwdctl.probe.model import Broken

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fwdctl.deployment import Forward
    from fwdctl.probe.model import PathResult

Report = dict[str, Any]
INSTANCE = re.compile(
    r"/resourceGroups/([^/]+)/providers/Microsoft\.Compute/virtualMachineScaleSets/([^/]+)/virtualMachines/([^/]+)/",
    re.IGNORECASE,
)
"""Group, scale set and instance in the id of a scale set machine's interface."""


def script(addresses: Sequence[str], port: int) -> str:
    """Print `ADDRESS JSON` for each agent that answers, `ADDRESS` alone for one that does not."""
    python = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=3).read().decode())"
    return f"""
ask() {{
  if command -v curl >/dev/null; then curl -sS -m 3 --noproxy '*' "$1"
  elif command -v wget >/dev/null; then wget -q -T 3 -O - "$1"
  else no_proxy='*' python3 -c '{python}' "$1"
  fi
}}
for a in {" ".join(addresses)}; do
  (j=$(ask "http://$a:{port}/status" 2>/dev/null); printf '%s %s\\n' "$a" "$j") &
done
wait
"""


def parse(text: str) -> dict[str, Report | None]:
    """Reports by address; None from a forwarder that did not answer."""
    reports: dict[str, Report | None] = {}
    for line in text.splitlines():
        address, _, document = line.partition(" ")
        try:
            report = json.loads(document)
        except ValueError:
            report = None
        reports[address] = report if isinstance(report, dict) else None
    return reports


def reimage(health: Sequence[Report], addresses: Sequence[str]) -> str:
    """What to type to set forwarders up anew: the scale set's present model first, then one after the other.

    Args:
        health: of the load balancer's backends, with the ids of their interfaces (`Networks.rule_health`).
        addresses: of the forwarders.
    """
    instances: dict[tuple[str, str], list[str]] = {}
    unknown = set(addresses)
    for entry in health:
        interface = entry.get("networkInterfaceIPConfigurationId") or ""
        found = INSTANCE.search(str(interface.get("id", "") if isinstance(interface, dict) else interface))
        if found and entry.get("ipAddress") in unknown:
            instances.setdefault((found[1], found[2]), []).append(found[3])
            unknown.remove(str(entry["ipAddress"]))
    if unknown or not instances:
        return f"Set the machines {', '.join(sorted(addresses))} up anew, one at a time."
    commands = []
    for (group, scale_set), numbers in instances.items():
        where = f"-g {group} -n {scale_set} --instance-ids"
        commands.append(f"az vmss update-instances {where} {' '.join(numbers)}")
        commands += [f"az vmss reimage {where} {number}" for number in numbers]
    return in_order(commands)


def explain(
    reports: Mapping[str, Report | None], forward: Forward, health: Sequence[Report]
) -> Broken | None:
    """The first thing that is wrong on any forwarder: forwarding, rules, then targets on all of them."""
    answered = {address: report for address, report in reports.items() if report is not None}
    idle = [address for address, report in answered.items() if report.get("forwarding") is False]
    if idle:
        return Broken(
            "forwarder",
            "FWD_NO_FORWARDING",
            f"IPv4 forwarding is off on {', '.join(idle)}",
            reimage(health, idle),
        )
    own = {address: _forward(report, forward.name) for address, report in answered.items()}
    bare = [address for address, entry in own.items() if not entry.get("rulesInPlace")]
    if bare:
        return Broken(
            "forwarder",
            "FWD_RULES_MISSING",
            f"the rules of forward '{forward.name}' are not in place on {', '.join(bare)}",
            reimage(health, bare),
        )
    down = [_down(entry) for entry in own.values()]
    dead = {
        address: error for each in down for address, error in each.items() if all(address in d for d in down)
    }
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


def judge_direct(results: Sequence[PathResult], health: Sequence[Report]) -> Broken | None:
    """What a forwarder does with a connection while the targets are known to answer.

    A forwarder has no service of its own on the port: refused means that no rule takes the packets, silence
    that they are taken and do not come back.
    """
    silent = [r for r in results if r.verdict == "fail" and _failed(r, "timeout")]
    refusing = [r for r in results if r.verdict == "fail" and _failed(r, "refused")]
    for found, code, text in (
        (refusing, "FWD_RULES_MISSING", "refused, so no rule takes it, by"),
        (silent, "FWD_NO_FORWARDING", "not passed on, or not masqueraded, by"),
    ):
        if found:
            hosts = [result.path.host for result in found]
            first = found[0].path
            return Broken(
                "forwarder",
                code,
                f"port {first.port} (forward '{first.forward.name}') is {text} {', '.join(hosts)}",
                reimage(health, hosts),
            )
    return None


def _failed(result: PathResult, failure: str) -> bool:
    return any(sample.failure == failure for sample in result.sight.samples)


def _down(entry: Report) -> dict[str, str]:
    return {
        str(target.get("address")): str(target.get("lastError") or "down")
        for target in entry.get("targets") or ()
        if target.get("state") == "down"
    }


def _forward(report: Report, name: str) -> Report:
    entries = report.get("forwards") or ()
    return next((entry for entry in entries if entry.get("name") == name), {})
