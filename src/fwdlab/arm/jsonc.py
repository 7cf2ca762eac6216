"""JSON as ARM reads it, which is more than JSON.

The service takes comments, names without quotes, strings in single quotes or over several lines, and commas
at the end of a list. az relies on it: it pastes the template's file as it is, comments and all, behind an
unquoted `template:` (azure-cli, `command_modules/resource/custom.py`, `JsonCTemplatePolicy`).
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

# No text makes them try a place twice: a body of megabytes must not hold the lab up.
_STRING = r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)'
_TOKEN = re.compile(
    rf"""(?P<string>{_STRING})
      | (?P<single>'(?:[^'\\]|\\.)*+(?:'|\\?\Z))
      | (?P<comment>//[^\n]*+|/\*(?:.*?\*/|.*+))
      | (?P<name>(?<![\w$])[A-Za-z_$][\w$]*+(?=\s*+:))""",
    re.VERBOSE | re.DOTALL,
)
_LAST_COMMA = re.compile(rf"{_STRING}|,(?=\s*+[\]}}])", re.DOTALL)
DEEPEST = 128
"""Levels of a body: as many as ARM's own reader takes."""
_TOO_DEEP = f"The reader's MaxDepth of {DEEPEST} has been exceeded."


def loads(text: str) -> Any:
    """Read a request body.

    Raises:
        ValueError: it is not JSON in ARM's sense either, or cannot be answered; the text says where or why.
    """
    try:
        value = _value(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    _refuse_depth(value)
    if "\\ud" in text.lower():
        json.dumps(value, ensure_ascii=False).encode()  # half a character cannot be sent back
    return value


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except ValueError:
        plain = _LAST_COMMA.sub(lambda match: "" if match[0] == "," else match[0], _TOKEN.sub(_plain, text))
        return json.loads(plain, strict=False, parse_constant=_refuse_constant, parse_float=_finite)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON.")


def _finite(text: str) -> float:
    found = float(text)
    if not math.isfinite(found):
        raise ValueError(f"{text} is too large a number.")
    return found


def _refuse_depth(value: Any) -> None:
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(DEEPEST):
        inner = (item for one in level for item in (one.values() if isinstance(one, dict) else one))
        level = [item for item in inner if isinstance(item, (dict, list))]
        if not level:
            return
    raise ValueError(_TOO_DEEP)


def _plain(match: re.Match[str]) -> str:
    text = match.group(0)
    if match.lastgroup == "single":
        return json.dumps(re.sub(r"\\'", "'", text[1:-1]))
    if match.lastgroup == "name":
        return f'"{text}"'
    return text if match.lastgroup == "string" else " "


def without_nulls(value: Any) -> Any:
    """A document without null members: in ARM a null property is an absent one."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def merge(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """JSON merge (RFC 7396): null removes, objects merge, everything else replaces."""
    merged = dict(base)
    for key, value in change.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = value
    return merged
