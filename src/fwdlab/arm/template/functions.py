"""The one table of functions that need nothing but their arguments."""

from __future__ import annotations

from fwdlab.arm.template import (
    functions_arrays,
    functions_dates,
    functions_network,
    functions_numbers,
    functions_strings,
)

TABLE = {
    function.name.lower(): function
    for family in (
        functions_arrays,
        functions_dates,
        functions_network,
        functions_numbers,
        functions_strings,
    )
    for function in family.FUNCTIONS
}
