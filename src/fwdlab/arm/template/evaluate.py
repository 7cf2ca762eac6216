"""Evaluation: a syntax tree or a JSON value full of expressions, to a value. Pure.

What only the control plane knows is asked for by raising `Unresolved`; siblings are evaluated first, so that
one round of answers usually suffices.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fwdlab.arm.template import functions, functions_deployment
from fwdlab.arm.template.environment import Environment, Frame, Need, Unresolved
from fwdlab.arm.template.expressions import (
    Call,
    Literal,
    Node,
    Property,
    is_expression,
    parse,
    unescape,
)
from fwdlab.arm.template.functions_dates import DEFAULT_UTC_FORMAT, format_date
from fwdlab.arm.template.functions_deployment import not_here
from fwdlab.arm.template.registry import Lambda, a_boolean, a_string, an_integer
from fwdlab.arm.template.scopes import scope_of
from fwdlab.arm.template.values import ExpressionError, compact, element_of, find_key, get, property_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fwdlab.arm.template.environment import UserFunction

COPY_LIMIT = 800
_ABSENT = object()


class _Gather:
    """Collects the needs of several evaluations, to raise them as one."""

    def __init__(self) -> None:
        self.needs: set[Need] = set()

    @contextmanager
    def one(self) -> Iterator[None]:
        try:
            yield
        except Unresolved as unresolved:
            self.needs |= unresolved.needs

    def settle(self) -> None:
        if self.needs:
            raise Unresolved(frozenset(self.needs))


class Evaluator:
    """Evaluates within one environment."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self._special: dict[str, Callable[[Call, Frame], Any]] = {
            "if": self._if,
            "and": self._and,
            "or": self._or,
            "coalesce": self._coalesce,
            "lambda": self._lambda,
            "lambdavariables": self._lambda_variables,
            "parameters": self._parameters,
            "variables": self._variables,
            "copyindex": self._copy_index,
            "reference": self._reference,
            "references": self._references,
            "resourceinfo": self._resource_info,
            "utcnow": self._utc_now,
            "newguid": self._new_guid,
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
            return self._all(value, lambda item: self.value(item, frame))
        if isinstance(value, dict):
            return self._object(value, frame)
        return value

    def _text(self, text: str, frame: Frame) -> Any:
        if not is_expression(text):
            return unescape(text)
        try:
            return self.node(parse(text), frame)
        except Unresolved as unresolved:
            if frame.pending is None:
                raise
            frame.pending.update(unresolved.needs)
            return text

    def _object(self, value: dict[str, Any], frame: Frame) -> dict[str, Any]:
        loops = value["copy"] if is_property_copy(value.get("copy")) else []
        gather, result = _Gather(), {}
        for key, item in value.items():
            if key == "copy" and loops:
                continue
            with gather.one():
                name = a_string("object key", self._text(key, frame)) if is_expression(key) else key
                result[name] = self.value(item, frame)
        for loop in loops:
            with gather.one():
                result[str(loop["name"])] = self.loop(loop, frame)
        gather.settle()
        return result

    def loop(self, loop: dict[str, Any], frame: Frame, value: str = "input") -> list[Any]:
        """Unroll `{name, count, input}`: one value for each index.

        Raises:
            ExpressionError: the count is no integer from 0 to 800.
        """
        name = str(loop.get("name", ""))
        count = copy_count(name, self.value(loop["count"], frame))

        def one(index: int) -> Any:
            copies = (*frame.copies, (name, index))
            return self.value(loop[value], replace(frame, copies=copies))

        return self._all(range(count), one)

    @staticmethod
    def _all(items: Iterable[Any], each: Callable[[Any], Any]) -> list[Any]:
        gather, results = _Gather(), []
        for item in items:
            with gather.one():
                results.append(each(item))
        gather.settle()
        return results

    def node(self, node: Node, frame: Frame) -> Any:
        """The value of a syntax tree; raises as `value` does."""
        found = self._node(node, frame)
        return None if found is _ABSENT else found

    def _node(self, node: Node, frame: Frame) -> Any:
        if isinstance(node, Literal):
            return node.value
        if isinstance(node, Call):
            return self._call(node, frame)
        target = self._node(node.target, frame)
        if target is _ABSENT:
            return _ABSENT  # a safe access earlier in the chain found nothing
        key = node.name if isinstance(node, Property) else self.node(node.index, frame)
        if node.safe and not _has(target, key):
            return _ABSENT
        return property_of(target, node.name) if isinstance(node, Property) else element_of(target, key)

    def _call(self, call: Call, frame: Frame) -> Any:
        name = call.name.lower().removeprefix("sys.")
        if name in self._special:
            return self._special[name](call, frame)
        if name in self.environment.functions:
            return self._user(self.environment.functions[name], call, frame)
        if name in functions_deployment.TABLE:
            return functions_deployment.TABLE[name](self.environment, self._arguments(call, frame))
        found = functions.find(name)
        if found is not None:
            return found(self._arguments(call, frame))
        if name.startswith("list"):
            return self._list(call, frame)
        raise ExpressionError(
            f"The template function '{call.name}' is not valid. "
            f"Please see https://aka.ms/arm-functions for usage details."
        )

    def _arguments(self, call: Call, frame: Frame) -> list[Any]:
        return self._all(call.arguments, lambda argument: self.node(argument, frame))

    def _user(self, function: UserFunction, call: Call, frame: Frame) -> Any:
        arguments = self._arguments(call, frame)
        if len(arguments) != len(function.parameters):
            raise ExpressionError(
                f"The template function '{call.name}' requires {len(function.parameters)} argument(s) while "
                f"{len(arguments)} were provided."
            )
        values = dict(zip(function.parameters, arguments, strict=True))
        return self.value(function.output, Frame(arguments=values))

    def _exactly(self, call: Call, least: int, most: int | None) -> None:
        if len(call.arguments) < least or (most is not None and len(call.arguments) > most):
            raise ExpressionError(
                f"The template function '{call.name}' was given {len(call.arguments)} argument(s). "
                f"Please see https://aka.ms/arm-functions for usage details."
            )

    def _if(self, call: Call, frame: Frame) -> Any:
        self._exactly(call, 3, 3)
        chosen = a_boolean("if", self.node(call.arguments[0], frame))
        return self.node(call.arguments[1 if chosen else 2], frame)

    def _and(self, call: Call, frame: Frame) -> bool:
        self._exactly(call, 1, None)
        return all(a_boolean("and", self.node(argument, frame)) for argument in call.arguments)

    def _or(self, call: Call, frame: Frame) -> bool:
        self._exactly(call, 1, None)
        return any(a_boolean("or", self.node(argument, frame)) for argument in call.arguments)

    def _coalesce(self, call: Call, frame: Frame) -> Any:
        self._exactly(call, 1, None)
        values = (self.node(argument, frame) for argument in call.arguments)
        return next((value for value in values if value is not None), None)

    def _lambda(self, call: Call, frame: Frame) -> Lambda:
        self._exactly(call, 1, None)
        *names, body = call.arguments
        keys = [a_string("lambda", self.node(name, frame)) for name in names]

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
        self._exactly(call, 1, 1)
        return a_string(call.name, self.node(call.arguments[0], frame))

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
        self._exactly(call, 0, 2)
        arguments = self._arguments(call, frame)
        name = arguments.pop(0) if arguments and isinstance(arguments[0], str) else None
        offset = an_integer("copyIndex", arguments[0]) if arguments else 0
        if not frame.copies:
            raise not_here("copyIndex")
        if name is None:
            return frame.copies[0][1] + offset
        for loop, index in reversed(frame.copies):
            if loop.lower() == name.lower():
                return index + offset
        raise ExpressionError(f"The copy loop '{name}' of function 'copyIndex' is not found around it.")

    def _answer(self, call: Call, need: Need, frame: Frame) -> Any:
        if frame.known is None:
            raise not_here(call.name)
        if need not in frame.known:
            raise Unresolved(frozenset({need}))
        return frame.known[need]

    def _resource(self, call: Call, text: Any) -> str:
        if self.environment.names is None:
            raise not_here(call.name)
        return self.environment.names.resource(a_string(call.name, text))

    def _reference(self, call: Call, frame: Frame) -> Any:
        self._exactly(call, 1, 3)
        arguments = self._arguments(call, frame)
        need = Need(self._resource(call, arguments[0]))
        return self._referred(need.id, self._answer(call, need, frame), arguments)

    @staticmethod
    def _referred(resource: str, document: dict[str, Any], arguments: list[Any]) -> Any:
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

    def _references(self, call: Call, frame: Frame) -> list[Any]:
        self._exactly(call, 1, 2)
        arguments = self._arguments(call, frame)
        if self.environment.names is None:
            raise not_here(call.name)
        ids = self.environment.names.loop(a_string("references", arguments[0]))
        documents = self._all(ids, lambda resource: self._answer(call, Need(resource), frame))
        pairs = zip(ids, documents, strict=True)
        return [self._referred(resource, document, arguments) for resource, document in pairs]

    def _resource_info(self, call: Call, frame: Frame) -> dict[str, Any]:
        if self.environment.names is None:
            raise not_here(call.name)
        return self.environment.names.info(self._name(call, frame))

    def _list(self, call: Call, frame: Frame) -> Any:
        self._exactly(call, 1, 3)
        arguments = self._arguments(call, frame)
        payload = compact(arguments[2]) if len(arguments) > 2 else ""  # noqa: PLR2004 - id, version, body
        need = Need(self._resource(call, arguments[0]), call.name, payload)
        return self._answer(call, need, frame)

    def _utc_now(self, call: Call, frame: Frame) -> str:
        self._exactly(call, 0, 1)
        if not frame.defaults:
            raise not_here("utcNow")
        arguments = self._arguments(call, frame)
        pattern = a_string("utcNow", arguments[0]) if arguments else DEFAULT_UTC_FORMAT
        return format_date(self.environment.now, pattern)

    def _new_guid(self, call: Call, frame: Frame) -> str:
        self._exactly(call, 0, 0)
        if not frame.defaults:
            raise not_here("newGuid")
        return self.environment.new_guid()


def is_property_copy(value: Any) -> bool:
    """Whether a member `copy` is a list of loops rather than a property of that name."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, dict) and {"name", "count", "input"} <= one.keys() for one in value)
    )


def copy_count(name: str, count: Any) -> int:
    """The number of turns of a loop.

    Raises:
        ExpressionError: it is no integer from 0 to 800.
    """
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= COPY_LIMIT:
        raise ExpressionError(
            f"The copy count of '{name}' must be an integer from 0 to {COPY_LIMIT}, "
            f"not '{json.dumps(count)}'. Please see https://aka.ms/arm-copy for usage details."
        )
    return count


def _has(target: Any, key: Any) -> bool:
    if isinstance(target, dict) and isinstance(key, str):
        return find_key(target, key) is not None
    return isinstance(target, list) and isinstance(key, int) and 0 <= key < len(target)
