"""Several questions at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Event, Thread
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
MOST_AT_ONCE = 32
"""Boxes that start are looked at every two seconds, and ARM takes 25 reads a second of a subscription, after
a burst of 250 (azure-resource-manager/management/request-limits-and-throttling)."""


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


def each_to_its_end(function: Callable[[T], object], items: Iterable[T]) -> None:
    """Do something to all items side by side, for work that must not be left half done.

    Ctrl-C is raised when all have ended, a second one at once; else the first exception of an item.
    """
    failures: list[Exception] = []

    def one(item: T) -> None:
        try:
            function(item)
        except Exception as error:  # noqa: BLE001 - raised when the others have ended
            failures.append(error)

    def all_of_them() -> None:
        side_by_side(one, items)
        ended.set()

    ended = Event()
    try:  # the thread that an interruption meets does nothing but wait
        Thread(target=all_of_them, name="fwdctl-ending", daemon=True).start()
        ended.wait()
    except KeyboardInterrupt:
        ended.wait()
        raise
    if failures:
        raise failures[0]
