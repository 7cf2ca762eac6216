"""Expansion of a deployment request. Pure; asks nothing of the control plane."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from fwdlab.arm.errors import ArmError
from fwdlab.arm.ids import GROUP_TYPE
from fwdlab.arm.template.dependencies import dependencies
from fwdlab.arm.template.environment import Environment, Frame, Names, not_defined, random_guid
from fwdlab.arm.template.evaluate import COPY_LIMIT, Evaluator, copy_count
from fwdlab.arm.template.expansion import ExpandedResource, Expansion, ResourceNames
from fwdlab.arm.template.failures import invalid_expression, invalid_template, limit_exceeded
from fwdlab.arm.template.request import MODE
from fwdlab.arm.template.scopes import DEPLOYMENTS, Scope, absolute_id, join_id
from fwdlab.arm.template.symbols import Symbols
from fwdlab.arm.template.values import ExpressionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fwdlab.arm.template.request import DeploymentRequest


@dataclass(frozen=True)
class Host:
    """Where a template is deployed; `group` is None at subscription scope."""

    tenant_id: str
    group: dict[str, Any] | None = None
    new_guid: Callable[[], str] = random_guid


@dataclass(frozen=True)
class _Declared:
    """A resource as written; `parent` is the resource that it is nested in."""

    key: str
    symbol: str
    raw: dict[str, Any]
    parent: ExpandedResource | None = None


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
    expander = _Expander(request, environment, base)
    names = ResourceNames.of(request.scope, expander.all(), expander.loops(), environment.names)
    environment = replace(environment, names=names)
    expansion = Expansion(request, environment, Evaluator(environment), base, names, parameters)
    return replace(expansion, depends_on=dependencies(expansion))


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


class _Expander(Names):
    """Expands resources; of their names, meanwhile, only `resourceInfo()` of a symbolic name is known."""

    def __init__(self, request: DeploymentRequest, environment: Environment, base: Frame) -> None:
        self._scope, self._base = request.scope, base
        self._resources = request.template.get("resources") or []
        self._evaluator = Evaluator(replace(environment, names=self))
        self._under_way: list[str] = []

    def loops(self) -> set[str]:
        """Names and symbols of all loops, those without a turn too."""
        found: set[str] = set()
        for place, raw in _members(self._resources):
            if isinstance(raw.get("copy"), dict):
                found |= {str(raw["copy"].get("name", "")), place if isinstance(place, str) else ""}
        return found - {""}

    def info(self, text: str) -> dict[str, Any]:
        symbol = text.partition("[")[0]
        if not isinstance(self._resources, dict) or symbol not in self._resources:
            raise not_defined(text)
        if symbol in self._under_way:
            raise ExpressionError(f"The name of the resource '{text}' depends on itself in a circle.")
        self._under_way.append(symbol)
        turns = self._turns(_Declared(symbol, symbol, self._resources[symbol]))
        self._under_way.pop()
        for resource in turns:
            if resource.key == text:
                return resource.info
        raise not_defined(text)

    def all(self) -> dict[str, ExpandedResource]:
        found: dict[str, ExpandedResource] = {}
        ids: set[str] = set()
        for resource in self._below(None, self._resources):
            if resource.written and resource.id.lower() in ids:
                raise invalid_template(
                    f"The resource '{resource.id}' is defined multiple times in a template. "
                    f"Please see https://aka.ms/arm-syntax-resources for usage details."
                )
            if resource.written:
                ids.add(resource.id.lower())
            found[resource.key] = resource
            count = sum(not one.existing for one in found.values()) if len(found) > COPY_LIMIT else 0
            if count > COPY_LIMIT:
                raise limit_exceeded("resources", COPY_LIMIT, count)
        return found

    def _below(self, parent: ExpandedResource | None, resources: Any) -> Iterator[ExpandedResource]:
        for place, raw in _members(resources):
            symbol = place if isinstance(place, str) else ""
            key = symbol or f"#{place}"
            if parent is not None and key.startswith("#"):
                key = f"{parent.key}/{key}"
            turns = self._turns(_Declared(key, symbol, raw, parent))
            yield from turns
            if raw.get("resources"):
                if "copy" in raw:
                    raise invalid_template(
                        f"The template resource '{raw['name']}' has a loop and nested resources, which "
                        f"cannot be combined. Please see https://aka.ms/arm-copy for usage details."
                    )
                yield from self._below(turns[0], raw["resources"])

    def _turns(self, declared: _Declared) -> list[ExpandedResource]:
        loop = declared.raw.get("copy")
        try:
            if not isinstance(loop, dict):
                return [self._expanded(declared, declared.key, "", self._base)]
            name = str(self._evaluator.value(loop.get("name") or declared.symbol, self._base))
            count = copy_count(name, self._evaluator.value(loop.get("count"), self._base))
            frames = [replace(self._base, copies=((name, i), *self._base.copies)) for i in range(count)]
            return [
                self._expanded(declared, f"{declared.key}[{index}]", name, frame)
                for index, frame in enumerate(frames)
            ]
        except ExpressionError as error:
            raise invalid_expression(declared.raw["name"], str(error)) from error

    def _expanded(self, declared: _Declared, key: str, loop: str, frame: Frame) -> ExpandedResource:
        raw, parent = declared.raw, declared.parent

        def text(name: str, default: str = "") -> str:
            value = self._evaluator.value(raw.get(name, default), frame)
            if not isinstance(value, str):
                raise ExpressionError(f"The property '{name}' must be a string")
            return value

        active = self._evaluator.value(raw.get("condition", True), frame)
        if not isinstance(active, bool):
            raise ExpressionError("The property 'condition' must evaluate to a boolean")
        existing = bool(raw.get("existing"))
        made = partial(
            ExpandedResource,
            key,
            declared.symbol,
            loop,
            raw=raw,
            frame=frame,
            existing=existing,
            active=active,
        )
        if existing and not active:
            # Nobody may read it: its name and group need not even be known.
            return made(id="", type=text("type"), name=raw["name"], api_version="", scope=self._scope)
        name, kind = text("name"), text("type")
        if parent is not None and not kind.lower().startswith(parent.type.lower() + "/"):
            name, kind = f"{parent.name}/{name}", f"{parent.type}/{kind}"
        scope = self._scope_of(raw, kind, text)
        own = _id(kind, name, scope, text("scope"))
        return made(id=own, type=kind, name=name, api_version=text("apiVersion"), scope=scope)

    def _scope_of(self, raw: dict[str, Any], kind: str, text: Callable[..., str]) -> Scope:
        """Where a resource goes; `text` evaluates one of its properties, with a default."""
        scope = Scope(text("subscriptionId", self._scope.subscription_id))
        if "resourceGroup" in raw:
            return replace(scope, resource_group=text("resourceGroup"))
        if "subscriptionId" not in raw and kind.lower() != GROUP_TYPE.lower():
            return replace(scope, resource_group=self._scope.resource_group)
        return scope


def _members(resources: Any) -> Iterable[tuple[str | int, Any]]:
    """Symbolic name, or position, and JSON of each resource."""
    return resources.items() if isinstance(resources, dict) else enumerate(resources)


def _id(kind: str, name: str, scope: Scope, extended: str) -> str:
    """The id of a resource in a scope or, for an extension, of the resource `extended`."""
    prefix = absolute_id(scope, extended) if extended else scope.id
    if not prefix or (extended and kind.lower() == DEPLOYMENTS.lower()):
        raise ArmError(
            400,
            "LabDeploymentScopeNotSupported",
            f"The lab does not support the scope '{extended}' of '{name}'.",
        )
    try:
        return join_id(prefix, kind, name.split("/"))
    except ExpressionError as error:
        raise invalid_template(
            f"The template resource '{name}' for type '{kind}' has incorrect segment lengths. A nested "
            f"resource type must have identical number of segments as its resource name. A root resource "
            f"type must have segment length one greater than its resource name. "
            f"Please see https://aka.ms/arm-syntax-resources for usage details."
        ) from error
