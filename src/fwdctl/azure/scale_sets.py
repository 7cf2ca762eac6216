"""Reads of virtual machine scale sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fwdctl.azure.arm import Arm

COMPUTE = "2025-04-01"


def outdated_instances(arm: Arm, resource_group: str, name: str) -> list[str]:
    """Ids of the instances that do not have the scale set's latest model.

    Upgrade mode Manual leaves running instances as they are (azure-docs,
    virtual-machine-scale-sets-upgrade-policy); `latestModelApplied` tells which.

    Raises:
        FwdctlError: no such scale set, no permission, no answer.
    """
    path = arm.path(
        resource_group, f"/providers/Microsoft.Compute/virtualMachineScaleSets/{name}/virtualMachines"
    )
    return [
        str(instance["instanceId"])
        for instance in arm.list(path, COMPUTE)
        if not instance.get("properties", {}).get("latestModelApplied", True)
    ]
