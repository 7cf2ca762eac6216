"""Which groups of commands there are: fwdctl's own, and those that installed packages register."""

from __future__ import annotations

import ast
from functools import cache
from importlib import import_module
from importlib.abc import InspectLoader
from importlib.machinery import ModuleSpec, PathFinder
from typing import TYPE_CHECKING, Any

from fwdctl.errors import MissingError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.metadata import EntryPoint

OWN: Mapping[str, tuple[str, str]] = {
    "probe": ("fwdctl.cli.probe", "Test the paths to the servers from inside the networks."),
    "jump": ("fwdctl.cli.jump", "Start, stop and use the jump boxes."),
    "forwarder": ("fwdctl.cli.forwarder", "Show the forwarders and renew them under traffic."),
    "link": ("fwdctl.cli.link", "Decide who may connect to the link service, or ask."),
    "env": ("fwdctl.cli.env", "Show and check the azd environment."),
    "hook": ("fwdctl.cli.hook", "What azd runs before and after provisioning."),
}
"""Group -> module with a Typer `app`, one line of help."""
ENTRY_POINTS = "fwdctl.commands"
"""Entry points of this group name a Typer app each (docs/decisions/0006)."""


@cache
def registered() -> Mapping[str, EntryPoint]:
    """Groups of other packages; reading them takes 10 ms, so only where a word is not one of our own."""
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=ENTRY_POINTS) if point.name not in OWN}


def exists(name: str) -> bool:
    return name in OWN or name in registered()


def load(name: str) -> Any:
    """Import a group's Typer app.

    Raises:
        FwdctlError: `command_not_loaded` (exit code 3), with the entry point's name.
    """
    if name in OWN:
        return import_module(OWN[name][0]).app
    point = registered()[name]
    try:
        return point.load()
    except Exception as error:
        package = point.dist.name if point.dist else point.module
        raise MissingError(
            "command_not_loaded",
            f"`fwdctl {name}` cannot be loaded from {point.value}: {type(error).__name__}: {error}.",
            f"Install the package {package} again, or remove it.",
        ) from error


def summary(point: EntryPoint) -> str:
    """The first line of the module's docstring, read from its source; empty where that cannot be had."""
    try:
        loader = _find(point.module).loader
        source = loader.get_source(point.module) if isinstance(loader, InspectLoader) else None
        return (ast.get_docstring(ast.parse(source or "")) or "").partition("\n")[0]
    except (ImportError, SyntaxError, ValueError):
        return ""


def _find(module: str) -> ModuleSpec:
    """Where a module is, without importing the packages around it as `importlib.util.find_spec` does.

    Raises:
        ModuleNotFoundError: it is nowhere.
    """
    package = module.rpartition(".")[0]
    spec = PathFinder.find_spec(module, _find(package).submodule_search_locations if package else None)
    if spec is None:
        raise ModuleNotFoundError(module)
    return spec
