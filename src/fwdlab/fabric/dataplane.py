"""The loop that follows the store: snapshot → nodes → plan → kernel → DNS and probes."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from fwdlab.errors import LabError
from fwdlab.fabric.apply import HopCounter, Kernel
from fwdlab.fabric.dns import DnsServer
from fwdlab.fabric.health import HealthProbes
from fwdlab.fabric.metadata import MetadataServer, machines
from fwdlab.fabric.plan import plan
from fwdlab.fabric.vaults import VaultServer
from fwdlab.fabric.wanted import Fabric
from fwdlab.nodes.factory import NodeFactory
from fwdlab.nodes.running import ContainerEnd, NodeStatus, RunningNode
from fwdlab.process import launch

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from fwdlab.machine.ports import Completed
    from fwdlab.machine.pty import Pty
    from fwdlab.model import NodeSpec, ProbeHealth, Snapshot

_SETTLE_SECONDS = 60.0


class SnapshotSource(Protocol):
    """Where the wanted state comes from; `fwdlab.arm.store.Store` is one."""

    def snapshot(self) -> Snapshot:
        """The whole present state."""

    async def wait(self, after: int) -> int:
        """Return the present revision as soon as it is greater than `after`."""


class DataPlane:
    """Machines, containers and the network between them, as the store wants them.

    Without a TLS context nothing answers in the place of key vaults.

    Attributes:
        on_container_end: told node, boot id, container and exit code when the container's process has ended.
    """

    def __init__(
        self, *, run_dir: Path, log: Callable[[str], None], tls: ssl.SSLContext | None = None
    ) -> None:
        self.on_container_end: ContainerEnd | None = None
        self._log = log
        self._factory = NodeFactory(run_dir)
        self._kernel: Kernel | None = None
        self._dns: DnsServer | None = None
        self._metadata: MetadataServer | None = None
        self._tls = tls
        self._vaults: VaultServer | None = None
        self._probes: HealthProbes | None = None
        self._running: dict[str, RunningNode] = {}
        self._fabric = Fabric()
        self._task: asyncio.Task[None] | None = None
        self._again = asyncio.Event()
        self._applied = asyncio.Condition()
        self._revision = -1
        self._verdicts = 0
        self._verdicts_applied = 0
        self._failure: LabError | None = None
        self._idle: int | None = None

    def set_idle(self, seconds: int | None) -> None:
        """Let the load balancers' idle timeouts be so many seconds for new flows; None: as the rules say."""
        self._idle = seconds
        self._on_verdict()

    async def start(self, source: SnapshotSource) -> None:
        """Follow a source until `close`.

        Raises:
            LabError: when the kernel refuses the first namespace.
        """
        self._factory.start()
        self._kernel = await Kernel.create(self._factory, self._log)
        self._dns = DnsServer(self._kernel.node)
        self._metadata = MetadataServer(self._kernel.node)
        self._vaults = VaultServer(self._kernel.node, self._tls) if self._tls is not None else None
        self._probes = HealthProbes(self._kernel.node, self._on_verdict)
        self._task = asyncio.create_task(self._follow(source))

    def _on_verdict(self) -> None:
        self._verdicts += 1
        self._again.set()

    async def _follow(self, source: SnapshotSource) -> None:
        changed: asyncio.Task[int] | None = None
        try:
            while True:
                self._again.clear()
                snapshot = source.snapshot()
                await self._try(snapshot)
                if changed is None or changed.done():
                    changed = asyncio.create_task(source.wait(snapshot.revision))
                health = asyncio.create_task(self._again.wait())
                try:
                    await asyncio.wait([changed, health], return_when=asyncio.FIRST_COMPLETED)
                finally:
                    health.cancel()
        finally:
            if changed is not None:
                changed.cancel()

    async def _try(self, snapshot: Snapshot) -> None:
        """Bring a snapshot about and tell who waits, of success or failure."""
        failure: LabError | None = None
        verdicts = self._verdicts
        try:
            await self._bring(snapshot)
        except LabError as error:
            failure = error
        except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            # A document that the plan cannot read must not end the loop that all others depend on.
            failure = LabError("apply_failed", f"{type(error).__name__}: {error}.")
        if failure is not None:
            self._log(f"revision {snapshot.revision}: {failure.code}: {failure.message}")
        async with self._applied:
            self._revision, self._failure, self._verdicts_applied = snapshot.revision, failure, verdicts
            self._applied.notify_all()

    async def _bring(self, snapshot: Snapshot) -> None:
        kernel, dns, metadata, probes = self._parts()
        fabric = plan(
            snapshot, probes.verdicts, idle=self._idle
        )  # first: a document that cannot be read changes nothing
        specs = {spec.name: spec for spec in snapshot.nodes}
        ended = [r for r in self._running.values() if not _same(r.spec, specs.get(r.spec.name))]
        for each in ended:
            del self._running[each.spec.name]
        fresh, problems = await self._create([s for s in snapshot.nodes if s.name not in self._running])
        for name, running in self._running.items():
            running.spec = specs[name]
        self._running.update({running.spec.name: running for running in fresh})
        there = tuple(i for i in fabric.interfaces if i.node in self._running)
        fabric = replace(fabric, interfaces=there)
        try:
            await kernel.apply(fabric, {name: running.node for name, running in self._running.items()})
        finally:
            await asyncio.gather(*(running.destroy() for running in ended))
        for warning in fabric.warnings:
            if warning not in self._fabric.warnings:
                self._log(f"not honoured: {warning}")
        self._fabric = fabric
        await dns.follow(fabric.views)
        await metadata.follow((network.number for network in fabric.networks), machines(snapshot, there))
        if self._vaults is not None:
            await self._vaults.follow(fabric.vaults)
        probes.follow(fabric.probes, {f"{i.network}/{i.address}": i.boot_id for i in there})
        for running in self._running.values():
            running.boot(self.on_container_end)
        if problems:
            raise LabError("node_failed", " ".join(problems))

    async def _create(self, specs: Sequence[NodeSpec]) -> tuple[list[RunningNode], list[str]]:
        """Make nodes; one that cannot be made, whatever the reason, must not cost the others."""
        made = await asyncio.gather(
            *(RunningNode.create(spec, self._factory, self._log) for spec in specs), return_exceptions=True
        )
        fresh = [each for each in made if isinstance(each, RunningNode)]
        problems = [
            error.message if isinstance(error, LabError) else f"{spec.name}: {type(error).__name__}: {error}."
            for spec, error in zip(specs, made, strict=True)
            if isinstance(error, BaseException)
        ]
        return fresh, problems

    def _parts(self) -> tuple[Kernel, DnsServer, MetadataServer, HealthProbes]:
        if self._kernel is None or self._dns is None or self._metadata is None or self._probes is None:
            raise LabError("lab_closed", "The lab's data plane does not run.")
        return self._kernel, self._dns, self._metadata, self._probes

    async def settled(self, revision: int) -> None:
        """Return when the kernel reflects at least this revision, and every verdict that `health` tells now.

        Raises:
            LabError: applying failed (`apply_failed`, `node_failed`), or took longer than a minute.
        """
        if self._task is None or self._task.done():
            raise LabError("lab_closed", "The lab's data plane does not run.")
        verdicts = self._verdicts

        def reached() -> bool:
            return self._revision >= revision and self._verdicts_applied >= verdicts

        try:
            async with asyncio.timeout(_SETTLE_SECONDS), self._applied:
                await self._applied.wait_for(reached)
                if self._failure is not None:
                    raise self._failure
        except TimeoutError as error:
            message = f"Revision {revision} is not applied after a minute."
            raise LabError("apply_failed", message) from error

    @property
    def warnings(self) -> tuple[str, ...]:
        """What of the deployed resources the network does not honour."""
        return self._fabric.warnings

    def health(self) -> tuple[ProbeHealth, ...]:
        if self._probes is None:
            return ()
        return tuple(verdict for _, verdict in sorted(self._probes.verdicts.items()))

    def status(self) -> tuple[NodeStatus, ...]:
        """Every node, by name."""
        return tuple(self._running[name].status() for name in sorted(self._running))

    def node_pid(self, node: str) -> int:
        """Number of a node's first process as the host sees it; its namespaces can be entered by that.

        Raises:
            LabError: `node_not_found`, also when the host's /proc does not show it.
        """
        number = launch.host_number(self._get(node).node.network)
        if number is None:
            message = f"The first process of '{node}' cannot be found in the host's /proc."
            raise LabError("node_not_found", message)
        return number

    def _get(self, name: str) -> RunningNode:
        """The running node of that name.

        Raises:
            LabError: `node_not_found`.
        """
        if name not in self._running:
            there = ", ".join(sorted(self._running)) or "none runs"
            raise LabError("node_not_found", f"No node is called '{name}'.", f"There is: {there}.")
        return self._running[name]

    async def run(
        self, node: str, argv: Sequence[str], *, stdin: bytes = b"", seconds: float | None = 10
    ) -> Completed:
        return await self._get(node).run(argv, stdin=stdin, seconds=seconds)

    async def open_terminal(
        self, node: str, argv: Sequence[str], *, rows: int, cols: int, environment: Mapping[str, str]
    ) -> Pty:
        return await self._get(node).open_terminal(argv, rows=rows, cols=cols, environment=environment)

    async def logs(self, node: str, container: str = "") -> str:
        return await self._get(node).logs(container)

    async def counters(self) -> tuple[HopCounter, ...]:
        """Connections that each hop of the fabric has seen, in the order in which a packet passes them."""
        kernel, *_ = self._parts()
        return await kernel.counters()

    async def close(self) -> None:
        """End every node and the network; nothing is left on the host."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._probes is not None:
            await self._probes.close()
        for server in (self._dns, self._metadata, self._vaults):
            if server is not None:
                server.close()
        await asyncio.gather(*(running.destroy() for running in self._running.values()))
        self._running.clear()
        if self._kernel is not None:
            self._kernel.node.destroy()
            self._kernel = None
        with contextlib.suppress(OSError):
            self._factory.close()


def _same(running: NodeSpec, wanted: NodeSpec | None) -> bool:
    """Whether a running node is the wanted one, other fields of which can be changed live."""
    return wanted is not None and wanted.boot_id == running.boot_id
