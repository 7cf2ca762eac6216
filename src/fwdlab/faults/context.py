"""What faults work on: the state of the resources, the doors to change them, the nodes, the endpoint."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from fwdlab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwdlab.arm.auth import Authority
    from fwdlab.arm.exec import ExecFaults
    from fwdlab.arm.server import Interceptor
    from fwdlab.arm.services.base import LabSettings
    from fwdlab.arm.template.runner import Engine
    from fwdlab.model import NodeSpec, Snapshot

Undo = Callable[[], Awaitable[object]]


class Api(Protocol):
    """What a fault needs of the control plane."""

    async def put(self, resource_id: str, body: dict[str, Any]) -> dict[str, Any]: ...

    async def delete(self, resource_id: str) -> object: ...

    async def action(self, resource_id: str, action: str, body: Any) -> Any: ...


class Nodes(Protocol):
    """What a fault needs of the data plane."""

    async def run(self, node: str, argv: Sequence[str]) -> Any: ...


@dataclass(frozen=True)
class Service:
    """The switches of the ARM endpoint.

    Attributes:
        settings: how long starting takes, and whether it fails.
        deployments: how long their resources take.
        authority: since when tokens are valid.
        exec_faults: what goes wrong in exec sessions.
        interceptors: asked before anything else answers a request.
    """

    settings: LabSettings
    deployments: Engine
    authority: Authority
    exec_faults: ExecFaults
    interceptors: list[Interceptor]


@dataclass(frozen=True)
class Context:
    """What faults work on; `target` is the server: empty for the first one, `all` for every one."""

    snapshot: Callable[[], Snapshot]
    api: Api
    nodes: Nodes
    service: Service
    target: str = ""

    def find(self, kind: str) -> list[dict[str, Any]]:
        """Every ARM document of a type."""
        documents = self.snapshot().documents.values()
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
            for node in self.snapshot().nodes
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
