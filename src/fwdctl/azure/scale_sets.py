"""Reads of virtual machine scale sets; azure-mgmt-compute would be 14 MB for one list."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fwdctl.azure.clients import Clients

COMPUTE = "2025-04-01"


def outdated_instances(clients: Clients, resource_group: str, name: str) -> list[str]:
    """Ids of the instances that do not have the scale set's latest model.

    Upgrade mode Manual leaves running instances as they are (azure-docs,
    virtual-machine-scale-sets-upgrade-policy); `latestModelApplied` tells which.

    Raises:
        FwdctlError: no such scale set, no permission, no answer.
    """
    path = (
        f"/subscriptions/{clients.subscription_id}/resourceGroups/{resource_group}"
        f"/providers/Microsoft.Compute/virtualMachineScaleSets/{name}/virtualMachines"
    )
    return [
        str(instance["instanceId"])
        for instance in clients.list(path, COMPUTE)
        if not instance.get("properties", {}).get("latestModelApplied", True)
    ]
