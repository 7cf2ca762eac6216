"""The decorator that makes a function a command: shared options, and printing what the function returns."""

from __future__ import annotations

import functools
import inspect
import shlex
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from fwdctl.cli.conversion import QuickCommand
from fwdctl.cli.group import epilog
from fwdctl.cli.options import GENERAL, OUTPUT
from fwdctl.errors import UsageError
from fwdctl.output import OutputFormat, Result, render

if TYPE_CHECKING:
    from fwdctl.azure.clients import Clients
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
"""Set by `main` before parsing, narrowed by the root and by the command; Typer offers no other way."""


@dataclass(frozen=True)
class Call:
    """The runtime and the values of the shared options; one that a command lacks keeps the default."""

    runtime: Runtime
    output: OutputFormat = OutputFormat.table
    environment: str | None = None
    resource_group: str | None = None

    @property
    def again(self) -> str:
        """What chose the deployment, with a blank before each option, for commands that are suggested."""
        chosen = {"-e": self.environment, "-g": self.resource_group}
        options = [f" {option} {shlex.quote(name)}" for option, name in chosen.items() if name]
        return "".join([*options, self.runtime.again])

    def load(self, *, announce: bool = True, discover: bool = True) -> tuple[Deployment, Clients]:
        """As `fwdctl.deployment.load`, for the deployment that the options mean."""
        from fwdctl.deployment import load

        return load(
            self.runtime,
            environment=self.environment,
            resource_group=self.resource_group,
            announce=announce,
            discover=discover,
        )


def command(
    app: typer.Typer, words: str, *shared: inspect.Parameter, examples: str = ""
) -> Callable[[Work], Work]:
    """Register a function as a command; its own parameters come first in the help, the shared ones follow.

    `words` are what the envelope calls it, such as `jump start`. The last plain word is the command's name; a
    `{name}` stands for the value of that parameter. `shared` are from `fwdctl.cli.options`, in the order of
    the help; `GENERAL` is added.
    """

    def register(function: Work) -> Work:
        @functools.wraps(function)
        def run(**values: Any) -> None:
            general = {option.name: values.pop(option.name) for option in GENERAL}
            chosen = {option.name: values.pop(option.name) for option in shared}
            output = chosen.get(OUTPUT.name, OutputFormat.table)
            current = narrow(**general, command=words.format_map(values), output=output)
            result = function(Call(current.runtime, **chosen), **values)
            raise typer.Exit(render(current.runtime, current.command, result, output))

        _, *own = inspect.signature(function, eval_str=True).parameters.values()
        parameters = [*own, *shared, *GENERAL]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        name = [word for word in words.split() if not word.startswith("{")][-1]
        app.command(name, cls=QuickCommand, epilog=epilog(examples) if examples else None)(run)
        return function

    return register


def narrow(*, cwd: Path | None, debug: bool, no_prompt: bool, **known: Any) -> Invocation:
    """Apply the general options of one level (before or after the subcommand), and what is known there.

    Raises:
        FwdctlError: `cwd` is no directory (exit code 2).
    """
    current = replace(CURRENT.get(), **known)
    CURRENT.set(current)  # a failure from here on is printed as the command's
    runtime = current.runtime
    where = runtime.cwd / (cwd or "")
    if cwd is not None and not where.is_dir():
        raise UsageError(
            "cwd_not_found", f"{where} is not a directory.", "Name an existing directory after --cwd."
        )
    again = runtime.again if cwd is None else f" --cwd {shlex.quote(str(where))}"
    debug, no_prompt = runtime.debug or debug, runtime.no_prompt or no_prompt
    runtime = replace(runtime, cwd=where, again=again, debug=debug, no_prompt=no_prompt)
    current = replace(current, runtime=runtime)
    CURRENT.set(current)
    return current
