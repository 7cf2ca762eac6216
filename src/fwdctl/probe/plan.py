"""Which paths are to be tested from which box. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwdctl.errors import ExitCode, FwdctlError
from fwdctl.jump.boxes import select
from fwdctl.probe.model import Path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwdctl.deployment import Box, Deployment, Forward, Spoke


def plan(deployment: Deployment, which: str, samples: int = 0) -> list[Path]:
    """The paths that a word means, in order: `hub`, `spoke` (all spokes), `all`, or a spoke's name.

    Without a number of samples, each path gets twice as many fresh connections as there are targets.

    Raises:
        FwdctlError: there is no such box, or nothing is forwarded.
    """
    boxes = select(deployment, which)
    if not deployment.forwards:
        raise FwdctlError(
            "no_forwards",
            f"Nothing is forwarded in resource group '{deployment.resource_group}'.",
            "Add a forward to infra/main.parameters.json and run `azd provision`.",
            exit_code=ExitCode.NOT_FOUND,
        )
    paths = []
    for box in boxes:
        spoke = next((spoke for spoke in deployment.spokes if spoke.box is box), None)
        for forward in deployment.forwards:
            if spoke is not None:
                paths.append(_spoke_path(spoke, box, forward, samples))
            else:
                paths += _hub_paths(deployment, box, forward, samples)
    return paths


def _samples(forward: Forward, samples: int) -> tuple[int, int]:
    """Connections to make, and the servers that should answer them; few connections cannot meet all."""
    targets = len(forward.targets)
    made = samples or max(1, 2 * targets)
    expected = targets if forward.balance == "roundRobin" and made >= targets else 0
    return made, expected


def _spoke_path(spoke: Spoke, box: Box, forward: Forward, samples: int) -> Path:
    made, expected = _samples(forward, samples)
    return Path(
        f"{spoke.name}/{forward.name}",
        "spoke",
        box,
        forward,
        spoke.host_name or spoke.address,
        forward.port,
        address=spoke.address if spoke.host_name else "",
        samples=made,
        expected=expected,
        skip="" if spoke.host_name or spoke.address else "neither a name nor an endpoint is known",
        spoke=spoke,
    )


def _hub_paths(deployment: Deployment, box: Box, forward: Forward, samples: int) -> list[Path]:
    made, expected = _samples(forward, samples)
    label, port, address = f"hub/{forward.name}", forward.port, deployment.hub.address
    unknown = "the targets are not known without FWD_TOPOLOGY"
    targets = target_paths(box, forward) or [
        Path(f"{label}/targets", "target", box, forward, "", port, samples=0, skip=unknown)
    ]
    unknown = "" if address else "the load balancer's address is not known"
    balancer = Path(
        label, "balancer", box, forward, address, port, samples=made, expected=expected, skip=unknown
    )
    return [*targets, balancer]


def target_paths(box: Box, forward: Forward) -> list[Path]:
    """Each target of a forward, directly from the hub."""
    places = [(target, *target.rsplit(":", 1)) for target in forward.targets]
    return [
        Path(f"hub/{forward.name}/{target}", "target", box, forward, host, int(port))
        for target, host, port in places
    ]


def forwarder_paths(box: Box, forward: Forward, addresses: Sequence[str]) -> list[Path]:
    """A forward's port on each forwarder, around the load balancer, from the hub."""
    return [
        Path(f"hub/{forward.name}/{address}", "forwarder", box, forward, address, forward.port)
        for address in addresses
    ]
