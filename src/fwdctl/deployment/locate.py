"""Which deployment is meant, and what is written down of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fwdctl.deployment.topology import Box, Deployment, Hub, Spoke, parse
from fwdctl.errors import FwdctlError, MissingError

if TYPE_CHECKING:
    from fwdctl.runtime import Runtime


@dataclass(frozen=True)
class Place:
    """What locating found: values that name a deployment, and where they stand."""

    values: Mapping[str, str]
    source: str


def locate(runtime: Runtime, *, environment: str | None = None, resource_group: str | None = None) -> Place:
    """Decide which deployment is meant (docs/architecture.md, "Which deployment").

    Raises:
        FwdctlError: there is none: no project, no environment, not provisioned (exit code 3).
    """
    from fwdctl.azd import environment as azd_environment

    process = runtime.environ
    if resource_group:
        return Place({"RESOURCE_GROUP_NAME": resource_group}, "--resource-group")
    if environment:
        chosen = azd_environment.load(runtime, environment)
        chosen.require(["RESOURCE_GROUP_NAME"])
        return Place(chosen.values, f"azd environment '{chosen.name}'")
    try:
        selected = azd_environment.load(runtime)
        own = selected.values.get("AZURE_SUBSCRIPTION_ID", "")
        other = process.get("AZURE_SUBSCRIPTION_ID") or own
        if selected.values.get("RESOURCE_GROUP_NAME") and (not own or own.lower() == other.lower()):
            return Place(selected.values, f"azd environment '{selected.name}'")
        missing = None
    except FwdctlError as error:
        missing = error
    if process.get("RESOURCE_GROUP_NAME"):
        return Place(process, "process environment")
    if missing is not None:
        raise missing
    selected.require(["RESOURCE_GROUP_NAME"])
    raise MissingError(
        "subscription_contradicts",
        f"AZURE_SUBSCRIPTION_ID is {other}, but the azd environment '{selected.name}' belongs to {own}.",
        "Unset AZURE_SUBSCRIPTION_ID, or name the environment with --environment.",
    )


def read(place: Place) -> Deployment:
    """The deployment that values describe, without asking Azure.

    Raises:
        FwdctlError: FWD_TOPOLOGY is not what this version understands (exit code 3).
    """
    values = place.values
    subscription = values.get("AZURE_SUBSCRIPTION_ID") or None
    topology = values.get("FWD_TOPOLOGY")
    if topology:
        return parse(topology, subscription, place.source)
    hub, spoke = values.get("HUB_JUMP_NAME", ""), values.get("SPOKE_JUMP_NAME", "")
    return Deployment(
        values["RESOURCE_GROUP_NAME"],
        subscription,
        Hub(Box("hub", hub) if hub else None),
        (Spoke("spoke", Box("spoke", spoke)),) if spoke else (),
        (),
        place.source,
        complete=False,
    )
