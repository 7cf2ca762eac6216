"""JSON as ARM reads it, which is more than JSON.

The service takes comments, names without quotes, strings in single quotes or over several lines, and commas
at the end of a list. az relies on it: it pastes the template's file as it is, comments and all, behind an
unquoted `template:` (azure-cli, `command_modules/resource/custom.py`, `JsonCTemplatePolicy`).
"""

from __future__ import annotations

import json
import re
from typing import Any

_TOKEN = re.compile(
    r"""(?P<string>"(?:[^"\\]|\\.)*")
      | (?P<single>'(?:[^'\\]|\\.)*')
      | (?P<comment>//[^\n]*|/\*.*?\*/)
      | (?P<name>[A-Za-z_$][\w$]*(?=\s*:))
      | (?P<comma>,(?=(?:\s|//[^\n]*\n|/\*.*?\*/)*[\]}]))""",
    re.VERBOSE | re.DOTALL,
)


def loads(text: str) -> Any:
    """Read a request body.

    Raises:
        ValueError: it is not JSON in ARM's sense either; the text says where.
    """
    try:
        return json.loads(text)
    except ValueError:
        return json.loads(_TOKEN.sub(_plain, text), strict=False)


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
