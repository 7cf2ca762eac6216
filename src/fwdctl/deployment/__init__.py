"""Where hub, spokes and forwards are: from the azd environment, the process environment, or Azure itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwdctl.deployment.locate import Place, locate, read
from fwdctl.deployment.topology import Box, Deployment, Forward, Hub, Spoke
from fwdctl.output import tell

if TYPE_CHECKING:
    from fwdctl.azure.clients import Clients
    from fwdctl.runtime import Runtime

__all__ = ["Box", "Deployment", "Forward", "Hub", "Place", "Spoke", "load", "locate", "read"]


def load(
    runtime: Runtime,
    *,
    environment: str | None = None,
    resource_group: str | None = None,
    announce: bool = True,
    discover: bool = True,
) -> tuple[Deployment, Clients]:
    """Locate the deployment, say on stderr which it is, log in, and ask Azure for what is not written down.

    Without `announce` stderr is kept clean for a remote command's own; without `discover` it is left at what
    is written down.

    Raises:
        FwdctlError: as `locate`, `read`, `log_in` and `complete`.
    """
    from fwdctl.azure.clients import Clients
    from fwdctl.azure.credential import log_in

    deployment = read(locate(runtime, environment=environment, resource_group=resource_group))
    if announce or runtime.debug:
        tell(runtime, f"Using {deployment.resource_group} ({deployment.source}).\n")
    clients = Clients(log_in(runtime, deployment.subscription_id), runtime)
    if discover and not deployment.complete:
        from fwdctl.deployment.discover import complete

        deployment = complete(deployment, clients)
    given = {"-g": resource_group} if resource_group else {"-e": environment}
    options = tuple(word for option, name in given.items() if name for word in (option, name))
    return replace(deployment, options=options), clients
