"""The scale set of the control plane's tests: its model, its instances and their nodes."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from support.controlplane import NETWORK, PROVIDERS, scale_set_body

if TYPE_CHECKING:
    from fwdlab.arm.api import ArmApi
    from fwdlab.model import NodeSpec

VMSS = f"{PROVIDERS}/Microsoft.Compute/virtualMachineScaleSets/fwd"
SHARED = {"id": f"{NETWORK}/virtualNetworks/hub/subnets/shared"}
POOL = {"id": f"{NETWORK}/loadBalancers/lb/backendAddressPools/forwarders"}


def text(content: str) -> str:
    return base64.b64encode(content.encode()).decode()


def machines(api: ArmApi) -> dict[str, NodeSpec]:
    return {node.name: node for node in api.store.snapshot().nodes if node.kind == "machine"}


def changed(**profile: Any) -> dict[str, Any]:
    body = scale_set_body(SHARED, POOL)
    body["properties"]["virtualMachineProfile"]["osProfile"] |= profile
    return body


async def latest(api: ArmApi) -> list[bool]:
    listed = await api.list(f"{VMSS}/virtualMachines")
    return [instance["properties"]["latestModelApplied"] for instance in listed]


async def with_machine(api: ArmApi, name: str = "server65", **profile: Any) -> str:
    nic = f"{NETWORK}/networkInterfaces/nic-{name}"
    configuration = {"name": "ip", "properties": {"subnet": SHARED}}
    await api.put(nic, {"location": "westeurope", "properties": {"ipConfigurations": [configuration]}})
    machine = f"{PROVIDERS}/Microsoft.Compute/virtualMachines/vm-{name}"
    os_profile = {"computerName": name, "customData": text("#cloud-config\n"), **profile}
    body = {
        "location": "westeurope",
        "properties": {"osProfile": os_profile, "networkProfile": {"networkInterfaces": [{"id": nic}]}},
    }
    await api.put(machine, body)
    return machine
