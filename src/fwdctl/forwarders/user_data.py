"""Hands the scale set's user data to its instances: what they forward follows a deployment in seconds.

By a PUT of each instance, as PowerShell's `Update-AzVmssVM -UserData` does. `manualupgrade` would do it too,
but may bring a newer image as well, and with it a restart (azure-sdk-for-net#28491).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from fwdctl.azure.scale_sets import ScaleSet
from fwdctl.errors import FwdctlError
from fwdctl.forwarders.setup import Setup
from fwdctl.threads import side_by_side

if TYPE_CHECKING:
    from fwdctl.azure.clients import Clients


@dataclass(frozen=True)
class Handed:
    """What became of one instance.

    Attributes:
        detail: why it failed.
        outdated: what else differs from the model, by name; a rollout brings it.
    """

    instance: str
    outcome: Literal["handed", "same", "failed"]
    detail: str = ""
    outdated: tuple[str, ...] = ()


def hand_on(clients: Clients, resource_group: str, name: str) -> list[Handed]:
    """Give every instance that lacks it the user data of its scale set's model; by instance id.

    Raises:
        FwdctlError: no such scale set, no permission, no answer.
    """
    scale_set = ScaleSet(clients, resource_group, name)
    model = scale_set.model()
    wanted = Setup.of(model, model["properties"].get("virtualMachineProfile") or {})

    def one(instance: dict[str, Any]) -> Handed:
        number = str(instance["instanceId"])
        outdated = tuple(Setup.of(instance, instance["properties"]).older_than(wanted))
        try:
            outcome = give(scale_set, number, wanted.user_data)
        except FwdctlError as error:
            return Handed(number, "failed", error.message, outdated)
        return Handed(number, outcome, "", outdated)

    return side_by_side(one, scale_set.machines())


def give(scale_set: ScaleSet, number: str, wanted: str) -> Literal["handed", "same"]:
    """Give one instance user data that it may have already.

    Raises:
        FwdctlError: it cannot be read or written.
    """
    document = scale_set.machine(number)
    if not wanted or document["properties"].get("userData") == wanted:
        return "same"
    scale_set.give_user_data(document, wanted)
    return "handed"
