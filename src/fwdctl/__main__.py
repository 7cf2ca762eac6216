"""The program's first lines: a signal ends it in order from here on, before anything slow is imported."""

from __future__ import annotations

import gc
import os
import signal
import sys

TYPE_CHECKING = False  # the module of that name takes longer to import than this one
if TYPE_CHECKING:
    from typing import NoReturn

INTERRUPTED = 128 + signal.SIGINT


def run() -> NoReturn:
    """The program: `main`, without collecting garbage and without exit handlers.

    Both cost a warm probe a tenth of its time. Nothing relies on exit handlers: what has to be undone is
    undone before `main` returns.
    """
    signals = _Signals()
    gc.disable()
    from fwdctl.main import main
    from fwdctl.runtime import replace_closed_streams

    replace_closed_streams()
    try:
        signals.interrupt()
        try:
            code = main()
        finally:
            signals.leave()
    except KeyboardInterrupt:
        signals.leave()
        code = INTERRUPTED
    if signals.came and code == INTERRUPTED:
        code = 128 + signals.came  # as the shell tells that a signal ended a program
    for stream in (sys.stdout, sys.stderr):
        try:  # noqa: SIM105 - contextlib would have to be imported for this
            stream.flush()
        except (OSError, ValueError):
            pass
    os._exit(code)


class _Signals:
    """What SIGINT, SIGTERM and SIGHUP do; one that was ignored from the start, as nohup does, stays so."""

    def __init__(self) -> None:
        named = (
            getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP")
        )  # Windows has no HUP
        self._numbers = [
            number
            for number in named
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN
        ]
        self.came = 0
        """Number of the last one that interrupted the work."""
        self.leave()

    def leave(self) -> None:
        """While there is nothing to undo: end at once."""
        for number in self._numbers:
            signal.signal(number, lambda number, _frame: os._exit(128 + number))

    def interrupt(self) -> None:
        """While there may be: all of them do as Ctrl-C does."""
        for number in self._numbers:
            if number == signal.SIGINT:  # known as such to asyncio
                signal.signal(number, signal.default_int_handler)
            else:
                signal.signal(number, self._raise)

    def _raise(self, number: int, _frame: object) -> None:
        self.came = number
        raise KeyboardInterrupt


if __name__ == "__main__":
    run()
