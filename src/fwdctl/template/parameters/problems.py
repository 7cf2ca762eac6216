"""What is wrong with a parameters file, in our words: key path, what is wrong, what to do."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticCustomError

from fwdctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from pydantic import ValidationError

LONGEST_SHOWN = 60
"""Characters of a bad value that a message repeats."""

TEXTS = {
    "bool_type": ("{input} is neither true nor false", "Write true or false, without quotes."),
    "int_type": ("{input} is not a whole number", "Write a whole number, without quotes."),
    "string_type": ("{input} is not text", "Write it in quotes."),
    "literal_error": ("{input} is unknown", "Write one of {expected}."),
    "too_long": ("is longer than {max_length} characters", "Shorten it."),
    "tuple_type": ("{input} is not a list", "Write [...]."),
}
"""By pydantic's error types: what is wrong and what to do."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        path: key path in the document, such as `forwards[1].targets[0]`.
        text: what is wrong, to be read after the path.
        suggestion: what to do about it.
    """

    path: str
    text: str
    suggestion: str


class ParametersError(UsageError):
    """A file of the user with something wrong in it; the message shows the first of all the problems."""

    def __init__(self, file: Path, problems: Sequence[Problem], code: str = "parameters_invalid") -> None:
        first, more = problems[0], len(problems) - 1
        others = f" (and {more} more problem{'s' if more > 1 else ''})" if more else ""
        message = f"{': '.join(filter(None, [str(file), first.path, first.text]))}{others}"
        super().__init__(code, message, first.suggestion)
        self.problems = tuple(problems)


def wrong(text: str, suggestion: str, *below: str) -> PydanticCustomError:
    """What a validator raises to have its own words shown.

    `below` is the key of the value that is meant, if it is a member of the one that is validated.
    """
    return PydanticCustomError("wrong", "{text}", {"text": text, "suggestion": suggestion, "below": below})


def problems_in(error: ValidationError) -> list[Problem]:
    problems = []
    for each in error.errors(include_url=False):
        words = {"input": shown(each["input"]), "below": (), "text": each["msg"], "suggestion": "Correct it."}
        words |= each.get("ctx", {})
        text, suggestion = TEXTS.get(each["type"], ("{text}", "{suggestion}"))
        place = (*each["loc"], *words["below"])
        path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).lstrip(".")
        problems.append(Problem(path, text.format(**words), suggestion.format(**words)))
    return problems


def shown(value: Any) -> str:
    """A value as JSON, shortened."""
    text = json.dumps(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    close = difflib.get_close_matches(name, list(known), 1)
    return f"Did you mean '{close[0]}'?" if close else otherwise
