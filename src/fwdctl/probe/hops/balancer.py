"""The load balancer: its rule for the port, whom that sends to, and what its health probes find."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwdctl.azure.documents import Document, entries, value
from fwdctl.probe.hops.commands import az, provision
from fwdctl.probe.model import Broken, PathResult

if TYPE_CHECKING:
    from fwdctl.deployment import Forward
    from fwdctl.probe.evidence import Evidence

SEGMENT = "load balancer"


def misled(evidence: Evidence, result: PathResult) -> Broken | None:
    """No rule takes the forward's port, or the rule sends to no pool or to another port."""
    forward, name = result.path.forward, evidence.balancer().get("name")
    if not evidence.deployment.hub.load_balancer:
        return None  # nobody knows which it is
    rule = evidence.rule(forward)
    if rule is None:
        text = f"load balancer {name} has no rule for port {forward.port}"
        return Broken(SEGMENT, "LB_NO_RULE", text, provision(evidence.deployment))
    said = f"rule {rule['name']} of load balancer {name}"
    if evidence.pool(forward) is None:
        pools = [pool["name"] for pool in entries(evidence.balancer(), "backendAddressPools")]
        suggestion = provision(evidence.deployment)
        if len(pools) == 1:
            suggestion = _update(evidence, "rule", rule, "--backend-pool-name", pools[0])
        return Broken(SEGMENT, "LB_NO_POOL", f"{said} has no backend pool", suggestion)
    # Where nobody has described the forwards they are read from the rules, and any port may be meant.
    port = value(rule, "backendPort")
    if forward.targets and port not in {forward.port, 0, None}:
        text = (
            f"{said} sends port {forward.port} to port {port} of the forwarders, which forward {forward.port}"
        )
        suggestion = _update(evidence, "rule", rule, "--backend-port", str(forward.port))
        return Broken(SEGMENT, "LB_WRONG_PORT", text, suggestion)
    return None


def empty(evidence: Evidence, result: PathResult) -> Broken | None:
    """The rule's pool has no member."""
    pool = evidence.pool(result.path.forward)
    if pool is None or entries(pool, "backendIPConfigurations", "loadBalancerBackendAddresses"):
        return None
    text = f"backend pool {pool['name']} of load balancer {evidence.balancer().get('name')} is empty"
    return Broken(SEGMENT, "LB_EMPTY_POOL", text, provision(evidence.deployment))


def unhealthy(evidence: Evidence, result: PathResult) -> Broken | None:
    """No forwarder is up, by the platform's own probes."""
    forward = result.path.forward
    probe, health = evidence.probe(forward), evidence.health(forward)
    if probe is None or any(each.state == "Up" for each in health):
        return None
    asks = f"health probe {probe['name']} asks {_asked(probe)}"
    states = ", ".join(f"{each.address} {each.reason or 'Down'}" for each in health)
    asked = bool(evidence.targets(forward))
    told = (
        f"no forwarder is healthy: {states}" if states else "Azure's health probes report no forwarder at all"
    )
    return (_wrong_probe(evidence, forward, probe) if asked else None) or Broken(
        SEGMENT,
        "LB_NO_HEALTHY_BACKEND",
        f"{told}; {asks}" + ("; the targets answer the hub" if asked else ""),
        evidence.command("jump", "shell", "hub") if asked else evidence.ask_hub(),
    )


def _wrong_probe(evidence: Evidence, forward: Forward, probe: Document) -> Broken | None:
    """A probe of what the agents do not have, by their own answers to the hub's box."""

    def answered(path: str) -> bool:
        answers = evidence.ask_agents(forward, port, path).values()
        return all(answer and "no such path" not in str(answer.get("error")) for answer in answers)

    if not any(evidence.reports_now(forward).values()):
        return None
    port, path = evidence.health_port(forward), str(value(probe, "requestPath") or "")
    if value(probe, "port") == port and (not path or answered(path)):
        return None
    paths = (f"/forward/{forward.name}/{forward.port}", f"/forward/{forward.name}")
    known = next(filter(answered, paths), None)
    if known is None:
        return None
    right = ("--port", str(port), *(("--path", known) if path else ()))
    return Broken(
        SEGMENT,
        "LB_WRONG_PROBE",
        f"health probe {probe['name']} asks {_asked(probe)}; the forwarders' agents answer port {port}, "
        f"path {known}",
        _update(evidence, "probe", probe, *right),
    )


def _asked(probe: Document) -> str:
    path = value(probe, "requestPath")
    return f"port {value(probe, 'port')}" + (f", path {path}" if path else "")


def _update(evidence: Evidence, kind: str, part: Document, *words: str) -> str:
    """A command that changes a rule or a probe of the load balancer."""
    balancer = evidence.balancer()
    where = ("-g", evidence.resource_group, "--lb-name", str(balancer.get("name")), "-n", str(part["name"]))
    return az(f"network lb {kind} update", *where, *words, of=balancer.get("id"))
