"""Deployments of one and of two spokes, and how their boxes answer."""

from __future__ import annotations

from typing import Any

from fwdctl.deployment import Box, Deployment, Hub, Spoke
from support.fake_arm import CONTAINERS, FakeArm, container_group

HUB, SPOKE, SECOND = (
    Box("hub", "ci-hub", "jump"),
    Box("spoke", "ci-spoke", "jump"),
    Box("two", "ci-two", "jump"),
)

ONE = Deployment("rg-dev", None, Hub(HUB), (Spoke("spoke", SPOKE),), (), "x")

GROUP = f"{CONTAINERS}/ci-spoke"

MOVING_409 = (409, {"error": {"code": "ContainerGroupTransitioning", "message": "still transitioning"}}, {})


def group(state: str, **more: Any) -> dict[str, Any]:
    return container_group("ci-spoke", state, **more)


def starts(arm: FakeArm, *states: dict[str, Any]) -> None:
    arm.on("GET", GROUP, *states)
    arm.on("POST", f"{GROUP}/start", (204, None, {}))
