"""What the endpoint answers over HTTPS."""

from __future__ import annotations

import asyncio
import io
import json
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from fwdlab.arm.http import Answer
from fwdlab.errors import LabError
from fwdlab.model import ProbeHealth
from support.arm_clients import Client, served

if TYPE_CHECKING:
    from pathlib import Path

    from fwdlab.arm.http import ArmRequest


_TOO_MUCH = 16 * 1024 * 1024 + 1


def test_every_arm_path_needs_a_token(tmp_path: Path) -> None:
    async def scene(client: Client) -> None:
        for path in ("/subscriptions", client.endpoint.group, "/providers", "/nonsense"):
            reply = await client("GET", path, token="")
            assert (reply.status, reply.body["error"]["code"]) == (401, "AuthenticationFailed")
            assert "WWW-Authenticate" in reply.headers

    served(tmp_path, scene)


def test_a_tenants_token_is_for_its_own_subscriptions(tmp_path: Path) -> None:
    async def scene(client: Client) -> None:
        own, others = client.endpoint.credentials.tenants
        token, _ = client.endpoint.server.authority.issue(client.endpoint.server.base_url, others)
        theirs = (await client("GET", "/subscriptions", token=token)).body["value"]
        assert [each["subscriptionId"] for each in theirs] == list(others.subscriptions)
        assert {each["tenantId"] for each in theirs} == {others.tenant_id}
        tenants = (await client("GET", "/tenants", token=token)).body["value"]
        assert [each["tenantId"] for each in tenants] == [others.tenant_id]
        group = f"/subscriptions/{next(iter(others.subscriptions))}/resourceGroups/rg"
        assert (await client("PUT", group, {"location": "westeurope"}, token=token)).status == 201
        for path, wrong in ((group, ""), (client.endpoint.group, token)):
            reply = await client("GET", path, **({"token": wrong} if wrong else {}))
            assert (reply.status, reply.body["error"]["code"]) == (401, "InvalidAuthenticationTokenTenant")
        listed = (await client("GET", "/subscriptions")).body["value"]
        assert [each["subscriptionId"] for each in listed] == list(own.subscriptions)

    served(tmp_path, scene)


def test_subscriptions_show_their_own_resources_only(tmp_path: Path) -> None:
    async def scene(client: Client) -> None:
        listed = (await client("GET", "/subscriptions")).body["value"]
        first, second = (each["id"] for each in listed)
        assert client.endpoint.group.startswith(first)
        group = client.endpoint.group.replace(first, second)
        assert (await client("GET", f"{group}/resources")).status == 404
        assert (await client("PUT", group, {"location": "westeurope"})).status == 201
        assert (await client("GET", f"{group}/resources")).body["value"] == []
        assert [each["id"] for each in (await client("GET", f"{second}/resourcegroups")).body["value"]] == [
            group
        ]
        assert (await client("DELETE", group)).status == 202
        expanded = (await client("GET", f"{first}/resources?$expand=createdTime")).body["value"]
        assert expanded
        assert all(datetime.fromisoformat(each["createdTime"]).tzinfo for each in expanded)

    served(tmp_path, scene)


def test_what_azd_must_find_in_listings(tmp_path: Path) -> None:
    async def scene(client: Client) -> None:
        api = client.endpoint.api
        subscription = (await client("GET", "/subscriptions")).body["value"][0]
        assert subscription["subscriptionId"] == api.subscription_id
        assert {"tenantId", "displayName", "state"} <= subscription.keys()
        assert (await client("GET", "/tenants")).body["value"][0]["tenantId"] == api.tenant_id
        base = f"/subscriptions/{api.subscription_id}"
        for location in (await client("GET", f"{base}/locations")).body["value"]:
            assert location["metadata"]["regionType"] == "Physical"
            assert location["metadata"]["physicalLocation"]
        query = "?$filter=tagName%20eq%20'azd-env-name'%20and%20tagValue%20eq%20'test'"
        groups = (await client("GET", f"{base}/resourcegroups{query}")).body["value"]
        assert [g["name"] for g in groups] == ["rg-test"]
        assert {"id", "name", "type", "location"} <= groups[0].keys()
        assert (await client("GET", f"{base}/resourcegroups{query[:-5]}x'")).body["value"] == []
        listed = (await client("GET", f"{client.endpoint.group}/resources")).body["value"]
        assert listed
        for resource in listed:
            assert all(resource[name] for name in ("id", "name", "type", "location"))
        kinds = {r["type"] for r in listed}
        assert "Microsoft.Network/privateLinkServices" in kinds
        assert "Microsoft.Compute/virtualMachineScaleSets/virtualMachines" not in kinds
        assert (await client("HEAD", client.endpoint.group)).status == 204
        assert (await client("HEAD", f"{client.endpoint.group}-none")).status == 404

    served(tmp_path, scene)


def test_providers_are_registered_with_their_types(tmp_path: Path) -> None:
    async def scene(client: Client) -> None:
        base = f"/subscriptions/{client.endpoint.api.subscription_id}/providers"
        network = (await client("GET", f"{base}/microsoft.network")).body
        assert (network["namespace"], network["registrationState"]) == ("Microsoft.Network", "Registered")
        names = {t["resourceType"] for t in network["resourceTypes"]}
        assert {"virtualNetworks", "virtualNetworks/subnets", "privateDnsZones/A"} <= names
        assert (await client("POST", f"{base}/Microsoft.Network/register")).status == 200
        assert (await client("GET", f"{base}/Microsoft.Nothing")).status == 404

    served(tmp_path, scene)


def test_put_get_patch_delete(tmp_path: Path) -> None:
    async def scene(client: Client) -> None:
        path = f"{client.endpoint.group}/providers/Microsoft.Network/networkSecurityGroups/nsg"
        body = {"location": "westeurope", "properties": {}}
        assert (await client("PUT", path, body)).status == 201
        again = await client("PUT", path.upper().replace("/SUBSCRIPTIONS", "/subscriptions"), body)
        assert (again.status, again.body["id"]) == (200, path)
        patched = await client("PATCH", path, {"tags": {"a": "b"}})
        assert patched.body["tags"] == {"a": "b"}
        assert (await client("GET", path)).body["tags"] == {"a": "b"}
        assert client.endpoint.plane.settled_at[-1] == client.endpoint.api.store.revision
        client.endpoint.api.settings.change_seconds = 0.0
        assert (await client("DELETE", path)).status == 200
        assert (await client("DELETE", path)).status == 204
        missing = await client("GET", path)
        assert (missing.status, missing.body["error"]["code"]) == (404, "ResourceNotFound")

    served(tmp_path, scene)


def test_polling_addresses_are_on_the_host_that_was_asked(tmp_path: Path) -> None:
    async def scene(client: Client) -> None:
        box = f"{client.endpoint.group}/providers/Microsoft.ContainerInstance/containerGroups/jump"
        assert (await client("POST", f"{box}/stop")).status == 204
        started = await client("POST", f"{box}/start")
        assert started.status == 204
        assert "Retry-After" not in started.headers
        poll = await client("GET", started.headers["Azure-AsyncOperation"])
        assert (poll.status, poll.body["status"]) == (200, "Succeeded")
        deleted = await client("DELETE", client.endpoint.group, host="management.azure.com")
        assert deleted.status == 202
        location = deleted.headers["Location"]
        assert location.startswith("https://management.azure.com/subscriptions/")
        done = await client("GET", location.removeprefix("https://management.azure.com"))
        assert (done.status, done.body) == (200, b"")

    served(tmp_path, scene)


def test_a_slow_deletion_says_when_to_ask_again(tmp_path: Path) -> None:
    async def scene(client: Client) -> None:
        client.endpoint.api.settings.delete_seconds = 0.2
        deleted = await client("DELETE", client.endpoint.group)
        assert (deleted.status, deleted.headers["Retry-After"]) == (202, "1")
        running = await client("GET", deleted.headers["Location"])
        assert (running.status, running.headers["Location"]) == (202, deleted.headers["Location"])
        await asyncio.gather(*client.endpoint.api.world.tasks)
        assert (await client("GET", deleted.headers["Location"])).status == 200

    served(tmp_path, scene)


def test_the_load_balancers_health_comes_from_the_probes(tmp_path: Path) -> None:
    async def scene(client: Client) -> None:
        balancer = f"{client.endpoint.group}/providers/Microsoft.Network/loadBalancers/lb"
        client.endpoint.plane.verdicts = (
            ProbeHealth(balancer.lower(), "web", "10.0.1.5", "Up", "Up_Probe_Success"),
            ProbeHealth(balancer, "web", "10.0.1.6", "Down", "Down_Probe_HttpStatusCodeError"),
            ProbeHealth(balancer, "other", "10.0.1.5", "Down", "Down_Probe_TcpProbeTimeout"),
        )
        asked = await client("POST", f"{balancer}/loadBalancingRules/web/health")
        assert asked.status == 202
        answer = (await client("GET", asked.headers["Location"])).body
        assert (answer["up"], answer["down"]) == (1, 1)
        first = answer["loadBalancerBackendAddresses"][0]
        assert (first["ipAddress"], first["state"], first["reason"]) == ("10.0.1.5", "Up", "Up_Probe_Success")
        assert first["networkInterfaceIPConfigurationId"]["id"].endswith(
            "/virtualMachines/0/networkInterfaces/nic/ipConfigurations/ip"
        )

    served(tmp_path, scene)


@pytest.mark.parametrize(
    ("method", "tail", "status", "code"),
    [
        ("PUT", "/providers/Microsoft.Web/sites/x", 400, "LabResourceTypeNotSupported"),
        ("POST", "/providers/Microsoft.Network/loadBalancers/lb/explode", 400, "LabOperationNotSupported"),
        ("POST", "/providers/Microsoft.Network/loadBalancers/lb", 405, "MethodNotAllowed"),
        ("GET", "/providers/Microsoft.Network/loadBalancers/none", 404, "ResourceNotFound"),
        ("POST", "/exportTemplate", 400, "LabOperationNotSupported"),
    ],
)
def test_refusals_name_what_they_refuse(
    tmp_path: Path, method: str, tail: str, status: int, code: str
) -> None:
    async def scene(client: Client) -> None:
        body = {"location": "westeurope"} if method == "PUT" else None
        reply = await client(method, client.endpoint.group + tail, body)
        assert (reply.status, reply.body["error"]["code"]) == (status, code)

    served(tmp_path, scene)


@pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "gzip"}])
def test_a_body_that_is_no_json_is_refused(tmp_path: Path, headers: dict[str, str]) -> None:
    async def scene(client: Client) -> None:
        reply = await client("PUT", client.endpoint.group, data=b"{", headers=headers)
        assert (reply.status, reply.body["error"]["code"]) == (400, "InvalidRequestContent")

    served(tmp_path, scene)


@pytest.mark.parametrize("path", ["/adfs/oauth2/token", "/azd/token"])
@pytest.mark.parametrize(
    "headers", [{"Content-Type": "multipart/form-data; boundary=x"}, {"Content-Encoding": "gzip"}, {}]
)
def test_a_log_in_that_cannot_be_read_is_refused(tmp_path: Path, path: str, headers: dict[str, str]) -> None:
    async def scene(client: Client) -> None:
        assert (await client("POST", path, data=b"\xff{", token="", headers=headers)).status in {400, 401}

    served(tmp_path, scene)


@pytest.mark.parametrize("path", ["/subscriptions", "/lab/echo"])
def test_a_body_beyond_the_limit_is_told_as_such(tmp_path: Path, path: str) -> None:
    async def scene(client: Client) -> None:
        server, control = client.endpoint.server, client.endpoint.credentials.control_token
        server.add_control_route("POST", "/lab/echo", nothing)
        token = control if path.startswith("/lab/") else None
        reply = await client("POST", path, data=io.BytesIO(bytes(_TOO_MUCH)), token=token)
        assert (reply.status, reply.body["error"]["code"]) == (413, "RequestContentTooLarge")
        assert client.endpoint.log.tail()[-1]["status"] == 413

    async def nothing(_request: ArmRequest) -> Answer:
        return Answer(204)

    served(tmp_path, scene)


def test_interceptors_come_before_everything_and_after_the_token(tmp_path: Path) -> None:
    seen: list[str] = []

    async def throttle(request: ArmRequest) -> Answer | None:
        seen.append(request.path)
        if request.path == "/tenants":
            return Answer(429, {"error": {"code": "TooManyRequests"}}, {"Retry-After": "1"})
        return None

    async def scene(client: Client) -> None:
        client.endpoint.server.interceptors.append(throttle)
        assert (await client("GET", "/tenants", token="x.y.z")).status == 401
        assert (await client("GET", "/tenants")).status == 429
        assert (await client("GET", "/subscriptions")).status == 200
        assert seen == ["/tenants", "/subscriptions"]

    served(tmp_path, scene)


def test_control_routes_need_the_control_token(tmp_path: Path) -> None:
    async def echo(request: ArmRequest) -> Answer:
        if request.body == "fail":
            raise LabError("fault_unknown", "no such fault", "ask")
        return Answer(200, {"got": request.body})

    async def scene(client: Client) -> None:
        server = client.endpoint.server
        server.add_control_route("POST", "/lab/echo", echo)
        control = client.endpoint.credentials.control_token
        assert (await client("POST", "/lab/echo", 1)).status == 401
        assert (await client("POST", "/lab/echo", 1, token=control)).body == {"got": 1}
        assert (await client("GET", "/lab/echo", token=control)).status == 404
        failed = await client("POST", "/lab/echo", "fail", token=control)
        assert (failed.status, failed.body["error"]["code"]) == (409, "fault_unknown")
        assert (await client("GET", "/subscriptions", token=control)).status == 401
        with pytest.raises(ValueError, match="/lab/"):
            server.add_control_route("GET", "/other", echo)

    served(tmp_path, scene)


def test_the_log_has_every_request_and_no_secret(tmp_path: Path) -> None:
    async def scene(client: Client) -> None:
        log = client.endpoint.log
        start = len(log.tail())
        await client("GET", "/subscriptions?api-version=2022-12-01")
        await client("GET", "/subscriptions", token="")
        lines = log.tail(after=start)
        assert [(line["method"], line["path"], line["status"]) for line in lines] == [
            ("GET", "/subscriptions", 200),
            ("GET", "/subscriptions", 401),
        ]
        assert lines[0]["query"] == "api-version=2022-12-01"
        assert log.tail(after=lines[-1]["n"] - 1) == lines[-1:]
        assert await log.wait(start, 1) == lines
        assert await log.wait(lines[-1]["n"], 0.01) == []
        text = (tmp_path / "requests.jsonl").read_text(encoding="utf-8")
        assert json.loads(text.splitlines()[-1]) == lines[-1]
        assert "Bearer" not in text
        assert client.endpoint.credentials.client_secret not in text

    served(tmp_path, scene)


def test_correlation_ids_come_back(tmp_path: Path) -> None:
    async def scene(client: Client) -> None:
        reply = await client("GET", "/subscriptions")
        assert reply.headers["x-ms-request-id"]
        assert reply.headers["x-ms-correlation-request-id"]

    served(tmp_path, scene)


def test_a_taken_port_is_reported(tmp_path: Path) -> None:
    async def scene(client: Client) -> None:
        with pytest.raises(LabError, match=str(client.endpoint.server.port)):
            await client.endpoint.server.start(client.endpoint.server.port)

    served(tmp_path, scene)


def test_a_failure_of_the_lab_is_a_500_that_does_not_end_it(tmp_path: Path) -> None:
    async def fail(request: ArmRequest) -> Answer | None:
        if request.path == "/tenants":
            raise ZeroDivisionError
        return None

    async def scene(client: Client) -> None:
        client.endpoint.server.interceptors.append(fail)
        reply = await client("GET", "/tenants")
        assert (reply.status, reply.body["error"]["code"]) == (500, "InternalServerError")
        assert (await client("GET", "/subscriptions")).status == 200

    served(tmp_path, scene)


@pytest.mark.parametrize(
    "data",
    [b'{"location": "westeurope", "tags": {"a": "\\ud800"}}', b'{"a":' * 990 + b"1" + b"}" * 990, b"\xff"],
)
def test_what_could_not_be_answered_is_not_stored(tmp_path: Path, data: bytes) -> None:
    async def scene(client: Client) -> None:
        reply = await client("PUT", f"{client.endpoint.group}-other", data=data)
        assert (reply.status, reply.body["error"]["code"]) == (400, "InvalidRequestContent")
        assert (await client("GET", client.endpoint.group.rpartition("/")[0])).status == 200

    served(tmp_path, scene)


def test_regions_are_azures(tmp_path: Path) -> None:
    async def scene(client: Client) -> None:
        base = f"/subscriptions/{client.endpoint.api.subscription_id}"
        found = {one["name"]: one for one in (await client("GET", f"{base}/locations")).body["value"]}
        assert len(found) > 50
        assert found["brazilsouth"]["displayName"] == "Brazil South"
        assert found["westeurope"]["metadata"]["pairedRegion"][0]["name"] == "northeurope"
        zones = [one["logicalZone"] for one in found["norwayeast"]["availabilityZoneMappings"]]
        assert zones == ["1", "2", "3"]
        assert "availabilityZoneMappings" not in found["ukwest"]
        made = await client("PUT", f"{base}/resourceGroups/far", {"location": "Chile Central"})
        assert (made.status, made.body["location"]) == (201, "chilecentral")
        refused = await client("PUT", f"{base}/resourceGroups/no", {"location": "atlantis"})
        assert refused.body["error"]["code"] == "LocationNotAvailableForResourceGroup"

    served(tmp_path, scene)


def test_a_command_that_has_gone_is_not_worked_for(tmp_path: Path) -> None:
    ended = asyncio.Event()

    async def endless(_request: ArmRequest) -> Answer:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return Answer(204)

    async def scene(client: Client) -> None:
        client.endpoint.server.add_control_route("POST", "/lab/endless", endless)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await client("POST", "/lab/endless", {}, token=client.endpoint.credentials.control_token)
        async with asyncio.timeout(5):
            await ended.wait()

    served(tmp_path, scene)
