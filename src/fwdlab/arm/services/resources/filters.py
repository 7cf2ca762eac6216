"""The filter that listings understand."""

from __future__ import annotations

import re
from typing import Any

from fwdlab.arm.errors import ArmError
from fwdlab.arm.ids import ResourceId

_CONDITION = re.compile(r"\s*(\w+)\s+eq\s+'([^']*)'\s*", re.IGNORECASE)


def parse_filter(text: str) -> list[tuple[str, str]]:
    """Conditions of an OData `$filter` made of `name eq 'value'` joined by `and`.

    Raises:
        ArmError: 400 `InvalidFilterInQueryString` for anything else, which the lab would ignore otherwise.
    """
    conditions: list[tuple[str, str]] = []
    for part in re.split(r"\s+and\s+", text.strip(), flags=re.IGNORECASE) if text.strip() else []:
        match = _CONDITION.fullmatch(part)
        if match is None:
            raise ArmError(
                400, "InvalidFilterInQueryString", f"The lab does not understand the filter '{text}'."
            )
        conditions.append((match[1].lower(), match[2]))
    return conditions


def matches(document: dict[str, Any], conditions: list[tuple[str, str]]) -> bool:
    """Whether a resource or group fulfils all conditions."""
    tags = {k.lower(): v for k, v in (document.get("tags") or {}).items()}
    wanted = dict(conditions)
    for name, value in conditions:
        if name == "tagname":
            fits = value.lower() in tags
        elif name == "tagvalue":
            tag = wanted.get("tagname", "").lower()
            fits = tags.get(tag) == value if tag else value in tags.values()
        elif name == "resourcegroup":
            fits = ResourceId.parse(document["id"]).group.lower() == value.lower()
        else:
            key = {"resourcetype": "type"}.get(name, name)
            fits = str(document.get(key, "")).lower() == value.lower()
        if not fits:
            return False
    return True
