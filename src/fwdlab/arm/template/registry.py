"""What a function of the expression language is: name, signature, implementation."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

from fwdlab.arm.template.values import ExpressionError, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable

_KINDS: dict[str, tuple[str, tuple[type, ...]]] = {
    "string": ("a string", (str,)),
    "int": ("an integer", (int,)),
    "number": ("a number", (int, float)),
    "bool": ("a boolean", (bool,)),
    "array": ("an array", (list,)),
    "object": ("an object", (dict,)),
    "null": ("null", (type(None),)),
}
INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True)
class Lambda:
    arity: int
    body: Callable[[tuple[Any, ...]], Any]

    def __call__(self, *values: Any) -> Any:
        """Evaluate the body with as many of the values as it has variables."""
        return self.body(values[: self.arity])


@dataclass(frozen=True)
class Function:
    """A function without side effects that needs all its arguments evaluated.

    Attributes:
        name: as ARM's reference spells it; calls are matched without case.
        signature: the kind of each argument, e.g. `string int|array int?`. A kind is `any`, a key of
            `_KINDS`, several of them, or `lambda:1,2` with the numbers of variables that it may have.
            `?` marks an optional argument, `*` one that may be left out or repeated.
        apply: called with the context, if any, and the arguments' values.
    """

    name: str
    signature: str
    apply: Callable[..., Any]

    def __call__(self, arguments: list[Any], *context: Any) -> Any:
        """Check the arguments and apply."""
        kinds = self.signature.split()
        endless = bool(kinds) and kinds[-1].endswith("*")
        least = sum(not kind.endswith(("?", "*")) for kind in kinds)
        check_count(self.name, len(arguments), least, None if endless else len(kinds))
        for kind, value in zip(chain(kinds, repeat(kinds[-1] if kinds else "")), arguments, strict=False):
            check(self.name, kind.rstrip("?*"), value)
        result = self.apply(*context, *arguments)
        if isinstance(result, int) and result not in INT64:
            raise ExpressionError(
                f"Unable to evaluate template language function '{self.name}': the result is not in the "
                f"range of a 64-bit integer. Please see https://aka.ms/arm-functions for usage details."
            )
        return result


def check_count(name: str, count: int, least: int, most: int | None) -> None:
    """Refuse a wrong number of arguments; `most` None allows any number."""
    if least <= count and (most is None or count <= most):
        return
    wanted = f"at least {least}" if most is None else str(least) if least == most else f"{least} to {most}"
    raise ExpressionError(
        f"Unable to evaluate template language function '{name}': function requires {wanted} argument(s) "
        f"while {count} were provided. Please see https://aka.ms/arm-functions for usage details."
    )


def check(name: str, kind: str, value: Any) -> Any:
    """The value, when it is of a kind (see `Function.signature`)."""
    if kind == "any" and not isinstance(value, Lambda):
        return value
    if kind.startswith("lambda:"):
        return _lambda(name, kind, value)
    choices = [_KINDS[one] for one in kind.split("|")] if kind != "any" else [("a value", ())]
    types = tuple(one for _, found in choices for one in found)
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        raise wrong(name, " or ".join(text for text, _ in choices), value)
    return value


def _lambda(name: str, kind: str, value: Any) -> Lambda:
    arities = kind.removeprefix("lambda:").split(",")
    if not isinstance(value, Lambda):
        raise wrong(name, "a lambda", value)
    if str(value.arity) not in arities:
        raise ExpressionError(
            f"The lambda of function '{name}' must have {' or '.join(arities)} variable(s)."
        )
    return value


def wrong(name: str, wanted: str, value: Any) -> ExpressionError:
    return ExpressionError(
        f"The template language function '{name}' expects its parameter to be {wanted}. The provided value "
        f"is of type '{'Lambda' if isinstance(value, Lambda) else kind_of(value)}'. "
        f"Please see https://aka.ms/arm-functions for usage details."
    )
