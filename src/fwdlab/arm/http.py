"""A request and an answer of the ARM interface, free of any web framework."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class ArmRequest:
    """One request.

    Attributes:
        query: decoded, names in lower case.
        body: decoded JSON, None when there was none.
        headers: names in lower case.
        base_url: scheme and host that the client used, e.g. `https://127.0.0.1:4043` or
            `https://management.azure.com`; polling addresses must be on it.
        tenant: that the caller's token is of; empty for the lab's own.
    """

    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    base_url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    tenant: str = ""


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
