"""JSON with what ARM allows beyond the standard."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fwdlab.arm.jsonc import loads


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1}', {"a": 1}),
        (
            '{"properties": {"mode": "Incremental", template:{"x": "[f(\'a\')]"}}}',
            {"properties": {"mode": "Incremental", "template": {"x": "[f('a')]"}}},
        ),
        ('{ // one\n "a": /* two\n lines */ 1 }', {"a": 1}),
        (
            '{"u": "http://x//y", "c": "/* no */", /* yes */ b: 2}',
            {"u": "http://x//y", "c": "/* no */", "b": 2},
        ),
        ('{"a": [1, 2, ], "b": {"c": 1, /* x */ }, }', {"a": [1, 2], "b": {"c": 1}}),
        ('{"a": "two\nlines", b: "tab\\tq\\"q"}', {"a": "two\nlines", "b": 'tab\tq"q'}),
        ("{'a': 'it\\'s \"so\"'}", {"a": 'it\'s "so"'}),
        ('{"a": ",}", b: ",]"}', {"a": ",}", "b": ",]"}),
        ("{a: true, b: null}", {"a": True, "b": None}),
    ],
)
def test_reads(text: str, expected: Any) -> None:
    assert loads(text) == expected


@pytest.mark.parametrize("text", ["", "{", "{a: }", "[1 2]", "template", '{"a" 1}'])
def test_refuses_what_is_no_json_at_all(text: str) -> None:
    with pytest.raises(ValueError, match=r"line \d+ column \d+"):
        loads(text)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(_json)
def test_every_text_survives_beside_something_lenient(value: Any) -> None:
    assert loads("{ /* c */ template: " + json.dumps(value) + ", }") == {"template": value}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[" * 129 + "]" * 129, "MaxDepth of 128"),
        ("[" * 100_000, "MaxDepth of 128"),
        ("/**/" + "[" * 100_000, "MaxDepth of 128"),
        ('{"a": "\\ud800"}', "surrogates not allowed"),
        ('{"a": NaN}', "NaN is no JSON"),
        ("[-Infinity]", "-Infinity is no JSON"),
        ('{"a": 1e999}', "1e999 is too large"),
        ("{a: -1e999,}", "1e999 is too large"),
    ],
)
def test_refuses_what_could_not_be_answered(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        loads(text)


def test_takes_what_can_be_answered() -> None:
    assert loads('{"a": "\\ud83d\\ude00"}') == {"a": "😀"}
    assert loads("[" * 128 + "]" * 128)


@pytest.mark.parametrize(
    "part", ["/*", "//", "a", "'", '"', '"\\', '\\"', ",  ", ", /*x*/", "{a:", "a \n", "'\\'"]
)
def test_no_text_takes_long(part: str) -> None:
    begin = time.monotonic()
    for text in (part * 100_000, '{"' + part * 100_000, "{x: " + part * 100_000):
        with pytest.raises(ValueError, match=r"line|MaxDepth"):
            loads(text)
    assert time.monotonic() - begin < 3
