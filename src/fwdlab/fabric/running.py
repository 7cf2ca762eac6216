"""One running machine or container: its node, its boot, its processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from fwdlab.machine import cloudinit
from fwdlab.machine.scripts import programs
from fwdlab.machine.systemctl import UnitManager
from fwdlab.nodes.nursery import etc_files

if TYPE_CHECKING:
    from collections.abc import Callable

    from fwdlab.model import NodeSpec
    from fwdlab.nodes.nodes import Node, Process
    from fwdlab.nodes.nursery import Nursery

_LOG_TAIL = 4 * 1024 * 1024  # container-instances quotas: 4 MB of logs of a running container


@dataclass(frozen=True)
class NodeStatus:
    """What is known of a node.

    Attributes:
        name: as in its specification.
        kind: `machine` or `container`.
        network: name of its virtual network.
        subnet: name of its subnet.
        address: IPv4 address.
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
class Running:
    """A node together with what runs on it."""

    spec: NodeSpec
    node: Node
    units: UnitManager | None
    log: Callable[[str], None]
    outcome: cloudinit.Outcome = field(default_factory=cloudinit.Outcome)
    process: Process | None = None
    output: int = -1
    error: str = ""
    boot_task: asyncio.Task[None] | None = None
    on_end: Callable[[str, str, int], None] | None = None

    @classmethod
    async def create(cls, spec: NodeSpec, nursery: Nursery, log: Callable[[str], None]) -> Running:
        """Make the node; it is not connected yet.

        Raises:
            LabError: `node_failed`.
            OSError: when the node ends at once.
        """
        machine = spec.kind == "machine"
        node = await nursery.create(
            spec.name,
            files=etc_files(spec.name),
            programs=programs() if machine else {},
            environment={} if machine else dict(spec.environment),
        )
        units = UnitManager(node, log) if machine else None
        try:
            if units is not None:
                await units.listen()
        except BaseException:
            node.destroy()
            raise
        return cls(spec, node, units, log)

    def boot(self) -> None:
        """Start cloud-init or the container's command in the background."""
        self.boot_task = asyncio.create_task(self._boot())

    async def _boot(self) -> None:
        try:
            if self.spec.kind == "machine":
                await cloudinit.run(self.node, self.spec.custom_data, self.outcome)
                for text in (*self.outcome.errors, *self.outcome.warnings):
                    self.log(f"{self.spec.name}: cloud-init: {text}")
            elif self.spec.command:
                await self._start_command()
        except OSError as error:
            self.error = str(error)
            self.log(f"{self.spec.name}: {error}")

    async def _start_command(self) -> None:
        self.output = os.memfd_create("output", os.MFD_CLOEXEC)
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            self.process, _ = await self.node.spawn(
                self.spec.command, files=(nothing, self.output, self.output)
            )
        finally:
            os.close(nothing)
        self.process.ended.add_done_callback(self._tell_end)

    def _tell_end(self, ended: asyncio.Future[int]) -> None:
        if self.on_end is not None and not ended.cancelled() and ended.exception() is None:
            self.on_end(self.spec.name, self.spec.boot_id, ended.result())

    async def logs(self) -> str:
        """A container's output; for a machine, what cloud-init printed."""
        if self.spec.kind == "machine":
            with contextlib.suppress(FileNotFoundError):
                return (await self.node.read(cloudinit.OUTPUT)).decode("utf-8", "replace")
            return ""
        if self.output < 0:
            return ""
        size = os.fstat(self.output).st_size
        return os.pread(self.output, _LOG_TAIL, max(0, size - _LOG_TAIL)).decode("utf-8", "replace")

    def status(self) -> NodeStatus:
        """What is known now."""
        parts = self.spec.subnet_id.split("/")
        ended = self.process is not None and self.process.ended.done()
        state: Literal["booting", "running", "failed", "exited"] = "running"
        if self.error or self.node.gone:
            state = "failed"
        elif ended:
            state = "exited"
        elif self.boot_task is None or not self.boot_task.done():
            state = "booting"
        errors = [self.error, *self.outcome.errors]
        return NodeStatus(
            name=self.spec.name,
            kind=self.spec.kind,
            network=parts[-3] if len(parts) > 3 else "",  # noqa: PLR2004 - .../NETWORK/subnets/SUBNET
            subnet=parts[-1],
            address=self.spec.address,
            state=state,
            cloud_init=self.outcome.state if self.spec.kind == "machine" else "",
            units=self.units.states() if self.units else (),
            exit_code=self.process.ended.result() if self.process and ended else None,
            error=next((text for text in reversed(errors) if text), ""),
            warnings=tuple(self.outcome.warnings),
        )

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
        if self.output >= 0:
            os.close(self.output)
            self.output = -1
