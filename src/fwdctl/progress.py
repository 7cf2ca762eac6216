"""What a person is told while work goes on: a spinner on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from fwdctl.output import console, encodable, printable

if TYPE_CHECKING:
    from types import TracebackType

    from rich.status import Status
    from rich.text import Text

    from fwdctl.runtime import Runtime


@dataclass(frozen=True)
class _Counting:
    """A step with the seconds since it began, counted anew whenever it is drawn."""

    text: str
    began: float

    def __rich__(self) -> Text:
        from rich.text import Text

        return Text(f"{self.text}, {time.monotonic() - self.began:.0f} s")


class Progress:
    """Tell a person what takes so long: a spinner on a terminal's stderr, plain lines elsewhere.

    Use as a context manager around work that may take over a second. Safe to call from several threads.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._stream = runtime.stderr
        # The spinner needs more than colour: signs beyond what one byte can express.
        self._live = runtime.colour(runtime.stderr) and encodable("\u280b", self._stream) == "\u280b"
        self._console = console(runtime, runtime.stderr) if self._live else None
        self._status: Status | None = None
        self._told: set[str] = set()
        self._began = 0.0
        self._lock = threading.Lock()
        self._line_open = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def clear(self) -> None:
        """Leave the screen to somebody else: no spinner any more, until the next step."""
        with self._lock:
            if self._status is not None:
                self._status.stop()
                self._status = None

    def others_wrote(self, data: bytes) -> None:
        """Somebody else has written to the same terminal; a line that is not complete must stay readable."""
        with self._lock:
            self._line_open = self._stream.isatty() and not data.endswith(b"\n")

    def step(self, text: str, elapsed: float | None = None) -> None:
        """What is being done now; where there is no spinner, each text is printed once.

        A spinner counts the seconds since it began: from now, or from those `elapsed`.
        """
        text = printable(text, self._stream)
        with self._lock:
            if self._console is None:
                if text not in self._told:
                    self._told.add(text)
                    self._line(f"{text} ...")
                return
            from rich.text import Text  # a string would be read as markup

            if elapsed is not None:
                shown: Text | _Counting = Text(f"{text}, {elapsed:.0f} s")
            else:
                self._began = time.monotonic()
                shown = _Counting(text, self._began)
            self._close_line()
            if self._status is None:
                self._status = self._console.status(shown)
                self._status.start()
            else:
                self._status.update(shown)

    def detail(self, text: str) -> None:
        """How far the present step is, for a spinner only; empty where that is not known."""
        text = printable(text, self._stream)
        with self._lock:
            if text and self._status is not None:
                self._status.update(_Counting(text, self._began))

    def done(self, text: str) -> None:
        self._mark("\u2713", "Done", "32", text)

    def failed(self, text: str) -> None:
        self._mark("x", "Failed", "31", text)

    def warning(self, text: str) -> None:
        """A step that worked, with something that the user should know."""
        self._mark("!", "Warning", "33", text)

    def note(self, text: str) -> None:
        """Something that is done and that the user should know."""
        self._mark("i", "Note", "36", text)

    def skipped(self, text: str) -> None:
        """A step that was not needed."""
        self._mark("-", "Skipped", "90", text)

    def _mark(self, sign: str, word: str, colour: str, text: str) -> None:
        if encodable(sign, self._stream) != sign:
            sign = "+"
        mark = f"({sign}) {word}:"
        if self._live:
            mark = f"\x1b[{colour}m{mark}\x1b[0m"
        with self._lock:
            self._line(f"  {mark} {printable(text, self._stream)}")

    def _line(self, text: str) -> None:
        if self._console is not None and self._status is not None:
            from rich.text import Text

            # Through the console, which moves the spinner out of the way.
            self._console.print(Text.from_ansi(text), soft_wrap=True)
            return
        self._close_line()
        self._stream.write(text + "\n")
        self._stream.flush()

    def _close_line(self) -> None:
        if self._line_open:
            self._line_open = False
            self._stream.write("\n")
