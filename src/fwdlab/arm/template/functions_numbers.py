"""Numeric, logical and comparison functions of ARM's reference."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from fwdlab.arm.template.registry import Function, check, wrong
from fwdlab.arm.template.values import ExpressionError, equal

if TYPE_CHECKING:
    from collections.abc import Callable

_WORDS = {"true": True, "1": True, "false": False, "0": False}
_COMPARISONS = {
    "less": operator.lt,
    "lessOrEquals": operator.le,
    "greater": operator.gt,
    "greaterOrEquals": operator.ge,
}


def _div(dividend: int, divisor: int) -> int:
    quotient = abs(dividend) // abs(_not_zero("div", divisor))  # towards zero, as .NET
    return quotient if (dividend < 0) == (divisor < 0) else -quotient


def _mod(dividend: int, divisor: int) -> int:
    rest = abs(dividend) % abs(_not_zero("mod", divisor))  # the sign of the dividend, as .NET
    return -rest if dividend < 0 else rest


def _not_zero(name: str, divisor: int) -> int:
    if divisor == 0:
        raise ExpressionError(f"The template language function '{name}' cannot divide by zero.")
    return divisor


def _extreme(name: str, choose: Callable[[list[int]], int]) -> Function:
    def apply(*values: Any) -> int:
        items = values[0] if len(values) == 1 and isinstance(values[0], list) else values
        if not items:
            raise ExpressionError(f"The template language function '{name}' needs at least one integer.")
        return choose([check(name, "int", item) for item in items])

    return Function(name, "int|array int*", apply)


def _comparison(name: str, compare: Callable[[Any, Any], bool]) -> Function:
    def apply(one: Any, other: Any) -> bool:
        if isinstance(one, str) != isinstance(other, str):
            raise wrong(name, "two integers or two strings", other)
        return compare(one, other)

    return Function(name, "number|string number|string", apply)


def _int(value: str | float) -> int:
    try:
        return int(value)
    except ValueError as error:
        raise ExpressionError(
            f"The template language function 'int' cannot convert the provided value '{value}' to an "
            f"integer. Please see https://aka.ms/arm-functions#int for usage details."
        ) from error


def _bool(value: str | int) -> bool:
    if isinstance(value, int):
        return value != 0
    if value.lower() not in _WORDS:
        raise ExpressionError(
            f"The template language function 'bool' cannot convert the provided value '{value}'."
        )
    return _WORDS[value.lower()]


FUNCTIONS = (
    Function("add", "int int", operator.add),
    Function("sub", "int int", operator.sub),
    Function("mul", "int int", operator.mul),
    Function("div", "int int", _div),
    Function("mod", "int int", _mod),
    _extreme("min", min),
    _extreme("max", max),
    Function("int", "string|number", _int),
    Function("bool", "bool|int|string", _bool),
    Function("true", "", lambda: True),
    Function("false", "", lambda: False),
    Function("null", "", lambda: None),
    Function("not", "bool", operator.not_),
    Function("equals", "any any", equal),
    *(_comparison(name, compare) for name, compare in _COMPARISONS.items()),
)
