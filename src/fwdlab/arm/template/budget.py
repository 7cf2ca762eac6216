"""What the evaluation of one template may cost: ARM's limits, and the lab's own for what those leave open."""

from __future__ import annotations

from typing import Any

from fwdlab.arm.template.values import ExpressionError

STEPS = 250_000
"""Parts of expressions evaluated, long arguments counted as several: some seconds. The project's own template
with 100 spokes needs 20,000."""
LARGEST = 4 * 1024 * 1024
"""Characters of one value: the largest template that ARM takes."""
_TOO_LARGE = f"A value in the template is larger than {LARGEST} characters."
_ALLOCATED = 16 * 1024 * 1024
_DEEPEST = 128
_SHORT = 256
_WORK = 16  # so many elements of an argument are one step


def fit(length: int) -> None:
    """Refuse a text of that length before it is made.

    Raises:
        ExpressionError: it is too long.
    """
    if length > LARGEST:
        raise ExpressionError(_TOO_LARGE)


class Budget:
    """What is left of it."""

    def __init__(self) -> None:
        self._steps = STEPS
        self._allocated = _ALLOCATED
        self._known: dict[int, tuple[Any, int, int]] = {}
        """Value, size and depth by identity; that the value is held makes the identity its own."""

    def forget(self) -> None:
        """Let go of the values that it knows, when nothing more is evaluated."""
        self._known.clear()

    def step(self, arguments: list[Any] | None = None) -> None:
        """Count one step, and the work on a function's arguments.

        Raises:
            ExpressionError: nothing is left.
        """
        self._steps -= 1
        for argument in arguments or ():
            if isinstance(argument, (list, dict)):
                self._steps -= len(argument) // _WORK
        if self._steps < 0:
            raise ExpressionError(f"The template needs more than {STEPS} steps to evaluate, the lab's limit.")

    def made(self, value: Any) -> Any:
        """Pass a new value on.

        Raises:
            ExpressionError: it is too large or too deep, or there are too many of its kind.
        """
        if isinstance(value, (bool, int)) or (isinstance(value, str) and len(value) <= _SHORT):
            return value
        size, depth = self._weight(value)
        if size > LARGEST:
            raise ExpressionError(_TOO_LARGE)
        if depth > _DEEPEST:
            raise ExpressionError(f"A value in the template is nested deeper than {_DEEPEST} levels.")
        if self._allocated < 0:
            raise ExpressionError("The template needs more memory to evaluate than the lab has for it.")
        return value

    def size(self, value: Any) -> int:
        """Characters that a value has as text, roughly: without what JSON puts around them."""
        return self._weight(value)[0]

    def _weight(self, value: Any) -> tuple[int, int]:
        """Characters that it has as text, roughly, and how deep it is."""
        if isinstance(value, str) and len(value) <= _SHORT:
            return len(value), 0
        if not isinstance(value, (str, list, dict)):
            return 8, 0
        known = self._known.get(id(value))
        if known is not None:
            return known[1], known[2]
        size, depth, own = len(value), 0, len(value)
        if not isinstance(value, str):
            inner = [self._weight(item) for item in (value.values() if isinstance(value, dict) else value)]
            names = sum(map(len, value)) if isinstance(value, dict) else 0
            size = own + names + sum(each for each, _ in inner)
            depth = 1 + max((each for _, each in inner), default=0)
            own *= 8
        self._allocated -= own
        self._known[id(value)] = (value, size, depth)
        return size, depth
