"""The REST interface of deployments, as azd and az use it."""

from __future__ import annotations

import asyncio
import base64
import random
import re
from typing import Any

import pytest

from fwdlab.arm.errors import ArmError
from fwdlab.arm.http import ArmRequest
from support.deployment_requests import MAIN, NET, TAGS, azd_body, client, finish, net
from support.deployment_target import (
    ABROAD,
    AT_SUBSCRIPTION,
    BASE,
    GROUP,
    SECOND,
    SUBSCRIPTION,
    SUBSCRIPTION_SCHEMA,
    Client,
    deployment_id,
    request_body,
    template,
    until,
)

DURATION = re.compile(r"PT\d+(\.\d+)?S")

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")


def test_azd_provision_from_validate_to_outputs() -> None:
    async def scenario() -> None:
        one = client()
        validated = await one.send("POST", f"{MAIN}/validate?api-version=2021-04-01", azd_body())
        assert validated.status == 200
        assert validated.body["id"] == MAIN
        assert validated.body["properties"]["provisioningState"] == "Succeeded"
        assert (await one.send("GET", MAIN)).status == 404

        one.target.held["vnet1"] = asyncio.Event()
        put = await one.send("PUT", f"{MAIN}?api-version=2021-04-01", azd_body())
        assert put.status == 201
        assert "Retry-After" not in put.headers  # so that the first poll comes at once
        poll = put.headers["Azure-AsyncOperation"]
        assert poll.startswith(f"{BASE}{MAIN}/operationStatuses/")
        assert poll.endswith("?api-version=2021-04-01")
        assert put.body["properties"]["provisioningState"] == "Accepted"
        assert put.body["tags"] == TAGS
        assert put.body["location"] == "westeurope"

        await until(lambda: bool(one.target.running) and "rg-t1" in one.target.names())
        status = await one.send("GET", poll)
        assert (status.status, status.body, status.headers) == (
            200,
            {"status": "Running"},
            {"Retry-After": "1"},
        )
        await check_operations(one)

        one.target.held["vnet1"].set()
        await finish(one)
        status = await one.send("GET", poll)
        assert (status.body, dict(status.headers)) == ({"status": "Succeeded"}, {})
        check_final((await one.send("GET", MAIN)).body)

    asyncio.run(asyncio.wait_for(scenario(), 20))


async def check_operations(one: Client) -> None:
    entries = (await one.send("GET", f"{MAIN}/operations")).body["value"]
    assert [entry["properties"]["targetResource"]["resourceType"] for entry in entries] == [
        "Microsoft.Resources/resourceGroups",
        "Microsoft.Resources/deployments",
    ]
    # azd asks for nested operations without the provider's segments, in its own casing.
    nested = f"{AT_SUBSCRIPTION}/resourcegroups/rg-t1/deployments/main-nested/operations"
    [entry] = (await one.send("GET", nested)).body["value"]
    assert entry["properties"]["targetResource"]["id"].endswith("/rg-t1/providers/" + NET + "/vnet1")
    for one_entry in [*entries, entry]:
        properties = one_entry["properties"]
        assert properties["provisioningOperation"] == "Create"
        assert DURATION.fullmatch(properties["duration"])
        assert TIME.fullmatch(properties["timestamp"])
        assert None not in [*properties.values(), *properties["targetResource"].values()]
    single = await one.send("GET", f"{MAIN}/operations/{entries[0]['operationId']}")
    assert single.body["id"] == entries[0]["id"]
    assert (await one.send("GET", f"{MAIN}/operations/NONE")).status == 404


def check_final(found: dict[str, Any]) -> None:
    properties = found["properties"]
    group = f"{AT_SUBSCRIPTION}/resourceGroups/rg-t1"
    assert (found["id"], found["name"], found["type"]) == (
        MAIN,
        "t1-1795242741",
        "Microsoft.Resources/deployments",
    )
    assert properties["provisioningState"] == "Succeeded"
    assert properties["mode"] == "Incremental"
    assert properties["parameters"] == {
        "environmentName": {"type": "String", "value": "t1"},
        "location": {"type": "String", "value": "westeurope"},
        "forwards": {"type": "Array", "value": []},
        "secret": {"type": "SecureString"},
    }
    assert properties["outputs"] == {
        "RESOURCE_GROUP": {"type": "String", "value": "t1"},
        "BIGINT": {"type": "Int", "value": 1500000},
        "OBJ": {"type": "Object", "value": {"b": 1, "a": "x"}},
        "fwd": {"type": "Array", "value": []},
    }
    assert properties["outputResources"] == [{"id": group}, {"id": f"{group}/providers/{NET}/vnet1"}]
    assert properties["dependencies"] == [
        {
            "dependsOn": [
                {"id": group, "resourceType": "Microsoft.Resources/resourceGroups", "resourceName": "rg-t1"}
            ],
            "id": deployment_id(group, "main-nested"),
            "resourceType": "Microsoft.Resources/deployments",
            "resourceName": "main-nested",
        }
    ]
    assert DURATION.fullmatch(properties["duration"])
    assert TIME.fullmatch(properties["timestamp"])
    assert "s3cret" not in str(found)


def test_list_filter_head_export_and_delete() -> None:
    async def scenario() -> None:
        one = client()
        one.target.fails["bad"] = ArmError(400, "Bad", "no")
        await one.deploy(GROUP, "good", template([net("v")]))
        await one.deploy(GROUP, "worse", template([net("bad")]))
        await one.send("PUT", MAIN, azd_body())
        await finish(one)
        everything = f"{GROUP}/providers/Microsoft.Resources/deployments/"
        assert await names(one, everything) == ["worse", "good"]
        assert await names(one, f"{everything}?$top=1") == ["worse"]
        assert await names(one, f"{everything}?$filter=provisioningState eq 'Failed'") == ["worse"]
        assert await names(one, f"{AT_SUBSCRIPTION}/providers/Microsoft.Resources/deployments") == [
            "t1-1795242741"
        ]
        odd = await one.send("GET", f"{everything}?$filter=name eq 'x'")
        assert (odd.status, odd.body["error"]["code"]) == (400, "InvalidFilterInQueryString")

        good = deployment_id(GROUP, "good")
        assert (await one.send("HEAD", good.upper())).status == 204
        exported = await one.send("POST", f"{good}/exportTemplate")
        assert exported.body == {"template": template([net("v")])}
        assert (await one.send("DELETE", good)).status == 204
        assert (await one.send("HEAD", good)).status == 404
        assert f"{GROUP}/providers/{NET}/v".lower() in one.target.documents

    async def names(one: Client, path: str) -> list[str]:
        return [entry["name"] for entry in (await one.send("GET", path)).body["value"]]

    asyncio.run(scenario())


def test_a_failure_reaches_the_poller() -> None:
    async def scenario() -> None:
        one = client(retry_after=None)
        one.target.fails["vnet1"] = ArmError(409, "SubnetInUse", "lab says no")
        put = await one.send("PUT", MAIN, azd_body())
        assert (await one.send("GET", put.headers["Azure-AsyncOperation"])).headers == {}
        await finish(one)
        status = await one.send("GET", put.headers["Azure-AsyncOperation"])
        assert status.body["status"] == "Failed"
        assert status.body["error"]["code"] == "DeploymentFailed"
        assert "SubnetInUse" in str(status.body["error"]["details"])
        found = (await one.send("GET", MAIN)).body["properties"]
        assert found["error"] == status.body["error"]
        # azd down takes the groups of a failed deployment from here.
        assert found["dependencies"][0]["dependsOn"][0]["id"].endswith("/resourceGroups/rg-t1")

    asyncio.run(scenario())


def test_one_deployment_of_a_name_at_a_time() -> None:
    async def scenario() -> None:
        one = client()
        one.target.held["vnet1"] = asyncio.Event()
        await one.send("PUT", MAIN, azd_body())
        for method in ("PUT", "DELETE"):
            again = await one.send(method, MAIN, azd_body())
            assert (again.status, again.body["error"]["code"]) == (409, "DeploymentActive")
        one.target.held["vnet1"].set()
        await finish(one)
        assert (await one.send("PUT", MAIN, azd_body())).status == 200
        await finish(one)
        moved = await one.send("PUT", MAIN, azd_body() | {"location": "northeurope"})
        assert (moved.status, moved.body["error"]["code"]) == (409, "InvalidDeploymentLocation")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"location": "mars"}, 400, "LocationNotAvailableForDeployment"),
        ({"location": None}, 400, "LocationRequired"),
        ({"location": "West Europe"}, 200, ""),
        ({"properties": None}, 400, "InvalidRequestContent"),
        ({"tags": {"a": {}}}, 400, "InvalidRequestContent"),
    ],
)
def test_bodies_at_subscription_scope(change: dict[str, Any], status: int, code: str) -> None:
    answer = asyncio.run(client().send("POST", f"{MAIN}/validate", azd_body() | change))
    assert answer.status == status
    assert answer.body.get("error", {}).get("code", "") == code


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", deployment_id(GROUP, "none"), 404, "DeploymentNotFound"),
        ("POST", f"{deployment_id(GROUP, 'none')}/cancel", 404, "DeploymentNotFound"),
        ("GET", f"{deployment_id(GROUP, 'none')}/operations", 404, "DeploymentNotFound"),
        ("GET", f"{deployment_id(GROUP, 'none')}/operationStatuses/1", 404, "DeploymentNotFound"),
        ("GET", f"{deployment_id(GROUP, 'none')}/whatIfResults/1", 404, "DeploymentNotFound"),
        ("GET", deployment_id(f"{AT_SUBSCRIPTION}/resourceGroups/gone", "x"), 404, "ResourceGroupNotFound"),
        ("GET", deployment_id("/subscriptions/another", "x"), 404, "SubscriptionNotFound"),
        ("PATCH", deployment_id(GROUP, "none"), 405, "MethodNotAllowed"),
        ("GET", "/providers/Microsoft.Resources/calculateTemplateHash", 405, "MethodNotAllowed"),
        ("PUT", deployment_id(GROUP, "a b"), 400, "DeploymentNameInvalidCharacters"),
        ("PUT", deployment_id(GROUP, "x" * 65), 400, "DeploymentNameLengthLimitExceeded"),
    ],
)
def test_refusals(method: str, path: str, status: int, code: str) -> None:
    answer = asyncio.run(client().send(method, path, request_body(GROUP, template([]), {})))
    assert (answer.status, answer.body["error"]["code"]) == (status, code)


def test_the_body_of_a_deployment_is_taken_in_any_case() -> None:
    text = {"type": "string"}
    sent = {"MODE": "incremental", "Template": template([net("v")], parameters={"p": text})}
    sent |= {"PARAMETERS": {"P": {"Value": "x"}}, "WhatIfSettings": {"resultFormat": "ResourceIdOnly"}}

    async def scenario() -> None:
        one = client()
        path = deployment_id(GROUP, "x")
        body = {"Properties": sent, "TAGS": {"Mine": "1"}}
        changes = await one.send("POST", f"{path}/whatIf", body)
        found = (await one.send("GET", changes.headers["Location"])).body["properties"]["changes"]
        assert "after" not in found[0]
        assert (await one.send("PUT", path, body)).status == 201
        document = (await one.send("GET", path)).body
        assert document["tags"] == {"Mine": "1"}
        assert [one["value"] for one in document["properties"]["parameters"].values()] == ["x"]

    asyncio.run(scenario())


NOISE = base64.b64encode(random.Random(1).randbytes(1_200_000)).decode()  # noqa: S311 - only incompressible


@pytest.mark.parametrize("verb", ["validate", "whatIf", ""])
@pytest.mark.parametrize(
    ("resources", "values", "status", "code"),
    [
        ([], {"p": "x" * 4 * 1024**2}, 413, "RequestContentTooLarge"),
        ([net("v", comments="x" * 4 * 1024**2)], {}, 413, "RequestContentTooLarge"),
        ([net("v", tags={"t": NOISE})], {}, 400, "DeploymentJobSizeExceeded"),
        ([net("v", tags={"t": "x" * 3_000_000})], {}, 0, ""),
    ],
)
def test_sizes(verb: str, resources: Any, values: dict[str, Any], status: int, code: str) -> None:
    """4 MB are sent at most; a resource has 1 MB at most when it is compressed."""
    body = request_body(
        GROUP, template(resources, parameters={"p": {"type": "string", "defaultValue": ""}}), values
    )
    path = deployment_id(GROUP, "x")
    answer = asyncio.run(client().send("POST" if verb else "PUT", f"{path}/{verb}".rstrip("/"), body))
    if status:
        assert (answer.status, answer.body["error"]["code"]) == (status, code)
    else:
        assert answer.status < 300


@pytest.mark.parametrize(
    "path",
    [
        AT_SUBSCRIPTION,
        f"{GROUP}/providers/{NET}/v",
        f"{AT_SUBSCRIPTION}/locations",
        f"{GROUP}/providers/{NET}/deployments/x",
        "/providers/Microsoft.Resources/deployments/at-tenant",
    ],
)
def test_other_paths_are_left_to_others(path: str) -> None:
    request = ArmRequest("GET", path, {}, None, BASE)
    assert asyncio.run(client().routes.handle(request)) is None


def test_deployments_go_with_their_group() -> None:
    async def scenario() -> None:
        one = client()
        await one.deploy(GROUP, "main", template([net("v")]))
        kept = dict(one.target.documents)
        one.target.documents.clear()
        assert (await one.send("GET", deployment_id(GROUP, "main"))).body["error"][
            "code"
        ] == "ResourceGroupNotFound"
        one.target.documents.update(kept)
        assert (await one.send("GET", deployment_id(GROUP, "main"))).body["error"][
            "code"
        ] == "DeploymentNotFound"

    asyncio.run(scenario())


@pytest.mark.parametrize("subscription", ["another", ABROAD])
def test_a_group_of_a_foreign_subscription_in_a_template_is_refused(subscription: str) -> None:
    inner = {"mode": "Incremental", "template": template([])}
    child = {
        "type": "Microsoft.Resources/deployments",
        "apiVersion": "1",
        "name": "c",
        "subscriptionId": subscription,
        "resourceGroup": "rg",
        "properties": inner,
    }
    answer = asyncio.run(client().put(GROUP, "main", template([child])))
    assert answer.body["error"]["details"][0]["code"] == "SubscriptionNotFound"
    assert SUBSCRIPTION not in answer.body["error"]["details"][0]["message"]


@pytest.mark.parametrize("subscription", [SECOND, ABROAD])
def test_every_subscription_takes_deployments(subscription: str) -> None:
    shown = {"shown": {"type": "string", "value": "[subscription().tenantId]"}}

    async def scenario() -> None:
        one = client()
        path = deployment_id(f"/subscriptions/{subscription}", "main")
        body = request_body(AT_SUBSCRIPTION, template([], schema=SUBSCRIPTION_SCHEMA, outputs=shown), {})
        assert (await one.send("PUT", path, body)).status == 201
        await until(lambda: not one.routes.records.get(path).active)
        found = (await one.send("GET", path)).body["properties"]
        assert found["outputs"]["shown"]["value"] == one.target.tenant_id_of(subscription)
        assert (await one.send("GET", deployment_id(AT_SUBSCRIPTION, "main"))).status == 404

    asyncio.run(scenario())
