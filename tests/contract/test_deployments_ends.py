"""How deployments end that do not succeed: failures, cancellation, the end of the lab."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from fwdlab.arm.errors import ArmError
from support.deployment_runs import NET, client, deploy, nested, net
from support.deployment_target import (
    GROUP,
    MemoryTarget,
    deployment_id,
    template,
    until,
)

CANCELED = re.compile(
    r"This deployment was canceled because a cancelation request was received at "
    r"'\d{1,2}/\d{1,2}/\d{4} \d{1,2}:\d\d:\d\d [AP]M' using correlation id '[0-9a-f-]{36}'\."
)


def test_what_depends_on_a_failure_is_not_started_and_the_rest_goes_on() -> None:
    one = client()
    one.target.fails["bad"] = ArmError(409, "PrivateLinkServiceLoadBalancerIsInvalid", "lab says no")
    found = deploy(one, template([net("bad"), net("next", dependsOn=["bad"]), net("other")]))
    assert found["provisioningState"] == "Failed"
    assert found["error"]["code"] == "DeploymentFailed"
    assert found["error"]["details"] == [
        {
            "code": "PrivateLinkServiceLoadBalancerIsInvalid",
            "message": "lab says no",
            "target": f"{GROUP}/providers/{NET}/bad",
        }
    ]
    operations = asyncio.run(one.operations(deployment_id(GROUP, "main")))
    assert {name: entry["provisioningState"] for name, entry in operations.items()} == {
        "bad": "Failed",
        "other": "Succeeded",
    }
    assert operations["bad"]["statusCode"] == "Conflict"
    assert operations["bad"]["statusMessage"]["error"]["message"] == "lab says no"
    assert not {"outputs", "outputResources"} & found.keys()


def test_a_reference_to_a_failure_is_not_started_either() -> None:
    one = client()
    one.target.fails["bad"] = ArmError(400, "Bad", "no")
    deploy(one, template([net("bad"), net("user", tags={"x": "[reference('bad').principalId]"})]))
    assert set(asyncio.run(one.operations(deployment_id(GROUP, "main")))) == {"bad"}


def test_a_nested_failure_is_wrapped_and_dependents_wait_in_vain() -> None:
    one = client()
    one.target.fails["bad"] = ArmError(400, "InvalidThing", "no such thing", target="somewhere")
    body = template([nested("child", template([net("bad")])), net("next", dependsOn=["child"])])
    found = deploy(one, body)
    [outer] = found["error"]["details"]
    assert (outer["code"], outer["target"]) == ("ResourceDeploymentFailure", deployment_id(GROUP, "child"))
    [inner] = outer["details"]
    assert inner["code"] == "DeploymentFailed"
    assert inner["details"] == [{"code": "InvalidThing", "message": "no such thing", "target": "somewhere"}]
    assert set(asyncio.run(one.operations(deployment_id(GROUP, "main")))) == {"child"}


@pytest.mark.parametrize(
    ("resource", "code", "text"),
    [
        (net("v", tags={"x": "[reference('w').nothing]"}), "InvalidTemplate", "'nothing' doesn't exist"),
        (net("v", tags={"x": f"[reference('{NET}/gone').x]"}), "ResourceNotFound", "gone' was not found"),
        (net("v", tags={"x": "[reference('w').x.y]"}), "InvalidTemplate", "'x' doesn't exist"),
        (
            nested("c", template([]), resourceGroup="absent", dependsOn=["w"]),
            "ResourceGroupNotFound",
            "'absent'",
        ),
    ],
)
def test_errors_that_show_only_at_run_time_fail_their_resource(
    resource: dict[str, Any], code: str, text: str
) -> None:
    found = deploy(client(), template([resource, net("w")]))
    assert found["provisioningState"] == "Failed"
    assert found["error"]["details"][0]["code"] == code
    assert text in found["error"]["details"][0]["message"]


def test_an_output_that_cannot_be_evaluated_fails_the_deployment() -> None:
    outputs = {"o": {"type": "string", "value": "[reference('v').nothing]"}}
    found = deploy(client(), template([net("v")], outputs=outputs))
    assert found["error"]["code"] == "DeploymentOutputEvaluationFailed"
    assert found["error"]["details"][0]["target"] == "o"
    wrong = deploy(client(), template([], outputs={"o": {"type": "int", "value": "[string(1)]"}}))
    assert "Expected 'Integer'. Actual 'String'" in wrong["error"]["details"][0]["message"]


def test_a_fault_in_a_provider_fails_the_deployment(caplog: pytest.LogCaptureFixture) -> None:
    one = client()

    async def broken(*_: Any, **__: Any) -> dict[str, Any]:
        raise KeyError("oops")

    one.target.put = broken  # type: ignore[method-assign]
    found = deploy(one, template([net("v")]))
    assert found["error"]["details"][0]["code"] == "InternalServerError"
    assert "internal error at" in caplog.text


def test_cancel_stops_what_has_not_started_nested_ones_too() -> None:
    async def scenario() -> None:
        one = client()
        one.target.held["slow"] = asyncio.Event()
        child = nested("child", template([net("slow"), net("after", dependsOn=["slow"])]))
        await one.put(GROUP, "main", template([child, net("next", dependsOn=["child"])]))
        await until(lambda: bool(one.target.running))
        assert (await one.send("POST", f"{deployment_id(GROUP, 'main')}/cancel")).status == 204
        for name in ("main", "child"):
            record = one.routes.records.get(deployment_id(GROUP, name))
            await until(lambda record=record: not record.active)
            found = (await one.send("GET", deployment_id(GROUP, name))).body["properties"]
            assert found["provisioningState"] == "Canceled"
            assert CANCELED.fullmatch(found["error"].pop("message"))
            assert found["error"] == {"code": "DeploymentCanceled", "target": deployment_id(GROUP, name)}
            assert not {"outputs", "outputResources"} & found.keys()
        again = await one.send("POST", f"{deployment_id(GROUP, 'main')}/cancel")
        assert (again.status, again.body["error"]["code"]) == (409, "DeploymentCannotBeCancelled")
        operations = await one.operations(deployment_id(GROUP, "child"))
        assert {name: entry["provisioningState"] for name, entry in operations.items()} == {
            "slow": "Canceled"
        }
        one.target.held["slow"].set()  # what was being written is written to its end
        await until(lambda: "slow" in one.target.names())
        assert one.target.names() == ["slow"]
        assert not (await one.put(GROUP, "main", template([]))).body.get("error")
        await one.routes.close()

    asyncio.run(asyncio.wait_for(scenario(), 10))


def test_slow_resources_hold_up_what_waits_for_them_and_a_cancel_does_not_wait() -> None:
    async def scenario() -> None:
        one = client()
        one.routes.engine.write_seconds = 3600.0
        child = nested("child", template([net("first"), net("after", dependsOn=["first"])]))
        await one.put(GROUP, "main", template([child]))
        await until(lambda: bool(one.target.order))
        for _ in range(100):
            await asyncio.sleep(0)
        for name, kind in (("main", "child"), ("child", "first")):
            operations = await one.operations(deployment_id(GROUP, name))
            assert {key: entry["provisioningState"] for key, entry in operations.items()} == {kind: "Running"}
        await one.send("POST", f"{deployment_id(GROUP, 'main')}/cancel")
        await until(lambda: not one.routes.records.get(deployment_id(GROUP, "main")).active)
        assert one.target.names() == ["first"]
        await one.routes.close()

    asyncio.run(asyncio.wait_for(scenario(), 10))


def test_cancelling_a_nested_deployment_alone_fails_the_one_around_it() -> None:
    async def scenario() -> dict[str, Any]:
        one = client()
        one.target.held["slow"] = asyncio.Event()
        await one.put(GROUP, "main", template([nested("child", template([net("slow")]))]))
        await until(lambda: bool(one.target.running))
        await one.send("POST", f"{deployment_id(GROUP, 'child')}/cancel")
        await until(lambda: not one.routes.records.get(deployment_id(GROUP, "main")).active)
        answer = await one.send("GET", deployment_id(GROUP, "main"))
        await one.routes.close()
        return dict(answer.body["properties"])

    found = asyncio.run(scenario())
    assert found["provisioningState"] == "Failed"
    assert "'Canceled'" in found["error"]["details"][0]["message"]


def test_close_ends_everything() -> None:
    async def scenario() -> MemoryTarget:
        one = client()
        one.target.held["slow"] = asyncio.Event()
        await one.put(
            GROUP,
            "main",
            template([net("slow"), nested("child", template([net("slow")]), dependsOn=["slow"])]),
        )
        await until(lambda: bool(one.target.running))
        await asyncio.wait_for(one.routes.close(), 5)
        return one.target

    assert not asyncio.run(scenario()).running
