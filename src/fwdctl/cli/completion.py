"""What the shell may offer as values; nothing where it cannot be known at once, and never an error.

Typer leaves out what does not begin with the letters that are typed already.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fwdctl.errors import FwdctlError

if TYPE_CHECKING:
    from fwdctl.azure.clients import Clients
    from fwdctl.deployment import Deployment


def complete_environment(ctx: typer.Context) -> list[str]:
    """Names of azd environments; nothing outside a project."""
    from fwdctl.azd.environment import find_project, list_environments

    return _quietly(lambda: list_environments(find_project(_folder(ctx))))


def complete_boxes(ctx: typer.Context) -> list[str]:
    """Words for jump boxes and the names of the deployment's spokes."""
    return list(dict.fromkeys(["hub", "spoke", "all", *_spokes(ctx)]))


def complete_box(ctx: typer.Context) -> list[str]:
    """Words that mean a single jump box."""
    spokes = _spokes(ctx)
    return list(dict.fromkeys(["hub", *spokes] if len(spokes) > 1 else ["hub", "spoke", *spokes]))


def _spokes(ctx: typer.Context) -> list[str]:
    """Names of the spokes that a command here would mean, as far as they are written down."""
    from fwdctl import deployment
    from fwdctl.runtime import Runtime

    def ask() -> list[str]:
        runtime, file = Runtime(cwd=_folder(ctx)), ctx.params.get("topology")
        if file:
            from fwdctl.template import topology_file

            found = topology_file.load(runtime.cwd / file)
        else:
            found = deployment.read(deployment.locate(runtime, environment=ctx.params.get("environment")))
        return [spoke.name for spoke in found.spokes if spoke.box is not None]

    return [] if ctx.params.get("resource_group") else _quietly(ask)


def complete_instances(ctx: typer.Context) -> list[str]:
    """Ids of the forwarders that a command here would mean; Azure is asked, which takes a second."""
    from fwdctl.azure.scale_sets import ScaleSet

    def ask(found: Deployment, clients: Clients) -> list[str]:
        group = found.hub.resource_group or found.resource_group
        return ScaleSet(clients, group, found.hub.scale_set).numbers()

    return _of_azure(ctx, ask)


def complete_services(ctx: typer.Context) -> list[str]:
    """Names of the private link services of the resource group."""
    from fwdctl.azure.networks import Networks

    def ask(found: Deployment, clients: Clients) -> list[str]:
        services = Networks(clients, found.resource_group).private_link_services()
        return [service["name"] for service in services]

    return _of_azure(ctx, ask, discover=False)


def complete_connections(ctx: typer.Context) -> list[str]:
    """Ids of the private endpoints that are connected to the link service."""
    from fwdctl.link.services import services_of

    def ask(found: Deployment, clients: Clients) -> list[str]:
        services = services_of(clients, found, ctx.params.get("service"))
        return [each.endpoint for service in services for each in service.connections]

    return _of_azure(ctx, ask, discover=False)


def _of_azure(
    ctx: typer.Context, ask: Callable[[Deployment, Clients], list[str]], *, discover: bool = True
) -> list[str]:
    """What Azure answers of the deployment that a command here would mean."""
    from fwdctl import deployment
    from fwdctl.runtime import Runtime

    chosen = {name: ctx.params.get(name) for name in ("resource_group", "environment")}
    runtime = Runtime(cwd=_folder(ctx))
    return _quietly(lambda: ask(*deployment.load(runtime, **chosen, announce=False, discover=discover)))


def _folder(ctx: typer.Context) -> Path:
    outer, inner = ctx.find_root().params.get("cwd"), ctx.params.get("cwd")
    return Path(outer or ".") / (inner or ".")


def _quietly(ask: Callable[[], list[str]]) -> list[str]:
    """An answer, if there is one; what readers of files warn of would stand in the line that is typed."""
    try:
        with redirect_stderr(StringIO()):
            return ask()
    except (FwdctlError, OSError, ValueError):
        return []
