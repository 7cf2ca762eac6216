"""Array, object and lambda functions of ARM's reference."""

from __future__ import annotations

from functools import cmp_to_key
from typing import Any

from fwdlab.arm.template.registry import (
    a_boolean,
    a_lambda,
    a_string,
    an_array,
    an_integer,
    an_object,
    function,
    wrong,
)
from fwdlab.arm.template.values import ExpressionError, element_of, equal, find_key, text_of

_LONGEST_RANGE = 10_000


@function("array", 1)
def _array(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@function("createArray", 0, None)
def _create_array(*values: Any) -> list[Any]:
    return list(values)


@function("createObject", 0, None)
def _create_object(*pairs: Any) -> dict[str, Any]:
    if len(pairs) % 2:
        raise ExpressionError("The template language function 'createObject' needs pairs of key and value.")
    return {a_string("createObject", key): value for key, value in zip(pairs[::2], pairs[1::2], strict=True)}


@function("contains", 2)
def _contains(container: Any, item: Any) -> bool:
    if isinstance(container, str):
        return text_of(item) in container
    if isinstance(container, dict):
        return find_key(container, a_string("contains", item)) is not None
    return any(equal(one, item) for one in an_array("contains", container))


@function("empty", 1)
def _empty(value: Any) -> bool:
    if value is None:
        return True
    if not isinstance(value, (str, list, dict)):
        raise wrong("empty", "an array, an object or a string", value)
    return len(value) == 0


@function("length", 1)
def _length(value: Any) -> int:
    if not isinstance(value, (str, list, dict)):
        raise wrong("length", "an array, an object or a string", value)
    return len(value)


@function("first", 1)
def _first(value: Any) -> Any:
    if isinstance(value, str):
        return value[:1]
    return next(iter(an_array("first", value)), None)


@function("last", 1)
def _last(value: Any) -> Any:
    if isinstance(value, str):
        return value[-1:]
    return an_array("last", value)[-1] if value else None


@function("take", 2)
def _take(value: Any, count: Any) -> Any:
    number = max(0, an_integer("take", count))
    return value[:number] if isinstance(value, str) else an_array("take", value)[:number]


@function("skip", 2)
def _skip(value: Any, count: Any) -> Any:
    number = max(0, an_integer("skip", count))
    return value[number:] if isinstance(value, str) else an_array("skip", value)[number:]


@function("indexOf", 2)
def _index_of(value: Any, item: Any) -> int:
    if isinstance(value, str):
        return value.lower().find(a_string("indexOf", item).lower())
    return next((i for i, one in enumerate(an_array("indexOf", value)) if equal(one, item)), -1)


@function("lastIndexOf", 2)
def _last_index_of(value: Any, item: Any) -> int:
    if isinstance(value, str):
        return value.lower().rfind(a_string("lastIndexOf", item).lower())
    items = an_array("lastIndexOf", value)
    return next((i for i in range(len(items) - 1, -1, -1) if equal(items[i], item)), -1)


@function("indexFromEnd", 2)
def _index_from_end(value: Any, index: Any) -> Any:
    items, number = an_array("indexFromEnd", value), an_integer("indexFromEnd", index)
    return element_of(items, len(items) - number if number > 0 else len(items))


@function("tryIndexFromEnd", 2, None)
def _try_index_from_end(value: Any, index: Any, *path: Any) -> Any:
    number = an_integer("tryIndexFromEnd", index)
    if not isinstance(value, list) or not 0 < number <= len(value):
        return None
    return _try_get(value[-number], *path) if path else value[-number]


@function("tryGet", 2, None)
def _try_get(value: Any, *path: Any) -> Any:
    # Null when the first step finds nothing; the further steps are plain accesses on what it found.
    first, rest = path[0], path[1:]
    if isinstance(value, dict) and isinstance(first, str):
        key = find_key(value, first)
        if key is None:
            return None
        found = value[key]
    elif isinstance(value, list) and isinstance(first, int) and 0 <= first < len(value):
        found = value[first]
    else:
        return None
    return _try_get(found, *rest) if rest else found


@function("join", 2)
def _join(values: Any, delimiter: Any) -> str:
    return a_string("join", delimiter).join(text_of(value) for value in an_array("join", values))


@function("range", 2)
def _range(start: Any, count: Any) -> list[int]:
    begin, number = an_integer("range", start), an_integer("range", count)
    if not 0 <= number <= _LONGEST_RANGE:
        raise ExpressionError(f"The template language function 'range' count must be 0 to {_LONGEST_RANGE}.")
    return list(range(begin, begin + number))


@function("flatten", 1)
def _flatten(values: Any) -> list[Any]:
    return [item for part in an_array("flatten", values) for item in an_array("flatten", part)]


@function("distinct", 1)
def _distinct(values: Any) -> list[Any]:
    found: list[Any] = []
    for item in an_array("distinct", values):
        if not any(equal(item, one) for one in found):
            found.append(item)
    return found


@function("union", 2, None)
def _union(*values: Any) -> Any:
    if isinstance(values[0], list):
        return _distinct([item for value in values for item in an_array("union", value)])
    result: dict[str, Any] = {}
    for value in values:
        result = _merge(result, an_object("union", value))
    return result


def _merge(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    result = dict(one)
    for key, value in other.items():
        known = find_key(result, key) or key
        before = result.get(known)
        result[known] = (
            _merge(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
        )
    return result


@function("intersection", 2, None)
def _intersection(*values: Any) -> Any:
    if isinstance(values[0], list):
        others = [an_array("intersection", value) for value in values[1:]]
        common: list[Any] = []
        for item in values[0]:
            everywhere = all(any(equal(item, one) for one in other) for other in others)
            if everywhere and not any(equal(item, one) for one in common):
                common.append(item)
        return common
    objects = [an_object("intersection", value) for value in values]
    return {
        key: value
        for key, value in objects[0].items()
        if all(key in other and equal(other[key], value) for other in objects[1:])
    }


@function("shallowMerge", 1)
def _shallow_merge(values: Any) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for value in an_array("shallowMerge", values):
        for key, item in an_object("shallowMerge", value).items():
            merged[find_key(merged, key) or key] = item
    return merged


@function("objectKeys", 1)
def _object_keys(value: Any) -> list[str]:
    return sorted(an_object("objectKeys", value), key=lambda key: (key.lower(), key))


@function("items", 1)
def _items(value: Any) -> list[dict[str, Any]]:
    return [{"key": key, "value": value[key]} for key in _object_keys(an_object("items", value))]


@function("map", 2)
def _map(values: Any, apply: Any) -> list[Any]:
    each = a_lambda("map", apply, 1, 2)
    return [each(value, index) for index, value in enumerate(an_array("map", values))]


@function("filter", 2)
def _filter(values: Any, predicate: Any) -> list[Any]:
    test = a_lambda("filter", predicate, 1, 2)
    items = enumerate(an_array("filter", values))
    return [value for index, value in items if a_boolean("filter", test(value, index))]


@function("reduce", 3)
def _reduce(values: Any, start: Any, apply: Any) -> Any:
    step, result = a_lambda("reduce", apply, 2, 3), start
    for index, value in enumerate(an_array("reduce", values)):
        result = step(result, value, index)
    return result


@function("sort", 2)
def _sort(values: Any, less: Any) -> list[Any]:
    test = a_lambda("sort", less, 2)

    def compare(one: Any, other: Any) -> int:
        if a_boolean("sort", test(one, other)):
            return -1
        return 1 if a_boolean("sort", test(other, one)) else 0

    return sorted(an_array("sort", values), key=cmp_to_key(compare))


@function("toObject", 2, 3)
def _to_object(values: Any, key: Any, value: Any = None) -> dict[str, Any]:
    name = a_lambda("toObject", key, 1)
    pick = a_lambda("toObject", value, 1) if value is not None else None
    return {
        a_string("toObject", name(item)): pick(item) if pick else item
        for item in an_array("toObject", values)
    }


@function("groupBy", 2, 3)
def _group_by(values: Any, key: Any, value: Any = None) -> dict[str, Any]:
    name = a_lambda("groupBy", key, 1)
    pick = a_lambda("groupBy", value, 1) if value is not None else None
    groups: dict[str, Any] = {}
    for item in an_array("groupBy", values):
        groups.setdefault(a_string("groupBy", name(item)), []).append(pick(item) if pick else item)
    return groups


@function("mapValues", 2)
def _map_values(value: Any, apply: Any) -> dict[str, Any]:
    each = a_lambda("mapValues", apply, 1)
    return {key: each(item) for key, item in an_object("mapValues", value).items()}
