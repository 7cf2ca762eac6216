"""Numeric, logical and comparison functions of ARM's reference."""

from __future__ import annotations

from typing import Any

from fwdlab.arm.template.registry import a_boolean, an_integer, function, wrong
from fwdlab.arm.template.values import ExpressionError, equal


@function("add", 2)
def _add(one: Any, other: Any) -> int:
    return an_integer("add", one) + an_integer("add", other)


@function("sub", 2)
def _sub(one: Any, other: Any) -> int:
    return an_integer("sub", one) - an_integer("sub", other)


@function("mul", 2)
def _mul(one: Any, other: Any) -> int:
    return an_integer("mul", one) * an_integer("mul", other)


@function("div", 2)
def _div(one: Any, other: Any) -> int:
    dividend, divisor = an_integer("div", one), _divisor("div", other)
    quotient = abs(dividend) // abs(divisor)  # towards zero, as .NET
    return quotient if (dividend < 0) == (divisor < 0) else -quotient


@function("mod", 2)
def _mod(one: Any, other: Any) -> int:
    dividend, divisor = an_integer("mod", one), _divisor("mod", other)
    rest = abs(dividend) % abs(divisor)  # the sign of the dividend, as .NET
    return -rest if dividend < 0 else rest


def _divisor(name: str, value: Any) -> int:
    if an_integer(name, value) == 0:
        raise ExpressionError(f"The template language function '{name}' cannot divide by zero.")
    return int(value)


def _numbers(name: str, values: tuple[Any, ...]) -> list[int]:
    items = values[0] if len(values) == 1 and isinstance(values[0], list) else values
    if not items:
        raise ExpressionError(f"The template language function '{name}' needs at least one integer.")
    return [an_integer(name, item) for item in items]


@function("min", 1, None)
def _min(*values: Any) -> int:
    return min(_numbers("min", values))


@function("max", 1, None)
def _max(*values: Any) -> int:
    return max(_numbers("max", values))


@function("int", 1)
def _int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise wrong("int", "a string or a number", value)
    try:
        return int(value)
    except ValueError as error:
        raise ExpressionError(
            f"The template language function 'int' cannot convert the provided value '{value}' to an "
            f"integer. Please see https://aka.ms/arm-functions#int for usage details."
        ) from error


@function("float", 1)
def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise wrong("float", "a string or a number", value)
    try:
        return float(value)
    except ValueError as error:
        raise ExpressionError(f"The template language function 'float' cannot convert '{value}'.") from error


@function("bool", 1)
def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value != 0
    words = {"true": True, "1": True, "false": False, "0": False}
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    raise ExpressionError(
        f"The template language function 'bool' cannot convert the provided value '{value}'."
    )


@function("true", 0)
def _true() -> bool:
    return True


@function("false", 0)
def _false() -> bool:
    return False


@function("null", 0)
def _null() -> None:
    return None


@function("not", 1)
def _not(value: Any) -> bool:
    return not a_boolean("not", value)


@function("equals", 2)
def _equals(one: Any, other: Any) -> bool:
    return equal(one, other)


def _compare(name: str, one: Any, other: Any) -> int:
    both_text = isinstance(one, str) and isinstance(other, str)
    both_number = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in (one, other))
    if not both_text and not both_number:
        raise wrong(name, "two integers or two strings", one if not isinstance(one, (int, str)) else other)
    return int(one > other) - int(one < other)


@function("less", 2)
def _less(one: Any, other: Any) -> bool:
    return _compare("less", one, other) < 0


@function("lessOrEquals", 2)
def _less_or_equals(one: Any, other: Any) -> bool:
    return _compare("lessOrEquals", one, other) <= 0


@function("greater", 2)
def _greater(one: Any, other: Any) -> bool:
    return _compare("greater", one, other) > 0


@function("greaterOrEquals", 2)
def _greater_or_equals(one: Any, other: Any) -> bool:
    return _compare("greaterOrEquals", one, other) >= 0
