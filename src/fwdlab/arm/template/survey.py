"""A look at what a plan would do, without doing it: preflight validation and the material of what-if."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fwdlab.arm.errors import ArmError
from fwdlab.arm.template.environment import Need
from fwdlab.arm.template.failures import detail_of, invalid_expression
from fwdlab.arm.template.nested import nested_request
from fwdlab.arm.template.scopes import GROUPS
from fwdlab.arm.template.values import ExpressionError, compact, without_nulls

if TYPE_CHECKING:
    from fwdlab.arm.template.plan import Plan, Planned
    from fwdlab.arm.template.runner import Engine

_ROUNDS = 5


@dataclass(frozen=True)
class Sight:
    """One resource that would be deployed.

    Attributes:
        planned: the resource; a nested deployment only when it cannot be looked into.
        body: as far as it can be evaluated now; what cannot keeps its expression's text.
        complete: whether all of it could.
        problem: why it would fail, or why a nested deployment cannot be looked into.
    """

    planned: Planned
    body: dict[str, Any]
    complete: bool
    problem: ArmError | None = None


class Survey:
    """Looks through a plan and the deployments nested in it.

    Args:
        engine: where nested deployments are expanded.
        present: answer references from what is deployed now, as a preview may; else only from the outputs
            of nested deployments, which are foreseen where they can be.
    """

    def __init__(self, engine: Engine, *, present: bool) -> None:
        self._engine = engine
        self._present = present
        self._groups: dict[str, dict[str, Any]] = {}
        self._unknown: set[str] = set()

    async def look(self, plan: Plan, known: dict[Need, Any] | None = None) -> list[Sight]:
        """Every resource that a plan would deploy, those of nested deployments in their place.

        Args:
            plan: the plan.
            known: foreseen answers; grows on the way.
        """
        known = {} if known is None else known
        seen: list[Sight] = []
        for planned in in_order(plan):
            if not planned.active or planned.existing:
                continue
            sight = await self._one(plan, planned, known)
            if sight.problem is None and planned.is_deployment:
                seen += await self._inside(plan, sight, known)
                continue
            if planned.type.lower() == GROUPS.lower():
                self._groups[planned.id.lower()] = sight.body
            seen.append(sight)
        return seen

    async def _inside(self, plan: Plan, sight: Sight, known: dict[Need, Any]) -> list[Sight]:
        try:
            inner = await self._engine.prepare(nested_request(plan, sight.planned, sight.body), self._groups)
        except ArmError as error:
            return [replace(sight, problem=error)]
        below = dict(known) if inner.request.outer is not None else {}
        seen = await self.look(inner, below)
        known[Need(sight.planned.id)] = {"properties": {"outputs": self._foreseen(inner, below)}}
        return seen

    def _foreseen(self, plan: Plan, known: dict[Need, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, output in (plan.request.template.get("outputs") or {}).items():
            needs: set[Need] = set()
            frame = replace(plan.base, known=known, pending=needs)
            try:
                if "copy" in output:
                    value = plan.evaluator.loop(output["copy"], frame)
                else:
                    value = plan.evaluator.value(output.get("value"), frame)
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

    async def _one(self, plan: Plan, planned: Planned, known: dict[Need, Any]) -> Sight:
        for _ in range(_ROUNDS):
            needs: set[Need] = set()
            try:
                body = plan.evaluator.value(planned.body, replace(planned.frame, known=known, pending=needs))
            except ExpressionError as error:
                problem = invalid_expression(planned.id, str(error))
                return Sight(planned, {}, complete=not known, problem=problem)
            if not self._present or not await self._answered(needs, known):
                break
        body = body if planned.is_deployment else dict(without_nulls(body))
        text = compact([planned.id, body])
        return Sight(planned, body, complete=not needs and not any(one in text for one in self._unknown))

    async def _answered(self, needs: set[Need], known: dict[Need, Any]) -> bool:
        before = len(known)
        for need in needs:
            try:
                known[need] = await self._engine.ask(need)
            except ArmError:
                continue  # not there yet
        return len(known) > before


def in_order(plan: Plan) -> list[Planned]:
    """The resources such that each stands behind those it waits for."""
    ordered: dict[str, Planned] = {}
    for start in plan.resources:
        stack = [start]
        while stack:
            top = stack[-1]
            waiting = [one for one in sorted(plan.resources[top].depends_on) if one not in ordered]
            if waiting and top not in ordered:
                stack.extend(waiting)
            else:
                ordered.setdefault(top, plan.resources[top])
                stack.pop()
    return list(ordered.values())


async def preflight(engine: Engine, plan: Plan) -> tuple[list[str], list[dict[str, Any]]]:
    """Ask the providers whether they would refuse anything.

    What depends on values of resources not yet deployed is not asked about, as in ARM, whose preflight
    passes over nested deployments with such parameters.

    Returns:
        The ids of the resources looked at, and the errors.
    """
    ids: list[str] = []
    details: list[dict[str, Any]] = []
    for sight in await Survey(engine, present=False).look(plan):
        planned, problem = sight.planned, sight.problem
        ids.append(planned.id)
        if problem is not None and _may_pass(sight, problem):
            continue
        if problem is None and sight.complete:
            try:
                await engine.target.check(planned.id, sight.body, api_version=planned.api_version)
            except ArmError as error:
                problem = error
        if problem is not None:
            details.append(detail_of(problem, planned.id))
    return ids, details


def _may_pass(sight: Sight, problem: ArmError) -> bool:
    # Values known later, or a group that something earlier provides, may be all that is missing.
    group_may_come = problem.code == "ResourceGroupNotFound" and bool(sight.planned.depends_on)
    return not sight.complete or group_may_come
