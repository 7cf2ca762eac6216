"""Damaged templates: an error in ARM's shape, never a crash."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fwdlab.arm.errors import ArmError
from fwdlab.arm.template.expand import Host, expand
from fwdlab.arm.template.request import read_request
from fwdlab.arm.template.scopes import Scope
from support.deployment_target import SCHEMA, SUBSCRIPTION, template

if TYPE_CHECKING:
    from collections.abc import Iterator

SHAPE = {
    "type": "object",
    "properties": {"a": {"type": "int"}, "b": {"$ref": "#/definitions/other"}},
    "additionalProperties": {"type": "string"},
}
WHOLE: dict[str, Any] = {
    "$schema": SCHEMA,
    "contentVersion": "1.0.0.0",
    "definitions": {
        "other": {
            "type": "array",
            "prefixItems": [{"type": "int"}],
            "items": {"type": "string"},
            "maxLength": 3,
        },
        "pet": {
            "type": "object",
            "discriminator": {"propertyName": "t", "mapping": {"cat": {"type": "object", "properties": {}}}},
        },
        "shape": SHAPE,
    },
    "parameters": {
        "p": {"type": "string", "defaultValue": "x", "allowedValues": ["x", "y"], "minLength": 1},
        "s": {"$ref": "#/definitions/shape", "defaultValue": {"a": 1, "b": [1, "x"], "c": "d"}},
        "pet": {"$ref": "#/definitions/pet", "defaultValue": {"t": "cat"}},
    },
    "variables": {
        "copy": [{"name": "many", "count": 2, "input": "[copyIndex('many')]"}],
        "v": {"copy": [{"name": "l", "count": 1, "input": 1}]},
    },
    "functions": [
        {
            "namespace": "n",
            "members": {
                "f": {
                    "parameters": [{"name": "a", "type": "string"}],
                    "output": {"type": "string", "value": "[parameters('a')]"},
                }
            },
        }
    ],
    "resources": [
        {
            "type": "A.B/c",
            "apiVersion": "1",
            "name": "[concat('v', copyIndex())]",
            "tags": {"x": "[n.f('a')]", "y": "[string(variables('many')[0])]"},
            "copy": {"name": "l", "count": 2, "mode": "serial", "batchSize": 1},
        },
        {
            "type": "A.B/c",
            "apiVersion": "1",
            "name": "w",
            "condition": True,
            "scope": "",
            "resources": [{"type": "d", "name": "e", "apiVersion": "1", "dependsOn": ["w"]}],
        },
        {
            "type": "Microsoft.Resources/deployments",
            "apiVersion": "1",
            "name": "n",
            "properties": {"mode": "Incremental", "template": {"resources": []}},
        },
    ],
    "outputs": {"o": {"type": "array", "copy": {"count": 2, "input": "[copyIndex()]"}}},
}
WRONG = [
    None,
    1,
    True,
    1.5,
    "x",
    "",
    "[x",
    "[f()]",
    "[parameters('p')]",
    "[reference('w')]",
    [],
    {},
    [1],
    {"a": 1},
]


def _plan(body: Any) -> None:
    scope = Scope(SUBSCRIPTION, "rg")
    request = read_request("main", scope, {"properties": {"template": body}})
    expand(request, Host("tenant", {"location": "westeurope"}))


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items: Any = (
        value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else [])
    )
    for key, item in items:
        yield from _places(item, (*path, key))


def _damaged(path: tuple[Any, ...], wrong: Any) -> Any:
    body = copy.deepcopy(WHOLE)
    if not path:
        return wrong
    target: Any = body
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = wrong
    return body


def test_the_whole_template_is_in_order() -> None:
    _plan(WHOLE)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(list(_places(WHOLE))), st.sampled_from(WRONG))
def test_damage_anywhere_is_fine_or_refused_as_arm_would(path: tuple[Any, ...], wrong: Any) -> None:
    try:
        _plan(_damaged(path, wrong))
    except ArmError as error:
        assert error.status == 400  # noqa: PT017 - both outcomes are right
        assert json.dumps(error.body())  # noqa: PT017


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"parameters": []}, "'parameters' must be an object"),
        ({"parameters": {"p": 1}}, "'parameters.p' must be an object"),
        (
            {"parameters": {"p": {"type": "string", "minLength": "x"}}},
            "'parameters.p.minLength' must be an integer",
        ),
        ({"variables": "x"}, "'variables' must be an object"),
        (
            {"outputs": {"o": {"type": "array", "copy": {"count": 1}}}},
            "'outputs.o.copy' has no property 'input'",
        ),
        ({"functions": [{"namespace": "n"}]}, "'functions[0]' has no property 'members'"),
        ({"definitions": {"d": {"items": 1}}}, "'definitions.d.items' must be an object"),
    ],
)
def test_the_error_names_the_property(sections: dict[str, Any], message: str) -> None:
    with pytest.raises(ArmError) as caught:
        _plan(template([], **sections))
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("resource", "message"),
    [
        (1, "'resources[0]' must be an object"),
        ({"name": "x"}, "'resources[0]' has no property 'type'"),
        ({"type": "A.B/c", "name": "x", "dependsOn": 1}, "'resources[0].dependsOn' must be an array"),
        ({"type": "A.B/c", "name": "x", "copy": {}}, "'resources[0].copy' has no property 'count'"),
        (
            {"type": "Microsoft.Resources/deployments", "name": "x"},
            "'resources[0]' has no property 'properties'",
        ),
    ],
)
def test_the_error_names_the_resource_and_its_property(resource: Any, message: str) -> None:
    with pytest.raises(ArmError) as caught:
        _plan(template([resource]))
    assert message in caught.value.message
