"""The expression parser."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fwdlab.arm.template.expressions import (
    Access,
    Call,
    Literal,
    Node,
    is_expression,
    parse,
    unescape,
)
from fwdlab.arm.template.values import ExpressionError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[f()]", Call("f", ())),
        ("[ f ( 1 , 'a' ) ]", Call("f", (Literal(1), Literal("a")))),
        ("['it''s']", Literal("it's")),
        ("[f('a,)]')]", Call("f", (Literal("a,)]"),))),
        ("[add(-1, 2)]", Call("add", (Literal(-1), Literal(2)))),
        ("[f().a.b]", Access(Access(Call("f", ()), Literal("a")), Literal("b"))),
        ("[f()[0]['x']]", Access(Access(Call("f", ()), Literal(0)), Literal("x"))),
        ("[f().?a[?0]]", Access(Access(Call("f", ()), Literal("a"), safe=True), Literal(0), safe=True)),
        ("[ns.name('x')]", Call("ns.name", (Literal("x"),))),
        ("[__bicep.f()]", Call("__bicep.f", ())),
    ],
)
def test_parses(text: str, expected: Node) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "[f(]",
        "[f())]",
        "[f(1 2)]",
        "[f(,)]",
        "['open]",
        "[f().]",
        "[f()[1]",
        "[name]",
        "[1.5]",
        "[f()#]",
        "[a.b]",
    ],
)
def test_refuses_what_is_not_well_formed(text: str) -> None:
    with pytest.raises(ExpressionError, match="Unable to parse language expression"):
        parse(text)


def test_refuses_endless_nesting_instead_of_overflowing() -> None:
    with pytest.raises(ExpressionError, match="nested too deeply"):
        parse("[" + "f(" * 500 + ")" * 500 + "]")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("[x] and more", "[x] and more"),
        ("[[x]", "[x]"),
        ("[[", "["),
        ("[f()]", None),
        ("", ""),
    ],
)
def test_tells_expressions_from_text(text: str, value: str | None) -> None:
    assert is_expression(text) is (value is None)
    if value is not None:
        assert unescape(text) == value


_NAME = re.compile(r"[a-z][a-zA-Z0-9]{0,5}")


def _written(node: Node) -> str:
    if isinstance(node, Literal):
        return str(node.value) if isinstance(node.value, int) else "'" + node.value.replace("'", "''") + "'"
    if isinstance(node, Call):
        return f"{node.name}({', '.join(_written(argument) for argument in node.arguments)})"
    mark = "?" if node.safe else ""
    if isinstance(node.key, Literal) and _NAME.fullmatch(str(node.key.value)):
        return f"{_written(node.target)}.{mark}{node.key.value}"
    return f"{_written(node.target)}[{mark}{_written(node.key)}]"


_names = st.from_regex(_NAME, fullmatch=True)
_nodes = st.recursive(
    st.one_of(st.text(max_size=8).map(Literal), st.integers(-(2**63), 2**63 - 1).map(Literal)),
    lambda inner: st.one_of(
        st.builds(Call, _names, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Access, st.builds(Call, _names, st.just(())), _names.map(Literal), st.booleans()),
        st.builds(Access, st.builds(Call, _names, st.just(())), inner, st.booleans()),
    ),
    max_leaves=8,
)


@given(_nodes)
def test_reads_back_every_tree_it_could_have_written(node: Node) -> None:
    assert parse(f"[{_written(node)}]") == node


@given(st.text(max_size=40))
def test_either_parses_or_says_what_is_wrong(text: str) -> None:
    try:
        parse(f"[{text}]")
    except ExpressionError as error:
        assert text in str(error)  # noqa: PT017 - both outcomes are right
