"""What-if and template hash: what a deployment would change, and whether it would."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fwdlab.arm.errors import ArmError
from fwdlab.arm.template.whatif import difference
from support.deployment_requests import MAIN, NET, azd_body, azd_template, client, finish, net
from support.deployment_target import (
    BASE,
    GROUP,
    Client,
    deployment_id,
    request_body,
    template,
)


def test_the_hash_tells_whether_a_template_changed() -> None:
    async def scenario() -> None:
        one = client()
        await one.send("PUT", MAIN, azd_body())
        kept = (await one.send("GET", MAIN)).body["properties"]["templateHash"]
        path = "/providers/Microsoft.Resources/calculateTemplateHash?api-version=2021-04-01"
        asked = await one.send("POST", path, azd_template())
        assert asked.status == 200
        assert asked.body["templateHash"] == kept
        assert kept.isdigit()
        reordered = dict(reversed(azd_template().items()))
        assert (await one.send("POST", path, reordered)).body["templateHash"] == kept
        changed = azd_template() | {"outputs": {}}
        assert (await one.send("POST", path, changed)).body["templateHash"] != kept
        assert (await one.send("POST", path, "text")).status == 400
        await finish(one)

    asyncio.run(scenario())


def test_preview_of_a_fresh_and_of_a_changed_deployment() -> None:
    async def scenario() -> None:
        one = client()
        changes = await preview(one, azd_body())
        assert [(change["changeType"], change["after"]["type"]) for change in changes] == [
            ("Create", "Microsoft.Resources/resourceGroups"),
            ("Create", NET),
        ]
        assert all(change["resourceId"] == change["after"]["id"] for change in changes)
        assert one.target.order == []

        await one.send("PUT", MAIN, azd_body())
        await finish(one)
        assert {change["changeType"] for change in await preview(one, azd_body())} == {"NoChange"}

        body = azd_body(location="northeurope")
        body["properties"]["whatIfSettings"] = {"resultFormat": "FullResourcePayloads"}
        [group, network] = await preview(one, body)
        assert group["delta"] == [
            {
                "path": "location",
                "propertyChangeType": "Modify",
                "before": "westeurope",
                "after": "northeurope",
            }
        ]
        assert (network["changeType"], network["before"]["location"]) == ("Modify", "westeurope")

        body["properties"]["whatIfSettings"] = {"resultFormat": "ResourceIdOnly"}
        assert {frozenset(change) for change in await preview(one, body)} == {
            frozenset({"resourceId", "changeType"})
        }

    asyncio.run(scenario())


async def preview(one: Client, body: dict[str, Any]) -> list[dict[str, Any]]:
    started = await one.send("POST", f"{MAIN}/whatIf?api-version=2021-04-01", body)
    assert started.status == 202
    assert started.headers["Location"].startswith(f"{BASE}/subscriptions/")
    result = await one.send("GET", started.headers["Location"])
    assert (result.status, result.body["status"]) == (200, "Succeeded")
    changes: list[dict[str, Any]] = result.body["properties"]["changes"]
    return changes


@pytest.mark.parametrize(
    ("before", "wanted", "differs"),
    [
        (7, "7", False),
        ("443", 443, False),
        (True, "True", False),
        (7, "8", True),
        (True, "no", True),
        ("a", "A", True),
    ],
)
def test_numbers_and_flags_given_as_strings_are_no_changes(
    before: Any,
    wanted: Any,
    differs: bool,  # noqa: FBT001
) -> None:
    assert bool(difference({"a": {"b": before}}, {"A": {"B": wanted}})) is differs


def test_what_if_shows_what_depends_on_values_of_the_deployment() -> None:
    inner = template([net("x")], parameters={"p": {"type": "array"}})
    child = {
        "type": "Microsoft.Resources/deployments",
        "apiVersion": "2022-09-01",
        "name": "child",
        "properties": {
            "mode": "Incremental",
            "expressionEvaluationOptions": {"scope": "inner"},
            "template": inner,
            "parameters": {"p": {"value": "[reference('v').list]"}},
        },
    }
    body = template([net("v", tags={"x": "[reference('w').x]"}), net("w"), child])

    async def scenario() -> list[dict[str, Any]]:
        one = client()
        here = deployment_id(GROUP, "main")
        started = await one.send("POST", f"{here}/whatIf", request_body(GROUP, body, {}))
        result = await one.send("GET", started.headers["Location"])
        changes: list[dict[str, Any]] = result.body["properties"]["changes"]
        return changes

    found = {change["resourceId"].rsplit("/", 1)[-1]: change for change in asyncio.run(scenario())}
    assert found["v"]["after"]["tags"] == {"x": "[reference('w').x]"}
    assert found["child"]["changeType"] == "Unsupported"
    assert "known only after deployment" in found["child"]["unsupportedReason"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (template([net("v", tags={"x": "[unheard()]"})]), "InvalidTemplate"),
        (template([net("odd")]), "InvalidTemplateDeployment"),
        (template([], extensions={"k": {}}), "LabTemplateFeatureNotSupported"),
    ],
)
def test_a_what_if_of_a_faulty_template_goes_well_and_says_so(body: dict[str, Any], code: str) -> None:
    # az reads the error from the result and cannot show one that the POST answers.
    async def scenario() -> Any:
        one = client()
        one.target.refuses["odd"] = ArmError(400, "LabResourceTypeNotSupported", "no")
        here = deployment_id(GROUP, "main")
        started = await one.send("POST", f"{here}/whatIf", request_body(GROUP, body, {}))
        assert started.status == 202
        return (await one.send("GET", started.headers["Location"])).body

    found = asyncio.run(scenario())
    assert (found["status"], found["error"]["code"]) == ("Failed", code)


def test_a_what_if_of_no_deployment_is_refused_at_once() -> None:
    answer = asyncio.run(client().send("POST", f"{deployment_id(GROUP, 'main')}/whatIf", {"properties": 1}))
    assert (answer.status, answer.body["error"]["code"]) == (400, "InvalidRequestContent")
