"""Container groups: read, start, stop, exec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from fwdctl.azure.arm import Answer, Arm

API_VERSION = "2025-09-01"
COLUMNS, ROWS = 200, 50
START_TIMEOUT = 300.0
"""Seconds; a start in a virtual network takes 30-120 s as a rule."""


@dataclass(frozen=True)
class Group:
    """A container group as far as jump boxes need it.

    Attributes:
        name: of the group.
        state: of the instance view: Running, Stopped, Pending, Succeeded, Failed; empty if not told.
        provisioning: Succeeded, Creating, Pending, Repairing, Unhealthy, Failed, …
        container: name of its first container.
        address: its IP address, empty without one; changes with each start.
        subnet_id: ARM id of its subnet, empty without one.
        image: of its first container.
        reason: the last warning among its events, for messages.
    """

    name: str
    state: str
    provisioning: str
    container: str
    address: str = ""
    subnet_id: str = ""
    image: str = ""
    reason: str = ""

    @property
    def running(self) -> bool:
        """Whether exec can be asked for."""
        return self.state == "Running"


def parse(document: dict[str, Any]) -> Group:
    """A group from ARM's document."""
    properties = document.get("properties") or {}
    view = properties.get("instanceView") or {}
    containers = properties.get("containers") or [{}]
    first = containers[0].get("properties") or {}
    events = [*(view.get("events") or ()), *((first.get("instanceView") or {}).get("events") or ())]
    warnings = [event for event in events if event.get("type") == "Warning"]
    subnets = properties.get("subnetIds") or [{}]
    return Group(
        name=str(document.get("name", "")),
        state=str(view.get("state") or ""),
        provisioning=str(properties.get("provisioningState") or ""),
        container=str(containers[0].get("name") or ""),
        address=str((properties.get("ipAddress") or {}).get("ip") or ""),
        subnet_id=str(subnets[0].get("id") or ""),
        image=str(first.get("image") or ""),
        reason=" ".join(str(warnings[-1].get("message", "")).split()) if warnings else "",
    )


class Containers:
    """The container groups of one resource group."""

    def __init__(self, arm: Arm, resource_group: str) -> None:
        self.resource_group = resource_group
        self._arm = arm
        self._base = arm.path(resource_group, "/providers/Microsoft.ContainerInstance/containerGroups")

    def get(self, name: str) -> Group:
        """One group.

        Raises:
            ArmFailure: it does not exist, among others.
        """
        return parse(self._arm.get(f"{self._base}/{name}", API_VERSION))

    def list(self) -> list[Group]:
        """All groups. The service leaves the instance view out of this answer."""
        return [parse(document) for document in self._arm.list(self._base, API_VERSION)]

    def begin_start(self, name: str) -> Answer:
        """Ask for a start; of a running group this is a no-op."""
        return self._arm.request("POST", f"{self._base}/{name}/start", API_VERSION)

    def finish_start(self, answer: Answer, tick: Callable[[], None] | None = None) -> None:
        """Wait for a start's end."""
        self._arm.wait(answer, timeout=START_TIMEOUT, tick=tick)

    def stop(self, name: str) -> None:
        """Stop; the service does so before it answers."""
        self._arm.request("POST", f"{self._base}/{name}/stop", API_VERSION)

    def exec(self, name: str, container: str, *, columns: int = COLUMNS, rows: int = ROWS) -> tuple[str, str]:
        """Begin an exec of a shell.

        The command is exactly `/bin/sh`: the service may or may not split arguments (azure-cli#10039).

        Returns:
            web socket address and password, good for one connection.
        """
        body = {"command": "/bin/sh", "terminalSize": {"rows": rows, "cols": columns}}
        path = f"{self._base}/{name}/containers/{container}/exec"
        answer = self._arm.request("POST", path, API_VERSION, body).body or {}
        return str(answer["webSocketUri"]), str(answer["password"])
