"""Machines with two network interfaces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fwdlab.model import Nic
from support.controlplane import NETWORK, refused
from support.scale_sets import POOL, SHARED, VMSS, changed, machines, with_machine

if TYPE_CHECKING:
    from fwdlab.arm.api import ArmApi


async def test_a_machine_has_a_second_interface(api: ArmApi) -> None:
    machine = await with_machine(api)
    before = machines(api)["server65"]
    nic = f"{NETWORK}/networkInterfaces/nic-second"
    own: dict[str, Any] = {"ipConfigurations": [{"name": "ip", "properties": {"subnet": SHARED}}]}
    await api.put(nic, {"location": "westeurope", "properties": {**own, "enableIPForwarding": True}})
    document = await api.get(machine)
    interfaces = document["properties"]["networkProfile"]["networkInterfaces"]
    interfaces.append({"id": nic})
    assert (await refused(api.put(machine, document))).code == "NetworkInterfaceMustHavePrimaryPropertySet"
    interfaces.insert(0, interfaces.pop())
    interfaces[1]["properties"] = {"primary": True}
    await api.put(machine, document)
    node = machines(api)["server65"]
    assert (node.address, node.boot_id, node.forwards) == (before.address, before.boot_id, False)
    assert node.second == Nic(SHARED["id"], "10.0.1.10", forwards=True)
    shown = (await api.get(nic))["properties"]
    assert (shown["primary"], shown["virtualMachine"]["id"]) == (False, machine)
    assert (await refused(api.delete(nic))).code == "NicInUse"
    del interfaces[0]
    await api.put(machine, document)
    assert machines(api)["server65"] == before
    await api.delete(nic)
    interfaces *= 3
    assert (await refused(api.put(machine, document))).code == "LabInterfacesNotSupported"


async def test_who_has_an_interface_is_not_the_clients_to_say(api: ArmApi) -> None:
    """Terraform writes back what it has read, also when the machine has gone meanwhile."""
    machine = await with_machine(api)
    nic = f"{NETWORK}/networkInterfaces/nic-server65"
    read = await api.get(nic)
    await api.delete(machine)
    written = await api.put(nic, read)
    assert "virtualMachine" not in written["properties"]
    assert written["properties"]["macAddress"] == read["properties"]["macAddress"]
    await api.delete(nic)


async def test_empty_capabilities_of_a_machine_are_not_answered(api: ArmApi) -> None:
    machine = await api.get(await with_machine(api))
    machine["properties"]["additionalCapabilities"] = {}
    assert "additionalCapabilities" not in (await api.put(machine["id"], machine))["properties"]


async def test_interfaces_of_a_machine_are_in_one_network(api: ArmApi) -> None:
    machine = await with_machine(api)
    nic = f"{NETWORK}/networkInterfaces/nic-elsewhere"
    subnet = {"id": f"{NETWORK}/virtualNetworks/spoke/subnets/linked"}
    configuration = {"name": "ip", "properties": {"subnet": subnet}}
    await api.put(nic, {"location": "westeurope", "properties": {"ipConfigurations": [configuration]}})
    document = await api.get(machine)
    interfaces = document["properties"]["networkProfile"]["networkInterfaces"]
    interfaces[0]["properties"] = {"primary": True}
    interfaces.append({"id": nic})
    assert (await refused(api.put(machine, document))).code == "LabInterfacesOfOneNetwork"


async def test_instances_have_a_second_interface(api: ArmApi) -> None:
    body = changed()
    profile = body["properties"]["virtualMachineProfile"]["networkProfile"]
    first = profile["networkInterfaceConfigurations"][0]
    address = {"name": "ip", "properties": {"subnet": SHARED}}
    second = {"name": "back", "properties": {"ipConfigurations": [address], "enableIPForwarding": True}}
    profile["networkInterfaceConfigurations"] = [second, first]
    await api.put(VMSS, body)
    assert machines(api)["fwd000000"].second is None
    await api.action(VMSS, "manualupgrade", {"instanceIds": ["0"]})
    node = machines(api)["fwd000000"]
    assert (node.address, node.backend_pool_ids) == ("10.0.1.5", (POOL["id"],))
    assert node.second is not None
    assert node.second.forwards
    listed = await api.read(f"{VMSS}/virtualMachines/0/networkInterfaces")
    assert [nic["properties"]["primary"] for nic in listed["value"]] == [True, False]
