"""Reads of virtual machine scale sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fwdctl.azure.clients import Clients

COMPUTE = "2025-04-01"
INTERFACES = "2018-10-01"
"""The newest version of the machines' interfaces (azure-rest-api-specs, Microsoft.Network/vmss)."""
POWER = "PowerState/"


@dataclass(frozen=True)
class Instance:
    """A machine of a scale set.

    Attributes:
        number: its instance id.
        latest: has the scale set's latest model. Upgrade mode Manual leaves running instances as they are
            (azure-docs, virtual-machine-scale-sets-upgrade-policy).
    """

    number: str
    latest: bool


def instances(clients: Clients, resource_group: str, name: str) -> list[Instance]:
    """The machines of a scale set; none where its capacity is 0.

    Raises:
        FwdctlError: no such scale set, no permission, no answer.
    """
    path = f"{_path(clients, resource_group, name)}/virtualMachines"
    return [
        Instance(str(each["instanceId"]), bool(each.get("properties", {}).get("latestModelApplied", True)))
        for each in clients.list(path, COMPUTE)
    ]


def power_state(clients: Clients, resource_group: str, name: str, number: str) -> str:
    """The last part of a machine's power state, such as `running` or `deallocated`; empty where not told."""
    path = f"{_path(clients, resource_group, name)}/virtualMachines/{number}/instanceView"
    view: dict[str, Any] = clients.request("GET", path, COMPUTE)
    codes = [str(status.get("code", "")) for status in view.get("statuses") or ()]
    return next((code.removeprefix(POWER) for code in codes if code.startswith(POWER)), "")


def members(clients: Clients, resource_group: str, name: str) -> list[dict[str, Any]]:
    """Addresses of a scale set's machines, in the shape of `Networks.rule_health` without a state."""
    path = f"{_path(clients, resource_group, name)}/networkInterfaces"
    return [
        {
            "ipAddress": entry["properties"].get("privateIPAddress"),
            "networkInterfaceIPConfigurationId": {"id": entry["id"]},
        }
        for interface in clients.list(path, INTERFACES)
        for entry in interface["properties"].get("ipConfigurations") or ()
    ]


def outdated_instances(clients: Clients, resource_group: str, name: str) -> list[str]:
    """Ids of the instances that do not have the scale set's latest model.

    Raises:
        FwdctlError: as `instances`.
    """
    return [each.number for each in instances(clients, resource_group, name) if not each.latest]


def _path(clients: Clients, resource_group: str, name: str) -> str:
    return (
        f"/subscriptions/{clients.subscription_id}/resourceGroups/{resource_group}"
        f"/providers/Microsoft.Compute/virtualMachineScaleSets/{name}"
    )
