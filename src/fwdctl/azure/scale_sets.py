"""Virtual machine scale sets (Uniform): reads, and what is done to one of their machines."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from fwdctl.azure.errors import ArmFailure
from fwdctl.errors import ExitCode, FwdctlError

if TYPE_CHECKING:
    from fwdctl.azure.clients import Clients

COMPUTE = "2025-04-01"
INTERFACES = "2018-10-01"
"""The newest version of the machines' interfaces (azure-rest-api-specs, Microsoft.Network/vmss)."""
POWER = "PowerState/"
LONGEST = 1800.0
"""Seconds that an operation on a machine may take; a reimage takes a few minutes as a rule."""
POLL = 2.0
"""Seconds between two questions for an operation's end, where the service does not say."""
TICK = 0.5
Document = dict[str, Any]
Action = Literal["manualupgrade", "reimage", "restart"]


@dataclass(frozen=True)
class Instance:
    """A machine of a scale set.

    Attributes:
        number: its instance id.
        latest: has the scale set's latest model. Upgrade mode Manual leaves running instances as they are
            (azure-docs, virtual-machine-scale-sets-upgrade-policy).
    """

    number: str
    latest: bool


def instances(clients: Clients, resource_group: str, name: str) -> list[Instance]:
    """The machines of a scale set; none where its capacity is 0.

    Raises:
        FwdctlError: no such scale set, no permission, no answer.
    """
    return [
        Instance(str(each["instanceId"]), bool(each.get("properties", {}).get("latestModelApplied", True)))
        for each in ScaleSet(clients, resource_group, name).machines()
    ]


def tag(clients: Clients, resource_group: str, name: str, key: str) -> str:
    """A tag of a scale set; empty where it has none of that name."""
    return str((ScaleSet(clients, resource_group, name).model().get("tags") or {}).get(key) or "")


def power_state(clients: Clients, resource_group: str, name: str, number: str) -> str:
    """The last part of a machine's power state, such as `running` or `deallocated`; empty where not told."""
    path = f"{_path(clients, resource_group, name)}/virtualMachines/{number}/instanceView"
    view: dict[str, Any] = clients.request("GET", path, COMPUTE)
    codes = [str(status.get("code", "")) for status in view.get("statuses") or ()]
    return next((code.removeprefix(POWER) for code in codes if code.startswith(POWER)), "")


def members(clients: Clients, resource_group: str, name: str) -> list[dict[str, Any]]:
    """Addresses of a scale set's machines, in the shape of `Networks.rule_health` without a state."""
    path = f"{_path(clients, resource_group, name)}/networkInterfaces"
    return [
        {
            "ipAddress": entry["properties"].get("privateIPAddress"),
            "networkInterfaceIPConfigurationId": {"id": entry["id"]},
        }
        for interface in clients.list(path, INTERFACES)
        for entry in interface["properties"].get("ipConfigurations") or ()
    ]


@dataclass(frozen=True)
class ScaleSet:
    """One scale set, for reading and changing its machines; methods raise FwdctlError as `instances` does."""

    clients: Clients
    resource_group: str
    name: str

    @property
    def path(self) -> str:
        return _path(self.clients, self.resource_group, self.name)

    def model(self) -> Document:
        """The scale set's document, with the user data that new machines get."""
        document: Document = self.clients.request("GET", f"{self.path}?$expand=userData", COMPUTE)
        return document

    def machines(self) -> list[Document]:
        """The documents of its machines."""
        return list(self.clients.list(f"{self.path}/virtualMachines", COMPUTE))

    def machine(self, number: str) -> Document:
        """A machine's document, with its user data."""
        path = f"{self.path}/virtualMachines/{number}?$expand=userData"
        document: Document = self.clients.request("GET", path, COMPUTE)
        return document

    def power_state(self, number: str) -> str:
        return power_state(self.clients, self.resource_group, self.name, number)

    def members(self) -> list[Document]:
        return members(self.clients, self.resource_group, self.name)

    def give_user_data(self, machine: Document, user_data: str) -> None:
        """PUT a machine, as `machine` gives it, with other user data (base64), and wait for the end of it."""
        path = f"{self.path}/virtualMachines/{machine['instanceId']}"
        body = {**machine, "properties": {**machine["properties"], "userData": user_data}}
        self._finish("PUT", path, body, lambda: None)

    def act(self, number: str, action: Action, tick: Callable[[], None]) -> None:
        """Do something to one machine, and wait until Azure has done it; `tick` is called while it takes."""
        if action == "manualupgrade":  # of the scale set only
            self._finish("POST", f"{self.path}/manualupgrade", {"instanceIds": [number]}, tick)
        else:
            self._finish("POST", f"{self.path}/virtualMachines/{number}/{action}", None, tick)

    def _finish(self, method: str, path: str, body: Any, tick: Callable[[], None]) -> None:
        from azure.core.exceptions import HttpResponseError

        deadline = time.monotonic() + LONGEST
        poller = self.clients.operation(method, path, COMPUTE, POLL, body)
        try:
            while not poller.done():
                poller.wait(TICK)
                tick()
                if time.monotonic() > deadline:
                    raise FwdctlError(
                        "operation_timed_out",
                        f"Azure did not finish within {LONGEST:.0f} s.",
                        "It may still do so; look again in a while.",
                        exit_code=ExitCode.INCONCLUSIVE,
                    )
            poller.wait()
        except HttpResponseError as error:  # in the body of an answer that is none
            raise ArmFailure(error, self.clients.subscription_id) from error


def _path(clients: Clients, resource_group: str, name: str) -> str:
    return (
        f"/subscriptions/{clients.subscription_id}/resourceGroups/{resource_group}"
        f"/providers/Microsoft.Compute/virtualMachineScaleSets/{name}"
    )
