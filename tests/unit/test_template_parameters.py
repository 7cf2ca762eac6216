"""Parameters, frames and bodies of a template: what fits, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from fwdlab.arm.errors import ArmError
from fwdlab.arm.template.request import read_request
from support.deployment_target import SUBSCRIPTION_SCHEMA, template
from support.template_expansions import IN_GROUP, expanded, net, refused


def test_parameters_variables_and_functions_come_together() -> None:
    found = expanded(
        [net("[variables('name')]", tags={"t": "[variables('many')[1].x]"})],
        values={"Base": "b"},
        parameters={
            "base": {"type": "string"},
            "size": {"type": "int", "defaultValue": "[length(parameters('base'))]"},
            "id": {"type": "string", "defaultValue": "[newGuid()]"},
            "key": {"type": "secureString", "defaultValue": "s3cret"},
            "none": {"type": "string", "nullable": True},
            "any": {"defaultValue": [1]},
        },
        variables={
            "name": "[ns.join(parameters('base'), string(parameters('size')))]",
            "copy": [{"name": "many", "count": 2, "input": {"x": "[copyIndex('many')]"}}],
        },
        functions=[
            {
                "namespace": "ns",
                "members": {
                    "join": {
                        "parameters": [{"name": "a", "type": "string"}, {"name": "b", "type": "string"}],
                        "output": {
                            "type": "string",
                            "value": "[concat(parameters('a'), '-', parameters('b'))]",
                        },
                    }
                },
            }
        ],
    )
    assert found.parameters == {
        "base": {"type": "String", "value": "b"},
        "size": {"type": "Int", "value": 1},
        "id": {"type": "String", "value": "a-guid"},
        "key": {"type": "SecureString"},
        "none": {"type": "String", "value": None},
        "any": {"type": "Array", "value": [1]},
    }
    assert [one.name for one in found.resources.values()] == ["b-1"]


@pytest.mark.parametrize(
    ("declared", "given", "message"),
    [
        ({"type": "string"}, {}, "The value for the template parameter 'p' is not provided"),
        ({"type": "string"}, {"p": None}, "The value for the template parameter 'p' is not provided"),
        (
            {"type": "string"},
            {"p": 1},
            "Expected a value of type 'String', but received a value of type 'Integer'",
        ),
        (
            {"type": "int"},
            {"p": "1"},
            "Expected a value of type 'Integer', but received a value of type 'String'",
        ),
        ({"type": "int"}, {"p": True}, "received a value of type 'Boolean'"),
        ({"type": "int"}, {"p": 2**63}, "not in the range of a 64-bit integer"),
        ({"type": "bool"}, {"p": "true"}, "Expected a value of type 'Boolean'"),
        ({"type": "array"}, {"p": {}}, "Expected a value of type 'Array'"),
        ({"type": "object"}, {"p": []}, "Expected a value of type 'Object'"),
        (
            {"type": "string", "allowedValues": ["a", "b"]},
            {"p": "c"},
            "not part of the allowed value(s): 'a,b'",
        ),
        ({"type": "array", "allowedValues": ["a"]}, {"p": ["a", "c"]}, "not part of the allowed value(s)"),
        ({"type": "string", "minLength": 2}, {"p": "a"}, "greater than or equal to '2'"),
        ({"type": "array", "maxLength": 1}, {"p": [1, 2]}, "less than or equal to '1'"),
        ({"type": "int", "minValue": 3}, {"p": 2}, "greater than or equal to '3'"),
        ({"type": "int", "maxValue": 3}, {"p": 4}, "less than or equal to '3'"),
        ({"type": "nonsense"}, {"p": 1}, "The type 'nonsense' is not valid"),
        ({"type": "string", "defaultValue": "[fail('no luck')]"}, {}, "no luck"),
        ({"type": "string", "defaultValue": "[parameters('p')]"}, {}, "depends on itself"),
        (
            {"type": "string", "defaultValue": ""},
            {"q": 1},
            "The template parameters 'q' in the parameters file are not valid",
        ),
        ({"$ref": "#/definitions/pair"}, {"p": {"a": 1}}, "required but were not provided: 'b'"),
        ({"$ref": "#/definitions/pair"}, {"p": {"a": 1, "b": []}}, "template parameter 'p.b'"),
        ({"$ref": "#/definitions/pair"}, {"p": {"a": 1, "b": "x", "c": 1}}, "'c' is not permitted"),
        (
            {"type": "array", "items": {"$ref": "#/definitions/pair"}},
            {"p": [{"a": 1, "b": "", "d": "q"}]},
            "'p[0].d'",
        ),
        ({"$ref": "#/definitions/tuple"}, {"p": [1, 2]}, "template parameter 'p[1]'"),
        ({"$ref": "#/definitions/tuple"}, {"p": [1, "x", 3]}, "no more than 2"),
        ({"$ref": "#/definitions/pet"}, {"p": {"kind": "fish"}}, "'kind' must be one of 'cat, dog'"),
        ({"$ref": "#/definitions/pet"}, {"p": {"kind": "cat"}}, "were not provided: 'lives'"),
        ({"$ref": "#/definitions/open"}, {"p": {"x": 1}}, "template parameter 'p.x'"),
        ({"$ref": "#/definitions/nowhere"}, {"p": 1}, "'#/definitions/nowhere' is not found"),
        ({"$ref": "#/definitions/circle"}, {"p": 1}, "refers to itself"),
    ],
)
def test_parameters_that_do_not_fit(declared: dict[str, Any], given: dict[str, Any], message: str) -> None:
    pair = {"a": {"type": "int"}, "b": {"type": "string"}, "d": {"type": "int", "nullable": True}}
    kinds = {
        "cat": {"type": "object", "properties": {"kind": {"type": "string"}, "lives": {"type": "int"}}},
        "dog": {"type": "object", "properties": {"kind": {"type": "string"}}},
    }
    definitions = {
        "pair": {"type": "object", "properties": pair, "additionalProperties": False},
        "tuple": {"type": "array", "prefixItems": [{"type": "int"}, {"type": "string"}], "items": False},
        "pet": {"type": "object", "discriminator": {"propertyName": "kind", "mapping": kinds}},
        "open": {"type": "object", "additionalProperties": {"type": "string"}},
        "circle": {"$ref": "#/definitions/circle"},
    }
    found = refused([], values=given, parameters={"p": declared}, definitions=definitions)
    assert found.startswith("Deployment template validation failed: '")
    assert message in found


@pytest.mark.parametrize("value", [{"kind": "cat", "lives": 9}, {"KIND": "dog"}])
def test_discriminated_values_that_fit(value: dict[str, Any]) -> None:
    mapping = {
        "cat": {"type": "object", "properties": {"lives": {"type": "int"}}},
        "dog": {"type": "object", "properties": {"good": {"type": "bool", "nullable": True}}},
    }
    declared = {"type": "object", "discriminator": {"propertyName": "kind", "mapping": mapping}}
    assert expanded([], values={"p": value}, parameters={"p": declared}).parameters["p"]["value"] == value


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"$schema": "https://x/tenantDeploymentTemplate.json#"}, "LabDeploymentScopeNotSupported"),
        ({"$schema": "https://x/managementGroupDeploymentTemplate.json#"}, "LabDeploymentScopeNotSupported"),
        ({"$schema": SUBSCRIPTION_SCHEMA}, "InvalidTemplate"),
        ({"$schema": "https://x/other.json"}, "InvalidTemplate"),
        ({"contentVersion": ""}, "InvalidTemplate"),
        ({"resources": "none"}, "InvalidTemplate"),
        ({"extensions": {"k8s": {}}}, "LabTemplateFeatureNotSupported"),
    ],
)
def test_frames_that_are_refused(change: dict[str, Any], code: str) -> None:
    with pytest.raises(ArmError) as caught:
        read_request("main", IN_GROUP, {"properties": {"template": template([]) | change}})
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("properties", "code"),
    [
        ({"mode": "Complete", "template": {}}, "LabDeploymentModeNotSupported"),
        ({"templateLink": {"uri": "x"}}, "LabDeploymentPropertyNotSupported"),
        ({}, "InvalidRequestContent"),
        (None, "InvalidRequestContent"),
        ({"template": template([]), "parameters": {"p": 1}}, "InvalidTemplate"),
        ({"template": template([]), "parameters": [1]}, "InvalidRequestContent"),
        (
            {"template": template([]), "parameters": {"p": {"reference": {"keyVault": {"id": "x"}}}}},
            "LabParameterReferenceNotSupported",
        ),
    ],
)
def test_bodies_that_are_refused(properties: Any, code: str) -> None:
    with pytest.raises(ArmError) as caught:
        read_request("main", IN_GROUP, {"properties": properties})
    assert caught.value.code == code
