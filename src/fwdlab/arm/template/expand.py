"""Expansion of a deployment request. Pure; asks nothing of the control plane."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fwdlab.arm.ids import GROUP_TYPE
from fwdlab.arm.template.dependencies import dependencies
from fwdlab.arm.template.environment import Environment, Frame, Names, not_defined, random_guid
from fwdlab.arm.template.evaluate import Evaluator, copy_count
from fwdlab.arm.template.expansion import ExpandedResource, Expansion, ResourceNames
from fwdlab.arm.template.failures import invalid_expression, invalid_template, not_supported
from fwdlab.arm.template.request import MODE
from fwdlab.arm.template.scopes import DEPLOYMENTS, Scope, absolute_id, join_id
from fwdlab.arm.template.symbols import Symbols
from fwdlab.arm.template.values import ExpressionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fwdlab.arm.errors import ArmError
    from fwdlab.arm.template.request import DeploymentRequest


@dataclass(frozen=True)
class Host:
    """What an expansion must know of the world; `group` is None at subscription scope."""

    tenant_id: str
    group: dict[str, Any] | None = None
    new_guid: Callable[[], str] = random_guid


@dataclass(frozen=True)
class _Declared:
    """A resource as written, with the type and name of the parent that it is nested in."""

    key: str
    symbol: str
    raw: dict[str, Any]
    parent_type: str = ""
    parent_name: str = ""


class _EarlyNames(Names):
    """Names while resources are still being named: only `resourceInfo()` of a symbolic name is allowed."""

    def __init__(self, request: DeploymentRequest, environment: Environment, base: Frame) -> None:
        self._request, self._base = request, base
        self._evaluator = Evaluator(replace(environment, names=self))
        self._under_way: list[str] = []

    def info(self, text: str) -> dict[str, Any]:
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
        for resource in turns:
            if resource.key == text:
                return resource.info
        raise not_defined(text)


def expand(request: DeploymentRequest, host: Host) -> Expansion:
    """Evaluate parameters, expand loops and nested children, find all dependencies.

    Raises:
        ArmError: InvalidTemplate.
    """
    symbols = Symbols(request.template, request.parameters)
    if request.outer is None:
        environment, base = _environment(request, host, symbols), Frame()
    else:
        environment, base = request.outer.environment, request.outer.frame
    symbols.evaluator = Evaluator(environment)
    parameters = symbols.check() if request.outer is None else {}
    early = Evaluator(replace(environment, names=_EarlyNames(request, environment, base)))
    resources = _resources(request, early, base)
    loops = _loop_names(request.template.get("resources") or [])
    names = ResourceNames.of(request.scope, resources, loops, environment.names)
    environment = replace(environment, names=names)
    expansion = Expansion(request, environment, Evaluator(environment), base, names, parameters)
    return replace(expansion, depends_on=dependencies(expansion))


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
            "mode": MODE,
            "provisioningState": "Accepted",
        },
    }
    if request.location:
        deployment["location"] = request.location
    return Environment(
        request.scope,
        host.tenant_id,
        host.group,
        deployment,
        symbols.parameter,
        symbols.variable,
        symbols.functions,
        new_guid=host.new_guid,
    )


def _resources(request: DeploymentRequest, evaluator: Evaluator, base: Frame) -> dict[str, ExpandedResource]:
    found: dict[str, ExpandedResource] = {}
    ids: set[str] = set()
    for declared in _declared(request.template.get("resources") or [], evaluator, base):
        for resource in _turns(declared, request.scope, evaluator, base):
            lowered = resource.id.lower()
            if resource.written:
                if lowered in ids:
                    raise invalid_template(
                        f"The resource '{resource.id}' is defined multiple times in a template. "
                        f"Please see https://aka.ms/arm-syntax-resources for usage details."
                    )
                ids.add(lowered)
            found[resource.key] = resource
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


def _turns(
    declared: _Declared, scope: Scope, evaluator: Evaluator, base: Frame
) -> Iterator[ExpandedResource]:
    loop = declared.raw.get("copy")
    try:
        if not isinstance(loop, dict):
            yield _expanded(declared, scope, evaluator, base, loop="", key=declared.key)
            return
        name = str(evaluator.value(loop.get("name") or declared.symbol, base))
        for index in range(copy_count(name, evaluator.value(loop.get("count"), base))):
            frame = replace(base, copies=((name, index), *base.copies))
            yield _expanded(declared, scope, evaluator, frame, loop=name, key=f"{declared.key}[{index}]")
    except ExpressionError as error:
        raise invalid_expression(declared.raw["name"], str(error)) from error


def _expanded(
    declared: _Declared, scope: Scope, evaluator: Evaluator, frame: Frame, *, loop: str, key: str
) -> ExpandedResource:
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
    return ExpandedResource(
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
    to_subscription = "subscriptionId" in raw or kind.lower() == GROUP_TYPE.lower()
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
