"""Execution of plans: resources in parallel, each as soon as what it waits for is there."""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fwdlab.arm.errors import ArmError
from fwdlab.arm.template import failures
from fwdlab.arm.template.environment import Frame, Need, Unresolved
from fwdlab.arm.template.expand import Host, expand
from fwdlab.arm.template.nested import nested_request
from fwdlab.arm.template.outputs import evaluate_outputs
from fwdlab.arm.template.records import Operation, Record, Records, new_record, now
from fwdlab.arm.template.scopes import DEPLOYMENTS, Scope, type_of
from fwdlab.arm.template.values import ExpressionError, without_nulls

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from fwdlab.arm.template.plan import Plan, Planned
    from fwdlab.arm.template.request import DeploymentRequest
    from fwdlab.arm.template.target import Target

_LOG = logging.getLogger(__name__)
_AT_ONCE = 64
_ROUNDS = 100
_NOT_FOUND = 404
_SECURE_OUTPUTS = "listoutputswithsecurevalues"


class _DependencyFailed(Exception):  # noqa: N818 - it ends a resource that was never started
    """A resource that an expression refers to was not deployed."""


class Engine:
    """Runs deployments against a target.

    Args:
        target: the control plane.
        records: where the deployments are kept.

    Attributes:
        write_seconds: how much longer each resource takes.
    """

    def __init__(self, target: Target, records: Records) -> None:
        self.target = target
        self.records = records
        self.write_seconds = 0.0
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._writes: set[asyncio.Task[None]] = set()
        self._tops: set[asyncio.Task[None]] = set()

    async def prepare(
        self, request: DeploymentRequest, groups: Mapping[str, dict[str, Any]] | None = None
    ) -> Plan:
        """Expand a request.

        Args:
            request: the deployment.
            groups: documents of groups, by lower-case id, that the deployment around it will create.

        Raises:
            ArmError: InvalidTemplate; the scope does not exist.
        """
        scope = request.scope
        if scope.subscription_id.lower() != self.target.subscription_id.lower():
            raise failures.subscription_not_found(scope.subscription_id)
        group = (groups or {}).get(scope.id.lower())
        if group is None and scope.resource_group:
            group = await self.group(scope)
        return expand(request, Host(self.target.tenant_id, group, lambda: str(uuid.uuid4())))

    async def group(self, scope: Scope) -> dict[str, Any]:
        """The document of a scope's resource group.

        Raises:
            ArmError: ResourceGroupNotFound.
        """
        try:
            return await self.target.get(scope.id)
        except ArmError as error:
            if error.status == _NOT_FOUND:
                raise failures.group_not_found(scope.resource_group) from error
            raise

    def start(self, plan: Plan, *, correlation_id: str = "") -> Record:
        """Begin a deployment and return at once.

        Raises:
            ArmError: DeploymentActive.
        """
        record, run = self.admit(plan, correlation_id or str(uuid.uuid4()), None, "")
        task = asyncio.ensure_future(run.execute())
        self._tops.add(task)
        task.add_done_callback(self._tops.discard)
        return record

    def admit(self, plan: Plan, correlation_id: str, above: Run | None, key: str) -> tuple[Record, Run]:
        """Record a deployment, nested under `above` as its resource `key` or on its own.

        Raises:
            ArmError: DeploymentActive.
        """
        earlier = self.records.find(plan.request.id)
        if earlier is not None and earlier.active:
            raise failures.deployment_active(plan.request.name)
        record = new_record(plan, correlation_id)
        record.run = Run(self, plan, record, above, key)
        self.records.add(record)
        return record, record.run

    async def write(self, planned: Planned, body: dict[str, Any]) -> None:
        """PUT a resource; it goes on when the deployment that waits for it is cancelled, as in ARM."""
        async with self._gate:
            write = asyncio.ensure_future(self._put(planned, body))
            self._writes.add(write)
            write.add_done_callback(self._written)
            await asyncio.shield(write)

    async def _put(self, planned: Planned, body: dict[str, Any]) -> None:
        await self.target.put(planned.id, body, api_version=planned.api_version)
        await asyncio.sleep(self.write_seconds)

    def _written(self, task: asyncio.Task[None]) -> None:
        self._writes.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _LOG.debug("a resource failed: %s", task.exception())

    async def ask(self, need: Need) -> Any:
        """The answer to a need.

        Raises:
            ArmError: as the control plane says.
        """
        if type_of(need.id).lower() == DEPLOYMENTS.lower():
            record = self.records.get(need.id)
            if not need.action:
                return record.document()
            if need.action.lower() == _SECURE_OUTPUTS:
                shown = {name: output.get("value") for name, output in (record.outputs or {}).items()}
                return shown | record.secure_outputs
        if not need.action:
            return await self.target.get(need.id)
        body = json.loads(need.payload) if need.payload else None
        return await self.target.action(need.id, need.action, body)

    async def close(self) -> None:
        """Cancel what runs and wait for its end."""
        for record in self.records.active():
            if record.run is not None:
                record.run.cancel()
        for write in list(self._writes):
            write.cancel()
        await asyncio.gather(*self._tops, *self._writes, return_exceptions=True)


class Run:
    """One execution of a plan.

    Args:
        engine: what it belongs to.
        plan: what to do.
        record: where progress is written.
        above: the run that this deployment is nested in.
        key: its key there.
    """

    def __init__(self, engine: Engine, plan: Plan, record: Record, above: Run | None, key: str) -> None:
        self.engine, self.plan, self.record = engine, plan, record
        self._above, self._key = above, key
        self._done: dict[str, asyncio.Future[bool]] = {}
        self._waits: dict[str, set[str]] = {k: set(p.depends_on) for k, p in plan.resources.items()}
        self._tasks: list[asyncio.Task[None]] = []
        self._children: dict[str, Record] = {}
        self._canceled = ""

    def cancel(self, reason: str = "") -> None:
        """Start nothing more; nested deployments likewise. What is being written is written.

        Args:
            reason: as the deployment's error will tell it.
        """
        self._canceled = self._canceled or reason or failures.cancelation(now())
        for child in self._children.values():
            if child.run is not None and child.active:
                child.run.cancel(self._canceled)
        nested = {key for key, child in self._children.items() if child.active}
        for task, key in zip(self._tasks, self.plan.resources, strict=False):
            if key not in nested:  # a task around a nested deployment ends when that has ended
                task.cancel()

    async def execute(self) -> None:
        """Deploy everything and leave the record in a terminal state; raises nothing."""
        self.record.move("Running")
        try:
            await self._execute()
        except Exception as error:  # noqa: BLE001 - whoever polls must see an end
            _LOG.exception("internal error in %s", self.record.id)
            self.record.move("Failed", _internal(error).body()["error"])
        self.record.run = None  # what was expanded is not needed any more

    async def _execute(self) -> None:
        loop = asyncio.get_running_loop()
        self._done = {key: loop.create_future() for key in self.plan.resources}
        self._tasks = [asyncio.ensure_future(self._resource(p)) for p in self.plan.resources.values()]
        if self._canceled:
            self.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.record.output_resources = self._deployed()
        failed = [op for op in self.record.operations.values() if op.state == "Failed"]
        if self._canceled:
            self.record.move("Canceled", failures.deployment_canceled(self.record.id, self._canceled))
        elif failed:
            details = [failures.detail_of(op.error, op.target) for op in failed if op.error is not None]
            self.record.move("Failed", failures.deployment_failed(self.record.id, details))
        else:
            await self._finish()

    async def _finish(self) -> None:
        try:
            shown, secure = await evaluate_outputs(self.plan, lambda f: self.resolve(f, self.plan.base, ""))
        except ArmError as error:
            self.record.move("Failed", error.body()["error"])
            return
        self.record.outputs, self.record.secure_outputs = shown, secure
        self.record.move("Succeeded")

    def _deployed(self) -> list[str]:
        found: dict[str, str] = {}
        for key, operation in self.record.operations.items():
            child = self._children.get(key)
            ids = [operation.target] if child is None else child.output_resources
            if child is None and operation.state != "Succeeded":
                continue
            for one in ids:
                found.setdefault(one.lower(), one)
        return list(found.values())

    async def _resource(self, planned: Planned) -> None:
        good = False
        try:
            for key in planned.depends_on:
                if not await self._finished(key):
                    return
            good = True
            if planned.active and not planned.existing:
                good = await self._attempt(planned)
        except _DependencyFailed:
            good = False
        finally:
            if not self._done[planned.key].done():
                self._done[planned.key].set_result(good)

    async def _attempt(self, planned: Planned) -> bool:
        started: list[Operation] = []
        try:
            body = await self._body(planned)
            started.append(self._begin(planned))
            await (self._nested(planned, body) if planned.is_deployment else self.engine.write(planned, body))
        except asyncio.CancelledError:
            for operation in started:
                operation.end("Canceled")
            raise
        except ArmError as error:
            (started or [self._begin(planned)])[0].end("Failed", error)
            return False
        except _DependencyFailed:
            raise
        except Exception as error:  # noqa: BLE001 - a fault in a provider must end the deployment, not hang it
            _LOG.exception("internal error at %s", planned.id)
            (started or [self._begin(planned)])[0].end("Failed", _internal(error))
            return False
        started[0].end("Succeeded")
        return True

    def _begin(self, planned: Planned) -> Operation:
        operation = Operation(planned.id, planned.type, planned.name)
        self.record.operations[planned.key] = operation
        return operation

    async def _body(self, planned: Planned) -> dict[str, Any]:
        def evaluate(frame: Frame) -> Any:
            return self.plan.evaluator.value(planned.body, frame)

        try:
            body = await self.resolve(evaluate, planned.frame, planned.key)
        except ExpressionError as error:
            raise failures.invalid_expression(planned.id, str(error)) from error
        return body if planned.is_deployment else dict(without_nulls(body))

    async def _nested(self, planned: Planned, body: dict[str, Any]) -> None:
        plan = await self.engine.prepare(nested_request(self.plan, planned, body))
        child, run = self.engine.admit(plan, self.record.correlation_id, self, planned.key)
        self._children[planned.key] = child
        await run.execute()
        if child.state != "Succeeded":
            raise failures.nested_failed(child.id, child.state, child.error)

    async def resolve(self, evaluate: Callable[[Frame], Any], frame: Frame, key: str) -> Any:
        """Evaluate, fetching what the evaluation asks for, until it has a value.

        Args:
            evaluate: a pure evaluation in a frame.
            frame: the frame without answers.
            key: the resource that it is for, empty for outputs.

        Raises:
            ExpressionError: the expression is not valid.
            ArmError: what it refers to cannot be had.
        """
        known: dict[Need, Any] = {}
        for _ in range(_ROUNDS):
            try:
                return evaluate(replace(frame, known=known))
            except Unresolved as unresolved:
                needs = sorted(unresolved.needs, key=lambda need: (need.id, need.action, need.payload))
                answers: list[Coroutine[Any, Any, Any]] = [self.answer(need, key) for need in needs]
                known.update(zip(needs, await asyncio.gather(*answers), strict=True))
        raise ExpressionError("The expression asks for ever more resources")

    async def answer(self, need: Need, key: str) -> Any:
        """The answer to a need, after the resource that it is about has been deployed."""
        wanted = self.plan.names.key_of_id(need.id)
        if wanted is not None and wanted != key:
            self._refuse_circle(key, wanted)
            if not await self._finished(wanted):
                raise _DependencyFailed
        elif wanted is None and self._above is not None and self.plan.request.outer is not None:
            return await self._above.answer(need, self._key)
        return await self.engine.ask(need)

    def _refuse_circle(self, key: str, wanted: str) -> None:
        seen, front = set[str](), [wanted]
        while front:
            one = front.pop()
            if one == key:
                raise ExpressionError(
                    f"Circular dependency detected on resource: '{self.plan.resources[wanted].id}'"
                )
            if one not in seen:
                seen.add(one)
                front.extend(self._waits[one])
        if key:
            self._waits[key].add(wanted)

    async def _finished(self, key: str) -> bool:
        return await asyncio.shield(self._done[key])


def _internal(error: Exception) -> ArmError:
    return ArmError(500, "InternalServerError", f"Internal error of the lab: {error!r}")
