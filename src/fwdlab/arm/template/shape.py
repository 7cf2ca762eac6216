"""The shape of a template: which parts are objects, arrays and strings, before anything is evaluated."""

from __future__ import annotations

from typing import Any

from fwdlab.arm.template.failures import invalid_template
from fwdlab.arm.template.scopes import DEPLOYMENTS

_KINDS: dict[str, tuple[str, type[Any]]] = {
    "string": ("a string", str),
    "integer": ("an integer", int),
    "boolean": ("a boolean", bool),
    "array": ("an array", list),
    "object": ("an object", dict),
    "list": ("an array", list),
}
_TYPE = {
    "$ref": "any",
    "defaultValue": "any",
    "nullable": "any",
    "metadata": "any",
    "type": "string",
    "allowedValues": "array",
    "minLength": "integer",
    "maxLength": "integer",
    "minValue": "integer",
    "maxValue": "integer",
    "properties": "map of type",
    "items": "boolean|type",
    "prefixItems": "list of type",
    "additionalProperties": "boolean|type",
    "discriminator": "discriminator",
}
# Objects by name: their members, `!` for required ones. A member is a kind, an object of this table,
# `list of …`, `map of …`, `any` for what is only spelled as here, or several of them.
_OBJECTS = {
    "template": {
        **dict.fromkeys(("$schema", "contentVersion", "languageVersion", "imports", "extensions"), "any"),
        "parameters": "map of type",
        "definitions": "map of type",
        "variables": "object",
        "functions": "list of namespace",
        "resources": "map of resource|list of resource",
        "outputs": "map of output",
    },
    "type": _TYPE,
    "discriminator": {"propertyName!": "string", "mapping!": "map of type"},
    "output": {**_TYPE, "value": "any", "condition": "any", "copy": "outputLoop"},
    "outputLoop": {"count!": "any", "input!": "any"},
    "namespace": {"namespace!": "string", "members!": "map of function"},
    "function": {"output!": "functionOutput", "parameters": "list of functionParameter"},
    "functionOutput": {"value!": "any"},
    "functionParameter": {"name!": "string", "type": "string"},
    "resource": {
        **dict.fromkeys(
            ("apiVersion", "condition", "existing", "scope", "subscriptionId", "resourceGroup", "location"),
            "any",
        ),
        "type!": "string",
        "name!": "string",
        "dependsOn": "string|list of string",
        "copy": "resourceLoop",
        "resources": "map of resource|list of resource",
        "properties": "string|object",
    },
    "resourceLoop": {"count!": "any", "name": "string", "mode": "string", "batchSize": "integer"},
    "deployment": {"properties!": "deploymentProperties", "location": "any", "tags": "any"},
    "deploymentProperties": {
        **dict.fromkeys(("template", "parameters", "mode", "templateLink", "parametersLink"), "any"),
        **dict.fromkeys(("onErrorDeployment", "whatIfSettings"), "any"),
        "expressionEvaluationOptions": "evaluationOptions",
    },
    "evaluationOptions": {"scope": "any"},
}


def spelled(template: Any, shapes: str = "template") -> Any:
    """A copy whose sections and members are written as in the table: ARM takes them in any case."""
    *others, last = shapes.split("|")
    shape = next((one for one in others if isinstance(template, _kind(one)[1])), last)
    outer, _, inner = shape.partition(" of ")
    if outer == "list" and isinstance(template, list):
        return [spelled(item, inner) for item in template]
    if not isinstance(template, dict):
        return template
    if outer == "map":
        return {name: spelled(item, inner) for name, item in template.items()}
    members = {member.rstrip("!"): kind for member, kind in _OBJECTS.get(shape, {}).items()}
    names = {name.lower(): name for name in members}
    known = {names.get(name.lower(), name): item for name, item in template.items()}
    if shape == "resource" and is_deployment_type(known.get("type")):
        members["properties"] = "deploymentProperties"
    return {name: spelled(item, members[name]) if name in members else item for name, item in known.items()}


def is_deployment_type(kind: Any) -> bool:
    return isinstance(kind, str) and kind.lower().rstrip("/") == DEPLOYMENTS.lower()


def check_shape(template: dict[str, Any]) -> None:
    """Look through all sections that the engine reads; null counts as absent.

    Raises:
        ArmError: InvalidTemplate, naming the property and what it must be.
    """
    _check("template", "", template)


def _kind(shape: str) -> tuple[str, type[Any]]:
    return _KINDS.get(shape.partition(" of ")[0], _KINDS["object"])


def _check(shapes: str, path: str, value: Any) -> None:
    *others, last = shapes.split("|")
    shape = next((one for one in others if isinstance(value, _kind(one)[1])), last)
    if shape == "any":
        return
    text, kind = _kind(shape)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise invalid_template(
            f"The template property '{path or 'template'}' must be {text}. "
            f"Please see https://aka.ms/arm-syntax for usage details."
        )
    outer, _, inner = shape.partition(" of ")
    if outer == "list":
        for index, item in enumerate(value):
            _check(inner, f"{path}[{index}]", item)
    elif outer == "map":
        for name, item in value.items():
            _check(inner, _below(path, name), item)
    else:
        _check_members(shape, path, value)


def _check_members(shape: str, path: str, value: Any) -> None:
    for member, inner in _OBJECTS.get(shape, {}).items():
        name = member.rstrip("!")
        if member != name and name not in value:
            raise invalid_template(f"The template property '{path}' has no property '{name}'")
        if member != name or value.get(name) is not None:
            _check(inner, _below(path, name), value[name])
    if shape == "resource" and is_deployment_type(value["type"]):
        _check("deployment", path, value)


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
