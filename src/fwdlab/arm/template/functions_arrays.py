"""Array, object and lambda functions of ARM's reference."""

from __future__ import annotations

from functools import cmp_to_key
from typing import TYPE_CHECKING, Any

from fwdlab.arm.template.budget import fit
from fwdlab.arm.template.registry import Function, check
from fwdlab.arm.template.values import ExpressionError, element_of, equal, find_key, has, key_of, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fwdlab.arm.template.registry import Lambda

_LONGEST_RANGE = 10_000


def _create_object(*pairs: Any) -> dict[str, Any]:
    if len(pairs) % 2:
        raise ExpressionError("The template language function 'createObject' needs pairs of key and value.")
    keys = [check("createObject", "string", key) for key in pairs[::2]]
    return dict(zip(keys, pairs[1::2], strict=True))


def _contains(container: Any, item: Any) -> bool:
    if isinstance(container, str):
        return text_of(item) in container
    if isinstance(container, dict):
        return find_key(container, check("contains", "string", item)) is not None
    return _among(item, container)


def _among(item: Any, items: Iterable[Any]) -> bool:
    return any(equal(item, one) for one in items)


def _first(value: Any) -> Any:
    return value[:1] if isinstance(value, str) else next(iter(value), None)


def _last(value: Any) -> Any:
    return value[-1:] if isinstance(value, str) else next(reversed(value), None)


def _index_of(value: Any, item: Any) -> int:
    if isinstance(value, str):
        return value.lower().find(check("indexOf", "string", item).lower())
    return next((i for i, one in enumerate(value) if equal(one, item)), -1)


def _last_index_of(value: Any, item: Any) -> int:
    if isinstance(value, str):
        return value.lower().rfind(check("lastIndexOf", "string", item).lower())
    return next((i for i in range(len(value) - 1, -1, -1) if equal(value[i], item)), -1)


def _index_from_end(items: list[Any], number: int) -> Any:
    return element_of(items, len(items) - number if number > 0 else len(items))


def _try_index_from_end(value: Any, number: int, *path: Any) -> Any:
    if not isinstance(value, list) or not 0 < number <= len(value):
        return None
    return _try_get(value[-number], *path) if path else value[-number]


def _try_get(value: Any, first: Any, *rest: Any) -> Any:
    if not has(value, first):
        return None
    found = element_of(value, first)
    return _try_get(found, *rest) if rest else found


def _join(values: list[Any], between: str) -> str:
    texts = [text_of(one) for one in values]
    fit(sum(map(len, texts)) + len(between) * len(texts))
    return between.join(texts)


def _range(start: int, count: int) -> list[int]:
    if not 0 <= count <= _LONGEST_RANGE:
        raise ExpressionError(f"The template language function 'range' count must be 0 to {_LONGEST_RANGE}.")
    return list(range(start, start + count))


def _flatten(values: list[Any]) -> list[Any]:
    return [item for part in values for item in check("flatten", "array", part)]


def _distinct(values: Iterable[Any]) -> list[Any]:
    found: dict[Any, Any] = {}
    for item in values:
        found.setdefault(key_of(item), item)
    return list(found.values())


def _union(*values: Any) -> Any:
    if isinstance(values[0], list):
        return _distinct(item for value in values for item in check("union", "array", value))
    return _merged("union", values, _deep)


def _intersection(*values: Any) -> Any:
    first, *others = values
    if isinstance(first, list):
        kept = [{key_of(item) for item in check("intersection", "array", other)} for other in others]
        return _distinct(item for item in first if all(key_of(item) in known for known in kept))
    for other in others:
        known = {key.lower(): key_of(item) for key, item in check("intersection", "object", other).items()}
        first = {key: item for key, item in first.items() if known.get(key.lower()) == key_of(item)}
    return first


def _merged(name: str, values: Iterable[Any], combine: Callable[[Any, Any], Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for value in values:
        for key, item in check(name, "object", value).items():
            known = find_key(merged, key) or key
            merged[known] = combine(merged.get(known), item)
    return merged


def _deep(before: Any, value: Any) -> Any:
    both = isinstance(before, dict) and isinstance(value, dict)
    return _merged("union", [before, value], _deep) if both else value


def _object_keys(value: dict[str, Any]) -> list[str]:
    return sorted(value, key=lambda key: (key.lower(), key))


def _items(value: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value[key]} for key in _object_keys(value)]


def _map(values: list[Any], each: Lambda) -> list[Any]:
    return [each(value, index) for index, value in enumerate(values)]


def _filter(values: list[Any], test: Lambda) -> list[Any]:
    return [value for index, value in enumerate(values) if check("filter", "bool", test(value, index))]


def _reduce(values: list[Any], result: Any, step: Lambda) -> Any:
    for index, value in enumerate(values):
        result = step(result, value, index)
    return result


def _sort(values: list[Any], less: Lambda) -> list[Any]:
    def compare(one: Any, other: Any) -> int:
        if check("sort", "bool", less(one, other)):
            return -1
        return 1 if check("sort", "bool", less(other, one)) else 0

    return sorted(values, key=cmp_to_key(compare))


def _to_object(values: list[Any], key: Lambda, pick: Lambda | None = None) -> dict[str, Any]:
    return {check("toObject", "string", key(item)): pick(item) if pick else item for item in values}


FUNCTIONS = (
    Function("array", "any", lambda value: value if isinstance(value, list) else [value]),
    Function("createArray", "any*", lambda *values: list(values)),
    Function("createObject", "any*", _create_object),
    Function("contains", "string|array|object any", _contains),
    Function("empty", "string|array|object|null", lambda value: not value),
    Function("length", "string|array|object", len),
    Function("first", "string|array", _first),
    Function("last", "string|array", _last),
    Function("take", "string|array int", lambda value, count: value[: max(0, count)]),
    Function("skip", "string|array int", lambda value, count: value[max(0, count) :]),
    Function("indexOf", "string|array any", _index_of),
    Function("lastIndexOf", "string|array any", _last_index_of),
    Function("indexFromEnd", "array int", _index_from_end),
    Function("tryIndexFromEnd", "any int any*", _try_index_from_end),
    Function("tryGet", "any any any*", _try_get),
    Function("join", "array string", _join),
    Function("range", "int int", _range),
    Function("flatten", "array", _flatten),
    Function("distinct", "array", _distinct),
    Function("intersection", "array|object any any*", _intersection),
    Function("union", "array|object any any*", _union),
    Function("shallowMerge", "array", lambda values: _merged("shallowMerge", values, lambda _, item: item)),
    Function("objectKeys", "object", _object_keys),
    Function("items", "object", _items),
    Function("map", "array lambda:1,2", _map),
    Function("filter", "array lambda:1,2", _filter),
    Function("reduce", "array any lambda:2,3", _reduce),
    Function("sort", "array lambda:2", _sort),
    Function("toObject", "array lambda:1 lambda:1?", _to_object),
)
