"""Everything that Azure is asked before a deployment: what it would refuse of the parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fwdctl.template import existing, fixed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwdctl.azure.clients import Clients
    from fwdctl.runtime import Runtime
    from fwdctl.template.parameters import Parameters, Problem


@dataclass(frozen=True)
class Checked:
    """What Azure said.

    Attributes:
        place: of the deployment that runs; None before the first one.
    """

    clients: Clients
    place: fixed.Place | None
    problems: list[Problem]


def check(
    runtime: Runtime, given: Parameters, values: Mapping[str, str], ready: Mapping[str, str]
) -> Checked | None:
    """None where there is nothing to ask about.

    Args:
        runtime: for the login.
        given: the parameters.
        values: the azd environment over the process environment.
        ready: what the preprovision hook is about to set.

    Raises:
        FwdctlError: Azure cannot be asked.
    """
    group, token = values.get("RESOURCE_GROUP_NAME"), values.get("RESOURCE_TOKEN")
    named = (given.hub.existing, *(spoke.existing for spoke in given.spokes), given.availability_zones)
    if not (group and token) and not any(named):
        return None
    from fwdctl.azure.clients import Clients
    from fwdctl.azure.credential import log_in

    clients = Clients(log_in(runtime, values.get("AZURE_SUBSCRIPTION_ID")), runtime)
    problems = list(existing.problems(clients, given, values.get("AZURE_LOCATION", "")))
    place = None
    if group and token:
        own = f"/subscriptions/{clients.subscription_id}/resourceGroups/{group}"
        place = fixed.Place(own, token, values, ready)
        problems += fixed.problems(clients, given, place)
    return Checked(clients, place, problems)
