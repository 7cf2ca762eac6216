"""The names of properties that Azure has published, also those that no shape of the lab looks at.

`published.json` holds them by type or namespace; `scripts/published` makes it from Azure's own types.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class Published:
    """Names of one type, or of all types of a namespace, in Azure's casing.

    Attributes:
        numbers: what is always a number.
        flags: what is always true or false.
        free: objects whose names are the client's, e.g. tags.
        others: everything else.
    """

    numbers: frozenset[str] = field(default_factory=frozenset)
    flags: frozenset[str] = field(default_factory=frozenset)
    free: frozenset[str] = field(default_factory=frozenset)
    others: frozenset[str] = field(default_factory=frozenset)

    @cached_property
    def _words(self) -> dict[str, str]:
        names = (*self.others, *self.numbers, *self.flags, *self.free)
        return {name.lower(): name for name in names} | {name: name for name in names}

    def word(self, name: str) -> str:
        """A name in Azure's casing; one that is not published as it is."""
        return self._words.get(name) or self._words.get(name.lower(), name)

    def converted(self, name: str, value: Any) -> Any:
        """A number or flag that was given as a string, also in a list; anything else as it is."""
        if isinstance(value, list):
            return [self.converted(name, item) for item in value]
        if not isinstance(value, str):
            return value
        if name in self.flags:
            return flag_of(value)
        found = number_of(value) if name in self.numbers else None
        return value if found is None else found


NOTHING = Published()


def number_of(value: str | float) -> float | None:
    """The number that a text or number stands for, a whole one where it is whole; None where it is none."""
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(found):
        return None
    return int(value if isinstance(value, int) else found) if found.is_integer() else found


def flag_of(value: str) -> bool | str:
    """`"True"` is true, as .NET reads it."""
    return {"true": True, "false": False}.get(value.strip().lower(), value)


@cache
def published(kind: str) -> Published:
    """What is published of a type; nothing where no such list is at hand."""
    tables = _tables()
    names = kind.lower().split("/")
    ways = ("/".join(names[:length]) for length in range(len(names), 0, -1))
    return next((tables[way] for way in ways if way in tables), NOTHING)


@cache
def _tables() -> dict[str, Published]:
    document = json.loads(files("fwdlab.arm.services").joinpath("published.json").read_text("utf-8"))
    return {
        kind.lower(): Published(**{group: frozenset(names) for group, names in table.items()})
        for kind, table in document["types"].items()
    }
