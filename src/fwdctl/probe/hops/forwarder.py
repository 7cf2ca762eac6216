"""The forwarders: what their agents report, and what each does with a connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from fwdctl.azure.documents import group_of, name_of
from fwdctl.probe import agents
from fwdctl.probe.hops import ends, route, rules, target
from fwdctl.probe.hops.commands import az, azd, fwdctl, lines, provision
from fwdctl.probe.model import Broken, PathResult

if TYPE_CHECKING:
    from fwdctl.azure.networks import Backend
    from fwdctl.deployment import Deployment, Forward
    from fwdctl.probe.agents import Report
    from fwdctl.probe.evidence import Evidence

SEGMENT = "forwarder"


@dataclass(frozen=True)
class Told:
    """What the agents say of a forward, and what that is compared with.

    Attributes:
        reports: by address; None of an agent that does not answer.
        wanted: hash of what all of them shall forward; empty where that is not known.
        alive: targets that answer the hub's jump box.
    """

    deployment: Deployment
    forward: Forward
    reports: Mapping[str, Report | None]
    machines: Sequence[Backend]
    wanted: str = ""
    alive: frozenset[str] = frozenset()

    @property
    def answered(self) -> dict[str, Report]:
        return {address: report for address, report in self.reports.items() if report is not None}


def absent(evidence: Evidence, result: PathResult) -> Broken | None:
    """The scale set has no machine, or none that is on."""
    forward = result.path.forward
    _, name = evidence.scale_set(forward)
    instances = evidence.instances(forward)
    if instances == []:
        more = _vmss(evidence, forward, "scale", "--new-capacity", "2")
        return Broken(SEGMENT, "FWD_NO_INSTANCES", f"scale set {name} has no instance", more)
    if not instances or (evidence.probe(forward) is not None and evidence.health(forward)):
        return None
    states = {number: evidence.power_state(forward, number) for number in instances}
    if not all(map(_is_off, states.values())):
        return None
    told = ", ".join(f"{number} {state}" for number, state in states.items())
    text = f"no instance of scale set {name} is on: {told}"
    return Broken(SEGMENT, "FWD_NO_INSTANCES", text, _vmss(evidence, forward, "start"))


def _vmss(evidence: Evidence, forward: Forward, verb: str, *words: str) -> str:
    """A command about the forwarders' scale set."""
    group, name = evidence.scale_set(forward)
    return az(f"vmss {verb}", "-g", group, "-n", name, *words, of=evidence.balancer().get("id"))


def _is_off(state: str) -> bool:
    return state not in {"", "running", "starting"}


def unwell(evidence: Evidence, forward: Forward) -> list[Broken]:
    """Forwarders that take no connection, while others do."""
    pool = evidence.pool(forward) if evidence.rule(forward) else None
    if pool is None or not evidence.probe(forward):
        return []
    health = evidence.health(forward)
    _, name = evidence.scale_set(forward)
    found = [_down(evidence, forward, each) for each in health if each.state == "Down"]
    seen = {each.number for each in health}
    for number in evidence.instances(forward) or ():
        state = "" if number in seen else evidence.power_state(forward, number)
        if _is_off(state):
            text = f"instance {number} of scale set {name} takes no connection: it is {state}"
            start = _vmss(evidence, forward, "start", "--instance-ids", number)
            found.append(Broken(SEGMENT, "FWD_UNHEALTHY", text, start))
    return found


def _down(evidence: Evidence, forward: Forward, backend: Backend) -> Broken:
    address = backend.address
    report = evidence.reports_now(forward).get(address) or evidence.given(forward).get(address) or {}
    if report.get("draining"):
        text = f"forwarder {address} is drained, so that it takes no new connection"
        again = fwdctl(evidence.deployment, "forwarder", "rollout")
        return Broken(SEGMENT, "FWD_UNHEALTHY", text, f"If no rollout is under way: `{again}`.")
    text = f"forwarder {address} takes no connection: {backend.reason or 'Down'}"
    return Broken(SEGMENT, "FWD_UNHEALTHY", text, reimage(evidence.health(forward), [address]))


def closed(evidence: Evidence, result: PathResult) -> Broken | None:
    """Forwarders that take no connection from where a path's come from: `inbound` of what they were given."""
    spoke, box = result.path.spoke, evidence.deployment.hub.box
    if spoke is None and box is None:
        return None
    source = ends.link_service(evidence) if box is None or spoke is not None else ends.box(evidence, box)
    given = [report for report in evidence.given(result.path.forward).values() if report]
    admitted = list(dict.fromkeys(str(each) for report in given for each in report.get("inbound") or ()))
    strange = [each for each in source.addresses if not _holds(admitted, each)]
    if not admitted or not strange:
        return None
    key = "hub.natSubnetPrefix, or hub.sharedSubnetPrefix without one," if spoke else "hub.jumpSubnetPrefix"
    prefix = rules.prefix_of(source.place(strange[0])[1], strange[0])
    text = (
        f"the forwarders take connections from {', '.join(admitted)} only, and those of {source.words} come "
        f"from {', '.join(strange)}"
    )
    again = azd(evidence.deployment, "provision")
    suggestion = f"Write {prefix} as {key} into the parameters file, then run `{again}`."
    return Broken(SEGMENT, "FWD_SOURCE_REFUSED", text, suggestion)


def _holds(prefixes: Sequence[str], address: str) -> bool:
    return any(ip_address(address) in ip_network(prefix, strict=False) for prefix in prefixes)


def drift(evidence: Evidence, forward: Forward) -> list[Broken]:
    """Forwarders that do not run what is deployed: by their agents, or else by what Azure has given them."""
    reports = evidence.reports_now(forward)
    if not any(reports.values()):
        reports = evidence.given(forward)
    found = drifted(_told(evidence, forward, reports))
    return [found] if found else []


def strained(evidence: Evidence, forward: Forward) -> list[Broken]:
    """What the agents warn of while connections still pass."""
    reports, machines = evidence.reports_now(forward), evidence.members(forward)
    told = Told(evidence.deployment, forward, reports, machines)
    return [each for each in (crowded(told), target.unresolved(reports, forward)) if each is not None]


def _told(evidence: Evidence, forward: Forward, reports: Mapping[str, Report | None]) -> Told:
    wanted = evidence.wanted_hash(forward) if any(reports.values()) else ""
    return Told(evidence.deployment, forward, reports, evidence.members(forward), wanted)


def crowded(told: Told) -> Broken | None:
    """Forwarders that can hardly track another connection; the kernel drops what it cannot track."""
    fill = {address: agents.crowded(report) for address, report in told.answered.items()}
    full = [f"{address} ({text})" for address, text in fill.items() if text]
    if not full:
        return None
    machines = {each.number: each.scale_set for each in told.machines if each.scale_set}
    suggestion = "Give the forwarders more memory, or let more of them share the connections."
    if machines:
        scale_set = next(iter(machines.values()))
        suggestion = _az_vmss("scale", scale_set, "--new-capacity", str(len(machines) + 1))
    text = f"connection tracking is nearly full on {', '.join(full)}"
    return Broken(SEGMENT, "FWD_CONNTRACK_FULL", text, suggestion)


def drifted(told: Told) -> Broken | None:
    """Agents whose forward is not the deployed one, or whose configuration is not the wanted one.

    Where that is not known, all of them should have the same.
    """
    forward, answered = told.forward, dict(sorted(told.answered.items()))
    deployed = f"port {forward.port} to {', '.join(forward.targets) or 'targets that are not known'}"
    runs = {a: text for a, report in answered.items() if (text := _other_forward(report, forward))}
    hashes = {address: report.get("hash") for address, report in answered.items()}
    if not runs and (told.wanted or len(set(hashes.values())) > 1):
        deployed = f"configuration {told.wanted}" if told.wanted else deployed
        runs = {address: f"configuration {name}" for address, name in hashes.items() if name != told.wanted}
    if not runs:
        return None
    if not told.deployment.described:
        suggestion = reimage(told.machines, list(runs))
    elif told.wanted and {hashes[address] for address in runs} == {told.wanted}:
        suggestion = provision(told.deployment)  # the scale set itself is not as deployed
    else:
        suggestion = fwdctl(told.deployment, "forwarder", "rollout")
    alike = {text: [a for a, own in runs.items() if own == text] for text in runs.values()}
    said = "; ".join(f"{text} ({', '.join(addresses)})" for text, addresses in alike.items())
    text = f"forward '{forward.name}' is {deployed}, but the forwarders run {said}"
    return Broken(SEGMENT, "FWD_CONFIG_DRIFT", text, suggestion)


def _other_forward(report: Report, forward: Forward) -> str:
    """What an agent has in the place of a forward, in words; empty where that is as deployed."""
    entry = agents.entry(report, forward)
    wanted, has = (
        sorted(forward.targets),
        sorted(str(each.get("address")) for each in entry.get("targets") or ()),
    )
    named = any(target[0].isalpha() for target in wanted)  # agents report what a name means just now
    port = entry.get("port", forward.port)
    if not wanted or (entry and port == forward.port and (has == wanted or named)):
        return ""
    return f"port {port} to {', '.join(has)}" if entry else "nothing of it"


def broken(evidence: Evidence, result: PathResult) -> Broken | None:
    """What the agents say to the hub's box, then what happens to packets sent to each forwarder."""
    forward = result.path.forward
    if not evidence.targets(forward) or route.refusal_of_hub(evidence, forward) is not None:
        return None  # the hub's box does not run, or is refused: it cannot ask them
    alive = {f"{r.path.host}:{r.path.port}" for r in evidence.targets(forward) if r.verdict == "pass"}
    told = _told(evidence, forward, evidence.reports_now(forward))
    told = replace(told, alive=frozenset(alive))
    found = reported(told)
    if found is not None:
        return found
    seen = observed(told, evidence.through_each_forwarder(forward))
    if seen is not None and seen.code == "FWD_RULES_MISSING" and any(told.reports.values()):
        # The agents said that rules are in place: if they have just taken them away, they know why.
        return reported(replace(told, reports=evidence.reports(forward))) or seen
    return seen


def reported(told: Told) -> Broken | None:
    """The first thing that is wrong on any forwarder, or with the targets of all of them."""
    answered, forward = told.answered, told.forward
    idle = [address for address, report in answered.items() if report.get("forwarding") is False]
    if idle:
        text = f"IPv4 forwarding is off on {', '.join(idle)}"
        return Broken(SEGMENT, "FWD_NO_FORWARDING", text, reimage(told.machines, idle))
    dead = agents.down_everywhere(answered.values(), forward)
    lost = dead if dead.keys() == agents.addresses(answered.values(), forward) else {}
    # Where they do not reach even a living target that they have, other targets would not help.
    other = None if lost.keys() & told.alive else drifted(told)
    if other is not None:
        return other
    bare = [a for a, report in answered.items() if not agents.entry(report, forward).get("rulesInPlace")]
    if bare:
        text = f"the rules of forward '{forward.name}' are not in place on {', '.join(bare)}"
        return Broken(SEGMENT, "FWD_RULES_MISSING", text, reimage(told.machines, bare))
    strain = crowded(told) or target.unresolved(answered, forward)
    if strain is not None:
        return strain
    if lost:
        said = "; ".join(f"{address}: {error}" for address, error in sorted(lost.items()))
        return _unreached(f"the forwarders reach none: {said}")
    return None


def _unreached(said: str) -> Broken:
    return Broken(
        "target",
        "TARGET_DOWN",
        f"the targets answer the hub's jump box, but {said}",
        "Check what is between the forwarders and the targets: does a firewall admit them, "
        "does a route lead there and back?",
    )


def observed(told: Told, results: Sequence[PathResult]) -> Broken | None:
    """What forwarders do with a connection while the targets are known to answer.

    A forwarder has no service of its own on the port: refused means that no rule takes the packets, silence
    that they are taken and do not come back. Where the agents say that they are passed on, and checks of the
    targets have not failed often enough yet, what lies behind the forwarders loses them.
    """
    for failure, code, text in (
        ("refused", "FWD_RULES_MISSING", "refused, so no rule takes it, by"),
        ("timeout", "FWD_NO_FORWARDING", "not passed on, or not masqueraded, by"),
    ):
        found = [result.path for result in results if _failed(result, failure)]
        if found:
            hosts = [path.host for path in found]
            port = f"port {found[0].port} (forward '{found[0].forward.name}')"
            if failure == "timeout" and all(
                (told.reports.get(host) or {}).get("forwarding") for host in hosts
            ):
                return _unreached(f"{port} is silent through {', '.join(hosts)}, which do pass it on")
            return Broken(
                SEGMENT, code, f"{port} is {text} {', '.join(hosts)}", reimage(told.machines, hosts)
            )
    return None


def _failed(result: PathResult, failure: str) -> bool:
    failures = [sample.failure for sample in result.observation.samples]
    return result.verdict == "fail" and failure in failures


def reimage(machines: Sequence[Backend], addresses: Sequence[str]) -> str:
    """What to type to set forwarders up anew: the scale set's model first, then one after the other."""
    instances: dict[str, list[str]] = {}
    unknown = set(addresses)
    for each in machines:
        if each.scale_set and each.address in unknown:
            instances.setdefault(each.scale_set, []).append(each.number)
            unknown.remove(each.address)
    if unknown or not instances:
        return f"Set the machines {', '.join(sorted(addresses))} up anew, one at a time."
    commands = []
    for scale_set, numbers in instances.items():
        commands.append(_az_vmss("update-instances", scale_set, "--instance-ids", *numbers))
        commands += [_az_vmss("reimage", scale_set, "--instance-ids", number) for number in numbers]
    return lines(*commands)


def _az_vmss(verb: str, scale_set: str, *words: str) -> str:
    group, name = group_of(scale_set), name_of(scale_set)
    return az(f"vmss {verb}", "-g", group, "-n", name, *words, of=scale_set)
