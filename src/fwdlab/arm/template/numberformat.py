"""The part of .NET's composite formatting that templates use in `format()`."""

from __future__ import annotations

import re
from typing import Any

from fwdlab.arm.template.values import ExpressionError, text_of

_STANDARD = re.compile(r"([DXNFPGdxnfpg])(\d{0,2})")
_DEFAULT_DECIMALS = 2


def formatted(value: Any, spec: str) -> str:
    """A value in the text of `format()`.

    Args:
        value: any JSON value; a specifier counts for numbers only, as in .NET.
        spec: what stands after the colon: D, X, N, F, P, G with a precision, or zeros (`000`).

    Raises:
        ExpressionError: a specifier that is not covered, named.
    """
    if not spec or isinstance(value, bool) or not isinstance(value, (int, float)):
        return text_of(value)
    if set(spec) == {"0"}:
        return _padded(value, len(spec))
    match = _STANDARD.fullmatch(spec)
    if match is None:
        raise ExpressionError(f"The template language function 'format' does not support '{spec}' here.")
    return _standard(value, match.group(1), match.group(2))


def _padded(value: float, width: int) -> str:
    return ("-" if value < 0 else "") + str(abs(round(value))).rjust(width, "0")


def _standard(value: float, letter: str, digits: str) -> str:
    kind, decimals = letter.upper(), int(digits) if digits else _DEFAULT_DECIMALS
    if kind in {"D", "X"}:
        if not isinstance(value, int):
            raise ExpressionError(f"The template language function 'format' needs an integer for '{letter}'.")
        if kind == "D":
            return _padded(value, int(digits or 0))
        text = f"{value & 0xFFFFFFFFFFFFFFFF:x}".rjust(int(digits or 0), "0")
        return text.upper() if letter == "X" else text
    if kind == "G":
        return text_of(value)
    if kind == "P":
        return f"{value * 100:,.{decimals}f} %"
    return f"{value:,.{decimals}f}" if kind == "N" else f"{value:.{decimals}f}"
