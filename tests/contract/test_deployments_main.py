"""The project's own template through the engine, from its checked-in JSON and parameters."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from support.deployment_target import (
    AT_SUBSCRIPTION,
    Client,
    MemoryTarget,
    deployment_id,
    request_body,
    until,
)
from support.main_template import main_template, values

MAIN = deployment_id(AT_SUBSCRIPTION, "dev-1")


def body(**more: Any) -> dict[str, Any]:
    return request_body(AT_SUBSCRIPTION, main_template(), values(**more))


async def provision(one: Client, **more: Any) -> dict[str, Any]:
    answer = await one.send("PUT", MAIN, body(**more))
    assert answer.status in {200, 201}, answer.body
    await until(lambda: not one.routes.records.get(MAIN).active)
    properties: dict[str, Any] = (await one.send("GET", MAIN)).body["properties"]
    assert properties["provisioningState"] == "Succeeded", properties.get("error")
    return properties


def written_types(target: MemoryTarget) -> set[str]:
    return {re.sub(r"^.*/providers/([^/]+/[^/]+)/.*$", r"\1", one) for one in target.order}


def test_everything_is_deployed_and_handed_over() -> None:
    one = Client(MemoryTarget())
    found = asyncio.run(provision(one))
    topology = found["outputs"]["FWD_TOPOLOGY"]["value"]
    topology = json.loads(topology) if isinstance(topology, str) else topology
    assert topology["resourceGroup"] == found["outputs"]["RESOURCE_GROUP_NAME"]["value"] == "rg-dev"
    assert [spoke["name"] for spoke in topology["spokes"]] == ["app"]
    assert topology["hub"]["jump"] == found["outputs"]["HUB_JUMP_NAME"]["value"]
    assert written_types(one.target) >= {
        f"{AT_SUBSCRIPTION}/resourceGroups/rg-dev",
        "Microsoft.Network/virtualNetworks",
        "Microsoft.Network/loadBalancers",
        "Microsoft.Network/privateLinkServices",
        "Microsoft.Network/privateEndpoints",
        "Microsoft.Compute/virtualMachineScaleSets",
        "Microsoft.ContainerInstance/containerGroups",
    }
    assert {entry["id"] for entry in found["outputResources"]} == set(one.target.order)


def test_names_do_not_change_from_one_provision_to_the_next() -> None:
    async def scenario() -> None:
        one = Client(MemoryTarget())
        first = await provision(one)
        ids = set(one.target.order)
        assert await preview(one) == {"NoChange"}
        second = await provision(one)
        assert set(one.target.order) == ids
        assert second["outputs"] == first["outputs"]
        assert second["templateHash"] == first["templateHash"]

    asyncio.run(scenario())


def test_a_preview_of_a_fresh_group_looks_into_every_module() -> None:
    async def scenario() -> None:
        one = Client(MemoryTarget())
        assert await preview(one) == {"Create"}
        await provision(one)

    asyncio.run(scenario())


async def preview(one: Client) -> set[str]:
    started = await one.send("POST", f"{MAIN}/whatIf", body())
    assert started.status == 202, started.body
    result = await one.send("GET", started.headers["Location"])
    assert all("[reference" not in change["resourceId"] for change in result.body["properties"]["changes"])
    return {change["changeType"] for change in result.body["properties"]["changes"]}


@pytest.mark.parametrize("count", [2, 3])
def test_more_spokes_make_more_endpoints(count: int) -> None:
    [spoke] = values()["spokes"]
    spokes = [spoke | {"name": f"spoke{index}"} for index in range(count)]
    one = Client(MemoryTarget())
    found = asyncio.run(provision(one, spokes=spokes))
    endpoints = [name for name in one.target.names() if name.startswith("pep-")]
    assert len(endpoints) == count
    topology = found["outputs"]["FWD_TOPOLOGY"]["value"]
    topology = json.loads(topology) if isinstance(topology, str) else topology
    assert [entry["name"] for entry in topology["spokes"]] == [entry["name"] for entry in spokes]


def test_a_missing_cloud_init_is_refused_with_the_templates_own_words() -> None:
    one = Client(MemoryTarget())
    given = body()
    given["properties"]["parameters"]["cloudInitForwarder"]["value"] = ""
    answer = asyncio.run(one.send("POST", f"{MAIN}/validate", given))
    assert answer.status == 400
    assert "preprovision" in json.dumps(answer.body)
