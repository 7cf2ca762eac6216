"""What a restart, a reimage and an upgrade of an instance bring: programs, images, sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from support.scale_sets import VMSS, changed, machines, text

if TYPE_CHECKING:
    from fwdlab.arm.api import ArmApi


async def test_a_restart_keeps_the_programs_of_the_disk(api: ArmApi) -> None:
    before = machines(api)["fwd000000"]
    await api.put(VMSS, changed(customData=text("#cloud-config\n#2\n")))
    await api.action(VMSS, "manualupgrade", {"instanceIds": ["0"]})
    for action in ("restart", "deallocate", "start"):
        await api.action(f"{VMSS}/virtualMachines/0", action)
    after = machines(api)["fwd000000"]
    assert (after.custom_data, after.boot_id == before.boot_id) == (before.custom_data, False)


def imaged(version: str) -> dict[str, Any]:
    body = changed()
    image = {"publisher": "Canonical", "offer": "ubuntu", "sku": "server", "version": version}
    body["properties"]["virtualMachineProfile"]["storageProfile"] = {"imageReference": image}
    return body


async def exact(api: ArmApi) -> list[str]:
    listed = await api.list(f"{VMSS}/virtualMachines")
    return [each["properties"]["storageProfile"]["imageReference"]["exactVersion"] for each in listed]


async def test_an_upgrade_brings_a_newer_image_and_a_restart_where_the_model_says_latest(
    api: ArmApi,
) -> None:
    await api.put(VMSS, imaged("latest"))
    everyone = {"instanceIds": ["*"]}
    await api.action(VMSS, "manualupgrade", everyone)
    assert await exact(api) == ["1.0.0"] * 3
    boots = [node.boot_id for node in machines(api).values()]
    await api.action(VMSS, "manualupgrade", everyone)
    assert [node.boot_id for node in machines(api).values()] == boots  # nothing newer, so nothing restarts
    api.settings.newest_image = "1.0.1"
    own = f"{VMSS}/virtualMachines/0"
    document = await api.get(own, "userData")
    document["properties"]["userData"] = text("mine")
    await api.put(own, document)  # which brings no image
    await api.action(own, "restart")
    assert await exact(api) == ["1.0.0"] * 3
    boots = [node.boot_id for node in machines(api).values()]
    await api.action(VMSS, "manualupgrade", {"instanceIds": ["1"]})
    assert await exact(api) == ["1.0.0", "1.0.1", "1.0.0"]
    renewed = [a != b.boot_id for a, b in zip(boots, machines(api).values(), strict=True)]
    assert renewed == [False, True, False]


async def test_an_upgrade_leaves_a_pinned_image_alone_and_brings_another_one(api: ArmApi) -> None:
    await api.put(VMSS, imaged("0.9.0"))
    await api.action(VMSS, "manualupgrade", {"instanceIds": ["*"]})
    boots = [node.boot_id for node in machines(api).values()]
    api.settings.newest_image = "1.0.1"
    await api.action(VMSS, "manualupgrade", {"instanceIds": ["*"]})
    assert [node.boot_id for node in machines(api).values()] == boots
    body = imaged("0.9.1")
    body["properties"]["virtualMachineProfile"]["osProfile"]["customData"] = text("#cloud-config\n#2\n")
    await api.put(VMSS, body)
    await api.action(VMSS, "manualupgrade", {"instanceIds": ["0"]})
    node = machines(api)["fwd000000"]
    assert (node.boot_id == boots[0], node.custom_data) == (False, text("#cloud-config\n#2\n"))
    assert await exact(api) == ["0.9.1", "0.9.0", "0.9.0"]


async def test_an_upgrade_to_another_size_restarts_without_new_programs(api: ArmApi) -> None:
    before = machines(api)["fwd000000"]
    body = changed(customData=text("#cloud-config\n#2\n"))
    body["sku"]["name"] = "Standard_B1s"
    await api.put(VMSS, body)
    await api.action(VMSS, "manualupgrade", {"instanceIds": ["0"]})
    after = machines(api)["fwd000000"]
    assert (after.custom_data, after.boot_id == before.boot_id) == (before.custom_data, False)
    assert (await api.get(f"{VMSS}/virtualMachines/0"))["sku"]["name"] == "Standard_B1s"
