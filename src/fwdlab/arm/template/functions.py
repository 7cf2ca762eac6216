"""The one table of functions that need nothing but their arguments."""

from __future__ import annotations

from fwdlab.arm.template import (
    functions_arrays,
    functions_dates,
    functions_network,
    functions_numbers,
    functions_strings,
)
from fwdlab.arm.template.registry import TABLE, Function

FAMILIES = (functions_arrays, functions_dates, functions_network, functions_numbers, functions_strings)


def find(name: str) -> Function | None:
    """The function of that name, without case."""
    return TABLE.get(name.lower())
