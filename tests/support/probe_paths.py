"""A path, and what a box may observe of it."""

from __future__ import annotations

from fwdctl.deployment import Box, Deployment, Forward, Spoke
from fwdctl.probe.model import Observation, Path, Sample
from fwdctl.probe.plan import plan

BOX = Box("spoke", "ci-spoke", "jump")

SPOKE = Spoke("spoke", BOX, "pep", "10.1.17.4", "server.corp.internal", "corp.internal")

WEB = Forward(
    "web", 8000, ("192.168.42.65:8000", "192.168.42.66:8000"), check="http", identity_header="X-Who"
)

PATH = Path("spoke/web", "spoke", BOX, WEB, SPOKE.host_name, 8000, SPOKE.address, 4, 2, spoke=SPOKE)

GOOD = Sample("curl", connected=True, answered=True, server="a")


def observed(*samples: Sample, addresses: tuple[str, ...] = ("10.1.17.4",), status: int = 0) -> Observation:
    return Observation("getent", status, addresses, samples)


def planned(deployment: Deployment, which: str, samples: int = 0) -> list[Path]:
    """The paths of all parts."""
    return [path for _, paths in plan(deployment, which, samples) for path in paths]
