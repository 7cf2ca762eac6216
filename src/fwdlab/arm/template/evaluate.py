"""Evaluation: a syntax tree or a JSON value full of expressions, to a value. Pure.

What only the control plane knows is asked for by raising `Unresolved`; siblings are evaluated first, so that
one round of answers usually suffices.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fwdlab.arm.template import functions, functions_deployment
from fwdlab.arm.template.environment import Environment, Frame, Need, Unresolved, not_here
from fwdlab.arm.template.expressions import (
    Call,
    Literal,
    Node,
    is_expression,
    parse,
    unescape,
)
from fwdlab.arm.template.functions_dates import DEFAULT_UTC_FORMAT, format_date
from fwdlab.arm.template.registry import Lambda, check, check_count
from fwdlab.arm.template.scopes import scope_of
from fwdlab.arm.template.values import ExpressionError, compact, element_of, find_key, get, has

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fwdlab.arm.template.environment import UserFunction

COPY_LIMIT = 800
_ABSENT = object()


class Evaluator:
    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        # Functions that need more than their arguments' values: fewest and most arguments, implementation.
        self._special: dict[str, tuple[int, int | None, Callable[[Call, Frame], Any]]] = {
            "if": (3, 3, self._if),
            "and": (1, None, self._and),
            "or": (1, None, self._or),
            "coalesce": (1, None, self._coalesce),
            "lambda": (1, None, self._lambda),
            "lambdavariables": (1, 1, self._lambda_variables),
            "parameters": (1, 1, self._parameters),
            "variables": (1, 1, self._variables),
            "copyindex": (0, 2, self._copy_index),
            "reference": (1, 3, self._reference),
            "references": (1, 2, self._references),
            "resourceinfo": (1, 1, self._resource_info),
            "utcnow": (0, 1, self._utc_now),
            "newguid": (0, 0, self._new_guid),
        }

    def value(self, value: Any, frame: Frame) -> Any:
        """A JSON value with every expression in it evaluated and its property loops unrolled.

        Raises:
            ExpressionError: an expression is not valid.
            Unresolved: answers are missing and `frame.pending` is not given.
        """
        if isinstance(value, str):
            return self._text(value, frame)
        if isinstance(value, list):
            return self.environment.budget.made(self._all(value, lambda item: self.value(item, frame)))
        if isinstance(value, dict):
            return self.environment.budget.made(self._object(value, frame))
        return value

    def _text(self, text: str, frame: Frame) -> Any:
        if not is_expression(text):
            return unescape(text)
        try:
            found = self.node(parse(text), frame)
        except Unresolved as unresolved:
            if frame.pending is None:
                raise
            frame.pending.update(unresolved.needs)
            return text
        if isinstance(found, Lambda):
            raise ExpressionError("A lambda may only stand as an argument of a function that takes one.")
        return found

    def _object(self, value: dict[str, Any], frame: Frame) -> dict[str, Any]:
        loops = value["copy"] if is_property_copy(value.get("copy")) else []
        plain = [key for key in value if not (key == "copy" and loops)]

        def member(part: str | dict[str, Any]) -> tuple[str, Any]:
            if isinstance(part, dict):
                return str(part["name"]), self.loop(part, frame)
            name = check("object key", "string", self._text(part, frame)) if is_expression(part) else part
            return name, self.value(value[part], frame)

        return dict(self._all([*plain, *loops], member))

    def loop(self, loop: dict[str, Any], frame: Frame) -> list[Any]:
        """Unroll `{name, count, input}`: one value for each index."""
        name = str(loop.get("name", ""))
        count = copy_count(name, self.value(loop["count"], frame))

        def one(index: int) -> Any:
            copies = (*frame.copies, (name, index))
            return self.value(loop["input"], replace(frame, copies=copies))

        return self._all(range(count), one)

    @staticmethod
    def _all(items: Iterable[Any], each: Callable[[Any], Any]) -> list[Any]:
        """Evaluate several things, and raise what they need as one `Unresolved`."""
        results, needs = [], set[Need]()
        for item in items:
            try:
                results.append(each(item))
            except Unresolved as unresolved:
                needs |= unresolved.needs
        if needs:
            raise Unresolved(frozenset(needs))
        return results

    def node(self, node: Node, frame: Frame) -> Any:
        found = self._node(node, frame)
        return None if found is _ABSENT else found

    def _node(self, node: Node, frame: Frame) -> Any:
        self.environment.budget.step()
        if isinstance(node, Literal):
            return node.value
        if isinstance(node, Call):
            return self._call(node, frame)
        target = self._node(node.target, frame)
        if target is _ABSENT:
            return _ABSENT  # a safe access earlier in the chain found nothing
        key = self.node(node.key, frame)
        return element_of(target, key) if not node.safe or has(target, key) else _ABSENT

    def _call(self, call: Call, frame: Frame) -> Any:
        return self.environment.budget.made(self._called(call, frame))

    def _called(self, call: Call, frame: Frame) -> Any:
        name = call.name.lower().removeprefix("sys.")
        if name in self._special:
            least, most, apply = self._special[name]
            check_count(call.name, len(call.arguments), least, most)
            return apply(call, frame)
        if name in self.environment.functions:
            return self._user(self.environment.functions[name], call, frame)
        if name in functions_deployment.TABLE:
            return functions_deployment.TABLE[name](self._arguments(call, frame), self.environment)
        if name in functions.TABLE:
            arguments = self._arguments(call, frame)
            self.environment.budget.step(arguments)
            return functions.TABLE[name](arguments)
        if name.startswith("list"):
            return self._list(call, frame)
        reason = "is not supported by the lab" if name in functions.LACKING else "is not valid"
        raise ExpressionError(
            f"The template function '{call.name}' {reason}. "
            f"Please see https://aka.ms/arm-functions for usage details."
        )

    def _arguments(self, call: Call, frame: Frame) -> list[Any]:
        return self._all(call.arguments, lambda argument: self.node(argument, frame))

    def _user(self, function: UserFunction, call: Call, frame: Frame) -> Any:
        arguments = self._arguments(call, frame)
        check_count(call.name, len(arguments), len(function.parameters), len(function.parameters))
        values = dict(zip(function.parameters, arguments, strict=True))
        return self.value(function.output, Frame(arguments=values))

    def _if(self, call: Call, frame: Frame) -> Any:
        chosen = check("if", "bool", self.node(call.arguments[0], frame))
        return self.node(call.arguments[1 if chosen else 2], frame)

    def _and(self, call: Call, frame: Frame) -> bool:
        return all(check("and", "bool", self.node(argument, frame)) for argument in call.arguments)

    def _or(self, call: Call, frame: Frame) -> bool:
        return any(check("or", "bool", self.node(argument, frame)) for argument in call.arguments)

    def _coalesce(self, call: Call, frame: Frame) -> Any:
        values = (self.node(argument, frame) for argument in call.arguments)
        return next((value for value in values if value is not None), None)

    def _lambda(self, call: Call, frame: Frame) -> Lambda:
        *names, body = call.arguments
        keys = [check("lambda", "string", self.node(name, frame)) for name in names]

        def apply(values: tuple[Any, ...]) -> Any:
            bound = dict(zip(keys, values, strict=True))
            return self.node(body, replace(frame, variables={**frame.variables, **bound}))

        return Lambda(len(keys), apply)

    def _lambda_variables(self, call: Call, frame: Frame) -> Any:
        name = self._name(call, frame)
        if name not in frame.variables:
            raise ExpressionError(f"The lambda variable '{name}' is not found.")
        return frame.variables[name]

    def _name(self, call: Call, frame: Frame) -> str:
        return str(check(call.name, "string", self.node(call.arguments[0], frame)))

    def _parameters(self, call: Call, frame: Frame) -> Any:
        name = self._name(call, frame)
        if frame.arguments is None:
            return self.environment.parameters(name)
        key = find_key(dict(frame.arguments), name)
        if key is None:
            raise ExpressionError(f"The function parameter '{name}' is not found.")
        return frame.arguments[key]

    def _variables(self, call: Call, frame: Frame) -> Any:
        if frame.arguments is not None:
            raise not_here("variables")
        return self.environment.variables(self._name(call, frame))

    def _copy_index(self, call: Call, frame: Frame) -> int:
        arguments = self._arguments(call, frame)
        name = arguments.pop(0) if arguments and isinstance(arguments[0], str) else None
        offset = check("copyIndex", "int", arguments[0]) if arguments else 0
        if not frame.copies:
            raise not_here("copyIndex")
        if name is None:
            return frame.copies[0][1] + int(offset)
        for loop, index in reversed(frame.copies):
            if loop.lower() == name.lower():
                return index + int(offset)
        raise ExpressionError(f"The copy loop '{name}' of function 'copyIndex' is not found around it.")

    def _asking(self, call: Call, frame: Frame) -> tuple[list[Any], Mapping[Need, Any]]:
        """The arguments of a function that asks the control plane, and the answers so far."""
        if frame.known is None:
            raise not_here(call.name)
        arguments = self._arguments(call, frame)
        check(call.name, "string", arguments[0])
        return arguments, frame.known

    def _reference(self, call: Call, frame: Frame) -> Any:
        arguments, known = self._asking(call, frame)
        resource = self.environment.names.resource(arguments[0])
        return _referred(resource, _answer(Need(resource), known), arguments)

    def _references(self, call: Call, frame: Frame) -> list[Any]:
        arguments, known = self._asking(call, frame)
        ids = self.environment.names.loop(arguments[0])
        documents = self._all(ids, lambda resource: _answer(Need(resource), known))
        return [_referred(*pair, arguments) for pair in zip(ids, documents, strict=True)]

    def _list(self, call: Call, frame: Frame) -> Any:
        check_count(call.name, len(call.arguments), 1, 3)
        arguments, known = self._asking(call, frame)
        payload = compact(arguments[2]) if len(arguments) > 2 else ""  # noqa: PLR2004 - id, version, body
        return _answer(Need(self.environment.names.resource(arguments[0]), call.name, payload), known)

    def _resource_info(self, call: Call, frame: Frame) -> dict[str, Any]:
        return self.environment.names.info(self._name(call, frame))

    def _utc_now(self, call: Call, frame: Frame) -> str:
        if not frame.defaults:
            raise not_here("utcNow")
        arguments = self._arguments(call, frame)
        pattern = check("utcNow", "string", arguments[0]) if arguments else DEFAULT_UTC_FORMAT
        return format_date(self.environment.now, pattern)

    def _new_guid(self, _call: Call, frame: Frame) -> str:
        if not frame.defaults:
            raise not_here("newGuid")
        return self.environment.new_guid()


def _answer(need: Need, known: Mapping[Need, Any]) -> Any:
    if need not in known:
        raise Unresolved(frozenset({need}))
    return known[need]


def _referred(resource: str, document: dict[str, Any], arguments: list[Any]) -> Any:
    """What `reference()` gives of a document: its properties, or with `Full` all of it."""
    if not any(str(argument).lower() == "full" for argument in arguments[1:]):
        return get(document, "properties", {})
    scope = scope_of(resource)
    return {
        **document,
        "apiVersion": get(document, "apiVersion") or (arguments[1] if len(arguments) > 1 else ""),
        "subscriptionId": scope.subscription_id,
        "resourceGroupName": scope.resource_group,
        "scope": "",
        "resourceId": resource.removeprefix(scope.id + "/providers/"),
    }


def is_property_copy(value: Any) -> bool:
    """Whether a member `copy` is a list of loops rather than a property of that name."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, dict) and {"name", "count", "input"} <= one.keys() for one in value)
    )


def copy_count(name: str, count: Any) -> int:
    """The number of turns of a loop, 0 to 800."""
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= COPY_LIMIT:
        raise ExpressionError(
            f"The copy count of '{name}' must be an integer from 0 to {COPY_LIMIT}, "
            f"not '{json.dumps(count)}'. Please see https://aka.ms/arm-copy for usage details."
        )
    return count
