"""Flexible scale sets, which Azure Verified Modules make by default."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from support.controlplane import GROUP, NETWORK, PROVIDERS, refused, scale_set_body
from support.scale_sets import POOL, SHARED, VMSS, changed, text, with_machine

if TYPE_CHECKING:
    from fwdlab.arm.api import ArmApi
    from fwdlab.model import NodeSpec

FLEX = f"{PROVIDERS}/Microsoft.Compute/virtualMachineScaleSets/flex"
MACHINES = f"{PROVIDERS}/Microsoft.Compute/virtualMachines"


def body(capacity: int = 2) -> dict[str, Any]:
    made = scale_set_body(SHARED, POOL, capacity)
    del made["properties"]["upgradePolicy"]
    made["properties"] |= {"orchestrationMode": "Flexible", "platformFaultDomainCount": 1}
    profile = made["properties"]["virtualMachineProfile"]
    profile["networkProfile"]["networkApiVersion"] = "2020-11-01"
    profile["osProfile"] |= {"adminPassword": "secret"}
    profile["userData"] = text("hello")
    return made


def nodes(api: ArmApi) -> list[NodeSpec]:
    running = api.store.snapshot().nodes
    return [one for one in running if one.resource_id.startswith(f"{MACHINES}/flex_")]


async def test_instances_are_machines_with_interfaces_of_their_own(api: ArmApi) -> None:
    await api.put(FLEX, body())
    machines = await api.list(MACHINES)
    assert all(re.fullmatch(r"flex_[0-9a-f]{8}", one["name"]) for one in machines)
    assert [one["properties"]["virtualMachineScaleSet"]["id"] for one in machines] == [FLEX] * 2
    assert {one["zones"][0] for one in machines} == {"1", "2"}
    assert "secret" not in str(machines)
    listed = await api.list(f"{FLEX}/virtualMachines")
    assert [(one["id"], one["instanceId"]) for one in listed] == [
        (one["id"], one["name"]) for one in machines
    ]
    first, second = nodes(api)
    assert {first.backend_pool_ids, second.backend_pool_ids} == {(POOL["id"],)}
    assert re.fullmatch(r"fwd[a-z0-9]{6}", first.name)
    assert first.user_data == text("hello")
    nic = machines[0]["properties"]["networkProfile"]["networkInterfaces"][0]["id"]
    assert (await api.get(nic))["properties"]["virtualMachine"]["id"] == machines[0]["id"]
    balancer = await api.get(f"{NETWORK}/loadBalancers/lb")
    assert len(balancer["properties"]["backendAddressPools"][0]["properties"]["backendIPConfigurations"]) == 5
    view = await api.read(f"{FLEX}/instanceView")
    assert {"code": "PowerState/running", "count": 2} in view["virtualMachine"]["statusesSummary"]


async def test_capacity_follows_the_machines_and_makes_and_removes_them(api: ArmApi) -> None:
    await api.put(FLEX, body())
    gone = (await api.list(MACHINES))[0]
    await api.delete(gone["id"])
    assert (await api.get(FLEX))["sku"]["capacity"] == 1
    nic = gone["properties"]["networkProfile"]["networkInterfaces"][0]["id"]
    assert not api.found(nic)
    await api.put(FLEX, {"location": "westeurope", "tags": {"a": "b"}})
    assert len(nodes(api)) == 1
    await api.put(FLEX, body(3))
    assert len(nodes(api)) == 3
    name = (await api.list(MACHINES))[1]["name"]
    await api.action(FLEX, "deallocate", {"instanceIds": [name]})
    assert len(nodes(api)) == 2
    await api.action(FLEX, "delete", {"instanceIds": [name]})
    assert (await api.get(FLEX))["sku"]["capacity"] == 2
    await api.put(FLEX, body(1))
    assert len(await api.list(MACHINES)) == 1
    await api.delete(FLEX)
    assert (nodes(api), await api.list(MACHINES)) == ([], [])
    await api.delete(GROUP)


async def test_machines_are_put_into_a_scale_set_without_a_model(api: ArmApi) -> None:
    await api.put(FLEX, {"location": "westeurope", "properties": {"orchestrationMode": "Flexible"}})
    machine = await api.get(await with_machine(api))
    machine["properties"]["virtualMachineScaleSet"] = {"id": f"{FLEX}-none"}
    assert (await refused(api.put(machine["id"], machine))).code == "InvalidResourceReference"
    machine["properties"]["virtualMachineScaleSet"] = {"id": FLEX}
    await api.put(machine["id"], machine)
    assert (await api.get(FLEX))["sku"]["capacity"] == 1


async def test_what_a_flexible_scale_set_cannot_do(api: ArmApi) -> None:
    await api.put(FLEX, body())
    for verb in ("manualupgrade", "reimage"):
        error = await refused(api.action(FLEX, verb, {"instanceIds": ["*"]}))
        assert error.code == "LabFlexibleInstanceNotUpgraded"
    uniform = changed()
    uniform["properties"]["orchestrationMode"] = "Flexible"
    assert (await refused(api.put(VMSS, uniform))).code == "PropertyChangeNotAllowed"
