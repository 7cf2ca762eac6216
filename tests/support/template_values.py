"""An environment to evaluate expressions in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fwdlab.arm.template.environment import Environment, Frame, UserFunction
from fwdlab.arm.template.evaluate import Evaluator
from fwdlab.arm.template.scopes import Scope
from fwdlab.arm.template.values import ExpressionError

SUB = "11111111-1111-1111-1111-111111111111"

VALUES: dict[str, Any] = {
    "obj": {"a": {"b": [10, 20]}, "Name": "n"},
    "list": [3, 1, 2],
    "people": [{"n": "ann", "age": 3}, {"n": "bob", "age": 5}],
}


def _parameter(name: str) -> Any:
    if name not in VALUES:
        raise ExpressionError(f"The template parameter '{name}' is not found.")
    return VALUES[name]


ENVIRONMENT = Environment(
    Scope(SUB, "rg"),
    "tenant-id",
    {"location": "westeurope", "tags": {"k": "v"}},
    {"name": "main", "properties": {"template": {"contentVersion": "1.0.0.0"}}},
    _parameter,
    lambda name: f"variable {name}",
    {"ns.twice": UserFunction("ns.twice", ("x",), "[concat(parameters('x'), parameters('x'))]")},
    now=datetime(2026, 11, 21, 7, 5, 9, 123456, tzinfo=UTC),
)


def evaluate(expression: str, frame: Frame | None = None, environment: Environment = ENVIRONMENT) -> Any:
    return Evaluator(environment).value(f"[{expression}]", frame or Frame())
