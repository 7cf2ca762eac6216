"""Everything a command takes from the outside world, passed in rather than reached for."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class UnwritableError(OSError):
    """Standard output takes nothing more: closed, or its disk is full."""


class _Output(io.FileIO):
    """A descriptor whose failures can be told from those of any other file."""

    def write(self, data: ReadableBuffer, /) -> int | None:  # type: ignore[override]
        try:
            return super().write(data)
        except BrokenPipeError:  # the reader left, which is no fault
            raise
        except OSError as error:
            raise UnwritableError(error.errno, error.strerror) from error


def replace_closed_streams() -> None:
    """Give the process streams that can be used, where its parent has closed some; the lowest number first.

    Python has None for a stream that was closed before the start, and the next file that is opened would get
    its number. Input is empty then and messages go nowhere; writing data raises UnwritableError.
    """
    if sys.stdin is None or sys.stdin.closed:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(os.devnull)), encoding="utf-8")
    if sys.stdout is None or sys.stdout.closed:
        # Open for reading only: writing fails, as it does where the descriptor is closed.
        raw = _Output(os.open(os.devnull, os.O_RDONLY), "wb")
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8")
    elif not sys.stdout.isatty():  # terminals stay as they are: Windows has a way of its own to write there
        like = sys.stdout
        raw = _Output(like.fileno(), "wb", closefd=False)
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(raw),
            encoding=like.encoding,
            errors=like.errors,
            line_buffering=getattr(like, "line_buffering", False),
            write_through=getattr(like, "write_through", False),
        )
    if sys.stderr is None or sys.stderr.closed:
        sys.stderr = io.TextIOWrapper(io.BufferedWriter(io.FileIO(os.devnull, "w")), encoding="utf-8")


def _truthy(value: str | None) -> bool:
    return (value or "").strip().lower() not in {"", "0", "false", "no", "off"}


@dataclass(frozen=True)
class Runtime:
    """Streams, environment, clock and what the user allows; tests build their own.

    Attributes:
        environ: the process environment, never changed.
        cwd: where project files are searched from.
        stdout: data only.
        stderr: everything else.
        again: `--cwd DIR` with a blank before it where the user gave it, for commands that are suggested.
        no_prompt: never ask, even on a terminal.
        debug: tracebacks and HTTP details (redacted) on stderr.
        clock: monotonic seconds.
        sleep: waits for seconds.
    """

    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    cwd: Path = field(default_factory=Path.cwd)
    stdin: TextIO = field(default_factory=lambda: sys.stdin)
    stdout: TextIO = field(default_factory=lambda: sys.stdout)
    stderr: TextIO = field(default_factory=lambda: sys.stderr)
    again: str = ""
    no_prompt: bool = False
    debug: bool = False
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    @property
    def stdin_bytes(self) -> BinaryIO:
        return self.stdin.buffer

    @property
    def in_ci(self) -> bool:
        """Whether this runs unattended; `CI=false` counts as attended."""
        return _truthy(self.environ.get("CI"))

    @property
    def may_prompt(self) -> bool:
        """Whether a question may be asked: a terminal on both sides, not in CI, not forbidden."""
        return not self.no_prompt and not self.in_ci and self.stdin.isatty() and self.stderr.isatty()

    def colour(self, stream: TextIO) -> bool:
        """Whether colour and spinners suit this stream (NO_COLOR, TERM=dumb and CI honoured)."""
        plain = "NO_COLOR" in self.environ or self.environ.get("TERM") == "dumb" or self.in_ci
        return stream.isatty() and not plain
