"""Hands the scale set's user data to its instances: what they forward follows a deployment in seconds.

By a PUT of each instance, as PowerShell's `Update-AzVmssVM -UserData` does. `manualupgrade` would do it too,
but may bring a newer image as well, and with it a restart (azure-sdk-for-net#28491).
"""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from fwdctl.azure.scale_sets import ScaleSet
from fwdctl.errors import FwdctlError

if TYPE_CHECKING:
    from fwdctl.azure.clients import Clients

_AT_ONCE = 8
CLOUD_INIT_TAG = "fwdctl-config-hash"
"""Set by the template: the hash of the programs in the cloud-init that the model had when it was applied."""
FORWARDS_TAG = "fwdctl-forwards-hash"
"""Likewise: the hash of what is forwarded."""


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
    scale_set = ScaleSet(clients, resource_group, name)
    model = scale_set.model()
    wanted = model["properties"].get("virtualMachineProfile", {}).get("userData") or ""
    programs = (model.get("tags") or {}).get(CLOUD_INIT_TAG)

    def one(instance: dict[str, Any]) -> Handed:
        number = str(instance["instanceId"])
        outdated = (instance.get("tags") or {}).get(CLOUD_INIT_TAG) != programs
        try:
            outcome = give(scale_set, number, wanted)
        except FwdctlError as error:
            return Handed(number, "failed", error.message, outdated)
        return Handed(number, outcome, "", outdated)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(one, scale_set.machines()))


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


def configuration(encoded: str) -> dict[str, Any]:
    """User data as the agent reads it; empty where it is none of ours."""
    try:
        document = json.loads(base64.b64decode(encoded, validate=True))
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def draining(encoded: str) -> str:
    """The same user data, with the word to the agent that the load balancer shall send nothing new."""
    text = json.dumps({**configuration(encoded), "drain": True})
    return base64.b64encode(text.encode()).decode("ascii")
