"""The template expression language: text to syntax tree.

A string value is an expression when it begins with `[` and ends with `]`; `[[` at the beginning stands for a
literal bracket. Inside: function calls, strings in single quotes ('' for a quote), integers, `.name`,
`[index]` and their safe forms `.?name` and `[?index]`, which give null where there is nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from fwdlab.arm.template.values import ExpressionError

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>'(?:[^']|'')*')
    | (?P<number>-?\d+(?![\w.]))
    | (?P<name>[A-Za-z_$][\w$]*)
    | (?P<punct>\.\?|\[\?|[()\[\],.])
    )""",
    re.VERBOSE,
)
_DEEPEST = 200
_LONGEST = 24_576  # azure-resource-manager/templates/best-practices, template limits
_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True)
class Literal:
    value: str | int


@dataclass(frozen=True)
class Call:
    """A function call; `name` carries the namespace of a user-defined function: `ns.name`."""

    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True)
class Access:
    """`target[key]`, or `target.name` with the name as key; `safe` for `[?key]` and `.?name`."""

    target: Node
    key: Node
    safe: bool = False


Node: TypeAlias = "Literal | Call | Access"


def is_expression(text: str) -> bool:
    return text.startswith("[") and text.endswith("]") and not text.startswith("[[")


def unescape(text: str) -> str:
    """The value of a string that is no expression."""
    return text[1:] if text.startswith("[[") else text


@lru_cache(maxsize=8192)
def parse(text: str) -> Node:
    """Parse an expression with its enclosing brackets.

    Raises:
        ExpressionError: it is not well formed, or longer than ARM allows.
    """
    if len(text) > _LONGEST:
        raise ExpressionError(
            f"The language expression length limit exceeded. Limit: '{_LONGEST}' and actual: '{len(text)}'."
        )
    return _Parser(text[1:-1], text).parse()


class _Parser:
    def __init__(self, body: str, whole: str) -> None:
        self._whole = whole
        self._tokens = list(self._tokenize(body))
        self._at = 0
        self._depth = 0

    def _tokenize(self, body: str) -> list[tuple[str, str]]:
        tokens: list[tuple[str, str]] = []
        position, end = 0, len(body.rstrip())
        while position < end:
            match = _TOKEN.match(body, position)
            if match is None:
                raise self._error(
                    f"unexpected character '{body[position:].lstrip()[:1]}' at position {position}"
                )
            tokens.append((match.lastgroup or "", match.group(match.lastgroup or 0)))
            position = match.end()
        return tokens

    def _error(self, why: str) -> ExpressionError:
        return ExpressionError(f"Unable to parse language expression '{self._whole}': {why}.")

    def parse(self) -> Node:
        node = self._expression()
        if self._at != len(self._tokens):
            raise self._error(f"unexpected token '{self._tokens[self._at][1]}'")
        return node

    def _peek(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _next(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise self._error("unexpected end")
        self._at += 1
        return self._tokens[self._at - 1]

    def _expect(self, punct: str, wanted: str) -> None:
        _, text = self._next()
        if text != punct:
            raise self._error(f"expected {wanted} but found '{text}'")

    def _expression(self) -> Node:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._error("it is nested too deeply")
        node = self._primary()
        while self._peek() in {".", ".?", "[", "[?"}:
            node = self._access(node)
        self._depth -= 1
        return node

    def _access(self, target: Node) -> Node:
        _, opening = self._next()
        safe = opening.endswith("?")
        if opening.startswith("."):
            kind, name = self._next()
            if kind != "name":
                raise self._error(f"expected a property name but found '{name}'")
            return Access(target, Literal(name), safe)
        key = self._expression()
        self._expect("]", "']'")
        return Access(target, key, safe)

    def _primary(self) -> Node:
        kind, text = self._next()
        if kind == "string":
            return Literal(text[1:-1].replace("''", "'"))
        if kind == "number":
            if len(text) > len(str(_INT64.start)) or int(text) not in _INT64:
                raise self._error(f"{text[:20]} is not in the range of a 64-bit integer")
            return Literal(int(text))
        if kind != "name":
            raise self._error(f"unexpected token '{text}'")
        while self._peek() == ".":
            self._next()
            text += "." + self._next()[1]
        return Call(text, self._arguments(text))

    def _arguments(self, name: str) -> tuple[Node, ...]:
        if self._peek() != "(":
            raise self._error(f"expected '(' after '{name}'")
        self._next()
        found: list[Node] = []
        while self._peek() != ")":
            if found:
                self._expect(",", "',' or ')'")
            found.append(self._expression())
        self._next()
        return tuple(found)
