"""Virtual machine scale sets (Uniform): reads, and what is done to one of their machines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from fwdctl.azure.documents import entries, tag_of, value
from fwdctl.azure.networks import Backend

if TYPE_CHECKING:
    from fwdctl.azure.clients import Clients

POWER = "PowerState/"
LONGEST = 1800.0
"""Seconds that an operation on a machine may take; a reimage takes a few minutes as a rule."""
POLL = 2.0
"""Seconds between two questions for an operation's end, where the service does not say."""
Document = dict[str, Any]
Action = Literal["manualupgrade", "reimage", "restart"]


@dataclass(frozen=True)
class ScaleSet:
    """One scale set, for reading and changing its machines.

    All methods raise FwdctlError where there is no such scale set, no permission or no answer.
    """

    clients: Clients
    resource_group: str
    name: str

    @property
    def path(self) -> str:
        return (
            f"/subscriptions/{self.clients.subscription_id}/resourceGroups/{self.resource_group}"
            f"/providers/Microsoft.Compute/virtualMachineScaleSets/{self.name}"
        )

    def typed(self, verb: str, number: str) -> str:
        """The command of az that does something to one machine."""
        words = ("-g", self.resource_group, "-n", self.name, "--instance-ids", number)
        return self.clients.login.az("vmss", verb, *words)

    def model(self) -> Document:
        """The scale set's document, with the user data that new machines get."""
        document: Document = self.clients.request("GET", f"{self.path}?$expand=userData")
        return document

    def tag(self, key: str) -> str:
        """A tag; empty where it has none of that name."""
        return tag_of(self.model(), key)

    def numbers(self) -> list[str]:
        """The instance ids of its machines; none where its capacity is 0."""
        return [str(each["instanceId"]) for each in self.machines()]

    def machines(self) -> list[Document]:
        """The documents of its machines."""
        return list(self.clients.list(f"{self.path}/virtualMachines"))

    def machine(self, number: str) -> Document:
        """A machine's document, with its user data."""
        path = f"{self.path}/virtualMachines/{number}?$expand=userData"
        document: Document = self.clients.request("GET", path)
        return document

    def power_state(self, number: str) -> str:
        """The last part of a machine's power state, such as `running` or `deallocated`; empty if not told."""
        view: Document = self.clients.request("GET", f"{self.path}/virtualMachines/{number}/instanceView")
        codes = [str(status.get("code", "")) for status in view.get("statuses") or ()]
        return next((code.removeprefix(POWER) for code in codes if code.startswith(POWER)), "")

    def members(self) -> list[Backend]:
        """Its machines as `Networks.rule_health` gives them, without a state."""
        return [
            Backend(str(value(entry, "privateIPAddress") or ""), configuration=str(entry["id"]))
            for interface in self.clients.list(f"{self.path}/networkInterfaces")
            for entry in entries(interface, "ipConfigurations")
        ]

    def give_user_data(self, machine: Document, user_data: str) -> None:
        """PUT a machine, as `machine` gives it, with other user data (base64), and wait for the end of it."""
        path = f"{self.path}/virtualMachines/{machine['instanceId']}"
        body = {**machine, "properties": {**machine["properties"], "userData": user_data}}
        self._finish("PUT", path, body)

    def act(self, number: str, action: Action, tick: Callable[[], None]) -> None:
        """Do something to one machine, and wait until Azure has done it; `tick` is called while it takes."""
        if action == "manualupgrade":  # of the scale set only
            self._finish("POST", f"{self.path}/manualupgrade", {"instanceIds": [number]}, tick)
        else:
            self._finish("POST", f"{self.path}/virtualMachines/{number}/{action}", None, tick)

    def _finish(self, method: str, path: str, body: Any, tick: Callable[[], None] = lambda: None) -> None:
        poller = self.clients.operation(method, path, POLL, body)
        self.clients.result(poller, LONGEST, tick=tick)
