"""The root command. Groups are imported only when one of their commands runs, so that help stays quick."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from fwdctl.cli.command import CURRENT, adjust
from fwdctl.cli.group import HelpfulGroup, epilog
from fwdctl.cli.options import CwdOption, DebugOption, NoPromptOption

if TYPE_CHECKING:
    from collections.abc import Mapping

GROUPS: Mapping[str, tuple[str, str]] = {
    "probe": ("fwdctl.cli.probe", "Test the paths to the servers from inside the networks."),
    "jump": ("fwdctl.cli.jump", "Start, stop and use the jump boxes."),
    "env": ("fwdctl.cli.env", "Show and check the azd environment."),
    "hook": ("fwdctl.cli.hook", "What azd runs before and after provisioning."),
    "lab": ("fwdlab.cli", "Run the same template on this machine, without Azure."),
}
"""Command group -> module with a Typer `app`, one line of help."""


class LazyGroup(HelpfulGroup):
    """Lists the groups from the table and imports a group's module when it is used."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, (_, text) in GROUPS.items():
            self.add_command(TyperGroup(name=name, help=text))  # stands in for listing and suggestions

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> Any:  # type: ignore[override]
        """Replace the stand-in by the real group, or by the command where the module has a single one."""
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None and name in GROUPS:
            command = typer.main.get_command(import_module(GROUPS[name][0]).app)
        return name, command, rest


app = typer.Typer(
    cls=LazyGroup,
    name="fwdctl",
    help="Build, test and explain private-link port forwarding to servers outside Azure.",
    epilog=epilog(
        """
        fwdctl probe spoke                 test every path of the spokes
        fwdctl jump exec spoke -- id       run a command in a jump box
        fwdctl env check                   what is missing before a probe can run
        fwdctl lab demo                    see it all work on this machine
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
    current = CURRENT.get()
    CURRENT.set(replace(current, runtime=adjust(current.runtime, cwd=cwd, debug=debug, no_prompt=no_prompt)))
