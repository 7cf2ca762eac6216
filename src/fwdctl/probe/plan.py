"""Which paths are to be tested from which box. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fwdctl.deployment import Box, Deployment, Forward, Spoke
from fwdctl.errors import MissingError, UsageError
from fwdctl.jump.boxes import select
from fwdctl.probe.model import Path


def plan(deployment: Deployment, which: str, samples: int = 0) -> list[tuple[Deployment, list[Path]]]:
    """The paths that a word means, in order, by the parts of the deployment that they are in.

    The word is `hub`, `spoke` (all spokes), `all`, or a spoke's or box's name. Without a number of samples,
    each path gets twice as many fresh connections as there are targets.

    Raises:
        FwdctlError: there is no such box, nothing is forwarded, or a port has to be named.
    """
    select(deployment, which)
    parts = [(part, _paths(part, which, samples)) for part in deployment.parts]
    if not any(paths for _, paths in parts):
        raise MissingError(
            "no_forwards",
            f"Nothing is forwarded in resource group '{deployment.resource_group}'.",
            "Add a forward to infra/main.parameters.json and run `azd provision`."
            if deployment.by_azd
            else "Add a load balancing rule for TCP, or check the resource group.",
        )
    return parts


def _paths(part: Deployment, which: str, samples: int) -> list[Path]:
    hub = part.hub.box if part.hub.box and which in {"hub", "all", part.hub.box.name} else None
    spokes = [s for s in part.spokes if which in {"spoke", "all", s.name, s.box.name if s.box else s.name}]
    unknown = next((forward for forward in part.forwards if not forward.port), None)
    if unknown is not None and (hub or spokes):
        raise UsageError(
            "port_not_known", f"Which port to test is not known: {unknown.unknown}.", "Name it with --port."
        )
    paths = [path for f in part.forwards if hub for path in _hub_paths(part, hub, f, samples)]
    return paths + [path for s in spokes for forward in part.forwards for path in _named(s, forward, samples)]


def _samples(forward: Forward, samples: int) -> tuple[int, int]:
    """Connections to make, and the servers that should answer them; few connections cannot meet all."""
    targets = len(forward.targets)
    made = samples or max(1, 2 * targets)
    expected = targets if forward.balance == "roundRobin" and made >= targets else 0
    return made, expected


def _named(spoke: Spoke, forward: Forward, samples: int) -> list[Path]:
    """A forward's path by the spoke's name, or by its own ones: each other one with a single connection."""
    names = [f"{part}.{spoke.zone}" for part in forward.host_names] if spoke.zone else []
    paths = [_spoke_path(replace(spoke, host_name=name), forward, samples) for name in names]
    others = [replace(p, label=f"{p.label}/{p.host}", samples=1, expected=0) for p in paths[1:]]
    return [*paths[:1], *others] or [_spoke_path(spoke, forward, samples)]


def _spoke_path(spoke: Spoke, forward: Forward, samples: int) -> Path:
    made, expected = _samples(forward, samples)
    skip = spoke.unknown or ("" if spoke.box else f"network {spoke.name} has no jump box")
    if not skip and not spoke.host_name and not spoke.address:
        skip = "neither a name nor an endpoint is known"
    return Path(
        f"{spoke.name}/{forward.name}",
        "spoke",
        spoke.box or Box(spoke.name, ""),
        forward,
        spoke.host_name or spoke.address,
        forward.port,
        address=spoke.address if spoke.host_name else "",
        samples=made,
        expected=expected,
        skip=skip,
        spoke=spoke,
    )


def _hub_paths(deployment: Deployment, box: Box, forward: Forward, samples: int) -> list[Path]:
    made, expected = _samples(forward, samples)
    label, port = f"{deployment.hub.label}/{forward.name}", forward.port
    address = forward.address or deployment.hub.address
    unknown = "the targets are not known without FWD_TOPOLOGY"
    if deployment.described:
        unknown = "the targets are not known: the topology names none"
    targets = target_paths(box, forward, deployment.hub.label) or [
        Path(f"{label}/targets", "target", box, forward, "", port, samples=0, skip=unknown)
    ]
    unknown = "" if address else "the load balancer's address is not known"
    balancer = Path(
        label, "balancer", box, forward, address, port, samples=made, expected=expected, skip=unknown
    )
    return [*targets, balancer]


def target_paths(box: Box, forward: Forward, label: str = "hub") -> list[Path]:
    """Each target of a forward, directly from the hub."""
    places = [(target, *target.rsplit(":", 1)) for target in forward.targets]
    return [
        Path(f"{label}/{forward.name}/{target}", "target", box, forward, host, int(port))
        for target, host, port in places
    ]


def forwarder_paths(box: Box, forward: Forward, addresses: Sequence[str]) -> list[Path]:
    """A forward's port on each forwarder, around the load balancer, from the hub."""
    return [
        Path(f"hub/{forward.name}/{address}", "forwarder", box, forward, address, forward.port)
        for address in addresses
    ]
