"""Hands the scale set's user data to its instances: what they forward follows a deployment in seconds.

By a PUT of each instance, as PowerShell's `Update-AzVmssVM -UserData` does. `manualupgrade` would do it too,
but may bring a newer image as well, and with it a restart (azure-sdk-for-net#28491).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from fwdctl.azure.scale_sets import COMPUTE
from fwdctl.errors import FwdctlError

if TYPE_CHECKING:
    from fwdctl.azure.clients import Clients

_AT_ONCE = 8
CLOUD_INIT_TAG = "fwdctl-config-hash"
"""Set by the template: the hash of the programs in the cloud-init that the model had when it was applied."""


@dataclass(frozen=True)
class Handed:
    """What became of one instance.

    Attributes:
        detail: why it failed.
        outdated: it boots with another cloud-init than the model's, so that it needs a reimage.
    """

    instance: str
    outcome: Literal["handed", "same", "failed"]
    detail: str = ""
    outdated: bool = False


def hand_on(clients: Clients, resource_group: str, name: str) -> list[Handed]:
    """Give every instance that lacks it the user data of its scale set's model; by instance id.

    Raises:
        FwdctlError: no such scale set, no permission, no answer.
    """
    group = f"/subscriptions/{clients.subscription_id}/resourceGroups/{resource_group}"
    path = f"{group}/providers/Microsoft.Compute/virtualMachineScaleSets/{name}"
    model = clients.request("GET", f"{path}?$expand=userData", COMPUTE)
    profile = model.get("properties", {}).get("virtualMachineProfile", {})
    wanted, programs = profile.get("userData") or "", (model.get("tags") or {}).get(CLOUD_INIT_TAG)

    def one(instance: dict[str, Any]) -> Handed:
        number = str(instance["instanceId"])
        outdated = (instance.get("tags") or {}).get(CLOUD_INIT_TAG) != programs
        try:
            outcome = _hand(clients, f"{path}/virtualMachines/{number}", wanted)
        except FwdctlError as error:
            return Handed(number, "failed", error.message, outdated)
        return Handed(number, outcome, "", outdated)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(one, clients.list(f"{path}/virtualMachines", COMPUTE)))


def _hand(clients: Clients, path: str, wanted: str) -> Literal["handed", "same"]:
    document = clients.request("GET", f"{path}?$expand=userData", COMPUTE)
    if not wanted or document["properties"].get("userData") == wanted:
        return "same"
    document["properties"]["userData"] = wanted
    clients.request("PUT", path, COMPUTE, document)
    return "handed"
