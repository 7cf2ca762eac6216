"""What an expression can see: the deployment around it and the loop, lambda or function it stands in."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fwdlab.arm import clock
from fwdlab.arm.template.budget import Budget
from fwdlab.arm.template.values import ExpressionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from fwdlab.arm.template.scopes import Scope


@dataclass(frozen=True)
class Need:
    """Something that only the control plane can say: a resource's document, or the answer to an action.

    Attributes:
        action: empty for the document.
        payload: the action's body as JSON text, empty for none.
    """

    id: str
    action: str = ""
    payload: str = ""


def random_guid() -> str:
    return str(uuid.uuid4())


class Unresolved(Exception):  # noqa: N818 - the caller answers it and evaluates again
    """An expression needs answers before it has a value; evaluate again with them in `Frame.known`."""

    def __init__(self, needs: frozenset[Need]) -> None:
        super().__init__(", ".join(sorted(need.id for need in needs)))
        self.needs = needs


def not_here(name: str) -> ExpressionError:
    return ExpressionError(
        f"The template function '{name}' is not expected at this location. "
        f"Please see https://aka.ms/arm-functions for usage details."
    )


def not_defined(text: str) -> ExpressionError:
    return ExpressionError(
        f"The resource '{text}' is not defined in the template. "
        f"Please see https://aka.ms/arm-syntax for usage details."
    )


class Names:
    """Resolves what `reference()` and its kin are given; this one knows no resource.

    All methods raise `ExpressionError` when nothing matches.
    """

    def resource(self, text: str) -> str:
        """The id meant by an id, a name or a symbolic name."""
        raise not_defined(text)

    def loop(self, text: str) -> list[str]:
        """The ids of a resource loop by its symbolic name."""
        raise not_defined(text)

    def info(self, text: str) -> dict[str, Any]:
        """Id, name, type and apiVersion of the resource with a symbolic name."""
        raise not_defined(text)


@dataclass(frozen=True)
class UserFunction:
    """A function of the template's `functions` section: names of its parameters, unevaluated output."""

    name: str
    parameters: tuple[str, ...]
    output: Any


@dataclass(frozen=True)
class Frame:
    """The place of an expression.

    Attributes:
        copies: loops around it with their current index; the resource's own loop first.
        variables: lambda variables by name.
        arguments: inside a user-defined function its arguments, which then are all that it sees.
        known: answers to needs; None where `reference()` and `list…()` are not allowed.
        pending: given, an unanswerable string stays as it is and its needs are added here.
        defaults: inside a parameter's default value, where `utcNow()` and `newGuid()` are allowed.
    """

    copies: tuple[tuple[str, int], ...] = ()
    variables: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, Any] | None = None
    known: Mapping[Need, Any] | None = None
    pending: set[Need] | None = None
    defaults: bool = False


@dataclass(frozen=True)
class Environment:
    """The deployment that an expression belongs to.

    Attributes:
        group: the resource group's document at group scope.
        deployment: the value of `deployment()`.
        parameters: value of a parameter by name; ExpressionError when there is none.
        variables: likewise.
        functions: user-defined functions by lower-case `namespace.name`.
        names: the template's resources, once they are known.
        now: the moment that `utcNow()` gives.
        budget: what all of its evaluation may cost.
    """

    scope: Scope
    tenant_id: str
    group: dict[str, Any] | None
    deployment: dict[str, Any]
    parameters: Callable[[str], Any]
    variables: Callable[[str], Any]
    functions: Mapping[str, UserFunction] = field(default_factory=dict)
    names: Names = field(default_factory=Names)
    now: datetime = field(default_factory=clock.now)
    new_guid: Callable[[], str] = random_guid
    budget: Budget = field(default_factory=Budget)
