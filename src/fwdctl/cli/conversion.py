"""Skip importing pydantic when no value needs converting: its import takes 40 ms, an eighth of a warm probe.

Typer hands every value to pydantic, even that of an option which was not given. `process_value`, the method
of a parameter that receives what stands on the command line, is replaced by one that looks whether it must.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    import typer


class QuickCommand(TyperCommand):
    """A command whose parameters convert only what must be converted."""

    def get_params(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        return _convert_when_needed(super().get_params(ctx))


class QuickGroup(TyperGroup):
    """A group whose own parameters do the same."""

    def get_params(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        return _convert_when_needed(super().get_params(ctx))


def _convert_when_needed(params: Any) -> Any:
    """The parameters, the one for help among them."""
    for param in params:
        if "process_value" not in vars(param):
            param.process_value = partial(_process_value, param, param.process_value)
    return params


def _process_value(param: Any, convert: Callable[..., Any], ctx: typer.Context, value: Any) -> Any:
    """The value as the command's function wants it; what is missing or wrong is Typer's to tell."""
    kind = param.type_descriptor.annotation
    if kind == list[str] and isinstance(value, tuple | list):
        value = list(value)
    elif isinstance(kind, type) and issubclass(kind, StrEnum) and value in kind.__members__:
        value = kind(value)
    elif value is not None and type(value) is not kind:
        return convert(ctx, value)
    if param.required and param.value_is_missing(value):
        return convert(ctx, value)
    return value if param.callback is None else param.callback(ctx, param, value)
