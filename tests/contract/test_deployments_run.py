"""Deployments run against an in-memory control plane: order, nesting, failures, cancelling."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from fwdlab.arm.errors import ArmError
from support.deployment_target import (
    AT_SUBSCRIPTION,
    GROUP,
    SUBSCRIPTION_SCHEMA,
    Client,
    MemoryTarget,
    deployment_id,
    request_body,
    template,
    until,
)

NET = "Microsoft.Network/virtualNetworks"
ID = "Microsoft.ManagedIdentity/userAssignedIdentities"
CANCELED = re.compile(
    r"This deployment was canceled because a cancelation request was received at "
    r"'\d{1,2}/\d{1,2}/\d{4} \d{1,2}:\d\d:\d\d [AP]M' using correlation id '[0-9a-f-]{36}'\."
)


def net(name: str, **more: Any) -> dict[str, Any]:
    return {"type": NET, "apiVersion": "2024-05-01", "name": name, **more}


def nested(name: str, inner: dict[str, Any], *, scope: str = "inner", **more: Any) -> dict[str, Any]:
    properties = {"mode": "Incremental", "expressionEvaluationOptions": {"scope": scope}, "template": inner}
    properties |= {"parameters": more.pop("parameters")} if "parameters" in more else {}
    kind = {"type": "Microsoft.Resources/deployments", "apiVersion": "2022-09-01"}
    return {**kind, "name": name, "properties": properties, **more}


def client() -> Client:
    target = MemoryTarget()
    target.seed_group()
    return Client(target)


def deploy(one: Client, body: dict[str, Any], scope: str = GROUP, **values: Any) -> dict[str, Any]:
    return asyncio.run(one.deploy(scope, "main", body, **values))


def document(one: Client, name: str, group: str = "rg") -> dict[str, Any]:
    return one.target.documents[f"{AT_SUBSCRIPTION}/resourceGroups/{group}/providers/{name}".lower()]


def test_dependencies_first_and_the_rest_at_once() -> None:
    one = client()
    names = [f"n{index}" for index in range(5)]
    body = template([*(net(name) for name in names), net("last", dependsOn=names)])
    found = deploy(one, body)
    assert found["provisioningState"] == "Succeeded"
    assert one.target.names()[-1] == "last"
    assert one.target.most == 5
    assert [entry["resourceName"] for entry in found["dependencies"]] == ["last"]
    assert {entry["resourceName"] for entry in found["dependencies"][0]["dependsOn"]} == set(names)
    assert [entry["id"].rsplit("/", 1)[-1] for entry in found["outputResources"]] == one.target.names()


def test_a_serial_loop_never_runs_two_turns_at_once() -> None:
    one = client()
    loop = {"name": "nets", "count": 4, "mode": "serial", "batchSize": 1}
    deploy(one, template([net("[concat('n', copyIndex())]", copy=loop)]))
    assert one.target.names() == ["n0", "n1", "n2", "n3"]
    assert one.target.most == 1


def test_the_body_carries_what_the_provider_needs_and_nothing_of_the_engine() -> None:
    one = client()
    resource = net(
        "v", location="westeurope", tags={"a": "[[x]"}, condition=True, zones=None, comments="c", dependsOn=[]
    )
    deploy(one, template([{**resource, "properties": {"nothing": None, "list": [None, 1]}}]))
    found = document(one, f"{NET}/v")
    assert {key: found[key] for key in ("location", "tags")} == {
        "location": "westeurope",
        "tags": {"a": "[x]"},
    }
    assert set(found) == {"location", "tags", "properties", "id", "name"}
    assert found["properties"]["list"] == [None, 1]
    assert "nothing" not in found["properties"]


def test_runtime_values_flow_between_resources_and_into_outputs() -> None:
    one = client()
    body = template(
        {
            "id": {"type": ID, "apiVersion": "1", "name": "me", "location": "westeurope"},
            "old": net("old", existing=True),
            "v": net(
                "v",
                tags={
                    "who": "[reference('id').principalId]",
                    "full": "[reference('id', '1', 'full').location]",
                    "key": "[listKeys(resourceId('Microsoft.Network/virtualNetworks', 'old'), '1', createObject('a', 1)).keys[0].value]",
                    "space": "[reference('old').space]",
                },
            ),
        },
        outputs={
            "who": {"type": "string", "value": "[reference('v', '1', 'full').tags.who]"},
            "ids": {"type": "array", "copy": {"count": 2, "input": "[copyIndex()]"}},
            "left": {"type": "string", "condition": "[equals(1, 2)]", "value": "[fail('never')]"},
            "secret": {"type": "secureString", "value": "s3cret"},
            "big": {"type": "int", "value": 1500000},
            "flag": {"type": "bool", "value": "[not(false())]"},
        },
    )
    one.target.documents[f"{GROUP}/providers/{NET}/old".lower()] = {"properties": {"space": "10.0.0.0/8"}}
    found = deploy(one, body)
    assert found["outputs"] == {
        "who": {"type": "String", "value": "principal-of-me"},
        "ids": {"type": "Array", "value": [0, 1]},
        "secret": {"type": "SecureString"},
        "big": {"type": "Int", "value": 1500000},
        "flag": {"type": "Bool", "value": True},
    }
    assert document(one, f"{NET}/v")["tags"] == {
        "who": "principal-of-me",
        "full": "westeurope",
        "key": "key-of-old",
        "space": "10.0.0.0/8",
    }
    assert one.target.actions == [(f"{GROUP}/providers/{NET}/old", "listKeys", {"a": 1})]
    assert "old" not in one.target.names()


def test_a_dependency_that_shows_only_at_run_time_is_waited_for() -> None:
    # Which resource `second` refers to depends on a value of `first`.
    one = client()
    body = template(
        {
            "late": net("late", dependsOn=["slow"]),
            "slow": net("slow"),
            "first": net("first"),
            "second": net(
                "second",
                tags={
                    "x": "[reference(if(equals(reference('first').principalId, ''), 'slow', 'late')).principalId]"
                },
            ),
        }
    )
    deploy(one, body)
    assert document(one, f"{NET}/second")["tags"] == {"x": "principal-of-late"}


def test_a_circle_that_shows_only_at_run_time_fails_instead_of_hanging() -> None:
    one = client()
    guarded = "[if(equals(reference('c').principalId, 'principal-of-c'), reference('{0}').principalId, '')]"
    body = template(
        {
            "c": net("c"),
            "a": net("a", tags={"x": guarded.replace("{0}", "b")}),
            "b": net("b", tags={"x": guarded.replace("{0}", "a")}),
        }
    )
    found = deploy(one, body)
    assert found["provisioningState"] == "Failed"
    assert "Circular dependency" in found["error"]["details"][0]["message"]


def test_nested_deployments_inner_scope_have_their_own_world() -> None:
    one = client()
    inner = template(
        [net("[parameters('name')]", tags={"v": "[variables('v')]", "d": "[deployment().name]"})],
        parameters={"name": {"type": "string"}},
        variables={"v": "inner"},
        outputs={
            "id": {
                "type": "string",
                "value": "[resourceId('Microsoft.Network/virtualNetworks', parameters('name'))]",
            },
            "key": {"type": "securestring", "value": "s3cret"},
        },
    )
    child = nested("child", inner, parameters={"name": {"value": "[variables('v')]"}})
    body = template(
        [child],
        variables={"v": "outer"},
        outputs={
            "id": {"type": "string", "value": "[reference('child').outputs.id.value]"},
            "length": {
                "type": "int",
                "value": "[length(listOutputsWithSecureValues('child', '2025-04-01').key)]",
            },
        },
    )
    found = deploy(one, body)
    assert document(one, f"{NET}/outer")["tags"] == {"v": "inner", "d": "child"}
    assert found["outputs"]["id"]["value"] == f"{GROUP}/providers/{NET}/outer"
    assert found["outputs"]["length"]["value"] == 6
    assert [entry["id"] for entry in found["outputResources"]] == [f"{GROUP}/providers/{NET}/outer"]
    child_document = asyncio.run(one.send("GET", deployment_id(GROUP, "child"))).body
    assert child_document["properties"]["outputs"]["key"] == {"type": "SecureString"}
    assert child_document["properties"]["correlationId"] == found["correlationId"]


def test_nested_deployments_outer_scope_use_the_parents_world() -> None:
    one = client()
    inner = template(
        [
            net("[concat(variables('v'), '-x')]", tags={"who": "[reference('me').principalId]"}),
            net("[concat('loop', copyIndex())]", copy={"name": "l", "count": 2}),
        ],
        variables={"v": "ignored"},
        outputs={"v": {"type": "string", "value": "[variables('v')]"}},
    )
    body = template(
        [nested("child", inner, scope="outer"), {"type": ID, "apiVersion": "1", "name": "me"}],
        variables={"v": "outer"},
        outputs={"v": {"type": "string", "value": "[reference('child').outputs.v.value]"}},
    )
    found = deploy(one, body)
    assert found["outputs"]["v"]["value"] == "outer"
    assert document(one, f"{NET}/outer-x")["tags"] == {"who": "principal-of-me"}
    assert set(one.target.names()) == {"me", "outer-x", "loop0", "loop1"}
    assert one.target.names()[0] == "me"


def test_subscription_scope_creates_groups_and_deploys_into_them() -> None:
    one = client()
    inner = template([net("v", location="[resourceGroup().location]", tags="[resourceGroup().tags]")])
    policy = {"type": "Microsoft.Authorization/policyDefinitions", "apiVersion": "1", "name": "p"}
    above = template([policy], schema=SUBSCRIPTION_SCHEMA)
    body = template(
        [
            {
                "type": "Microsoft.Resources/resourceGroups",
                "apiVersion": "2024-03-01",
                "name": "fresh",
                "location": "[deployment().location]",
                "tags": {"k": "v"},
            },
            nested("in-group", inner, resourceGroup="fresh", dependsOn=["fresh"]),
            nested("at-subscription", above, location="westeurope"),
        ],
        schema=SUBSCRIPTION_SCHEMA,
    )
    found = deploy(one, body, AT_SUBSCRIPTION)
    assert found["provisioningState"] == "Succeeded", found
    assert document(one, f"{NET}/v", "fresh")["location"] == "westeurope"
    assert document(one, f"{NET}/v", "fresh")["tags"] == {"k": "v"}
    fresh = f"{AT_SUBSCRIPTION}/resourceGroups/fresh"
    assert {entry["id"] for entry in found["outputResources"]} == {
        fresh,
        f"{fresh}/providers/{NET}/v",
        f"{AT_SUBSCRIPTION}/providers/Microsoft.Authorization/policyDefinitions/p",
    }
    waiting = {entry["resourceName"]: entry["dependsOn"] for entry in found["dependencies"]}
    assert waiting["in-group"][0]["id"] == fresh
    assert asyncio.run(one.send("GET", deployment_id(AT_SUBSCRIPTION, "at-subscription"))).status == 200


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


def test_a_second_deployment_of_the_same_resources_meets_what_is_there() -> None:
    one = client()
    deploy(one, template([net("v")]))
    found = deploy(one, template([net("v", tags={"n": "2"})]))
    assert found["provisioningState"] == "Succeeded"
    assert document(one, f"{NET}/v")["tags"] == {"n": "2"}


def test_preflight_refuses_before_anything_is_put() -> None:
    one = client()
    one.target.refuses["odd"] = ArmError(400, "LabResourceTypeNotSupported", "The lab does not know it.")
    inner = template([net("odd")])
    answer = asyncio.run(one.put(GROUP, "main", template([net("v"), nested("child", inner)])))
    assert answer.status == 400
    assert answer.body["error"]["code"] == "InvalidTemplateDeployment"
    [detail] = answer.body["error"]["details"]
    assert (detail["code"], detail["target"]) == (
        "LabResourceTypeNotSupported",
        f"{GROUP}/providers/{NET}/odd",
    )
    assert one.target.order == []
    assert asyncio.run(one.send("GET", deployment_id(GROUP, "main"))).status == 404


def test_preflight_looks_through_outputs_that_can_be_foreseen_only() -> None:
    one = client()
    outputs = {
        "name": {"type": "string", "value": "[concat('a', 'b')]"},
        "late": {"type": "string", "value": "[reference('first').principalId]"},
    }
    first = template([net("first")], outputs=outputs)
    name = {"name": {"type": "string"}}
    second = template([net("[parameters('name')]")], parameters=name)
    third = template([net("t", tags={"x": "[parameters('name')]"})], parameters=name)
    body = template(
        [
            nested("one", first),
            nested("two", second, parameters={"name": {"value": "[reference('one').outputs.name.value]"}}),
            nested("three", third, parameters={"name": {"value": "[reference('one').outputs.late.value]"}}),
        ]
    )
    answer = asyncio.run(
        one.send("POST", f"{deployment_id(GROUP, 'main')}/validate", request_body(GROUP, body, {}))
    )
    assert answer.status == 200
    assert [checked.rsplit("/", 1)[-1] for checked in one.target.checked] == ["first", "ab"]


def test_preflight_passes_over_values_of_resources_outside_the_template() -> None:
    one = client()
    one.target.documents[f"{GROUP}/providers/{NET}/old".lower()] = {"properties": {"names": ["a"]}}
    inner = template(
        [
            net(
                "[parameters('names')[copyIndex()]]",
                copy={"name": "l", "count": "[length(parameters('names'))]"},
            )
        ],
        parameters={"names": {"type": "array"}},
    )
    names = {"names": {"value": f"[reference('{NET}/old').names]"}}
    found = deploy(one, template([nested("child", inner, parameters=names)]))
    assert found["provisioningState"] == "Succeeded"
    assert one.target.names() == ["a"]


def test_a_group_made_by_one_module_serves_the_next() -> None:
    group = {
        "type": "Microsoft.Resources/resourceGroups",
        "apiVersion": "1",
        "name": "made",
        "location": "westeurope",
    }
    maker = nested("maker", template([group], schema=SUBSCRIPTION_SCHEMA), location="westeurope")
    user = nested("user", template([net("v")]), resourceGroup="made", dependsOn=["maker"])
    found = deploy(client(), template([maker, user], schema=SUBSCRIPTION_SCHEMA), AT_SUBSCRIPTION)
    assert found["provisioningState"] == "Succeeded"
