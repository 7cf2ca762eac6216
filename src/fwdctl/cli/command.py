"""The decorator that makes a function a command: shared options, and printing what the function returns."""

from __future__ import annotations

import functools
import inspect
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from fwdctl.cli.conversion import QuickCommand
from fwdctl.cli.group import epilog
from fwdctl.cli.options import GENERAL, OUTPUT
from fwdctl.errors import ExitCode, FwdctlError
from fwdctl.output import OutputFormat, Result, render

if TYPE_CHECKING:
    from collections.abc import Callable

    from fwdctl.azure.arm import Arm
    from fwdctl.deployment import Deployment
    from fwdctl.runtime import Runtime

Work = TypeVar("Work", bound="Callable[..., Result]")
"""A command's function: takes a Call and its own arguments and options, returns a Result."""


@dataclass(frozen=True)
class Invocation:
    """What `main` must know to print a failure the way the user asked for."""

    runtime: Runtime
    command: str = ""
    output: OutputFormat = OutputFormat.table


CURRENT: ContextVar[Invocation] = ContextVar("fwdctl_invocation")
"""Set by `main` before parsing, narrowed by the root options and by `invoke`; Typer offers no other way."""


@dataclass(frozen=True)
class Call:
    """The runtime and the values of the shared options; one that a command lacks keeps the default."""

    runtime: Runtime
    output: OutputFormat = OutputFormat.table
    environment: str | None = None
    resource_group: str | None = None

    def load(self, *, announce: bool = True) -> tuple[Deployment, Arm]:
        """As `fwdctl.deployment.load`, for the deployment that the options mean."""
        from fwdctl.deployment import load

        return load(
            self.runtime,
            environment=self.environment,
            resource_group=self.resource_group,
            announce=announce,
        )


def command(
    app: typer.Typer, words: str, *shared: inspect.Parameter, examples: str = ""
) -> Callable[[Work], Work]:
    """Register a function as a command; its own parameters come first in the help, the shared ones follow.

    Args:
        app: the group.
        words: what the envelope calls it, such as `jump start`. The last plain word is the command's name; a
            `{name}` stands for the value of that parameter.
        shared: from `fwdctl.cli.options`, in the order of the help; `GENERAL` is added.
        examples: lines for the end of the help.
    """

    def register(function: Work) -> Work:
        @functools.wraps(function)
        def run(**values: Any) -> None:
            general = {option.name: values.pop(option.name) for option in GENERAL}
            chosen = {option.name: values.pop(option.name) for option in shared}
            invoke(
                words.format_map(values),
                lambda runtime: function(Call(runtime, **chosen), **values),
                output=chosen.get(OUTPUT.name, OutputFormat.table),
                **general,
            )

        _, *own = inspect.signature(function, eval_str=True).parameters.values()
        parameters = [*own, *shared, *GENERAL]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        name = [word for word in words.split() if not word.startswith("{")][-1]
        app.command(name, cls=QuickCommand, epilog=epilog(examples) if examples else None)(run)
        return function

    return register


def adjust(runtime: Runtime, *, cwd: Path | None, debug: bool, no_prompt: bool) -> Runtime:
    """The runtime with the general options of one level (before or after the subcommand) applied.

    Raises:
        FwdctlError: `cwd` is no directory (exit code 2).
    """
    where = runtime.cwd
    if cwd is not None:
        where = runtime.cwd / cwd
        if not where.is_dir():
            raise FwdctlError(
                "cwd_not_found",
                f"{where} is not a directory.",
                "Name an existing directory after --cwd.",
                exit_code=ExitCode.USAGE,
            )
    return replace(runtime, cwd=where, debug=runtime.debug or debug, no_prompt=runtime.no_prompt or no_prompt)


def invoke(
    words: str,
    action: Callable[[Runtime], Result],
    *,
    output: OutputFormat = OutputFormat.table,
    cwd: Path | None = None,
    debug: bool = False,
    no_prompt: bool = False,
) -> None:
    """Run a command's work and print what it returns; its errors are printed by `main`, in the same format.

    Raises:
        typer.Exit: always, with the exit code.
    """
    current = CURRENT.get()
    CURRENT.set(replace(current, command=words, output=output))
    runtime = adjust(current.runtime, cwd=cwd, debug=debug, no_prompt=no_prompt)
    CURRENT.set(Invocation(runtime, words, output))
    raise typer.Exit(render(runtime, words, action(runtime), output))
