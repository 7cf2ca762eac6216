"""One running machine or container: its node, its boot, its processes."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from fwdlab.errors import LabError
from fwdlab.machine import first_boot
from fwdlab.machine.pty import Pty
from fwdlab.machine.scripts import programs
from fwdlab.machine.systemctl import UnitManager

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fwdlab.machine.ports import Completed, Process
    from fwdlab.model import ContainerSpec, NodeSpec
    from fwdlab.nodes.factory import NodeFactory
    from fwdlab.nodes.node import Node

ContainerEnd: TypeAlias = "Callable[[str, str, ContainerSpec, int], None]"
"""Is told node, boot id, container and exit code when a container's process has ended."""
_CONTAINER_LOG = "/var/log/fwdlab/container-{}.log"
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
        exit_code: of a group whose containers' commands have all ended: the first that is not 0, or 0.
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
    started: dict[str, int] = field(default_factory=dict)
    processes: dict[str, Process] = field(default_factory=dict)
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
            # With several containers each has its own variables, and who enters the node has none of them.
            environment = dict(spec.containers[0].environment) if len(spec.containers) == 1 else {}
            node = await factory.create(spec.name, environment=environment, name_servers=spec.name_servers)
            return cls(spec, node, None, log)
        node = await factory.create(spec.name, programs=programs(), name_servers=spec.name_servers)
        outcome = first_boot.Outcome()
        units = UnitManager(node, outcome.warn)
        try:
            await units.listen()
        except BaseException:
            node.destroy()
            raise
        return cls(spec, node, units, log, outcome)

    def boot(self, on_container_end: ContainerEnd | None) -> None:
        """Start in the background what has not been started: cloud-init, or containers' commands."""
        due = [one for one in self.spec.containers if self.started.get(one.name, -1) < one.restarts]
        if self.boot_task is None or due:
            self.started |= {one.name: one.restarts for one in due}
            self.boot_task = asyncio.create_task(self._boot(due, on_container_end))

    async def _boot(self, due: Sequence[ContainerSpec], on_container_end: ContainerEnd | None) -> None:
        try:
            if self.spec.kind == "machine":
                await first_boot.run(self.node, self.spec.custom_data, self.outcome)
                for text in (*self.outcome.errors, *self.outcome.warnings):
                    self.log(f"{self.spec.name}: cloud-init: {text}")
        except OSError as error:
            self._note(error)
        for container in due:
            try:
                if container.command:
                    await self._start(container, on_container_end)
            except OSError as error:  # the others start all the same
                self._note(error)

    def _note(self, error: OSError) -> None:
        self.error = str(error)
        self.log(f"{self.spec.name}: {error}")

    async def _start(self, container: ContainerSpec, on_container_end: ContainerEnd | None) -> None:
        environment = {**self.node.environment, **dict(container.environment)}
        log = self._log_of(container.name)
        process = await self.node.start(container.command, log=log, environment=environment)
        self.processes[container.name] = process
        if on_container_end is not None:
            name, boot_id = self.spec.name, self.spec.boot_id
            process.ended.add_done_callback(
                lambda ended: on_container_end(name, boot_id, container, ended.result())
            )

    def _log_of(self, container: str) -> str:
        names = [one.name for one in self.spec.containers]
        return _CONTAINER_LOG.format(names.index(container) if container in names else 0)

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

    async def logs(self, container: str) -> str:
        """A container's output; for a machine, what cloud-init printed."""
        path = first_boot.OUTPUT if self.spec.kind == "machine" else self._log_of(container)
        with contextlib.suppress(FileNotFoundError, ConnectionError):
            return (await self.node.read(path))[-_LOG_TAIL:].decode("utf-8", "replace")
        return ""

    def status(self) -> NodeStatus:
        parts = self.spec.subnet_id.split("/")
        exit_code = self._exit_code()
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

    def _exit_code(self) -> int | None:
        processes = [self.processes.get(one.name) for one in self.spec.containers if one.command]
        codes = [one.ended.result() for one in processes if one is not None and one.ended.done()]
        ended = bool(codes) and len(codes) == len(processes)
        return next((code for code in codes if code), 0) if ended else None

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
