"""What a deployment would do, without doing it: preflight, and the material of what-if."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fwdlab.arm.errors import ArmError
from fwdlab.arm.ids import GROUP_TYPE
from fwdlab.arm.jsonc import without_nulls
from fwdlab.arm.template.dependencies import in_order
from fwdlab.arm.template.environment import Need
from fwdlab.arm.template.failures import detail_of, invalid_expression
from fwdlab.arm.template.nested import nested_request
from fwdlab.arm.template.outputs import output_value
from fwdlab.arm.template.values import ExpressionError, compact

if TYPE_CHECKING:
    from fwdlab.arm.template.expansion import ExpandedResource, Expansion
    from fwdlab.arm.template.runner import Engine

_ROUNDS = 5


@dataclass(frozen=True)
class ResourcePreview:
    """One resource that would be deployed.

    Attributes:
        resource: the resource; a nested deployment only when it cannot be looked into.
        body: as far as it can be evaluated now; what cannot keeps its expression's text.
        complete: whether all of it could.
        waits: whether it waits for another resource.
        problem: why it would fail, or why a nested deployment cannot be looked into.
    """

    resource: ExpandedResource
    body: dict[str, Any]
    complete: bool
    waits: bool
    problem: ArmError | None = None


class Preview:
    """Looks through an expanded template and the deployments nested in it.

    Args:
        engine: where nested deployments are expanded.
        present: answer references from what is deployed now, as what-if may; else only from the outputs
            of nested deployments, as far as they are known.
    """

    def __init__(self, engine: Engine, *, present: bool) -> None:
        self._engine = engine
        self._present = present
        self._groups: dict[str, dict[str, Any]] = {}
        self._unknown: set[str] = set()

    async def look(self, expansion: Expansion, known: dict[Need, Any]) -> list[ResourcePreview]:
        """Every resource that would be deployed, those of nested ones in their place; `known` grows."""
        seen: list[ResourcePreview] = []
        for resource in in_order(expansion):
            if not resource.written:
                continue
            found = await self._one(expansion, resource, known)
            if found.problem is None and resource.is_deployment:
                seen += await self._inside(expansion, found, known)
                continue
            if resource.type.lower() == GROUP_TYPE.lower():
                self._groups[resource.id.lower()] = found.body
            seen.append(found)
        return seen

    async def _inside(
        self, expansion: Expansion, found: ResourcePreview, known: dict[Need, Any]
    ) -> list[ResourcePreview]:
        try:
            request = nested_request(expansion, found.resource, found.body)
            inner = await self._engine.prepare(request, self._groups, expansion)
        except ArmError as error:
            return [replace(found, problem=error)]
        below = dict(known) if request.outer is not None else {}
        seen = await self.look(inner, below)
        known[Need(found.resource.id)] = {"properties": {"outputs": await self._foreseen(inner, below)}}
        return seen

    async def _foreseen(self, expansion: Expansion, known: dict[Need, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, output in (expansion.request.template.get("outputs") or {}).items():
            needs: set[Need] = set()
            frame = replace(expansion.base, known=known, pending=needs)
            try:
                value = await self._engine.evaluate(output_value, expansion, output, frame)
            except ExpressionError:
                continue
            found[name] = {"value": value}
            if needs:
                self._note_unknown(value)
        return found

    def _note_unknown(self, value: Any) -> None:
        if isinstance(value, str):
            if value.startswith("["):
                self._unknown.add(compact(value)[1:-1])
        elif isinstance(value, (list, dict)):
            for item in value.values() if isinstance(value, dict) else value:
                self._note_unknown(item)

    async def _one(
        self, expansion: Expansion, resource: ExpandedResource, known: dict[Need, Any]
    ) -> ResourcePreview:
        waits = bool(expansion.depends_on[resource.key])
        for _ in range(_ROUNDS):
            needs: set[Need] = set()
            frame = replace(resource.frame, known=known, pending=needs)
            try:
                body = await self._engine.evaluate(expansion.body, resource, frame)
            except ExpressionError as error:
                problem = invalid_expression(resource.id, str(error))
                return ResourcePreview(resource, {}, not known, waits, problem)
            if not self._present or not await self._answered(needs, known):
                break
        body = body if resource.is_deployment else dict(without_nulls(body))
        text = compact([resource.id, body])
        complete = not needs and not any(one in text for one in self._unknown)
        return ResourcePreview(resource, body, complete, waits)

    async def _answered(self, needs: set[Need], known: dict[Need, Any]) -> bool:
        before = len(known)
        for need in needs:
            try:
                known[need] = await self._engine.ask(need)
            except ArmError:
                continue  # not there yet
        return len(known) > before


async def preflight(engine: Engine, expansion: Expansion) -> tuple[list[str], list[dict[str, Any]]]:
    """Ask the providers whether they would refuse anything.

    What depends on values of resources not yet deployed is not asked about, as in ARM, whose preflight
    passes over nested deployments with such parameters.

    Returns:
        The ids of the resources looked at, and the errors.
    """
    ids: list[str] = []
    details: list[dict[str, Any]] = []
    for found in await Preview(engine, present=False).look(expansion, {}):
        ids.append(found.resource.id)
        problem = found.problem
        # A group that something earlier provides may be all that is missing.
        group_may_come = problem is not None and problem.code == "ResourceGroupNotFound" and found.waits
        if not found.complete or group_may_come:
            continue
        try:
            if problem is not None:
                raise problem
            await engine.target.check(found.resource.id, found.body)
        except ArmError as error:
            details.append(detail_of(error, found.resource.id))
    return ids, details
