"""The functions that need nothing but their arguments, and those that the lab does not have."""

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
# In ARM's reference and not in the lab: neither the template here nor Azure Verified Modules call them.
LACKING = frozenset(
    (
        "buildUri dataUri dataUriToString float groupBy like managementGroup managementGroupResourceId "
        "mapValues parseUri roleDefinitions toLogicalZone toLogicalZones toPhysicalZone toPhysicalZones"
    )
    .lower()
    .split()
)
