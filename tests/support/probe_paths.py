"""A path, and what a box may see of it."""

from __future__ import annotations

from fwdctl.deployment import Box, Forward, Spoke
from fwdctl.probe.model import Path, Sample, Sight

BOX = Box("spoke", "ci-spoke", "jump")

SPOKE = Spoke("spoke", BOX, "pep", "10.1.17.4", "server.corp.internal", "corp.internal")

WEB = Forward("web", 8000, ("192.168.42.65:8000", "192.168.42.66:8000"), check="http")

PATH = Path("spoke/web", "spoke", BOX, WEB, SPOKE.host_name, 8000, SPOKE.address, 4, 2, spoke=SPOKE)

GOOD = Sample("curl", connected=True, answered=True, server="a")


def sight(*samples: Sample, addresses: tuple[str, ...] = ("10.1.17.4",), status: int = 0) -> Sight:
    return Sight("getent", status, addresses, samples)
