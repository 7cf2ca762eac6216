from __future__ import annotations

import asyncio
import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from fwdlab.arm.errors import ArmError
from fwdlab.arm.ids import ResourceId
from fwdlab.arm.operations import status_document
from fwdlab.arm.services.container_instance.container_groups import Containers
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
    assert (running.kind, running.address) == ("container", "10.1.16.4")
    (container,) = running.containers
    assert (container.name, container.command) == ("jump", ("sleep", "3600"))
    assert dict(container.environment) == {"PLAIN": "1", "SECRET": "hidden"}
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
    assert after.containers[0].command == ("sleep", "60")


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
    (container,) = before.containers
    api.container_ended(before.name, before.boot_id, container, code)
    assert await state(api) == expected
    after = node(api)
    assert (after is None) == (expected != "Running")
    view = (await api.get(BOX))["properties"]["containers"][0]["properties"]["instanceView"]
    if after is None:
        assert view["currentState"]["exitCode"] == code
        await api.action(BOX, "stop")
        assert await state(api) == expected
    else:
        # The container starts again, the group keeps its node and address.
        assert (after.boot_id, after.address) == (before.boot_id, before.address)
        assert after.containers[0].restarts == 1
        assert (view["restartCount"], view["previousState"]["exitCode"]) == (1, code)
        api.container_ended(before.name, before.boot_id, container, code)  # old news
        assert node(api) == after


async def test_an_ended_group_is_not_updated_and_no_group_moves(api: ArmApi) -> None:
    body = box_body(NETWORK)
    body["properties"]["restartPolicy"] = "Never"
    await api.put(BOX, body)
    moved = copy.deepcopy(body)
    moved["properties"]["subnetIds"] = [{"id": f"{NETWORK}/virtualNetworks/spoke/subnets/linked"}]
    assert (await refused(api.put(BOX, moved))).code == "LabContainerGroupSubnetCannotChange"
    before = node(api)
    assert before is not None
    api.container_ended(before.name, before.boot_id, before.containers[0], 0)
    await api.put(BOX, body)  # unchanged
    body["properties"]["containers"][0]["properties"]["command"] = ["sleep", "60"]
    assert (await refused(api.put(BOX, body))).code == "LabContainerGroupEnded"
    await api.delete(BOX)
    await api.put(BOX, body)
    assert await state(api) == "Running"


def wrong(**properties: Any) -> dict[str, Any]:
    body = box_body(NETWORK)
    body["properties"] |= properties
    return body


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (wrong(containers=[]), "LabContainersNotValid"),
        (wrong(containers=box_body(NETWORK)["properties"]["containers"] * 2), "LabContainersNotValid"),
        (wrong(networkProfile={"id": f"{NETWORK}/networkProfiles/p"}), "LabNetworkProfileNotSupported"),
        (wrong(containers=[{"name": "x"}]), "InvalidRequestContent"),
        (wrong(restartPolicy="Sometimes"), "InvalidRestartPolicy"),
        (wrong(subnetIds=[], ipAddress={"type": "Private"}), "LabPrivateAddressNeedsSubnet"),
        (wrong(subnetIds=[{"id": f"{NETWORK}/virtualNetworks/hub/subnets/no"}]), "InvalidResourceReference"),
        (
            wrong(subnetIds=[{"id": f"{NETWORK}/virtualNetworks/hub/subnets/shared"}]),
            "SubnetMissingRequiredDelegation",
        ),
    ],
)
async def test_groups_that_cannot_be(api: ArmApi, body: dict[str, Any], code: str) -> None:
    assert (await refused(api.put(f"{BOX}2", body))).code == code


def two_containers(policy: str = "Never") -> dict[str, Any]:
    body = box_body(NETWORK)
    body["properties"]["restartPolicy"] = policy
    helper = {"image": "i", "command": ["tail", "-f", "/dev/null"], "ports": [{"port": 9000}]}
    helper["environmentVariables"] = [{"name": "SECRET", "secureValue": "other"}]
    body["properties"]["containers"].append({"name": "helper", "properties": helper})
    return body


async def test_containers_of_a_group_share_a_node_and_nothing_else(api: ArmApi) -> None:
    await api.put(BOX, two_containers())
    running = node(api)
    assert running is not None
    jump, helper = running.containers
    assert dict(jump.environment)["SECRET"] == "hidden"
    assert (helper.command[0], dict(helper.environment)) == ("tail", {"SECRET": "other"})
    assert (await api.get(BOX))["properties"]["ipAddress"]["ports"] == [{"port": 9000}]
    log = await api.read(f"{BOX}/containers/helper/logs")
    assert log == {"content": "log of helper in jump\n"}
    assert (await refused(api.read(f"{BOX}/containers/other/logs"))).code == "ContainerNotFound"
    await api.put(BOX, {**two_containers(), "tags": {"a": "b"}})
    assert node(api) == running


async def test_a_group_lives_as_long_as_one_of_its_containers(api: ArmApi) -> None:
    await api.put(BOX, two_containers())
    running = node(api)
    assert running is not None
    jump, helper = running.containers
    api.container_ended(running.name, running.boot_id, jump, 3)
    assert (await state(api), node(api)) == ("Running", running)
    views = [one["properties"]["instanceView"] for one in (await api.get(BOX))["properties"]["containers"]]
    assert [view["currentState"]["state"] for view in views] == ["Terminated", "Running"]
    containers = api.world.provider("Microsoft.ContainerInstance/containerGroups/containers")
    assert isinstance(containers, Containers)
    with pytest.raises(ArmError, match="has ended"):
        containers.running(ResourceId.parse(f"{BOX}/containers/jump"))
    assert (await api.read(f"{BOX}/containers/jump/logs"))["content"]
    api.container_ended(running.name, running.boot_id, helper, 0)
    assert (await state(api), node(api)) == ("Failed", None)
    views = [one["properties"]["instanceView"] for one in (await api.get(BOX))["properties"]["containers"]]
    assert [view["currentState"]["exitCode"] for view in views] == [3, 0]


async def test_a_container_that_is_restarted_leaves_the_others_alone(api: ArmApi) -> None:
    await api.put(BOX, two_containers("OnFailure"))
    running = node(api)
    assert running is not None
    jump, helper = running.containers
    api.container_ended(running.name, running.boot_id, helper, 1)
    after = node(api)
    assert after is not None
    assert after.boot_id == running.boot_id
    assert after.containers == (jump, replace(helper, restarts=1))


@pytest.mark.parametrize("public", [False, True])
async def test_a_group_without_a_subnet_has_no_address_inside(api: ArmApi, *, public: bool) -> None:
    body = wrong(subnetIds=[])
    if public:
        body["properties"]["ipAddress"] = {"type": "Public", "ports": [{"port": 80}], "dnsNameLabel": "box"}
    made = await api.put(f"{BOX}2", body)
    found = api.store.require(f"{BOX}2").node
    assert found is not None
    assert (found.subnet_id, found.address) == ("", "")
    if public:
        shown = made["properties"]["ipAddress"]
        assert (shown["ip"], shown["fqdn"]) == ("203.0.113.1", "box.westeurope.azurecontainer.io")
        assert any("leads nowhere" in warning for warning in api.warnings)
        address = await api.put(f"{NETWORK}/publicIPAddresses/p", {"location": "westeurope"})
        assert address["properties"]["ipAddress"] == "203.0.113.2"
        await api.action(f"{BOX}2", "stop")
        await api.action(f"{BOX}2", "start")
        assert (await api.get(f"{BOX}2"))["properties"]["ipAddress"]["ip"] == "203.0.113.1"
    else:
        assert "ipAddress" not in made["properties"]


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
    assert await api.read(f"{BOX}/containers/jump/logs") == {"content": "log of jump in jump\n"}
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
