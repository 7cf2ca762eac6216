"""Several questions at once, and work that Ctrl-C must not leave half done."""

from __future__ import annotations

import contextlib
import os
import signal
import threading

import pytest

from fwdctl.deployment import Box
from fwdctl.probe.boxes import BoxClient
from fwdctl.threads import each_to_its_end, side_by_side

MANY = range(40)


def test_side_by_side_keeps_the_order() -> None:
    assert side_by_side(lambda number: number * 2, list(range(50))) == [n * 2 for n in range(50)]


def test_each_item_is_worked_on_though_one_fails() -> None:
    done: list[int] = []

    def work(number: int) -> None:
        if number == 3:
            raise ValueError(str(number))
        done.append(number)

    with pytest.raises(ValueError, match="3"):
        each_to_its_end(work, MANY)
    assert sorted(done) == [number for number in MANY if number != 3]


def test_items_are_worked_on_at_once() -> None:
    together = threading.Barrier(2)
    each_to_its_end(lambda _: together.wait(20), range(2))


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals to threads")
def test_an_interruption_is_raised_when_all_have_ended() -> None:
    done: list[int] = []
    first = threading.Event()

    def work(number: int) -> None:
        if number == 0:
            os.kill(os.getpid(), signal.SIGINT)
            first.set()
        assert first.wait(20)
        done.append(number)

    with pytest.raises(KeyboardInterrupt):
        each_to_its_end(work, MANY)
    assert sorted(done) == list(MANY)


def test_the_boxes_of_a_probe_are_left_at_once_and_each_though_one_cannot() -> None:
    together = threading.Barrier(2)
    left: list[tuple[str, bool]] = []

    class Opened:
        def __init__(self, box: Box, *, may_start: bool) -> None:
            self.box = box

        def leave(self, *, failed: bool) -> None:
            together.wait(20)
            left.append((self.box.name, failed))
            if self.box.name == "one":
                raise OSError("not stopped")

    boxes = [Box("one", "ci-one", "jump"), Box("two", "ci-two", "jump")]
    with pytest.raises(OSError, match="not stopped"), BoxClient(Opened, boxes, 1, lambda _: None):  # type: ignore[arg-type]
        pass
    with contextlib.suppress(OSError), BoxClient(Opened, boxes, 1, lambda _: None):  # type: ignore[arg-type]
        raise ValueError
    assert sorted(left) == [("one", False), ("one", True), ("two", False), ("two", True)]
