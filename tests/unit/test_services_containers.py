from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from fwdlab.arm.operations import status_document
from fwdlab.errors import LabError
from support.controlplane import GROUP, NETWORK, PROVIDERS, FakeDataPlane, box_body, new_api, refused, seed

if TYPE_CHECKING:
    from fwdlab.arm.api import ArmApi
    from fwdlab.model import NodeSpec

BOX = f"{PROVIDERS}/Microsoft.ContainerInstance/containerGroups/jump"


def node(api: ArmApi) -> NodeSpec | None:
    return api.store.require(BOX).node


async def state(api: ArmApi) -> str:
    found: str = (await api.get(BOX))["properties"]["instanceView"]["state"]
    return found


async def test_a_new_group_runs_its_command_with_its_environment(api: ArmApi) -> None:
    running = node(api)
    assert running is not None
    assert (running.kind, running.command, running.address) == (
        "container",
        ("sleep", "3600"),
        "10.1.16.4",
    )
    assert dict(running.environment) == {"PLAIN": "1", "SECRET": "hidden"}
    document = await api.get(BOX)
    assert "hidden" not in str(document)
    assert document["properties"]["ipAddress"]["ip"] == "10.1.16.4"
    container = document["properties"]["containers"][0]["properties"]
    assert container["instanceView"]["currentState"]["state"] == "Running"
    assert await state(api) == "Running"


async def test_an_unchanged_definition_neither_restarts_nor_starts(api: ArmApi) -> None:
    before, revision = node(api), api.store.revision
    await api.put(BOX, box_body(NETWORK))
    assert (node(api), api.store.revision) == (before, revision)
    await api.action(BOX, "stop")
    await api.put(BOX, {**box_body(NETWORK), "tags": {"a": "b"}})
    assert (node(api), await state(api)) == (None, "Stopped")


async def test_a_changed_definition_starts_afresh(api: ArmApi) -> None:
    before = node(api)
    body = box_body(NETWORK)
    body["properties"]["containers"][0]["properties"]["command"] = ["sleep", "60"]
    await api.put(BOX, body)
    after = node(api)
    assert before is not None
    assert after is not None
    assert after.boot_id != before.boot_id
    assert after.command == ("sleep", "60")


async def test_stop_and_start_as_recorded_from_the_service(api: ArmApi) -> None:
    first = node(api)
    assert (await api.post(BOX, "start")).operation is None
    stopped = await api.post(BOX, "stop")
    assert (stopped.status, stopped.operation, await state(api)) == (204, None, "Stopped")
    assert node(api) is None
    view = (await api.get(BOX))["properties"]["containers"][0]["properties"]["instanceView"]
    assert view["previousState"]["state"] == "Running"
    assert view["currentState"]["detailStatus"] == "Container stopped per client request"
    assert "exitCode" not in view["currentState"]
    assert (await refused(api.post(BOX, "restart"))).code == "ContainerGroupStopped"
    started = await api.post(BOX, "start")
    assert started.status == 204
    assert started.operation is not None
    assert (started.operation.kind, started.operation.retry_after) == ("async", None)
    document = status_document(started.operation)
    assert (document["status"], document["properties"]) == ("Succeeded", {"events": []})
    again = node(api)
    assert first is not None
    assert again is not None
    assert again.boot_id != first.boot_id


async def test_a_slow_start_can_be_watched(api: ArmApi) -> None:
    await api.action(BOX, "stop")
    api.settings.start_seconds = 0.05
    operation = (await api.post(BOX, "start")).operation
    assert operation is not None
    assert (operation.status, await state(api), node(api)) == ("Pending", "Pending", None)
    for work in (api.post(BOX, "start"), api.post(BOX, "stop"), api.put(BOX, box_body(NETWORK))):
        error = await refused(work)
        assert (error.status, error.code) == (409, "ContainerGroupTransitioning")
    await asyncio.gather(*api.world.tasks)
    assert (operation.status, await state(api)) == ("Succeeded", "Running")
    await api.close()


async def test_a_start_that_fails_leaves_a_failed_group(api: ArmApi) -> None:
    await api.action(BOX, "stop")
    api.settings.start_error = ("InaccessibleImage", "The image is not accessible.")
    operation = (await api.post(BOX, "start")).operation
    assert operation is not None
    assert status_document(operation)["error"]["code"] == "InaccessibleImage"
    assert (await state(api), node(api)) == ("Failed", None)
    api.settings.start_error = None
    await api.post(BOX, "start")
    assert await state(api) == "Running"


async def test_a_group_deleted_while_it_starts_stays_away(api: ArmApi) -> None:
    await api.action(BOX, "stop")
    api.settings.start_seconds = 0.01
    operation = (await api.post(BOX, "start")).operation
    await api.delete(BOX)
    await asyncio.gather(*api.world.tasks)
    assert operation is not None
    assert operation.status == "Failed"
    assert not api.found(BOX)


@pytest.mark.parametrize(
    ("policy", "code", "expected"),
    [
        ("Never", 0, "Succeeded"),
        ("Never", 3, "Failed"),
        ("OnFailure", 0, "Succeeded"),
        ("OnFailure", 3, "Running"),
        ("Always", 0, "Running"),
    ],
)
async def test_a_process_that_ends_is_treated_by_the_restart_policy(
    api: ArmApi, policy: str, code: int, expected: str
) -> None:
    body = box_body(NETWORK)
    body["properties"]["restartPolicy"] = policy
    await api.put(BOX, body)
    before = node(api)
    assert before is not None
    api.container_ended(before.name, before.boot_id, code)
    assert await state(api) == expected
    after = node(api)
    assert (after is None) == (expected != "Running")
    view = (await api.get(BOX))["properties"]["containers"][0]["properties"]["instanceView"]
    if after is None:
        assert view["currentState"]["exitCode"] == code
        await api.action(BOX, "stop")
        assert await state(api) == expected
    else:
        assert after.boot_id != before.boot_id
        assert view["restartCount"] == 1
        api.container_ended(before.name, before.boot_id, code)  # old news
        assert node(api) == after


def wrong(**properties: Any) -> dict[str, Any]:
    body = box_body(NETWORK)
    body["properties"] |= properties
    return body


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (wrong(containers=[]), "LabOneContainerOnly"),
        (wrong(containers=[{"name": "x"}]), "InvalidRequestContent"),
        (wrong(restartPolicy="Sometimes"), "InvalidRestartPolicy"),
        (wrong(subnetIds=[]), "LabContainerGroupNeedsSubnet"),
        (wrong(subnetIds=[{"id": f"{NETWORK}/virtualNetworks/hub/subnets/no"}]), "InvalidResourceReference"),
        (
            wrong(subnetIds=[{"id": f"{NETWORK}/virtualNetworks/hub/subnets/shared"}]),
            "SubnetMissingRequiredDelegation",
        ),
    ],
)
async def test_groups_that_cannot_be(api: ArmApi, body: dict[str, Any], code: str) -> None:
    assert (await refused(api.put(f"{BOX}2", body))).code == code


async def test_changes_of_nodes_wait_for_the_data_plane() -> None:
    plane = FakeDataPlane()
    api = new_api(plane)
    await seed(api, GROUP)
    assert plane.settled_at[-1] == api.store.revision
    await api.action(BOX, "stop")
    assert plane.settled_at[-1] == api.store.revision
    await api.delete(GROUP)
    assert plane.settled_at[-1] == api.store.revision


async def test_logs_come_from_the_node(api: ArmApi) -> None:
    assert await api.read(f"{BOX}/containers/jump/logs") == {"content": "log of jump\n"}
    assert (await refused(api.post(f"{BOX}/containers/jump", "attach"))).code == "LabOperationNotSupported"
    await api.action(BOX, "stop")
    assert (await refused(api.read(f"{BOX}/containers/jump/logs"))).code == "ContainerGroupStopped"


async def test_a_kernel_that_refuses_is_an_error_of_the_request() -> None:
    class Refusing(FakeDataPlane):
        async def settled(self, revision: int) -> None:
            raise LabError("node_failed", "no more namespaces")

    error = await refused(seed(new_api(Refusing()), GROUP))
    assert (error.status, error.code) == (500, "LabDataPlaneFailed")
    assert "no more namespaces" in error.message
