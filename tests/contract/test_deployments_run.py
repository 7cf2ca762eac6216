"""Deployments run against an in-memory control plane: order, nesting, failures, cancelling."""

from __future__ import annotations

import asyncio
from typing import Any

from fwdlab.arm.errors import ArmError
from support.deployment_runs import NET, client, deploy, nested, net
from support.deployment_target import (
    AT_SUBSCRIPTION,
    GROUP,
    SUBSCRIPTION_SCHEMA,
    Client,
    deployment_id,
    request_body,
    template,
)

ID = "Microsoft.ManagedIdentity/userAssignedIdentities"


def document(one: Client, name: str, group: str = "rg") -> dict[str, Any]:
    return one.target.documents[f"{AT_SUBSCRIPTION}/resourceGroups/{group}/providers/{name}".lower()]


def test_dependencies_first_and_the_rest_at_once() -> None:
    one = client()
    one.target.seconds = 0.1
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
