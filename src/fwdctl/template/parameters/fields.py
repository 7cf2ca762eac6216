"""Read values out of a JSON document, remember where each stands and collect what is wrong with them."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from typing import TYPE_CHECKING, Any

from fwdctl.errors import ExitCode, FwdctlError

if TYPE_CHECKING:
    from pathlib import Path

LONGEST_SHOWN = 60
"""Characters of a bad value that a message repeats."""

NOWHERE = IPv4Network("0.0.0.0/32")
"""What a bad network reads as; never seen outside, because the problems are raised first."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        path: key path in the document, such as `forwards[1].targets[0]`.
        text: what is wrong, to be read after the path.
        mend: what to do about it.
    """

    path: str
    text: str
    mend: str


class ParametersError(FwdctlError):
    """A parameters file with something wrong in it; the message shows the first of all the problems.

    Attributes:
        problems: all that was found.
    """

    def __init__(self, file: Path, problems: tuple[Problem, ...]) -> None:
        first, more = problems[0], len(problems) - 1
        others = f" (and {more} more problem{'s' if more > 1 else ''})" if more else ""
        message = f"{file}: {first.path}: {first.text}{others}"
        super().__init__("parameters_invalid", message, first.mend, exit_code=ExitCode.USAGE)
        self.problems = problems


class Field:
    """A value with its path. A bad one is noted in `problems` and read as a harmless one of its type."""

    def __init__(self, path: str, value: Any, problems: list[Problem]) -> None:
        self.path = path
        self.value = value
        self.problems = problems

    def bad(self, text: str, mend: str) -> None:
        """Note that something is wrong with this value."""
        self.problems.append(Problem(self.path, text, mend))

    def _shown(self) -> str:
        text = json.dumps(self.value)
        return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."

    def keys(self, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, Field]:
        """The members of an object; missing and unknown ones are problems."""
        if not isinstance(self.value, dict):
            self.bad(f"{self._shown()} is not an object", f"Write {{...}} with {', '.join(required)}.")
            return {name: Field(self._member(name), None, []) for name in required}
        for name in self.value:
            if name not in required + optional:
                close = difflib.get_close_matches(name, required + optional, 1)
                mend = f"Did you mean '{close[0]}'?" if close else f"Known: {', '.join(required + optional)}."
                self.problems.append(Problem(self._member(name), "is not a known key", mend))
        missing = [name for name in required if name not in self.value]
        if missing:
            self.bad(f"lacks {', '.join(missing)}", f"Add {', '.join(missing)}.")
        # A missing member is reported once; what is read from it afterwards goes unreported.
        return {
            name: Field(self._member(name), self.value.get(name), self.problems if name in self.value else [])
            for name in (*required, *(name for name in optional if name in self.value))
        }

    def _member(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def items(self, *, least: int = 0) -> list[Field]:
        """The elements of a list."""
        if not isinstance(self.value, list):
            self.bad(f"{self._shown()} is not a list", "Write [...].")
            return []
        if len(self.value) < least:
            self.bad("is empty", f"List at least {least}.")
        return [Field(f"{self.path}[{i}]", value, self.problems) for i, value in enumerate(self.value)]

    def text(self, pattern: str = r"(?s).+", *, rule: str = "text that is not empty", most: int = 0) -> str:
        """A string that matches `pattern` as a whole; `rule` says in words what the pattern asks for."""
        if not isinstance(self.value, str) or not re.fullmatch(pattern, self.value):
            self.bad(f"{self._shown()} is not {rule}", f"Write {rule}.")
            return ""
        if most and len(self.value) > most:
            self.bad(f"is longer than {most} characters", "Shorten it.")
        return self.value

    def integer(self, least: int, most: int) -> int:
        """A whole number between two bounds, both included."""
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            self.bad(f"{self._shown()} is not a whole number", f"Write a number from {least} to {most}.")
            return least
        if not least <= self.value <= most:
            self.bad(
                f"{self.value} is not between {least} and {most}", f"Write a number from {least} to {most}."
            )
        return self.value

    def boolean(self) -> bool:
        """True or false."""
        if not isinstance(self.value, bool):
            self.bad(f"{self._shown()} is neither true nor false", "Write true or false, without quotes.")
        return self.value is True

    def choice(self, *allowed: str) -> str:
        """One of some words."""
        if self.value not in allowed:
            self.bad(f"{self._shown()} is unknown", f"Write one of {', '.join(allowed)}.")
            return allowed[0]
        return str(self.value)

    def address(self) -> IPv4Address:
        """An IPv4 address."""
        try:
            return IPv4Address(self.text(rule="an IPv4 address"))
        except AddressValueError:
            if self.value:
                self.bad(f"{self._shown()} is not an IPv4 address", "Write one such as 192.168.42.65.")
            return NOWHERE.network_address

    def network(self) -> IPv4Network:
        """An IPv4 range in CIDR notation without host bits, as Azure asks, from /8 to /29."""
        text = self.text(rule="an IPv4 range such as 10.0.1.0/24")
        if not text:
            return NOWHERE
        try:
            network = IPv4Network(text, strict=False)
        except (AddressValueError, NetmaskValueError, ValueError):
            self.bad(f"{self._shown()} is not an IPv4 range", "Write one such as 10.0.1.0/24.")
            return NOWHERE
        if str(network) != text:
            self.bad(f"{self._shown()} is not written as Azure asks", f"Write {network}.")
        elif not 8 <= network.prefixlen <= 29:  # noqa: PLR2004 - Azure's limits for a subnet and a private range
            self.bad(f"{text} has the wrong size", "Azure takes /8 to /29 here.")
        return network
