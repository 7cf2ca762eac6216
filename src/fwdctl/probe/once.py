"""Answers that are asked for once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")


class Once:
    """Answers by question; who asks while another thread does waits for its answer."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[Hashable, threading.Lock] = {}
        self._answers: dict[Hashable, Any] = {}

    def __call__(self, ask: Callable[..., T], *args: Hashable) -> T:
        key = (ask, args)
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._answers:
                self._answers[key] = ask(*args)
            answer: T = self._answers[key]
            return answer

    def forget(self, ask: Callable[..., Any], *args: Hashable) -> None:
        """Ask again the next time."""
        with self._guard:
            self._answers.pop((ask, args), None)
