"""The table that the function families fill: name, number of arguments, implementation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from fwdlab.arm.template.values import ExpressionError, kind_of

Implementation = Callable[..., Any]
_F = TypeVar("_F", bound=Implementation)


@dataclass(frozen=True)
class Function:
    """A function without side effects that needs all its arguments evaluated.

    Attributes:
        name: as ARM's reference spells it; calls are matched without case.
        least: fewest arguments.
        most: most arguments, None for any number.
        apply: called with the arguments' values; lambdas arrive as `Lambda`.
    """

    name: str
    least: int
    most: int | None
    apply: Implementation

    def __call__(self, arguments: list[Any]) -> Any:
        """Check the number of arguments and apply.

        Raises:
            ExpressionError: wrong number or types of arguments.
        """
        count = len(arguments)
        if count < self.least or (self.most is not None and count > self.most):
            raise ExpressionError(
                f"Unable to evaluate template language function '{self.name}': function requires "
                f"{_range(self.least, self.most)} argument(s) while {count} were provided. "
                f"Please see https://aka.ms/arm-functions for usage details."
            )
        return self.apply(*arguments)


@dataclass(frozen=True)
class Lambda:
    """A lambda argument: its number of variables and what to call."""

    arity: int
    body: Callable[[tuple[Any, ...]], Any]

    def __call__(self, *values: Any) -> Any:
        """Evaluate the body with as many of the values as it has variables."""
        return self.body(values[: self.arity])


TABLE: dict[str, Function] = {}


def function(name: str, least: int, most: int | None = -1) -> Callable[[_F], _F]:
    """Register an implementation; without `most` the number of arguments is exact."""

    def register(implementation: _F) -> _F:
        TABLE[name.lower()] = Function(name, least, least if most == -1 else most, implementation)
        return implementation

    return register


def _range(least: int, most: int | None) -> str:
    if most is None:
        return f"at least {least}"
    return str(least) if least == most else f"{least} to {most}"


def wrong(name: str, wanted: str, value: Any) -> ExpressionError:
    """The error for an argument of a wrong type."""
    return ExpressionError(
        f"The template language function '{name}' expects its parameter to be {wanted}. The provided value "
        f"is of type '{'Lambda' if isinstance(value, Lambda) else kind_of(value)}'. "
        f"Please see https://aka.ms/arm-functions for usage details."
    )


def a_string(name: str, value: Any) -> str:
    """The argument as a string, or an error."""
    if not isinstance(value, str):
        raise wrong(name, "a string", value)
    return value


def an_integer(name: str, value: Any) -> int:
    """The argument as an integer, or an error."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong(name, "an integer", value)
    return value


def a_boolean(name: str, value: Any) -> bool:
    """The argument as a boolean, or an error."""
    if not isinstance(value, bool):
        raise wrong(name, "a boolean", value)
    return value


def an_array(name: str, value: Any) -> list[Any]:
    """The argument as an array, or an error."""
    if not isinstance(value, list):
        raise wrong(name, "an array", value)
    return value


def an_object(name: str, value: Any) -> dict[str, Any]:
    """The argument as an object, or an error."""
    if not isinstance(value, dict):
        raise wrong(name, "an object", value)
    return value


def a_lambda(name: str, value: Any, *arities: int) -> Lambda:
    """The argument as a lambda of one of the given numbers of variables, or an error."""
    if not isinstance(value, Lambda):
        raise wrong(name, "a lambda", value)
    if value.arity not in arities:
        wanted = " or ".join(str(arity) for arity in arities)
        raise ExpressionError(f"The lambda of function '{name}' must have {wanted} variable(s).")
    return value
