"""The hash by which a client sees that a template is unchanged."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def minified(template: Any) -> str:
    """The template as canonical JSON: sorted keys, no blanks."""
    return json.dumps(template, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def template_hash(template: Any) -> str:
    """A decimal number, as ARM's hash is, but not ARM's: the first 64 bits of the SHA-256 of `minified`."""
    return str(int.from_bytes(hashlib.sha256(minified(template).encode()).digest()[:8], "big"))
