"""ARM's limits of templates, and what the lab spends on one at most."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from typing import Any

import pytest

from fwdlab.arm.errors import ArmError
from fwdlab.arm.template.runner import Engine
from support.deployment_target import MemoryTarget
from support.template_expansions import expanded, net, refused


def variables(expression: str, first: Any, count: int = 40) -> dict[str, Any]:
    made = {"v0": first}
    for number in range(1, count):
        made[f"v{number}"] = expression.replace("V", f"variables('v{number - 1}')")
    return made


@pytest.mark.parametrize(
    ("section", "most"), [("parameters", 256), ("variables", 512), ("outputs", 64), ("resources", 800)]
)
def test_arms_limits(section: str, most: int) -> None:
    def sections(count: int) -> dict[str, Any]:
        one = {"parameters": {"type": "int", "defaultValue": 1}, "outputs": {"type": "int", "value": 1}}
        if section == "resources":
            return {"resources": [net("v[copyIndex()]", copy={"name": "c", "count": count - 1}), net("w")]}
        return {"resources": [], section: {f"n{i}": one.get(section, 1) for i in range(count)}}

    many = sections(most)
    if section != "resources":
        expanded(many.pop("resources"), **many)
    too_many = sections(most + 1)
    if section == "resources":
        loop = {"name": "c", "count": most}
        too_many["resources"] = [net("[concat('v', copyIndex())]", copy=loop), net("w")]
    said = refused(too_many.pop("resources"), **too_many)
    assert (
        f"The number of template {section} limit exceeded. Limit: '{most}' and actual: '{most + 1}'" in said
    )


@pytest.mark.parametrize(
    ("expression", "first", "said"),
    [
        ("[concat(V, V)]", "0123456789", "larger than"),
        ("[createArray(V, V)]", "0123456789", "larger than"),
        ("[createObject('a', V, 'b', V)]", {}, "larger than"),
        ("[mul(V, V)]", 3, "64-bit"),
        ("[concat(V, '" + "x" * 25_000 + "')]", "", "length limit exceeded"),
        ("[add(V, 9223372036854775808)]", 1, "64-bit"),
        ("[padLeft(V, 2147483647)]", "x", "larger than"),
        (f"[concat({', '.join(['V'] * 100)})]", "x" * 1_000_000, "larger than"),
        (f"[format('{'{0}' * 1000}', V)]", "x" * 1_000_000, "larger than"),
        ("[format('{0,2147483647}', V)]", "x", "larger than"),
        ("[replace(V, 'x', '" + "x" * 1000 + "')]", "x", "larger than"),
        ("[join(range(0, 1000), V)]", "x" * 10_000, "larger than"),
    ],
)
def test_values_that_grow_are_refused(expression: str, first: Any, said: str) -> None:
    tracemalloc.start()
    begin = time.monotonic()
    message = refused([net("[string(variables('v39'))]")], variables=variables(expression, first))
    assert said in message
    assert time.monotonic() - begin < 5
    assert tracemalloc.get_traced_memory()[1] < 100_000_000
    tracemalloc.stop()


LOOP = "map(range(0, 10000), lambda('{}', {}))"
SLOW = LOOP.format("a", LOOP.format("b", LOOP.format("c", "1")))


@pytest.mark.parametrize(
    "expression",
    [
        f"[string({SLOW})]",
        "[string(map(range(0, 10000), lambda('a', range(0, 10000))))]",
        "[string(map(range(0, 10000), lambda('a', contains(range(0, 10000), -1))))]",
        "[string(sort(range(0, 10000), lambda('a', 'b', less(lambdaVariables('b'), lambdaVariables('a')))))]",
        "[string(reduce(range(0, 10000), createArray(), lambda('a', 'b', createArray(lambdaVariables('a')))))]",
        "[string(reduce(range(0, 10000), '', lambda('a', 'b', concat(lambdaVariables('a'), 'xxxxxxxxxx'))))]",
    ],
)
async def test_an_evaluation_ends_and_holds_nobody_up(expression: str) -> None:
    engine = Engine(MemoryTarget())
    longest, ended = 0.0, False

    async def beat() -> None:
        nonlocal longest
        while not ended:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            longest = max(longest, time.monotonic() - before)

    beating = asyncio.create_task(beat())
    begin = time.monotonic()
    said = await engine.evaluate(refusal_of, expression)
    ended = True
    await beating
    assert time.monotonic() - begin < 30
    assert longest < 1
    assert said == "" or "the lab" in said or "larger than" in said or "nested deeper" in said
    await engine.close()


def refusal_of(expression: str) -> str:
    try:
        expanded([net("[take(variables('v'), 1)]")], variables={"v": expression})
    except ArmError as error:
        return error.message
    return ""


def test_a_long_chain_is_refused_and_no_failure() -> None:
    async def main() -> None:
        engine = Engine(MemoryTarget())
        with pytest.raises(ArmError, match="nested too deeply"):
            await engine.evaluate(expanded_chain)
        await engine.close()

    asyncio.run(main())


def expanded_chain() -> None:
    expanded([net("[string(variables('v500'))]")], variables=variables("[add(V, 1)]", 1, 501))
