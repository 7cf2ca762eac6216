"""The root command. Groups are imported only when one of their commands runs, so that help stays quick."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from fwdctl.cli import registry
from fwdctl.cli.command import narrow
from fwdctl.cli.group import HelpfulGroup, epilog
from fwdctl.cli.options import CwdOption, DebugOption, NoPromptOption
from fwdctl.errors import FwdctlError


class LazyGroup(HelpfulGroup):
    """Lists stand-ins for the groups, and imports a group when it is used."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, (_, text) in registry.OWN.items():
            self.add_command(TyperGroup(name=name, help=text))

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        self._add_registered()
        return super().list_commands(ctx)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]
        if cmd_name not in self.commands:
            self._add_registered()
        return super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> Any:  # type: ignore[override]
        """Replace the stand-in by the real group, or by the command where the module has a single one."""
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None:
            try:
                command = typer.main.get_command(registry.load(name))
            except FwdctlError:
                if not ctx.resilient_parsing:  # the shell asks what it may offer
                    raise
        return name, command, rest

    def _add_registered(self) -> None:
        for name, point in registry.registered().items():
            if name not in self.commands:
                self.add_command(TyperGroup(name=name, help=registry.summary(point)))


app = typer.Typer(
    cls=LazyGroup,
    name="fwdctl",
    help="Build, test and explain private-link port forwarding to servers outside Azure.",
    epilog=epilog(
        """
        fwdctl probe spoke                 test every path of the spokes
        fwdctl jump exec spoke -- id       run a command in a jump box
        fwdctl env check                   what is missing before a probe can run
        """
    ),
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(value: bool) -> None:  # noqa: FBT001 - Typer's callback shape
    if value:
        from fwdctl import __version__

        typer.echo(f"fwdctl {__version__}")
        raise typer.Exit


@app.callback()
def root(
    *,
    cwd: CwdOption = None,
    debug: DebugOption = False,
    no_prompt: NoPromptOption = False,
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
) -> None:
    """Apply the general options; they may also stand after the subcommand."""
    narrow(cwd=cwd, debug=debug, no_prompt=no_prompt)
