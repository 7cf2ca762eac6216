"""Commands that a suggestion consists of."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

PROVISION = "azd provision --no-state"
"""Deploy the template again though it has not changed, which azd would else skip: something is missing."""


def in_order(commands: Sequence[str]) -> str:
    """Several commands as one line to be typed; none runs after one that failed."""
    return " && ".join(commands)
