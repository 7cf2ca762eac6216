"""A look at what a plan would do, without doing it: preflight validation and the material of what-if."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fwdlab.arm.errors import ArmError
from fwdlab.arm.template.failures import detail_of, invalid_expression
from fwdlab.arm.template.nested import nested_request
from fwdlab.arm.template.scopes import GROUPS
from fwdlab.arm.template.values import ExpressionError, without_nulls

if TYPE_CHECKING:
    from fwdlab.arm.template.environment import Need
    from fwdlab.arm.template.plan import Plan, Planned
    from fwdlab.arm.template.runner import Engine

Groups = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Sight:
    """One resource that would be deployed.

    Attributes:
        planned: the resource; for a nested deployment only when it cannot be looked into.
        body: as far as it can be evaluated now; what cannot keeps its expression's text.
        complete: whether all of it could.
        problem: why it would fail, or why a nested deployment cannot be looked into.
    """

    planned: Planned
    body: dict[str, Any]
    complete: bool
    problem: ArmError | None = None


async def survey(engine: Engine, plan: Plan, groups: Groups | None = None) -> list[Sight]:
    """Every resource that a plan would deploy, those of nested deployments in their place.

    Args:
        engine: where nested deployments are expanded.
        plan: the plan.
        groups: documents of resource groups that do not exist yet, by lower-case id; grows on the way.
    """
    groups = {} if groups is None else groups
    seen: list[Sight] = []
    for planned in in_order(plan):
        if not planned.active or planned.existing:
            continue
        sight = _look(plan, planned)
        if sight.problem is not None or not planned.is_deployment:
            if planned.type.lower() == GROUPS.lower():
                groups[planned.id.lower()] = sight.body
            seen.append(sight)
            continue
        try:
            inner = await engine.prepare(nested_request(plan, planned, sight.body), groups)
        except ArmError as error:
            seen.append(replace(sight, problem=error))
            continue
        below = await survey(engine, inner, groups)
        # What stands on guesses is a guess itself.
        seen += below if sight.complete else [replace(one, complete=False) for one in below]
    return seen


def in_order(plan: Plan) -> list[Planned]:
    """The resources such that each stands behind those it waits for."""
    ordered: dict[str, Planned] = {}

    def visit(key: str) -> None:
        stack = [key]
        while stack:
            top = stack[-1]
            waiting = [one for one in sorted(plan.resources[top].depends_on) if one not in ordered]
            if waiting and top not in ordered:
                stack.extend(waiting)
            else:
                ordered.setdefault(top, plan.resources[top])
                stack.pop()

    for key in plan.resources:
        visit(key)
    return list(ordered.values())


def _look(plan: Plan, planned: Planned) -> Sight:
    needs: set[Need] = set()
    try:
        body = plan.evaluator.value(planned.body, replace(planned.frame, known={}, pending=needs))
    except ExpressionError as error:
        return Sight(planned, {}, complete=False, problem=invalid_expression(planned.id, str(error)))
    body = body if planned.is_deployment else dict(without_nulls(body))
    return Sight(planned, body, complete=not needs)


async def preflight(engine: Engine, plan: Plan) -> tuple[list[str], list[dict[str, Any]]]:
    """Ask the providers whether they would refuse anything.

    What depends on values of resources not yet deployed is not asked about, as in ARM, whose preflight
    passes over nested deployments with such parameters.

    Returns:
        The ids of the resources looked at, and the errors.
    """
    ids: list[str] = []
    details: list[dict[str, Any]] = []
    for sight in await survey(engine, plan):
        planned = sight.planned
        ids.append(planned.id)
        problem = sight.problem
        waits = planned.is_deployment and bool(planned.depends_on)
        if problem is not None and not sight.complete and waits:
            continue
        if problem is not None and problem.code == "ResourceGroupNotFound" and waits:
            continue  # a deployment that it waits for may create the group
        if problem is None and sight.complete:
            try:
                await engine.target.check(planned.id, sight.body, api_version=planned.api_version)
            except ArmError as error:
                problem = error
        if problem is not None:
            details.append(detail_of(problem, planned.id))
    return ids, details
