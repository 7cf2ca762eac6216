"""Functions of templates: what they refuse, and which there are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fwdlab.arm.template import functions
from fwdlab.arm.template.environment import Frame, UserFunction
from fwdlab.arm.template.scopes import Scope
from fwdlab.arm.template.values import ExpressionError
from support.template_values import ENVIRONMENT, SUB, evaluate


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("nothing('x')", "function 'nothing' is not valid"),
        ("managementGroup().id", "'managementGroup' is not supported by the lab"),
        ("dataUri('x')", "'dataUri' is not supported by the lab"),
        ("loadTextContent('x')", "'loadTextContent' is not valid"),
        ("fail('as told')", "^as told$"),
        ("add(1)", "requires 2 argument"),
        ("add(1, '2')", "expects its parameter to be an integer.*'String'"),
        ("add(1, true())", "'Boolean'"),
        ("div(1, 0)", "divide by zero"),
        ("pickZones('Microsoft.Compute', 'disks', 'westeurope', 0)", "'0' is not between 1 and 3"),
        ("pickZones('Microsoft.Compute', 'disks', 'westeurope', 4)", "'4' is not between 1 and 3"),
        ("pickZones('Microsoft.Compute', 'disks', 'westeurope', 3, 1)", "no 3 zones from offset '1'"),
        ("add(9223372036854775807, 1)", "'add'.* not in the range of a 64-bit integer"),
        ("sub(-9223372036854775807, 2)", "'sub'.* not in the range of a 64-bit integer"),
        ("mul(4294967296, 2147483648)", "'mul'.* not in the range of a 64-bit integer"),
        ("div(sub(-9223372036854775807, 1), -1)", "'div'.* not in the range of a 64-bit integer"),
        ("int('9223372036854775808')", "'int'.* not in the range of a 64-bit integer"),
        ("min('x')", "an integer or an array.*'String'"),
        ("max(createArray('x'))", "an integer.*'String'"),
        ("min(createArray())", "at least one integer"),
        ("less(1, 'x')", "two integers or two strings"),
        ("less(true(), false())", "'Boolean'"),
        ("concat('a', createObject())", "'Object'"),
        ("concat(createArray(1), 'a')", "an array.*'String'"),
        ("union(createArray(1), createObject())", "an array.*'Object'"),
        ("union(createObject(), createArray(1))", "an object.*'Array'"),
        ("length(1)", "a string or an array or an object.*'Integer'"),
        ("map(createArray(1), lambda('a', 'b', 'c', 1))", "must have 1 or 2 variable"),
        ("true(1)", "requires 0 argument"),
        ("concat()", "requires at least 1 argument"),
        ("substring('a', 1, 2, 3)", "requires 2 to 3 argument"),
        ("toLower(1)", "expects its parameter to be a string.*'Integer'"),
        ("if('x', 1, 2)", "a boolean"),
        ("parameters('obj').zzz", "property 'zzz' doesn't exist, available properties are 'a, Name'"),
        ("parameters('list')[3]", "array index '3' is out of bounds"),
        ("parameters('nope')", "parameter 'nope' is not found"),
        ("format('{0:Q}', 1)", "does not support 'Q'"),
        ("format('{1}', 'a')", "invalid"),
        ("substring('abc', 2, 5)", "must refer to a location within the string"),
        ("dateTimeAdd('2020-01-01T00:00:00Z', 'P999999999Y')", "the result is no date"),
        ("dateTimeAdd('2020-01-01T00:00:00Z', 'P99999999999D')", "the result is no date"),
        ("json('1e999')", "'json' parameter is not valid"),
        ("json('[NaN]')", "'json' parameter is not valid"),
        ("json('\"\\ud800\"')", "'json' parameter is not valid"),
        ("lambda('x', 1)", "A lambda may only stand as an argument"),
        ("if(true(), lambda('x', 1), 2)", "A lambda may only stand as an argument"),
        ("string(lambda('x', 1))", "a value.*'Lambda'"),
        ("createObject('a', lambda('x', 1))", "a value.*'Lambda'"),
        ("json('" + "[" * 5000 + "')", "'json' parameter is not valid"),
        ("cidrSubnet('10.0.0.0/24', 26, 4)", "has no subnet"),
        ("cidrHost('10.0.0.0/30', 3)", "has no host"),
        ("parseCidr('10.0.0/33')", "not a valid CIDR"),
        ("resourceId('n')", "fully qualified resource type"),
        ("resourceId('Microsoft.A/b/c', 'n')", "requires 2 resource name"),
        ("base64ToString('%')", "cannot decode"),
        ("json('{')", "not valid JSON"),
        ("int('x')", "cannot convert"),
        ("bool('x')", "cannot convert"),
        ("map(createArray(1), 'x')", "a lambda"),
        ("filter(createArray(1), lambda('x', 1))", "a boolean"),
        ("lambdaVariables('x')", "lambda variable 'x' is not found"),
        ("copyIndex()", "'copyIndex' is not expected at this location"),
        ("utcNow()", "'utcNow' is not expected at this location"),
        ("newGuid()", "'newGuid' is not expected at this location"),
        ("reference('x')", "'reference' is not expected at this location"),
        ("listKeys('x', '1')", "'listKeys' is not expected at this location"),
        ("range(0, 20000)", "range"),
        ("ns.twice()", "requires 1 argument"),
        ("dateTimeAdd('tomorrow', 'P1D')", "ISO 8601"),
        ("dateTimeAdd('2026-01-01', 'one day')", "cannot read"),
    ],
)
def test_says_what_is_wrong(expression: str, message: str) -> None:
    with pytest.raises(ExpressionError, match=message):
        evaluate(expression)


def test_resource_group_is_refused_at_subscription_scope() -> None:
    environment = replace(ENVIRONMENT, scope=Scope(SUB))
    with pytest.raises(ExpressionError, match="'resourceGroup' is not expected"):
        evaluate("resourceGroup().id", environment=environment)
    assert evaluate("resourceId('Microsoft.A/b', 'n')", environment=environment) == (
        f"/subscriptions/{SUB}/providers/Microsoft.A/b/n"
    )


def test_defaults_may_ask_for_time_and_chance() -> None:
    frame = Frame(defaults=True)
    assert evaluate("utcNow()", frame) == "20261121T070509Z"
    assert evaluate("utcNow('d')", frame) == "11/21/2026"
    assert evaluate("utcNow('yyyy MMM ddd h:mm tt .fff')", frame) == "2026 Nov Sat 7:05 AM .123"
    assert len(evaluate("newGuid()", frame)) == 36


def test_a_user_function_sees_its_arguments_only() -> None:
    nosy = UserFunction("ns.nosy", ("x",), "[variables('v')]")
    environment = replace(ENVIRONMENT, functions={"ns.nosy": nosy})
    with pytest.raises(ExpressionError, match="'variables' is not expected"):
        evaluate("ns.nosy('x')", environment=environment)


def test_a_function_is_either_there_or_lacking() -> None:
    assert not functions.LACKING & functions.TABLE.keys()
    assert all(function.name.lower() == name for name, function in functions.TABLE.items())
