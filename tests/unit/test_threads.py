"""Several questions at once, and work that Ctrl-C must not leave half done."""

from __future__ import annotations

import os
import signal
import threading

import pytest

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
