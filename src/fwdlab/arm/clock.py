"""The lab's clock: set once by the machine's, steady from then on, whatever somebody does to that."""

from __future__ import annotations

import time
from datetime import UTC, datetime

_OFFSET = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def seconds() -> float:
    """Seconds since the epoch."""
    return _OFFSET + time.clock_gettime(time.CLOCK_BOOTTIME)


def now() -> datetime:
    return datetime.fromtimestamp(seconds(), UTC)
