"""Writes over HTTPS go on after their answer, and obey conditions, as in the service."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from azure.mgmt.network import NetworkManagementClient

from fwdlab.arm.writes import Writes
from support.arm_clients import Client, Reply, served, with_client
from support.controlplane import Endpoint, box_body, vnet

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NET = vnet({"a": "10.9.0.0/24"}, "10.9.0.0/16")


def address(client: Client, rest: str) -> str:
    return f"{client.endpoint.group}/providers/{rest}"


_held: list[Callable[[], None]] = []


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes on ends only while `polled` waits for it, however long a test takes to get there."""
    end = Writes._end
    _held.clear()
    monkeypatch.setattr(Writes, "_end", lambda *what: _held.append(lambda: end(*what)))


async def polled(client: Client, reply: Reply) -> list[str]:
    """The states until the end."""
    states: list[str] = []
    for _ in range(200):
        states.append((await client("GET", reply.headers["Azure-AsyncOperation"])).body["status"])
        if states[-1] != "InProgress":
            return [state for state, _ in itertools.groupby(states)]
        while _held:
            _held.pop()()
        await asyncio.sleep(0.01)
    raise AssertionError(states)


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize(
    ("rest", "body", "state"),
    [
        ("Microsoft.Network/virtualNetworks/new", NET, "Updating"),
        (
            "Microsoft.Network/virtualNetworks/hub/subnets/new",
            {"properties": {"addressPrefix": "10.0.1.192/26"}},
            "Updating",
        ),
        ("Microsoft.ContainerInstance/containerGroups/new", None, "Pending"),
    ],
)
def test_a_write_goes_on_after_its_answer(tmp_path: Path, rest: str, body: Any, state: str) -> None:
    async def scene(client: Client) -> None:
        path = address(client, rest)
        sent = body or box_body(address(client, "Microsoft.Network"))
        client.endpoint.api.settings.change_seconds = 0.1
        made = await client("PUT", path, sent)
        assert (made.status, made.body["properties"]["provisioningState"]) == (201, state)
        assert made.headers["x-ms-retry-after-ms"] == "100"
        seen = await client("GET", path)
        assert seen.body["properties"]["provisioningState"] == state
        assert await polled(client, made) == ["InProgress", "Succeeded"]
        done = await client("GET", path)
        assert done.body["properties"]["provisioningState"] == "Succeeded"
        assert (await client("PUT", path, sent)).status == 200

    served(tmp_path, scene)


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize(
    "rest", ["virtualMachineScaleSets/fwd", "virtualMachineScaleSets/fwd/virtualMachines/0"]
)
def test_what_is_done_to_machines_goes_on_after_its_answer(tmp_path: Path, rest: str) -> None:
    """Without that `az vm restart` and its like end in a traceback: they show how the operation ended."""

    async def scene(client: Client) -> None:
        path = address(client, f"Microsoft.Compute/{rest}")
        client.endpoint.api.settings.change_seconds = 0.1
        for verb in ("poweroff", "start"):
            done = await client("POST", f"{path}/{verb}")
            assert (done.status, done.body) == (202, b"")
            shown = await client("GET", path)
            assert shown.body["properties"]["provisioningState"] == "Updating"
            assert await polled(client, done) == ["InProgress", "Succeeded"]
            ended = (await client("GET", done.headers["Azure-AsyncOperation"])).body
            assert {"name", "startTime", "endTime", "status"} <= ended.keys()
        gone = await client("DELETE", path)
        assert gone.status == 202
        assert await polled(client, gone) == ["InProgress", "Succeeded"]

    served(tmp_path, scene)


@pytest.mark.usefixtures("held")
def test_a_private_zone_and_its_links_answer_202_without_a_document(tmp_path: Path) -> None:
    """As recorded by az (azure-cli, privatedns: test_PutZone_ZoneNotExists_ExpectZoneCreated and others)."""
    zone = "Microsoft.Network/privateDnsZones/other.internal"

    async def scene(client: Client) -> None:
        client.endpoint.api.settings.change_seconds = 0.1
        network = {"id": address(client, "Microsoft.Network/virtualNetworks/hub")}
        link = {"location": "global", "properties": {"virtualNetwork": network}}
        for rest, body in ((zone, {"location": "global"}), (f"{zone}/virtualNetworkLinks/l", link)):
            path = address(client, rest)
            for method, sent in (("PUT", body), ("PUT", body), ("PATCH", {"tags": {"a": "b"}})):
                made = await client(method, path, sent)
                assert (made.status, made.body) == (202, {})
                where = made.headers["Azure-AsyncOperation"].partition("?")[0].rpartition("/")[0]
                assert where.endswith(
                    f"{client.endpoint.group}/providers/Microsoft.Network/privateDnsOperationStatuses"
                )
                waiting = await client("GET", made.headers["Location"])
                assert (waiting.status, waiting.body) == (202, b"")
                assert (await client("GET", made.headers["Azure-AsyncOperation"])).status == 202
                assert await polled(client, made) == ["InProgress", "Succeeded"]
                ended = await client("GET", made.headers["Location"])
                assert (ended.status, ended.body["id"]) == (200, path)
        assert (await client("GET", path)).body["tags"] == {"a": "b"}
        record = await client("PUT", address(client, f"{zone}/A/a"), {"properties": {"ttl": 5}})
        assert (record.status, "Azure-AsyncOperation" in record.headers) == (201, False)
        gone = await client("DELETE", path)
        assert gone.status == 202
        assert await polled(client, gone) == ["InProgress", "Succeeded"]
        assert (await client("GET", gone.headers["Location"])).status == 200
        assert (await client("GET", path)).status == 404

    served(tmp_path, scene)


def test_a_version_that_no_header_may_have_is_answered(tmp_path: Path) -> None:
    async def scene(client: Client) -> None:
        client.endpoint.api.settings.change_seconds = 0.1
        zone = address(client, "Microsoft.Network/privateDnsZones/z.internal")
        made = await client("PUT", f"{zone}?api-version=%00%0a", {"location": "global"})
        assert (await client("GET", made.headers["Location"])).status in {200, 202}

    served(tmp_path, scene)


@pytest.mark.usefixtures("held")
def test_a_deletion_goes_on_after_its_answer(tmp_path: Path) -> None:
    async def scene(client: Client) -> None:
        path = address(client, "Microsoft.Network/virtualNetworks/new")
        await client("PUT", path, NET)
        client.endpoint.api.settings.change_seconds = 0.1
        gone = await client("DELETE", path)
        assert (gone.status, gone.body) == (202, b"")
        assert (await client("GET", path)).body["properties"]["provisioningState"] == "Deleting"
        assert await polled(client, gone) == ["InProgress", "Succeeded"]
        assert (await client("GET", path)).status == 404
        assert (await client("DELETE", path)).status == 204

    served(tmp_path, scene)


def test_seconds_are_said_in_the_usual_header(tmp_path: Path) -> None:
    async def scene(client: Client) -> None:
        settings = client.endpoint.api.settings
        settings.change_seconds, settings.retry_after = 15.0, 10
        made = await client("PUT", address(client, "Microsoft.Network/virtualNetworks/new"), NET)
        assert made.headers["Retry-After"] == "10"
        settings.change_seconds = 0.0
        made = await client("PUT", address(client, "Microsoft.Network/virtualNetworks/third"), NET)
        assert "Azure-AsyncOperation" not in made.headers
        assert made.body["properties"]["provisioningState"] == "Succeeded"

    served(tmp_path, scene)


def test_etags_change_with_each_write_and_conditions_are_obeyed(tmp_path: Path) -> None:
    async def scene(client: Client) -> None:
        path = address(client, "Microsoft.Network/virtualNetworks/hub")
        before = await client("GET", path)
        etag = before.headers["ETag"]
        (subnet,) = before.body["properties"]["subnets"]
        assert before.body["etag"] == subnet["etag"] == etag
        again = await client("PUT", path, before.body, headers={"If-Match": f'"earlier", {etag}'})
        assert again.status == 200
        assert again.headers["ETag"] == again.body["etag"] != etag
        assert again.body["properties"]["resourceGuid"] == before.body["properties"]["resourceGuid"]
        for method, condition in (
            ("PUT", {"If-Match": etag}),
            ("PUT", {"If-None-Match": "*"}),
            ("PATCH", {"If-Match": etag}),
            ("DELETE", {"If-Match": etag}),
        ):
            refused = await client(method, path, before.body, headers=condition)
            assert (refused.status, refused.body["error"]["code"]) == (412, "PreconditionFailed")
        missing = address(client, "Microsoft.Network/virtualNetworks/none")
        assert (await client("PUT", missing, NET, headers={"If-Match": "*"})).status == 412
        assert (await client("PUT", missing, NET, headers={"If-None-Match": "*"})).status == 201

    served(tmp_path, scene)


def test_every_type_that_has_etags_obeys_conditions(tmp_path: Path) -> None:
    async def scene(client: Client) -> None:
        without = set()
        for one in client.endpoint.api.store.list():
            before = (await client("GET", one.id)).body
            if "etag" not in before:
                without.add(one.type.rpartition("/")[2])
                continue
            for method in ("PUT", "PATCH", "DELETE"):
                refused = await client(method, one.id, before, headers={"If-Match": '"earlier"'})
                assert (refused.status, one.id) == (412, one.id)
            assert (await client("PUT", one.id, before, headers={"If-None-Match": "*"})).status == 412
            assert (await client("GET", one.id)).body["etag"] == before["etag"]
        assert without == {"resourceGroups", "containerGroups"}
        sent = {"location": "westeurope"}
        put = await client("PUT", client.endpoint.group, sent, headers={"If-Match": '"any"'})
        assert put.status == 200

    served(tmp_path, scene)


def test_a_zone_is_created_once(tmp_path: Path) -> None:
    async def scene(client: Client) -> None:
        path = address(client, "Microsoft.Network/privateDnsZones/corp.internal")
        refused = await client("PUT", path, {"location": "global"}, headers={"If-None-Match": "*"})
        assert refused.status == 412
        assert "exists already" in refused.body["error"]["message"]

    served(tmp_path, scene)


def test_a_doubled_slash_is_a_slash(tmp_path: Path) -> None:
    async def scene(client: Client) -> None:
        path = address(client, "Microsoft.Network//virtualNetworks/hub")
        found = await client("GET", path.replace("resourceGroups", "resourcegroups"))
        assert found.status == 200
        assert found.body["id"] == path.replace("//v", "/v")

    served(tmp_path, scene)


def test_clients_of_azure_poll_to_the_end(tmp_path: Path) -> None:
    def scene(client: Any, endpoint: Endpoint) -> None:
        endpoint.api.settings.change_seconds = 0.05
        group = endpoint.group.rpartition("/")[2]
        made = client.virtual_networks.begin_create_or_update(group, "new", NET).result()
        assert made.provisioning_state == "Succeeded"
        client.virtual_networks.begin_delete(group, "new").result()
        assert "new" not in {one.name for one in client.virtual_networks.list(group)}
        asked = endpoint.log.tail()
        assert sum("/operations/" in line["path"] for line in asked) >= 2

    with_client(tmp_path, NetworkManagementClient, scene)
