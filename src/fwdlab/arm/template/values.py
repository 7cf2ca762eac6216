"""JSON values as ARM's expression language sees them: types, look-up without case, text forms."""

from __future__ import annotations

import json
from typing import Any

_KINDS = {
    type(None): "Null",
    bool: "Boolean",
    int: "Integer",
    float: "Float",
    str: "String",
    list: "Array",
}


class ExpressionError(Exception):
    """A template language expression cannot be evaluated; the text is what ARM's message would carry."""


def kind_of(value: Any) -> str:
    """ARM's name for the type of a JSON value, as its messages use it."""
    return _KINDS.get(type(value), "Object")


def find_key(mapping: dict[str, Any], name: str) -> str | None:
    """The key that equals `name`, exactly or else without case; None when there is none."""
    if name in mapping:
        return name
    lowered = name.lower()
    return next((key for key in mapping if key.lower() == lowered), None)


def get(mapping: dict[str, Any], name: str, default: Any = None) -> Any:
    key = find_key(mapping, name)
    return default if key is None else mapping[key]


def compact(value: Any) -> str:
    """JSON without blanks, keys in the order given, as `string()` writes an object."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def text_of(value: Any) -> str:
    """The text that `string()`, `concat()` and `format()` make of a value: .NET's forms for scalars."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, int):
        return str(value)
    return compact(value)


def equal(one: Any, other: Any) -> bool:
    """Deep equality in which `true` is not 1 and object keys have no case."""
    if isinstance(one, bool) or isinstance(other, bool):
        return isinstance(one, bool) and isinstance(other, bool) and one == other
    if isinstance(one, dict) and isinstance(other, dict):
        if len(one) != len(other):
            return False
        keys = [(key, find_key(other, key)) for key in one]
        return all(match is not None and equal(one[key], other[match]) for key, match in keys)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(equal(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)


def key_of(value: Any) -> Any:
    """Something hashable that two values share exactly where `equal` finds them equal."""
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, dict):
        return frozenset((name.lower(), key_of(item)) for name, item in value.items())
    return tuple(map(key_of, value)) if isinstance(value, list) else value


def property_of(target: Any, name: str) -> Any:
    if not isinstance(target, dict):
        raise ExpressionError(
            f"The language expression property '{name}' can't be evaluated, expected an object but got "
            f"a value of type '{kind_of(target)}'."
        )
    key = find_key(target, name)
    if key is None:
        available = ", ".join(target)
        raise ExpressionError(
            f"The language expression property '{name}' doesn't exist, available properties are "
            f"'{available}'."
        )
    return target[key]


def has(target: Any, key: Any) -> bool:
    """Whether `element_of` would find something."""
    if isinstance(target, dict) and isinstance(key, str):
        return find_key(target, key) is not None
    return isinstance(target, list) and kind_of(key) == "Integer" and 0 <= key < len(target)


def element_of(target: Any, index: Any) -> Any:
    """`target[index]` of an array by number or of an object by name."""
    if isinstance(index, str):
        return property_of(target, index)
    if isinstance(index, bool) or not isinstance(index, int):
        raise ExpressionError(f"The language expression index of type '{kind_of(index)}' is not valid.")
    if not isinstance(target, list):
        raise ExpressionError(
            f"The language expression index '{index}' needs an array but got a value of type "
            f"'{kind_of(target)}'."
        )
    if not 0 <= index < len(target):
        raise ExpressionError(f"The language expression property array index '{index}' is out of bounds.")
    return target[index]
