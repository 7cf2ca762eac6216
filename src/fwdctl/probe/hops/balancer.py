"""The load balancer: its rule for the port, and what its health probes find."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwdctl.probe.hops.commands import provision
from fwdctl.probe.model import Broken

if TYPE_CHECKING:
    from fwdctl.probe.evidence import Evidence
    from fwdctl.probe.model import PathResult


def lacks_rule(evidence: Evidence, result: PathResult) -> Broken | None:
    """No rule takes the forward's port."""
    forward = result.path.forward
    if evidence.rule(forward) is not None:
        return None
    name = evidence.balancer().get("name")
    text = f"load balancer {name} has no rule for port {forward.port}"
    return Broken("load balancer", "LB_NO_RULE", text, provision(evidence.deployment))


def unhealthy(evidence: Evidence, result: PathResult) -> Broken | None:
    """No forwarder is up, by the platform's own probes."""
    health = evidence.health(result.path.forward)
    if not health or any(entry.get("state") == "Up" for entry in health):
        return None
    states = ", ".join(f"{entry.get('ipAddress')} {entry.get('reason') or 'Down'}" for entry in health)
    asked = bool(evidence.targets(result.path.forward))
    return Broken(
        "load balancer",
        "LB_NO_HEALTHY_BACKEND",
        f"no forwarder is healthy: {states}" + ("; the targets answer the hub" if asked else ""),
        "fwdctl jump shell hub" if asked else "fwdctl probe hub",
    )
