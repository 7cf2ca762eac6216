"""Expansion of templates into resources."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from support.deployment_target import AT_SUBSCRIPTION, GROUP
from support.template_expansions import NET, expanded, net, refused

if TYPE_CHECKING:
    from fwdlab.arm.template.expansion import Expansion


def waits(found: Expansion) -> dict[str, set[str]]:
    return {
        found.resources[key].name: {found.resources[one].name for one in waits}
        for key, waits in found.depends_on.items()
    }


def test_ids_of_every_kind_of_place() -> None:
    found = expanded(
        [
            net("v"),
            {"type": f"{NET}/subnets", "name": "v/s", "apiVersion": "1"},
            {"type": "Microsoft.A/locks", "name": "on-v", "scope": f"[resourceId('{NET}', 'v')]"},
            {"type": "Microsoft.A/locks", "name": "relative", "scope": f"{NET}/v"},
            {"type": f"{NET}/providers/locks", "name": "v/Microsoft.A/old-style"},
            {"type": "Microsoft.A/b", "name": "elsewhere", "resourceGroup": "other"},
            {"type": "Microsoft.A/b", "name": "above", "subscriptionId": "[subscription().subscriptionId]"},
            {"type": "Microsoft.Resources/resourceGroups", "name": "g", "apiVersion": "1"},
        ]
    )
    assert [one.id for one in found.resources.values()] == [
        f"{GROUP}/providers/{NET}/v",
        f"{GROUP}/providers/{NET}/v/subnets/s",
        f"{GROUP}/providers/{NET}/v/providers/Microsoft.A/locks/on-v",
        f"{GROUP}/providers/{NET}/v/providers/Microsoft.A/locks/relative",
        f"{GROUP}/providers/{NET}/v/providers/Microsoft.A/locks/old-style",
        f"{AT_SUBSCRIPTION}/resourceGroups/other/providers/Microsoft.A/b/elsewhere",
        f"{AT_SUBSCRIPTION}/providers/Microsoft.A/b/above",
        f"{AT_SUBSCRIPTION}/resourceGroups/g",
    ]


def test_children_nested_in_their_parent_in_both_languages() -> None:
    child = {"type": "subnets", "apiVersion": "1", "name": "[concat('s', 1)]", "dependsOn": ["v"]}
    deep = {"type": "a", "apiVersion": "1", "name": "d"}
    old = expanded([net("[concat('v')]", resources=[{**child, "resources": [deep]}])])
    new = expanded({"v": net("v", resources={"s": child})})
    assert [(one.type, one.name) for one in old.resources.values()] == [
        (NET, "v"),
        (f"{NET}/subnets", "v/s1"),
        (f"{NET}/subnets/a", "v/s1/d"),
    ]
    assert waits(old)["v/s1"] == {"v"}
    assert waits(new) == {"v": set(), "v/s1": {"v"}}


def test_loops_name_each_turn_and_wait_batch_by_batch() -> None:
    found = expanded(
        [
            net(
                "[concat('v', copyIndex(1))]",
                copy={"name": "nets", "count": 5, "mode": "serial", "batchSize": 2},
            ),
            net("after", dependsOn=["nets"]),
        ]
    )
    assert waits(found) == {
        "v1": set(),
        "v2": set(),
        "v3": {"v1", "v2"},
        "v4": {"v1", "v2"},
        "v5": {"v3", "v4"},
        "after": {"v1", "v2", "v3", "v4", "v5"},
    }


def test_a_loop_of_none_is_nothing_to_wait_for() -> None:
    none = net("[string(copyIndex())]", copy={"name": "nets", "count": 0})
    user = net("x", dependsOn=["nets"], tags={"n": "[string(length(references('nets')))]"})
    found = expanded({"nets": none, "x": user})
    assert list(found.resources) == ["x"]
    assert waits(expanded([none, net("x", dependsOn=["nets"])])) == {"x": set()}


@pytest.mark.parametrize(
    "entry",
    [
        "v",
        f"{NET}/v",
        f"[resourceId('{NET}', 'v')]",
        f"[concat('{NET}/', 'v')]",
        f"{GROUP.upper()}/providers/{NET}/V",
    ],
)
def test_depends_on_by_name_type_and_id(entry: str) -> None:
    assert waits(expanded([net("v"), net("w", dependsOn=[entry])]))["w"] == {"v"}


def test_depends_on_symbols_and_turns_of_a_symbolic_loop() -> None:
    loop = {"name": "many", "count": 2}
    found = expanded(
        {
            "many": net("[format('m{0}', copyIndex())]", copy=loop),
            "same": net(
                "[format('s{0}', copyIndex())]", copy=loop, dependsOn=["[format('many[{0}]', copyIndex())]"]
            ),
            "all": net("all", dependsOn=["many"]),
        }
    )
    assert waits(found) == {"m0": set(), "m1": set(), "s0": {"m0"}, "s1": {"m1"}, "all": {"m0", "m1"}}


@pytest.mark.parametrize(
    "text",
    [
        "[reference('v').x]",
        f"[reference(resourceId('{NET}', 'v'), '2024-05-01', 'Full').location]",
        f"[reference('{NET}/v').x]",
        f"[listKeys(resourceId('{NET}', 'v'), '1').keys[0].value]",
        "[map(createArray(1), lambda('x', reference('v').x))[0]]",
        "[if(true(), reference('v').x, 'none')]",
        "[concat(reference('v').x, '-')]",
    ],
)
def test_what_is_referred_to_is_waited_for(text: str) -> None:
    assert waits(expanded([net("v"), net("w", properties={"deep": [{"x": text}]})]))["w"] == {"v"}


def test_references_not_taken_or_elsewhere_are_not_waited_for() -> None:
    found = expanded(
        [
            net("v"),
            net("w", tags={"x": "[if(false(), reference('v').x, 'none')]"}),
            net("u", tags={"x": f"[reference('/subscriptions/s/resourceGroups/r/providers/{NET}/v').x]"}),
        ]
    )
    assert waits(found) == {"v": set(), "w": set(), "u": set()}


def test_conditions_existing_and_duplicates_of_what_is_not_deployed() -> None:
    found = expanded(
        {
            "on": net("v", condition="[equals(1, 1)]"),
            "off": net("v", condition="[equals(1, 2)]"),
            "old": net("v", existing=True),
        }
    )
    assert [(one.active, one.existing) for one in found.resources.values()] == [
        (True, False),
        (False, False),
        (True, True),
    ]
    assert found.names.key_of_id(f"{GROUP}/providers/{NET}/v") == "on"


def test_names_are_found_by_symbol_loop_and_information() -> None:
    loop = {"name": "many", "count": 2}
    found = expanded({"many": net("[format('m{0}', copyIndex())]", copy=loop), "one": net("o")})
    names = found.names
    assert names.resource("many[1]").endswith("/m1")
    assert [one[-2:] for one in names.loop("many")] == ["m0", "m1"]
    assert names.info("one") == {
        "id": f"{GROUP}/providers/{NET}/o",
        "name": "o",
        "type": NET,
        "apiVersion": "2024-05-01",
    }


def test_a_name_may_be_taken_from_another_resource() -> None:
    loop = {"name": "many", "count": 2}
    found = expanded(
        {
            "child": {
                "type": f"{NET}/subnets",
                "name": "[format('{0}/s', resourceInfo('v').name)]",
                "scope": "",
                "apiVersion": "1",
            },
            "v": net("[concat(resourceInfo('many[1]').name, '-x')]"),
            "many": net("[format('m{0}', copyIndex())]", copy=loop),
        }
    )
    assert found.resources["child"].id == f"{GROUP}/providers/{NET}/m1-x/subnets/s"


def test_names_that_need_each_other_are_refused() -> None:
    message = refused({"a": net("[resourceInfo('b').name]"), "b": net("[resourceInfo('a').name]")})
    assert "depends on itself in a circle" in message


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ([net("a", dependsOn=["b"]), net("b", dependsOn=["a"])], "Circular dependency detected on resource"),
        ([net("a", tags={"x": "[reference('b').x]"}), net("b", dependsOn=["a"])], "Circular dependency"),
        ([net("a"), net("A")], "is defined multiple times in a template"),
        ([net("a", dependsOn=["nobody"])], "The resource 'nobody' is not defined in the template"),
        ([net("a", tags={"x": "[reference('nobody').x]"})], "The resource 'nobody' is not defined"),
        ([net("a/b")], "incorrect segment lengths"),
        ([{"type": NET}], "has no property 'name'"),
        ([net("[reference('a').x]")], "'reference' is not expected at this location"),
        ([net("a", condition="[reference('a').x]")], "'reference' is not expected at this location"),
        ([net("a", condition="yes")], "'condition' must evaluate to a boolean"),
        ([net("a", copy={"name": "l", "count": 801})], "an integer from 0 to 800"),
        ([net("a", copy={"name": "l", "count": "many"})], "an integer from 0 to 800"),
        ([net("a", copy={"name": "l", "count": 1}, resources=[net("x")])], "a loop and nested resources"),
        ([net("a", tags={"x": "[unheard()]"})], "function 'unheard' is not valid"),
        ([net("a", tags={"x": "[f(]"})], "Unable to parse language expression"),
        ([net("[variables('loop')]")], "The template variable 'loop' is not valid.*depends on itself"),
        ([net("[variables('absent')]")], "The template variable 'absent' is not found"),
    ],
)
def test_templates_that_are_refused(resources: Any, message: str) -> None:
    found = refused(resources, variables={"loop": "[variables('loop')]"})
    assert re.search(message, found), found


def test_the_error_names_the_resource() -> None:
    assert "for resource '" + f"{NET}" not in refused([net("bad", tags={"x": "[unheard()]"})])
    assert "resource 'bad'" in refused([net("bad", tags={"x": "[unheard()]"})])


def test_sections_and_members_are_taken_in_any_case() -> None:
    body = {"Type": NET, "ApiVersion": "2024-05-01", "Name": "[parameters('n')]", "DependsOn": ["w"]}
    found = expanded(
        [body, {**net("w"), "COPY": {"Name": "c", "Count": 1}}],
        values={"n": "v"},
        Parameters={"n": {"TYPE": "string"}},
    )
    assert {one.name: len(found.depends_on[key]) for key, one in found.resources.items()} == {"v": 1, "w": 0}


def test_what_is_not_read_need_not_be_known() -> None:
    """Published modules read an existing resource only if its name is given; null has no name."""
    found = expanded(
        {
            "old": net(
                "[last(split(parameters('id'), '/'))]",
                existing=True,
                condition="[not(empty(parameters('id')))]",
                resourceGroup="[split(parameters('id'), '/')[4]]",
            ),
            "new": net("v", tags={"old": "[if(empty(parameters('id')), 'none', reference('old').x)]"}),
        },
        languageVersion="2.0",
        parameters={"id": {"type": "string", "nullable": True}},
    )
    assert [one.written for one in found.resources.values()] == [False, True]
