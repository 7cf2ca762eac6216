"""Spare a command the library that Typer converts values with, where nothing is to be converted.

Typer hands every value to pydantic, even that of an option which was not given, and pydantic takes some 40 ms
to load: an eighth of a warm probe. A value of the right type is passed on here; all others go Typer's way.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    import typer


class QuickCommand(TyperCommand):
    """A command whose parameters convert only what must be converted."""

    def get_params(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Its parameters, the one for help among them."""
        return _spare(super().get_params(ctx))


class QuickGroup(TyperGroup):
    """A group whose own parameters do the same."""

    def get_params(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Its parameters, the one for help among them."""
        return _spare(super().get_params(ctx))


def _spare(params: Any) -> Any:
    """`_runtime_param` is where Typer keeps what converts a parameter's values, None until it is needed.

    A release of Typer without it keeps its own ways; a test tells when that happens.
    """
    for param in params:
        if getattr(param, "_runtime_param", param) is None:
            param._runtime_param = _Sparing(param.type_descriptor.annotation)  # noqa: SLF001
    return params


class _Sparing:
    """Stands where Typer keeps a parameter's conversion, until there is something to convert."""

    def __init__(self, annotation: Any) -> None:
        self._annotation = annotation

    def coerce(self, value: Any, param: Any, ctx: typer.Context) -> Any:
        """The value as the command's function wants it; errors are Typer's."""
        kind = self._annotation
        if param.nargs == 1 and not param.multiple:
            if value is None or type(value) is kind:
                return value
            if isinstance(kind, type) and issubclass(kind, Enum) and value in kind._value2member_map_:
                return kind(value)
        elif kind == list[str] and isinstance(value, tuple | list):
            return list(value)
        param._runtime_param = None  # noqa: SLF001 - Typer makes its own now
        return param.get_runtime_param().coerce(value, param=param, ctx=ctx)
