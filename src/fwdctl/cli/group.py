"""How a group of commands prints its help."""

from __future__ import annotations

from typing import Any

import typer

from fwdctl.cli.conversion import QuickGroup
from fwdctl.errors import ExitCode


class HelpfulGroup(QuickGroup):
    """A group that answers a missing subcommand with its help, on stderr, and exit code 2."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
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
    """A Typer app for one group of commands; `examples` are lines for the end of its help."""
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
