"""What faults work on: the state of the resources, the doors to change them, the nodes, the endpoint."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from fwdlab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwdlab.arm.api import ArmApi
    from fwdlab.arm.server import Server
    from fwdlab.arm.template.runner import Engine
    from fwdlab.model import NodeSpec

Undo = Callable[[], Awaitable[object]]


class Nodes(Protocol):
    """What a fault needs of the data plane."""

    async def run(self, node: str, argv: Sequence[str]) -> Any: ...

    def set_idle(self, seconds: int | None) -> None: ...


@dataclass(frozen=True)
class Context:
    """What faults work on; `target` is the server: empty for the first one, `all` for every one."""

    api: ArmApi
    server: Server
    deployments: Engine
    nodes: Nodes
    target: str = ""

    def find(self, kind: str) -> list[dict[str, Any]]:
        """Every ARM document of a type."""
        documents = self.api.store.snapshot().documents.values()
        return [document for document in documents if document.get("type", "").lower() == kind.lower()]

    def documents(self, kind: str) -> list[dict[str, Any]]:
        """Every ARM document of a type.

        Raises:
            LabError: `fault_not_applicable` when there is none.
        """
        found = self.find(kind)
        if not found:
            raise LabError(
                "fault_not_applicable", f"Nothing of type {kind} is deployed.", "Run `fwdctl lab up` first."
            )
        return found

    def machines(self, kind: str) -> list[NodeSpec]:
        """`forwarders` (of a scale set), or `servers` (virtual machines on their own)."""
        of_scale_set = kind == "forwarders"
        return [
            node
            for node in self.api.store.snapshot().nodes
            if node.kind == "machine"
            and ("/virtualmachinescalesets/" in node.resource_id.lower()) == of_scale_set
        ]

    def servers(self) -> list[NodeSpec]:
        """The stand-ins for on-premise servers that the fault is about.

        Raises:
            LabError: `fault_target_unknown`, listing the names that exist.
        """
        servers = sorted(self.machines("servers"), key=lambda node: node.name)
        if self.target == "all":
            return servers
        chosen = [node for node in servers if self.target in {"", node.name, node.address}][:1]
        if not chosen:
            names = ", ".join(node.name for node in servers) or "none runs"
            message = f"No server is called '{self.target}'."
            raise LabError("fault_target_unknown", message, f"There is: {names}.")
        return chosen
