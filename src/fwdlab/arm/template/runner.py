"""Execution of deployments: resources in parallel, each as soon as what it waits for is there."""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from fwdlab.arm.clock import now
from fwdlab.arm.errors import ArmError
from fwdlab.arm.jsonc import without_nulls
from fwdlab.arm.store import group_not_found, subscription_not_found
from fwdlab.arm.template import failures
from fwdlab.arm.template.environment import Frame, Need, Unresolved
from fwdlab.arm.template.expand import Host, expand
from fwdlab.arm.template.nested import nested_request
from fwdlab.arm.template.outputs import evaluate_outputs
from fwdlab.arm.template.records import Operation, Record, Records, new_record
from fwdlab.arm.template.scopes import Scope, is_deployment
from fwdlab.arm.template.values import ExpressionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from fwdlab.arm.template.expansion import ExpandedResource, Expansion
    from fwdlab.arm.template.request import DeploymentRequest
    from fwdlab.arm.template.target import Target

Documents: TypeAlias = "Mapping[str, dict[str, Any]]"
T = TypeVar("T")
_LOG = logging.getLogger(__name__)
_AT_ONCE = 64
_ROUNDS = 100
_NOT_FOUND = 404
_SECURE_OUTPUTS = "listoutputswithsecurevalues"


class _DependencyFailed(Exception):  # noqa: N818 - it ends a resource that was never started
    """A resource that an expression refers to was not deployed."""


class Engine:
    """Runs deployments against a target; `write_seconds` is how much longer each resource takes."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.records = Records()
        self.write_seconds = 0.0
        self._evaluation = ThreadPoolExecutor(1, "template")
        self._runs: dict[str, Run] = {}
        """Those under way, by the operation id of their record."""
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._writes: set[asyncio.Task[None]] = set()
        self._tops: set[asyncio.Task[None]] = set()

    async def prepare(
        self,
        request: DeploymentRequest,
        groups: Documents | None = None,
        around: Expansion | None = None,
    ) -> Expansion:
        """Expand a request.

        Args:
            request: the deployment.
            around: the one that it is nested in; no template leads out of its tenant.
            groups: documents of groups, by lower-case id, that the deployment around it will create.

        Raises:
            ArmError: InvalidTemplate; the scope does not exist.
        """
        subscription = request.scope.subscription_id
        tenant = self.target.tenant_id_of(subscription) or ""
        if around is not None and around.environment.tenant_id != tenant:
            raise subscription_not_found(subscription)
        host = Host(tenant, await self.scope(request.scope, groups))
        return await self.evaluate(expand, request, host)

    async def evaluate(self, work: Callable[..., T], *arguments: Any) -> T:
        """Evaluate expressions beside the event loop; one evaluation at a time, as they share their symbols.

        Raises:
            ArmError: InvalidTemplate; and what the work raises.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(self._evaluation, work, *arguments)
        except RecursionError:
            raise failures.invalid_template("It is nested too deeply") from None

    async def scope(self, scope: Scope, groups: Documents | None = None) -> dict[str, Any] | None:
        """The document of a scope's resource group, None for a subscription.

        Raises:
            ArmError: SubscriptionNotFound, ResourceGroupNotFound.
        """
        if self.target.tenant_id_of(scope.subscription_id) is None:
            raise subscription_not_found(scope.subscription_id)
        if not scope.resource_group:
            return None
        group = (groups or {}).get(scope.id.lower())
        if group is None:
            group = await self.find(scope.id)
        if group is None:
            raise group_not_found(scope.resource_group)
        return group

    async def find(self, resource_id: str) -> dict[str, Any] | None:
        """The document of a resource, None when there is none."""
        try:
            return await self.target.get(resource_id)
        except ArmError as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    def start(self, expansion: Expansion) -> Record:
        """Begin a deployment and return at once.

        Raises:
            ArmError: DeploymentActive.
        """
        run = self.admit(expansion, str(uuid.uuid4()))
        task = asyncio.ensure_future(run.execute())
        self._tops.add(task)
        task.add_done_callback(self._tops.discard)
        return run.record

    def admit(
        self, expansion: Expansion, correlation_id: str, above: Run | None = None, key: str = ""
    ) -> Run:
        """Record a deployment, nested under `above` as its resource `key` or on its own.

        Raises:
            ArmError: DeploymentActive.
        """
        earlier = self.records.find(expansion.request.id)
        if earlier is not None and earlier.active:
            raise failures.deployment_active(expansion.request.name)
        run = Run(self, expansion, new_record(expansion, correlation_id), above, key)
        self._runs[run.record.operation_id] = run
        self.records.add(run.record)
        return run

    def ended(self, record: Record) -> None:
        run = self._runs.pop(record.operation_id)
        run.expansion.environment.budget.forget()

    def cancel(self, record: Record) -> None:
        """Start nothing more of a deployment; nothing happens when it has ended."""
        run = self._runs.get(record.operation_id)
        if run is not None:
            run.cancel()

    async def write(self, resource: ExpandedResource, body: dict[str, Any]) -> None:
        """PUT a resource; it goes on when the deployment that waits for it is cancelled, as in ARM."""
        async with self._gate:
            write = asyncio.ensure_future(self._put(resource, body))
            self._writes.add(write)
            write.add_done_callback(self._written)
            await asyncio.shield(write)

    async def _put(self, resource: ExpandedResource, body: dict[str, Any]) -> None:
        await self.target.put(resource.id, body)
        await asyncio.sleep(self.write_seconds)

    def _written(self, task: asyncio.Task[None]) -> None:
        self._writes.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _LOG.debug("a resource failed: %s", task.exception())

    async def ask(self, need: Need) -> Any:
        if is_deployment(need.id):
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
        for run in list(self._runs.values()):
            run.cancel()
        for write in list(self._writes):
            write.cancel()
        await asyncio.gather(*self._tops, *self._writes, return_exceptions=True)
        self._evaluation.shutdown(wait=False, cancel_futures=True)


class Run:
    """One execution of an expanded template, maybe nested in the run `above` as its resource `key`."""

    def __init__(
        self, engine: Engine, expansion: Expansion, record: Record, above: Run | None, key: str
    ) -> None:
        self.engine, self.expansion, self.record = engine, expansion, record
        self._above, self._key = above, key
        self._done: dict[str, asyncio.Future[bool]] = {}
        self._waits = {key: set(waits) for key, waits in expansion.depends_on.items()}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._children: dict[str, Run] = {}
        self._canceled = ""

    def cancel(self, reason: str = "") -> None:
        """Start nothing more; nested deployments likewise. What is being written is written."""
        self._canceled = self._canceled or reason or failures.cancelation(now())
        nested = {key: child for key, child in self._children.items() if child.record.active}
        for child in nested.values():
            child.cancel(self._canceled)
        for key, task in self._tasks.items():
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
        self.engine.ended(self.record)

    async def _execute(self) -> None:
        loop = asyncio.get_running_loop()
        resources = self.expansion.resources
        self._done = {key: loop.create_future() for key in resources}
        self._tasks = {key: loop.create_task(self._resource(one)) for key, one in resources.items()}
        if self._canceled:
            self.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
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
        base = self.expansion.base
        try:
            shown, secure = await evaluate_outputs(self.expansion, lambda f: self._resolve(f, base, ""))
        except ArmError as error:
            self.record.move("Failed", error.body()["error"])
            return
        self.record.outputs, self.record.secure_outputs = shown, secure
        self.record.move("Succeeded")

    def _deployed(self) -> list[str]:
        found: dict[str, str] = {}
        for key, operation in self.record.operations.items():
            child = self._children.get(key)
            if child is not None:
                ids = child.record.output_resources
            else:
                ids = [operation.target] if operation.state == "Succeeded" else []
            for one in ids:
                found.setdefault(one.lower(), one)
        return list(found.values())

    async def _resource(self, resource: ExpandedResource) -> None:
        good = False
        try:
            for key in self.expansion.depends_on[resource.key]:
                if not await self._finished(key):
                    return
            good = await self._attempt(resource) if resource.written else True
        finally:
            if not self._done[resource.key].done():
                self._done[resource.key].set_result(good)

    async def _attempt(self, resource: ExpandedResource) -> bool:
        operation: Operation | None = None
        try:
            body = await self._body(resource)
            operation = self._begin(resource)
            await (
                self._nested(resource, body) if resource.is_deployment else self.engine.write(resource, body)
            )
        except asyncio.CancelledError:
            if operation is not None:
                operation.end("Canceled")
            raise
        except _DependencyFailed:
            return False
        except ArmError as error:
            (operation or self._begin(resource)).end("Failed", error)
            return False
        except Exception as error:  # noqa: BLE001 - a fault in a provider must end the deployment, not hang it
            _LOG.exception("internal error at %s", resource.id)
            (operation or self._begin(resource)).end("Failed", _internal(error))
            return False
        operation.end("Succeeded")
        return True

    def _begin(self, resource: ExpandedResource) -> Operation:
        operation = Operation(resource.id, resource.type, resource.name)
        self.record.operations[resource.key] = operation
        return operation

    async def _body(self, resource: ExpandedResource) -> dict[str, Any]:
        def evaluate(frame: Frame) -> Any:
            return self.expansion.body(resource, frame)

        try:
            body = await self._resolve(evaluate, resource.frame, resource.key)
        except ExpressionError as error:
            raise failures.invalid_expression(resource.id, str(error)) from error
        return body if resource.is_deployment else dict(without_nulls(body))

    async def _nested(self, resource: ExpandedResource, body: dict[str, Any]) -> None:
        expansion = await self.engine.prepare(
            nested_request(self.expansion, resource, body), around=self.expansion
        )
        run = self.engine.admit(expansion, self.record.correlation_id, self, resource.key)
        self._children[resource.key] = run
        await run.execute()
        child = run.record
        if child.state != "Succeeded":
            raise failures.nested_failed(child.id, child.state, child.error)

    async def _resolve(self, evaluate: Callable[[Frame], Any], frame: Frame, key: str) -> Any:
        """Evaluate for the resource `key` (outputs: empty), fetching what the evaluation asks for.

        Raises:
            ExpressionError: the expression is not valid.
            ArmError: what it refers to cannot be had.
        """
        known: dict[Need, Any] = {}
        for _ in range(_ROUNDS):
            try:
                return await self.engine.evaluate(evaluate, replace(frame, known=known))
            except Unresolved as unresolved:
                needs = sorted(unresolved.needs, key=lambda need: (need.id, need.action, need.payload))
                answers = await asyncio.gather(*(self._answer(need, key) for need in needs))
                known.update(zip(needs, answers, strict=True))
        raise ExpressionError("The expression asks for ever more resources")

    async def _answer(self, need: Need, key: str) -> Any:
        """The answer to a need, after the resource that it is about has been deployed."""
        wanted = self.expansion.names.key_of_id(need.id)
        if wanted is not None and wanted != key:
            self._refuse_circle(key, wanted)
            if not await self._finished(wanted):
                raise _DependencyFailed
        elif wanted is None and self._above is not None and self.expansion.request.outer is not None:
            return await self._above._answer(need, self._key)  # noqa: SLF001 - the same class
        return await self.engine.ask(need)

    def _refuse_circle(self, key: str, wanted: str) -> None:
        seen, front = set[str](), [wanted]
        while front:
            one = front.pop()
            if one == key:
                resource = self.expansion.resources[wanted]
                raise ExpressionError(f"Circular dependency detected on resource: '{resource.id}'")
            if one not in seen:
                seen.add(one)
                front.extend(self._waits[one])
        if key:
            self._waits[key].add(wanted)

    async def _finished(self, key: str) -> bool:
        return await asyncio.shield(self._done[key])


def _internal(error: Exception) -> ArmError:
    return ArmError(500, "InternalServerError", f"Internal error of the lab: {error!r}")
