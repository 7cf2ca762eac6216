from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any
from unittest.mock import ANY

import pytest

from fwdlab.arm.services.compute.scale_set_instances import host_name
from support.controlplane import NETWORK, refused
from support.scale_sets import POOL, VMSS, changed, latest, machines, text, with_machine

if TYPE_CHECKING:
    from fwdlab.arm.api import ArmApi


@pytest.mark.parametrize(
    ("number", "expected"), [(0, "fwd000000"), (9, "fwd000009"), (10, "fwd00000a"), (36, "fwd000010")]
)
def test_host_names_count_in_base_36(number: int, expected: str) -> None:
    assert host_name("fwd", number) == expected


async def test_a_scale_set_runs_its_capacity(api: ArmApi) -> None:
    nodes = machines(api)
    assert list(nodes) == ["fwd000000", "fwd000001", "fwd000002"]
    first = nodes["fwd000000"]
    assert (first.address, first.backend_pool_ids) == ("10.0.1.5", (POOL["id"],))
    assert first.custom_data == "I2Nsb3VkLWNvbmZpZwo="
    listed = await api.list(f"{VMSS}/virtualMachines")
    assert [i["instanceId"] for i in listed] == ["0", "1", "2"]
    assert [i["zones"] for i in listed] == [["1"], ["2"], ["3"]]
    assert "customData" not in str(await api.get(VMSS))


async def test_scaling_takes_the_youngest_and_never_reuses_a_number(api: ArmApi) -> None:
    await api.put(VMSS, {"location": "westeurope", "sku": {"name": "B", "capacity": 2}})
    assert list(machines(api)) == ["fwd000000", "fwd000001"]
    await api.patch(VMSS, {"sku": {"capacity": 3}})
    assert list(machines(api)) == ["fwd000000", "fwd000001", "fwd000003"]
    await api.action(VMSS, "delete", {"instanceIds": ["0"]})
    assert (await api.get(VMSS))["sku"]["capacity"] == 2
    await api.delete(f"{VMSS}/virtualMachines/1")
    assert list(machines(api)) == ["fwd000003"]
    assert (await api.get(VMSS))["sku"]["capacity"] == 1


async def test_what_a_put_leaves_out_stays(api: ArmApi) -> None:
    """`az vmss scale` sends location and sku alone; tags would else be gone, and every instance out of date."""
    await api.patch(VMSS, {"tags": {"team": "network"}, "properties": {"overprovision": False}})
    await api.action(VMSS, "manualupgrade", {"instanceIds": ["*"]})
    before = await api.get(VMSS)
    more = {**before["sku"], "capacity": 4}
    await api.put(VMSS, {"location": "westeurope", "sku": more})
    assert await api.get(VMSS) == {**before, "sku": more, "etag": ANY}
    assert await latest(api) == [True] * 4


async def test_new_custom_data_needs_an_upgrade_and_a_reimage(api: ArmApi) -> None:
    before = machines(api)
    await api.put(VMSS, changed(customData=text("#cloud-config\n#2\n")))
    assert machines(api) == before
    assert await latest(api) == [False, False, False]
    await api.action(VMSS, "reimage", {"instanceIds": ["0"]})  # of the old model: not upgraded yet
    once = machines(api)["fwd000000"]
    assert once.boot_id != before["fwd000000"].boot_id
    assert once.custom_data == before["fwd000000"].custom_data
    await api.action(VMSS, "manualupgrade", {"instanceIds": ["0", "1"]})
    assert await latest(api) == [True, True, False]
    assert machines(api)["fwd000000"] == once
    await api.action(f"{VMSS}/virtualMachines/0", "reimage")
    twice = machines(api)["fwd000000"]
    assert twice.boot_id != once.boot_id
    assert twice.custom_data == text("#cloud-config\n#2\n")
    assert twice.address == once.address
    assert machines(api)["fwd000001"] == before["fwd000001"]


async def test_tags_are_part_of_the_model_and_an_unchanged_put_is_none(api: ArmApi) -> None:
    revision = api.store.revision
    await api.put(VMSS, changed())
    assert api.store.revision == revision
    await api.put(VMSS, {**changed(), "tags": {"fwdctl-config-hash": "1"}})
    assert await latest(api) == [False, False, False]


async def test_automatic_upgrades_reach_instances_at_once_but_boot_nothing(api: ArmApi) -> None:
    before = {name: node.boot_id for name, node in machines(api).items()}
    body = changed()
    body["properties"]["upgradePolicy"]["mode"] = "Automatic"
    interface = body["properties"]["virtualMachineProfile"]["networkProfile"][
        "networkInterfaceConfigurations"
    ][0]
    interface["properties"]["ipConfigurations"][0]["properties"]["loadBalancerBackendAddressPools"] = []
    await api.put(VMSS, body)
    assert await latest(api) == [True, True, True]
    assert {name: node.boot_id for name, node in machines(api).items()} == before
    assert {node.backend_pool_ids for node in machines(api).values()} == {()}


async def test_power_states(api: ArmApi) -> None:
    await api.action(VMSS, "deallocate", {"instanceIds": ["1"]})
    assert "fwd000001" not in machines(api)
    view = await api.read(f"{VMSS}/instanceView")
    counts = {s["code"]: s["count"] for s in view["virtualMachine"]["statusesSummary"]}
    assert counts["PowerState/deallocated"] == 1
    one = await api.read(f"{VMSS}/virtualMachines/1/instanceView")
    assert one["computerName"] == "fwd000001"
    assert one["vmAgent"]["statuses"][0]["displayStatus"] == "Not Ready"
    ready = (await api.read(f"{VMSS}/virtualMachines/0/instanceView"))["vmAgent"]["statuses"][0]
    assert ready == {"code": "ProvisioningState/succeeded", "level": "Info", "displayStatus": "Ready"}
    await api.action(VMSS, "start", {"instanceIds": ["*"]})
    assert len(machines(api)) == 3
    error = await refused(api.action(VMSS, "start", {"instanceIds": ["7"]}))
    assert error.code == "InvalidParameter"


@pytest.mark.parametrize(
    ("profile", "target"),
    [
        ({"customData": "not base64!"}, "osProfile.customData"),
        ({"customData": base64.b64encode(b"x" * 65536).decode()}, "osProfile.customData"),
        ({"computerNamePrefix": "x" * 59}, "osProfile.computerNamePrefix"),
        ({"computerNamePrefix": "x" * 10, "windowsConfiguration": {}}, "osProfile.computerNamePrefix"),
    ],
)
async def test_bad_profiles_are_refused_before_anything_changes(
    api: ArmApi, profile: dict[str, Any], target: str
) -> None:
    revision = api.store.revision
    for work in (api.put(VMSS, changed(**profile)), api.check(VMSS, changed(**profile))):
        error = await refused(work)
        assert (error.status, error.target) == (400, target)
    assert api.store.revision == revision


async def test_a_linux_name_may_have_58_characters_before_the_instances_own(api: ArmApi) -> None:
    own = f"{VMSS}-2"
    made = await api.put(own, changed(computerNamePrefix="x" * 58))
    assert made["properties"]["virtualMachineProfile"]["osProfile"]["computerNamePrefix"] == "x" * 58
    instance = await api.get(f"{own}/virtualMachines/0")
    assert instance["properties"]["osProfile"]["computerName"] == "x" * 58 + "000000"


async def test_the_largest_custom_data_passes(api: ArmApi) -> None:
    await api.put(VMSS, changed(customData=base64.b64encode(b"x" * 65535).decode()))


async def test_instances_are_not_written_one_by_one(api: ArmApi) -> None:
    assert (await refused(api.put(f"{VMSS}/virtualMachines/9", {}))).code == "LabInstanceReadOnly"


async def test_a_machine_is_the_node_of_its_interface(api: ArmApi) -> None:
    machine = await with_machine(api, adminPassword="secret")
    node = machines(api)["server65"]
    assert node.address == "10.0.1.9"
    shown = str(await api.get(machine))
    assert "secret" not in shown
    assert "customData" not in shown
    nic = await api.get(f"{NETWORK}/networkInterfaces/nic-server65")
    nic["properties"]["ipConfigurations"][0]["properties"]["loadBalancerBackendAddressPools"] = [POOL]
    await api.put(nic["id"], nic)
    live = machines(api)["server65"]
    assert live.backend_pool_ids == (POOL["id"],)
    assert (live.boot_id, live.address) == (node.boot_id, node.address)


async def test_a_machines_custom_data_never_changes(api: ArmApi) -> None:
    machine = await with_machine(api)
    await with_machine(api)
    error = await refused(with_machine(api, customData=text("#cloud-config\n#2\n")))
    assert (error.status, error.code) == (409, "PropertyChangeNotAllowed")
    document = await api.get(machine)
    await api.put(machine, document)
    assert machines(api)["server65"].custom_data == text("#cloud-config\n")


async def test_a_machines_user_data_changes_while_it_runs(api: ArmApi) -> None:
    machine = await with_machine(api)
    boot = machines(api)["server65"].boot_id
    document = await api.get(machine)
    document["properties"]["userData"] = text("one")
    await api.put(machine, document)
    node = machines(api)["server65"]
    assert (node.user_data, node.boot_id) == (text("one"), boot)
    assert "userData" not in str(await api.get(machine))
    assert (await api.get(machine, "userData"))["properties"]["userData"] == text("one")
    view = (await api.get(machine, "instanceView"))["properties"]["instanceView"]
    assert view["statuses"][1]["displayStatus"] == "VM running"
    assert "instanceView" not in (await api.get(machine))["properties"]
    await api.patch(machine, {"properties": {"userData": text("two")}})
    assert machines(api)["server65"].user_data == text("two")
    await with_machine(api)
    assert machines(api)["server65"].user_data == text("two")
    error = await refused(api.patch(machine, {"properties": {"userData": "no base64!"}}))
    assert (error.code, error.target) == ("InvalidParameter", "userData")


async def test_a_machine_is_stopped_and_started(api: ArmApi) -> None:
    machine = await with_machine(api)
    boot = machines(api)["server65"].boot_id
    await api.action(machine, "deallocate")
    assert "server65" not in machines(api)
    await with_machine(api)
    assert "server65" not in machines(api)
    await api.action(machine, "start")
    again = machines(api)["server65"]
    assert (again.boot_id != boot, again.address) == (True, "10.0.1.9")
    await api.action(machine, "start")
    assert machines(api)["server65"] == again
    await api.action(machine, "restart")
    assert machines(api)["server65"].boot_id != again.boot_id


async def test_an_interface_belongs_to_one_machine_and_is_freed_with_it(api: ArmApi) -> None:
    machine = await with_machine(api)
    body = await api.get(machine)
    assert (await refused(api.put(f"{machine}-2", body))).code == "NicInUse"
    nic = f"{NETWORK}/networkInterfaces/nic-server65"
    assert (await refused(api.delete(nic))).code == "NicInUse"
    await api.delete(machine)
    assert (await api.delete(nic)).status == 200


async def test_equal_host_names_become_different_nodes(api: ArmApi) -> None:
    await with_machine(api)
    await with_machine(api, "other", computerName="server65")
    names = [name for name in machines(api) if name.startswith("server65")]
    assert len(names) == 2


async def told(api: ArmApi) -> list[str]:
    """User data of the instances, as the control plane answers it when it is asked to."""
    numbers = [instance["instanceId"] for instance in await api.list(f"{VMSS}/virtualMachines")]
    shown = [await api.get(f"{VMSS}/virtualMachines/{number}", "userData") for number in numbers]
    return [one["properties"]["userData"] for one in shown]


def forwarding(content: str) -> dict[str, Any]:
    """The scale set with that user data."""
    body = changed()
    body["properties"]["virtualMachineProfile"]["userData"] = text(content)
    return body


async def test_user_data_is_shown_on_demand_only_and_stays_where_a_put_leaves_it_out(api: ArmApi) -> None:
    await api.put(VMSS, forwarding("one"))
    assert "userData" not in str(await api.get(VMSS))
    shown = await api.get(VMSS, "instanceView,userData")
    assert shown["properties"]["virtualMachineProfile"]["userData"] == text("one")
    await api.put(VMSS, changed())
    await api.patch(VMSS, {"properties": {"virtualMachineProfile": {"userData": text("two")}}})
    shown = await api.get(VMSS, "userData")
    assert shown["properties"]["virtualMachineProfile"]["userData"] == text("two")
    await api.patch(VMSS, {"properties": {"virtualMachineProfile": {"userData": ""}}})
    shown = await api.get(VMSS, "userData")
    assert shown["properties"]["virtualMachineProfile"]["userData"] == ""


async def test_new_user_data_reaches_new_instances_and_upgraded_ones_while_they_run(api: ArmApi) -> None:
    boots = {name: node.boot_id for name, node in machines(api).items()}
    body = forwarding("one")
    body["sku"]["capacity"] = 4
    await api.put(VMSS, body)
    assert await told(api) == ["", "", "", text("one")]
    assert await latest(api) == [False, False, False, True]
    await api.action(VMSS, "manualupgrade", {"instanceIds": ["1"]})
    assert await told(api) == ["", text("one"), "", text("one")]
    assert await latest(api) == [False, True, False, True]
    assert {name: node.user_data for name, node in machines(api).items()} == {
        "fwd000000": "",
        "fwd000001": text("one"),
        "fwd000002": "",
        "fwd000003": text("one"),
    }
    assert {name: node.boot_id for name, node in machines(api).items() if name in boots} == boots


async def test_an_instance_takes_user_data_of_its_own_by_a_put_and_the_models_by_a_reimage(
    api: ArmApi,
) -> None:
    before = machines(api)["fwd000000"]
    await api.put(VMSS, forwarding("one"))
    own = f"{VMSS}/virtualMachines/0"
    document = await api.get(own, "userData")
    document["properties"]["userData"] = text("mine")
    await api.put(own, document)
    assert await told(api) == [text("mine"), "", ""]
    node = machines(api)["fwd000000"]
    assert (node.user_data, node.boot_id) == (text("mine"), before.boot_id)
    assert await latest(api) == [False, False, False]
    await api.action(VMSS, "restart", {"instanceIds": ["0"]})
    assert (await told(api))[0] == text("mine")
    await api.action(own, "reimage")
    assert (await told(api))[0] == text("one")


async def test_nothing_else_of_an_instance_can_be_changed(api: ArmApi) -> None:
    own = f"{VMSS}/virtualMachines/0"
    document = await api.get(own)
    for change in ({}, {"userData": text("x"), "vmId": "other"}, {"userData": "not base64!"}):
        body = {**document, "properties": {**document["properties"], **change}}
        error = await refused(api.put(own, body))
        assert error.code in {"LabInstanceReadOnly", "InvalidParameter"}
    error = await refused(api.put(own, {**document, "tags": {"a": "b"}, "properties": {"userData": ""}}))
    assert error.code == "LabInstanceReadOnly"
    error = await refused(api.patch(own, {"properties": {"userData": text("x")}}))
    assert error.code == "LabInstanceReadOnly"
    assert await told(api) == ["", "", ""]


@pytest.mark.parametrize("mode", ["Automatic", "Rolling"])
async def test_other_upgrade_modes_hand_user_data_on_at_once(api: ArmApi, mode: str) -> None:
    body = forwarding("one")
    body["properties"]["upgradePolicy"]["mode"] = mode
    await api.put(VMSS, body)
    assert await told(api) == [text("one")] * 3
    assert await latest(api) == [True] * 3


@pytest.mark.parametrize("value", ["not base64!", base64.b64encode(b"x" * 65537).decode()])
async def test_bad_user_data_is_refused(api: ArmApi, value: str) -> None:
    body = changed()
    body["properties"]["virtualMachineProfile"]["userData"] = value
    error = await refused(api.put(VMSS, body))
    assert (error.code, error.target) == ("InvalidParameter", "userData")
