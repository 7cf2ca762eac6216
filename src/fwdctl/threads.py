"""Several questions at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
MOST_AT_ONCE = 16


def side_by_side(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Results in order; one item needs no thread, which keeps Ctrl-C immediate."""
    items = list(items)
    if len(items) < 2:  # noqa: PLR2004 - one item, no thread
        return [function(item) for item in items]
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(min(MOST_AT_ONCE, len(items)), thread_name_prefix="fwdctl")
    try:
        return list(pool.map(function, items))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
