"""One running machine or container: its node, its boot, its processes."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from fwdlab.errors import LabError
from fwdlab.machine import first_boot
from fwdlab.machine.pty import Pty
from fwdlab.machine.scripts import programs
from fwdlab.machine.systemctl import UnitManager

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fwdlab.machine.ports import Completed, Process
    from fwdlab.model import NodeSpec
    from fwdlab.nodes.factory import NodeFactory
    from fwdlab.nodes.node import Node

_CONTAINER_LOG = "/var/log/fwdlab/container.log"
_LOG_TAIL = 4 * 1024 * 1024  # container-instances quotas: 4 MB of logs of a running container


@dataclass(frozen=True)
class NodeStatus:
    """What is known of a node.

    Attributes:
        kind: `machine` or `container`.
        network: name of its virtual network.
        subnet: name of its subnet.
        state: `booting` until cloud-init is through, `exited` for a container whose command has ended.
        cloud_init: `none`, `running`, `done` or `error`; empty for a container.
        units: services and their states.
        exit_code: of a container's command that has ended.
        error: the last thing that went wrong, empty for nothing.
        warnings: what of its customData is not honoured.
    """

    name: str
    kind: str
    network: str
    subnet: str
    address: str
    state: Literal["booting", "running", "failed", "exited"]
    cloud_init: str = ""
    units: tuple[tuple[str, str], ...] = ()
    exit_code: int | None = None
    error: str = ""
    warnings: tuple[str, ...] = ()


@dataclass
class RunningNode:
    """A node together with what runs on it."""

    spec: NodeSpec
    node: Node
    units: UnitManager | None
    log: Callable[[str], None]
    outcome: first_boot.Outcome = field(default_factory=first_boot.Outcome)
    process: Process | None = None
    error: str = ""
    boot_task: asyncio.Task[None] | None = None

    @classmethod
    async def create(cls, spec: NodeSpec, factory: NodeFactory, log: Callable[[str], None]) -> RunningNode:
        """Make the node; it is not connected yet.

        Raises:
            LabError: `node_failed`.
            OSError: when the node ends at once.
        """
        if spec.kind == "container":
            environment, name_servers = dict(spec.environment), spec.name_servers
            node = await factory.create(spec.name, environment=environment, name_servers=name_servers)
            return cls(spec, node, None, log)
        node = await factory.create(spec.name, programs=programs())
        units = UnitManager(node, log)
        try:
            await units.listen()
        except BaseException:
            node.destroy()
            raise
        return cls(spec, node, units, log)

    def boot(self, on_container_end: Callable[[str, str, int], None] | None) -> None:
        """Start cloud-init or the container's command in the background.

        `on_container_end` is told node, boot id and exit code when the command has ended.
        """
        self.boot_task = asyncio.create_task(self._boot(on_container_end))

    async def _boot(self, on_container_end: Callable[[str, str, int], None] | None) -> None:
        try:
            if self.spec.kind == "machine":
                await first_boot.run(self.node, self.spec.custom_data, self.outcome)
                for text in (*self.outcome.errors, *self.outcome.warnings):
                    self.log(f"{self.spec.name}: cloud-init: {text}")
            elif self.spec.command:
                self.process = await self.node.start(self.spec.command, log=_CONTAINER_LOG)
                if on_container_end is not None:
                    name, boot_id = self.spec.name, self.spec.boot_id
                    self.process.ended.add_done_callback(
                        lambda ended: on_container_end(name, boot_id, ended.result())
                    )
        except OSError as error:
            self.error = str(error)
            self.log(f"{self.spec.name}: {error}")

    async def run(self, argv: Sequence[str], *, stdin: bytes, seconds: float | None) -> Completed:
        """Run a program to its end.

        Raises:
            LabError: `command_not_run` when there is no such program or it takes too long.
        """
        try:
            async with asyncio.timeout(seconds):
                return await self.node.run(argv, stdin=stdin)
        except TimeoutError as error:
            message = f"{argv[0]} in {self.spec.name} took longer than {seconds} s."
            raise LabError("command_not_run", message) from error
        except OSError as error:
            raise LabError("command_not_run", f"{error}.") from error

    async def open_terminal(
        self, argv: Sequence[str], *, rows: int, cols: int, environment: Mapping[str, str]
    ) -> Pty:
        """Start a program with a terminal; `environment` is added to the node's own.

        Raises:
            LabError: `command_not_run` when there is no such program.
        """
        try:
            process, master = await self.node.start_in_terminal(
                argv, rows=rows, cols=cols, environment={"TERM": "xterm", **environment}
            )
        except OSError as error:
            raise LabError("command_not_run", f"{error}.") from error
        return Pty(self.node, process, master)

    async def logs(self) -> str:
        """A container's output; for a machine, what cloud-init printed."""
        path = first_boot.OUTPUT if self.spec.kind == "machine" else _CONTAINER_LOG
        with contextlib.suppress(FileNotFoundError, ConnectionError):
            return (await self.node.read(path))[-_LOG_TAIL:].decode("utf-8", "replace")
        return ""

    def status(self) -> NodeStatus:
        parts = self.spec.subnet_id.split("/")
        exit_code = self.process.ended.result() if self.process and self.process.ended.done() else None
        errors = [self.error, *self.outcome.errors]
        return NodeStatus(
            name=self.spec.name,
            kind=self.spec.kind,
            network=parts[-3] if len(parts) > 3 else "",  # noqa: PLR2004 - .../NETWORK/subnets/SUBNET
            subnet=parts[-1],
            address=self.spec.address,
            state=self._state(exit_code),
            cloud_init=self.outcome.state if self.spec.kind == "machine" else "",
            units=self.units.states() if self.units else (),
            exit_code=exit_code,
            error=next((text for text in reversed(errors) if text), ""),
            warnings=tuple(self.outcome.warnings),
        )

    def _state(self, exit_code: int | None) -> Literal["booting", "running", "failed", "exited"]:
        if self.error or self.node.gone:
            return "failed"
        if exit_code is not None:
            return "exited"
        return "running" if self.boot_task is not None and self.boot_task.done() else "booting"

    async def destroy(self) -> None:
        """End everything on the node and the node itself."""
        tasks = []
        if self.boot_task is not None:
            self.boot_task.cancel()
            tasks.append(self.boot_task)
        self.node.destroy()
        if self.units is not None:
            tasks.append(asyncio.create_task(self.units.close()))
        await asyncio.gather(*tasks, return_exceptions=True)
