"""Skip importing pydantic when no value needs converting: its import takes 40 ms, an eighth of a warm probe.

Typer hands every value to pydantic, even that of an option which was not given. `process_value`, the method
of a parameter that receives what stands on the command line, is replaced by one that looks whether it must.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

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
        if not isinstance(param.process_value, _Processing):
            param.process_value = _Processing(param)
    return params


class _Processing:
    """Stands for a parameter's `process_value`; errors are Typer's."""

    def __init__(self, param: TyperArgument | TyperOption) -> None:
        self._param = param
        self._convert = param.process_value

    def __call__(self, ctx: Any, value: Any) -> Any:
        try:
            ready = _ready(self._param, value)
        except ValueError:
            return self._convert(ctx, value)
        callback = self._param.callback
        return ready if callback is None else callback(ctx, self._param, ready)


def _ready(param: TyperArgument | TyperOption, value: Any) -> Any:
    """The value as the command's function wants it.

    Raises:
        ValueError: that is Typer's to find out, or to refuse.
    """
    kind = param.type_descriptor.annotation
    if param.required and param.value_is_missing(value):
        raise ValueError(value)
    if kind == list[str] and isinstance(value, tuple | list):
        return list(value)
    if value is None or type(value) is kind:
        return value
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    raise ValueError(value)
