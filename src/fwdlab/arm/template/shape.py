"""The shape of a template: which parts are objects, arrays and strings, before anything is evaluated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fwdlab.arm.template.failures import invalid_template

Check = Callable[[str, Any], None]


def check_shape(template: dict[str, Any]) -> None:
    """Look through all sections that the engine reads; null counts as absent.

    Raises:
        ArmError: InvalidTemplate, naming the property and what it must be.
    """
    _TEMPLATE("", template)


def _must_be(what: str, *kinds: type) -> Check:
    def check(path: str, value: Any) -> None:
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise invalid_template(
                f"The template property '{path or 'template'}' must be {what}. "
                f"Please see https://aka.ms/arm-syntax for usage details."
            )

    return check


_text = _must_be("a string", str)
_integer = _must_be("an integer", int)
_array = _must_be("an array", list)
_object = _must_be("an object", dict)


def _anything(path: str, value: Any) -> None: ...


def _array_of(inner: Check) -> Check:
    def check(path: str, value: Any) -> None:
        _array(path, value)
        for index, item in enumerate(value):
            inner(f"{path}[{index}]", item)

    return check


def _object_of(inner: Check) -> Check:
    def check(path: str, value: Any) -> None:
        _object(path, value)
        for name, item in value.items():
            inner(f"{path}.{name}" if path else name, item)

    return check


def _either(test: type, one: Check, other: Check) -> Check:
    return lambda path, value: (one if isinstance(value, test) else other)(path, value)


def _record(required: dict[str, Check] | None = None, **optional: Check) -> Check:
    """An object with checked members; names with a trailing `_` are written without it."""

    def check(path: str, value: Any) -> None:
        _object(path, value)
        for name, inner in (required or {}).items():
            if name not in value:
                raise invalid_template(f"The template property '{path}' has no property '{name}'")
            inner(f"{path}.{name}", value[name])
        for name, inner in optional.items():
            plain = name.rstrip("_")
            if value.get(plain) is not None:
                inner(f"{path}.{plain}" if path else plain, value[plain])

    return check


def _type(path: str, value: Any) -> None:
    _TYPE(path, value)


_TYPE = _record(
    type_=_text,
    allowedValues=_array,
    minLength=_integer,
    maxLength=_integer,
    minValue=_integer,
    maxValue=_integer,
    properties=_object_of(_type),
    items=_either(bool, _anything, _type),
    prefixItems=_array_of(_type),
    additionalProperties=_either(bool, _anything, _type),
    discriminator=_record({"propertyName": _text, "mapping": _object_of(_type)}),
)
_OUTPUT_LOOP = _record({"count": _anything, "input": _anything})


def _output(path: str, value: Any) -> None:
    _TYPE(path, value)
    _record(copy=_OUTPUT_LOOP)(path, value)


_FUNCTION = _record(
    {"output": _record({"value": _anything})}, parameters=_array_of(_record({"name": _text}, type_=_text))
)


def _resource(path: str, value: Any) -> None:
    _RESOURCE(path, value)
    if str(value.get("type", "")).lower().rstrip("/") == "microsoft.resources/deployments":
        _record({"properties": _record(expressionEvaluationOptions=_object)})(path, value)


_RESOURCES = _either(dict, _object_of(_resource), _array_of(_resource))
_RESOURCE = _record(
    {"type": _text, "name": _text},
    dependsOn=_either(str, _text, _array_of(_text)),
    copy=_record({"count": _anything}, name=_text, mode=_text, batchSize=_integer),
    resources=_RESOURCES,
    properties=_either(str, _text, _object),
)
_TEMPLATE = _record(
    parameters=_object_of(_type),
    definitions=_object_of(_type),
    variables=_object,
    functions=_array_of(_record({"namespace": _text, "members": _object_of(_FUNCTION)})),
    resources=_RESOURCES,
    outputs=_object_of(_output),
)
