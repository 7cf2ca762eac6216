"""Container groups: read, start, stop, exec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from azure.mgmt.containerinstance.models import ContainerGroup, Event

    from fwdctl.azure.clients import Clients


@dataclass(frozen=True)
class Group:
    """A container group as far as jump boxes need it.

    Attributes:
        state: of the instance view: Running, Stopped, Pending, Succeeded, Failed; empty if not told.
        provisioning: Succeeded, Creating, Pending, Repairing, Unhealthy, Failed, …
        container: name of its first container, of which the image is too.
        address: its IP address, empty without one; changes with each start.
        subnet_id: ARM id of its subnet, empty without one.
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


class Containers:
    """The container groups of one resource group."""

    def __init__(self, clients: Clients, resource_group: str) -> None:
        self.resource_group = resource_group
        self._clients = clients
        self._client = clients.container_instances
        self._elsewhere: dict[tuple[str, str], Containers] = {}

    def at(self, resource_group: str, subscription_id: str) -> Containers:
        """Those of another place; these where no resource group is named."""
        place = (resource_group, subscription_id)
        if resource_group and place not in self._elsewhere:
            self._elsewhere[place] = Containers(self._clients.of(subscription_id), resource_group)
        return self._elsewhere.get(place, self)

    def typed(self, verb: str, name: str) -> str:
        """The command of az that does something to one group."""
        return self._clients.login.az("container", verb, "-g", self.resource_group, "-n", name)

    def get(self, name: str) -> Group:
        """One group.

        Raises:
            ArmFailure: it does not exist, among others.
        """
        return _group(self._client.container_groups.get(self.resource_group, name))

    def list(self) -> list[Group]:
        """All groups. The service leaves the instance view out of this answer."""
        groups = self._client.container_groups.list_by_resource_group(self.resource_group)
        return [_group(found) for found in groups]

    def start(self, name: str) -> None:
        """Ask for a start; of a running group this is a no-op.

        Its end is seen in the group's state: the service sends no Retry-After here, so that the library
        would ask every 30 s.
        """
        self._client.container_groups.begin_start(self.resource_group, name, polling=False)

    def stop(self, name: str) -> None:
        """Stop; the service does so before it answers."""
        self._client.container_groups.stop(self.resource_group, name)

    def exec(self, name: str, container: str, *, columns: int, rows: int) -> tuple[str, str]:
        """Begin an exec of a shell.

        The command is exactly `/bin/sh`: the service may or may not split arguments (azure-cli#10039).

        Returns:
            web socket address and password, good for one connection.
        """
        from azure.mgmt.containerinstance.models import ContainerExecRequest, ContainerExecRequestTerminalSize

        size = ContainerExecRequestTerminalSize(rows=rows, cols=columns)
        request = ContainerExecRequest(command="/bin/sh", terminal_size=size)
        answer = self._client.containers.execute_command(self.resource_group, name, container, request)
        return str(answer.web_socket_uri), str(answer.password)


def _group(found: ContainerGroup) -> Group:
    view = found.instance_view
    first = found.containers[0] if found.containers else None
    own = first.instance_view if first is not None else None
    events: list[Event] = [*((view and view.events) or ()), *((own and own.events) or ())]
    warnings = [event.message or "" for event in events if event.type == "Warning"]
    return Group(
        name=found.name or "",
        state=(view and view.state) or "",
        provisioning=found.provisioning_state or "",
        container=first.name if first is not None else "",
        address=(found.ip_address and found.ip_address.ip) or "",
        subnet_id=found.subnet_ids[0].id if found.subnet_ids else "",
        image=(first.image if first is not None else "") or "",
        reason=" ".join(warnings[-1].split()) if warnings else "",
    )
