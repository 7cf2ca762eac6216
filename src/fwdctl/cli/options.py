"""The options that commands share, and `invoke`, which runs a command's function and renders its result."""

from __future__ import annotations

from contextlib import redirect_stderr
from contextvars import ContextVar
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fwdctl.cli.conversion import QuickGroup
from fwdctl.errors import ExitCode, FwdctlError
from fwdctl.output import OutputFormat, Result, render

if TYPE_CHECKING:
    from collections.abc import Callable

    from fwdctl.runtime import Runtime


@dataclass(frozen=True)
class Invocation:
    """What `main` must know to print a failure the way the user asked for."""

    runtime: Runtime
    command: str = ""
    output: OutputFormat = OutputFormat.table


CURRENT: ContextVar[Invocation] = ContextVar("fwdctl_invocation")
"""Set by `main` before parsing, narrowed by the root options and by `invoke`; Typer offers no other way."""


def _refuse_junit(value: OutputFormat) -> OutputFormat:
    if value is OutputFormat.junit:
        raise typer.BadParameter("only probes write junit; use table or json.")
    return value


def complete_environment(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of azd environments for shell completion; nothing outside a project."""
    from fwdctl.azd import environment as azd_environment

    try:
        names = azd_environment.list_environments(azd_environment.find_project(_folder(ctx)))
    except (FwdctlError, OSError):
        return []
    return [name for name in names if name.startswith(incomplete)]


def complete_boxes(ctx: typer.Context, incomplete: str) -> list[str]:
    """Words for jump boxes and the names of the deployment's spokes, for shell completion."""
    words = dict.fromkeys(["hub", "spoke", "all", *_spokes(ctx)])
    return [word for word in words if word.startswith(incomplete)]


def complete_box(ctx: typer.Context, incomplete: str) -> list[str]:
    """Words that mean a single jump box."""
    spokes = _spokes(ctx)
    words = dict.fromkeys(["hub", *(["spoke"] if len(spokes) < 2 else []), *spokes])  # noqa: PLR2004 - several
    return [word for word in words if word.startswith(incomplete)]


def _folder(ctx: typer.Context) -> Path:
    outer, inner = ctx.find_root().params.get("cwd"), ctx.params.get("cwd")
    return Path(outer or ".") / (inner or ".")


def _spokes(ctx: typer.Context) -> list[str]:
    """Names of the spokes that a command here would mean, as far as they are written down."""
    if ctx.params.get("resource_group"):
        return []
    from fwdctl import deployment
    from fwdctl.runtime import Runtime

    try:
        # A reader of environment files warns on stderr, in the middle of the line that somebody types.
        with redirect_stderr(StringIO()):
            runtime = Runtime(cwd=_folder(ctx))
            found = deployment.read(deployment.locate(runtime, environment=ctx.params.get("environment")))
    except (FwdctlError, OSError, ValueError):
        return []
    return [spoke.name for spoke in found.spokes if spoke.box is not None]


OutputOption = Annotated[
    OutputFormat,
    typer.Option("--output", "-o", metavar="table|json", callback=_refuse_junit, help="Format of stdout."),
]
ProbeOutputOption = Annotated[
    OutputFormat, typer.Option("--output", "-o", metavar="table|json|junit", help="Format of stdout.")
]
EnvironmentOption = Annotated[
    str | None,
    typer.Option(
        "--environment",
        "-e",
        metavar="NAME",
        autocompletion=complete_environment,
        help="The azd environment to use.",
    ),
]
ResourceGroupOption = Annotated[
    str | None,
    typer.Option("--resource-group", "-g", metavar="NAME", help="Use this resource group, without azd."),
]
DebugOption = Annotated[bool, typer.Option("--debug", help="Print tracebacks and requests (redacted).")]
NoPromptOption = Annotated[bool, typer.Option("--no-prompt", help="Never ask a question.")]
CwdOption = Annotated[
    Path | None,
    typer.Option("--cwd", "-C", metavar="DIR", help="Work as if started in this directory."),
]


class HelpfulGroup(QuickGroup):
    """A group that answers a missing subcommand with its help, on stderr, and exit code 2."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Show the help where no argument was given."""
        if not args and not ctx.resilient_parsing:
            typer.echo(ctx.get_help(), err=True)
            raise typer.Exit(ExitCode.USAGE)
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """List the commands; a summary that is longer than the line wraps and loses nothing."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [
            (name, command.get_short_help_str(limit=1000))
            for name, command in found
            if command is not None and not command.hidden
        ]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


def group(text: str, *, examples: str) -> typer.Typer:
    """A Typer app for one command group.

    Args:
        text: the group's help.
        examples: lines for the end of the help, one command each.
    """
    return typer.Typer(
        cls=HelpfulGroup,
        help=text,
        epilog=epilog(examples),
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )


def epilog(examples: str) -> str:
    r"""Turn lines into an `Examples:` block that help does not re-wrap (`\b` is Typer's mark for that)."""
    lines = (line.strip() for line in examples.strip().splitlines())
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


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
    command: str,
    action: Callable[[Runtime], Result],
    *,
    output: OutputFormat = OutputFormat.table,
    cwd: Path | None = None,
    debug: bool = False,
    no_prompt: bool = False,
) -> None:
    """Run a command's function and print what it returns.

    Args:
        command: as in the envelope: the words after `fwdctl`, such as `jump start`.
        action: does the work; its errors are printed by `main`, in the same format.
        output: from OutputOption or ProbeOutputOption.
        cwd: from CwdOption.
        debug: from DebugOption.
        no_prompt: from NoPromptOption.

    Raises:
        typer.Exit: always, with the exit code.
    """
    current = CURRENT.get()
    CURRENT.set(replace(current, command=command, output=output))
    runtime = adjust(current.runtime, cwd=cwd, debug=debug, no_prompt=no_prompt)
    CURRENT.set(Invocation(runtime, command, output))
    raise typer.Exit(render(runtime, command, action(runtime), output))
