"""Expansion: a deployment request to a plan. Pure; asks nothing of the control plane."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fwdlab.arm.template.environment import Environment, Frame, Need, Unresolved
from fwdlab.arm.template.evaluate import Evaluator, copy_count
from fwdlab.arm.template.failures import invalid_expression, invalid_template, not_supported
from fwdlab.arm.template.functions_deployment import not_here
from fwdlab.arm.template.plan import Plan, PlanNames, Planned, not_defined
from fwdlab.arm.template.scopes import DEPLOYMENTS, GROUPS, Scope, absolute_id, join_id
from fwdlab.arm.template.symbols import Symbols
from fwdlab.arm.template.values import ExpressionError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwdlab.arm.errors import ArmError
    from fwdlab.arm.template.request import DeploymentRequest


@dataclass(frozen=True)
class Host:
    """What a plan must know of the world.

    Attributes:
        tenant_id: of the tenant.
        group: document of the resource group that is deployed to, None at subscription scope.
        new_guid: source of `newGuid()`.
    """

    tenant_id: str
    group: dict[str, Any] | None = None
    new_guid: Any = None


@dataclass(frozen=True)
class _Declared:
    """A resource as written, with the type and name of the parent that it is nested in."""

    key: str
    symbol: str
    raw: dict[str, Any]
    parent_type: str = ""
    parent_name: str = ""


class _EarlyNames:
    """Names while resources are still being named: only `resourceInfo()` of a symbolic name is allowed."""

    def __init__(self, request: DeploymentRequest, environment: Environment, base: Frame) -> None:
        self._request, self._base = request, base
        self._evaluator = Evaluator(replace(environment, names=self))
        self._under_way: list[str] = []

    def resource(self, text: str) -> str:
        """See `environment.Names`."""
        del text
        raise not_here("reference")

    def loop(self, text: str) -> list[str]:
        """See `environment.Names`."""
        del text
        raise not_here("references")

    def info(self, text: str) -> dict[str, Any]:
        """See `environment.Names`."""
        resources = self._request.template.get("resources")
        symbol = text.partition("[")[0]
        if not isinstance(resources, dict) or symbol not in resources:
            raise not_defined(text)
        if symbol in self._under_way:
            raise ExpressionError(f"The name of the resource '{text}' depends on itself in a circle.")
        self._under_way.append(symbol)
        declared = _Declared(symbol, symbol, resources[symbol])
        turns = list(_turns(declared, self._request.scope, self._evaluator, self._base))
        self._under_way.pop()
        for planned in turns:
            if planned.key == text:
                return planned.info
        raise not_defined(text)


def expand(request: DeploymentRequest, host: Host) -> Plan:
    """Evaluate parameters and expand loops, conditions and nested children; find all dependencies.

    Raises:
        ArmError: InvalidTemplate.
    """
    symbols = Symbols(request.template, request.parameters)
    if request.outer is None:
        environment, base = _environment(request, host, symbols), Frame()
        above = None
    else:
        environment, base = request.outer.environment, request.outer.frame
        above = environment.names
    symbols.evaluator = Evaluator(environment)
    parameters = symbols.check() if request.outer is None else {}
    early = Evaluator(replace(environment, names=_EarlyNames(request, environment, base)))
    resources = _resources(request, early, base)
    loops = _loop_names(request.template.get("resources") or [])
    names = PlanNames.of(request.scope, resources, loops, above if isinstance(above, PlanNames) else None)
    environment = replace(environment, names=names)
    plan = Plan(request, environment, Evaluator(environment), base, names, parameters)
    return _with_dependencies(plan)


def _loop_names(resources: Any) -> set[str]:
    found: set[str] = set()
    for place, raw in resources.items() if isinstance(resources, dict) else enumerate(resources):
        if isinstance(raw.get("copy"), dict):
            found |= {str(raw["copy"].get("name", "")), place if isinstance(place, str) else ""} - {""}
    return found


def _environment(request: DeploymentRequest, host: Host, symbols: Symbols) -> Environment:
    deployment: dict[str, Any] = {
        "name": request.name,
        "properties": {
            "template": request.template,
            "parameters": {name: {"value": value} for name, value in request.parameters.items()},
            "mode": request.mode,
            "provisioningState": "Accepted",
        },
    }
    if request.location:
        deployment["location"] = request.location
    extra = {"new_guid": host.new_guid} if host.new_guid else {}
    return Environment(
        request.scope,
        host.tenant_id,
        host.group,
        deployment,
        symbols.parameter,
        symbols.variable,
        symbols.functions,
        **extra,
    )


def _resources(request: DeploymentRequest, evaluator: Evaluator, base: Frame) -> dict[str, Planned]:
    found: dict[str, Planned] = {}
    ids: set[str] = set()
    for declared in _declared(request.template.get("resources") or [], evaluator, base):
        for planned in _turns(declared, request.scope, evaluator, base):
            lowered = planned.id.lower()
            if planned.active and not planned.existing:
                if lowered in ids:
                    raise invalid_template(
                        f"The resource '{planned.id}' is defined multiple times in a template. "
                        f"Please see https://aka.ms/arm-syntax-resources for usage details."
                    )
                ids.add(lowered)
            found[planned.key] = planned
    return found


def _declared(
    resources: Any, evaluator: Evaluator, base: Frame, parent: _Declared | None = None
) -> Iterator[_Declared]:
    pairs = resources.items() if isinstance(resources, dict) else enumerate(resources)
    for place, raw in pairs:
        symbol = place if isinstance(place, str) else ""
        key = symbol or f"#{place}"
        one = _Declared(f"{parent.key}/{key}" if parent else key, symbol, raw)
        if symbol and not symbol.startswith("#"):
            one = replace(one, key=symbol)
        if parent is not None:
            one = _below(one, parent, evaluator, base)
        yield one
        children = raw.get("resources")
        if children:
            if "copy" in raw:
                raise invalid_template(
                    f"The template resource '{raw['name']}' has a loop and nested resources, which cannot be "
                    f"combined. Please see https://aka.ms/arm-copy for usage details."
                )
            yield from _declared(children, evaluator, base, one)


def _below(one: _Declared, parent: _Declared, evaluator: Evaluator, base: Frame) -> _Declared:
    # A nested child states its type and name relative to the parent's.
    try:
        name = evaluator.value(parent.raw["name"], base)
    except ExpressionError as error:
        raise invalid_expression(parent.raw["name"], str(error)) from error
    kind = f"{parent.parent_type}/{parent.raw['type']}" if parent.parent_type else parent.raw["type"]
    return replace(
        one,
        parent_type=kind,
        parent_name=f"{parent.parent_name}/{name}" if parent.parent_name else name,
    )


def _turns(declared: _Declared, scope: Scope, evaluator: Evaluator, base: Frame) -> Iterator[Planned]:
    loop = declared.raw.get("copy")
    try:
        if not isinstance(loop, dict):
            yield _planned(declared, scope, evaluator, base, loop="", key=declared.key)
            return
        name = str(evaluator.value(loop.get("name") or declared.symbol, base))
        for index in range(copy_count(name, evaluator.value(loop.get("count"), base))):
            frame = replace(base, copies=((name, index), *base.copies))
            yield _planned(declared, scope, evaluator, frame, loop=name, key=f"{declared.key}[{index}]")
    except ExpressionError as error:
        raise invalid_expression(declared.raw["name"], str(error)) from error


def _planned(
    declared: _Declared, scope: Scope, evaluator: Evaluator, frame: Frame, *, loop: str, key: str
) -> Planned:
    raw = declared.raw

    def text(name: str, default: str = "") -> str:
        value = evaluator.value(raw.get(name, default), frame)
        if not isinstance(value, str):
            raise ExpressionError(f"The property '{name}' must be a string")
        return value

    active = evaluator.value(raw.get("condition", True), frame)
    if not isinstance(active, bool):
        raise ExpressionError("The property 'condition' must evaluate to a boolean")
    name, kind = text("name"), text("type")
    if declared.parent_type and not kind.lower().startswith(declared.parent_type.lower() + "/"):
        kind = f"{declared.parent_type}/{kind}"
        name = f"{declared.parent_name}/{name}"
    extended = text("scope")
    if extended and kind.lower() == DEPLOYMENTS.lower():
        raise _scope_not_supported(extended, name)
    place, resource_id = _place(kind, name, extended, _own_scope(scope, raw, kind, text))
    return Planned(
        key,
        declared.symbol,
        loop,
        resource_id,
        kind,
        name,
        text("apiVersion"),
        place,
        raw,
        frame,
        existing=bool(raw.get("existing")),
        active=active,
    )


def _own_scope(scope: Scope, raw: dict[str, Any], kind: str, text: Any) -> Scope:
    subscription = text("subscriptionId", scope.subscription_id)
    if "resourceGroup" in raw:
        return Scope(subscription, text("resourceGroup"))
    to_subscription = "subscriptionId" in raw or kind.lower() == GROUPS.lower()
    return Scope(subscription, "" if to_subscription else scope.resource_group)


def _place(kind: str, name: str, extended: str, scope: Scope) -> tuple[Scope, str]:
    prefix = scope.id
    if extended:
        full = absolute_id(scope, extended)
        if full is None or full == "":
            raise _scope_not_supported(extended, name)
        prefix = full
    try:
        return scope, join_id(prefix, kind, name.split("/"))
    except ExpressionError as error:
        raise invalid_template(
            f"The template resource '{name}' for type '{kind}' has incorrect segment lengths. A nested "
            f"resource type must have identical number of segments as its resource name. A root resource "
            f"type must have segment length one greater than its resource name. "
            f"Please see https://aka.ms/arm-syntax-resources for usage details."
        ) from error


def _scope_not_supported(scope: str, name: str) -> ArmError:
    return not_supported(
        "LabDeploymentScopeNotSupported", f"The lab does not support the scope '{scope}' of '{name}'."
    )


def _with_dependencies(plan: Plan) -> Plan:
    waits: dict[str, frozenset[str]] = {}
    for key, planned in plan.resources.items():
        try:
            found = _explicit(plan, planned) | _earlier_batch(plan, planned)
            if planned.active and not planned.existing:
                found |= implicit(plan, planned)
        except ExpressionError as error:
            raise invalid_expression(planned.name, str(error)) from error
        waits[key] = frozenset(found - {key})
    _refuse_circles(plan, waits)
    return plan.with_dependencies(waits)


def _explicit(plan: Plan, planned: Planned) -> set[str]:
    found: set[str] = set()
    frame = replace(planned.frame, known=None)
    entries = plan.evaluator.value(planned.raw.get("dependsOn") or [], frame)
    for entry in entries if isinstance(entries, list) else [entries]:
        keys = plan.names.keys_of(str(entry))
        if keys is None:
            raise not_defined(str(entry))
        found |= set(keys)
    return found


def _earlier_batch(plan: Plan, planned: Planned) -> set[str]:
    loop = planned.raw.get("copy")
    if not isinstance(loop, dict) or str(loop.get("mode", "parallel")).lower() != "serial":
        return set()
    size, index = int(loop.get("batchSize") or 1), planned.frame.copies[0][1]
    start = index // size * size
    stem = planned.key.rpartition("[")[0]
    return {f"{stem}[{turn}]" for turn in range(max(0, start - size), start)} & plan.resources.keys()


def implicit(plan: Plan, planned: Planned) -> set[str]:
    """The resources of the plan that a body refers to, as far as can be seen before any has run.

    Raises:
        ExpressionError: an expression in the body is not valid.
    """
    needs: set[Need] = set()
    frame = replace(planned.frame, known={}, pending=needs)
    plan.evaluator.value(planned.body, frame)
    if planned.is_deployment and planned.outer:
        needs |= _needs_of_template(plan, planned, frame)
    keys = {plan.names.key_of_id(need.id) for need in needs}
    return {key for key in keys if key is not None}


def _needs_of_template(plan: Plan, planned: Planned, frame: Frame) -> set[Need]:
    # The nested template's expressions are this template's; those of its own loops cannot be seen from here.
    needs: set[Need] = set()
    template = planned.raw["properties"].get("template")
    if not isinstance(template, dict):
        return needs  # refused when the deployment is read

    def visit(value: Any) -> None:
        if isinstance(value, dict):
            for item in value.values():
                visit(item)
        elif isinstance(value, list):
            for item in value:
                visit(item)
        elif isinstance(value, str):
            try:
                plan.evaluator.value(value, replace(frame, pending=None))
            except Unresolved as unresolved:
                needs.update(unresolved.needs)
            except ExpressionError:
                return

    visit(template.get("resources") or [])
    visit(template.get("outputs") or {})
    return needs


def _refuse_circles(plan: Plan, waits: dict[str, frozenset[str]]) -> None:
    done: set[str] = set()
    for start, first in waits.items():
        stack = [(start, iter(first))] if start not in done else []
        on_path = {start}
        while stack:
            key, rest = stack[-1]
            follow = next((one for one in rest if one not in done), None)
            if follow is None:
                stack.pop()
                on_path.discard(key)
                done.add(key)
            elif follow in on_path:
                path = [plan.resources[one].id for one, _ in stack]
                raise invalid_template(
                    f"Circular dependency detected on resource: '{plan.resources[follow].id}' "
                    f"(through {', '.join(path)}). "
                    f"Please see https://aka.ms/arm-syntax-resources for usage details."
                )
            else:
                on_path.add(follow)
                stack.append((follow, iter(waits[follow])))
