"""Run the app; the only place that maps every way in which it can end to a message and an exit code."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress

import typer

from fwdctl.cli import registry
from fwdctl.cli.app import app
from fwdctl.cli.command import CURRENT, Invocation
from fwdctl.errors import ExitCode, FwdctlError, StoppedError, UsageError
from fwdctl.output import OutputFormat, render_error
from fwdctl.runtime import Runtime, UnwritableError


def main(argv: Sequence[str] | None = None, runtime: Runtime | None = None) -> int:
    """Run one command line, the process's own by default, and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    outer = runtime or Runtime()
    command = " ".join(_command_words(words))
    return guard(lambda: _run(words), Invocation(outer, command, _wanted_format(words)))


def guard(action: Callable[[], int], invocation: Invocation) -> int:
    """Run something that returns an exit code, and turn whatever it raises into a message and a code.

    `invocation` says how messages look until the action narrows it in `CURRENT`.
    """
    token = CURRENT.set(invocation)
    try:
        try:
            code = action()
            invocation.runtime.stdout.flush()
        except Exception as error:  # noqa: BLE001 - the one place that maps them all
            code = _report(error)
        except KeyboardInterrupt:
            code = ExitCode.INTERRUPTED
    finally:
        CURRENT.reset(token)
    return int(code)


def _run(words: list[str]) -> int:
    # Outside standalone mode Typer hands errors on and returns the code of typer.Exit.
    code = typer.main.get_command(app).main(args=words, prog_name="fwdctl", standalone_mode=False)
    return code if isinstance(code, int) else ExitCode.OK


def _report(error: Exception) -> int:
    current = CURRENT.get()
    if _reader_left(error):
        return _give_up_stdout(current.runtime)
    if isinstance(error, typer.Abort | StoppedError):  # Ctrl-C, or Ctrl-D as the answer to a question
        return ExitCode.INTERRUPTED
    if current.runtime.debug:
        traceback.print_exception(error, file=current.runtime.stderr)
    command, output = current.command, current.output
    if isinstance(error, FwdctlError):
        known = error
    elif isinstance(error, UnwritableError):
        known = FwdctlError("output_not_written", f"Cannot write the output: {error.strerror}.")
        output = OutputFormat.table  # a document on stdout would fail as well
    elif isinstance(error, typer.TyperException):
        known = _usage(error)
    else:
        known = FwdctlError(
            "unexpected",
            f"{type(error).__name__}: {' '.join(str(error).split())}",
            "Run again with --debug for the traceback; if it stays, report it.",
        )
    with suppress(OSError):  # where nothing can be told the exit code is all there is
        return render_error(current.runtime, command, known, output)
    return known.exit_code


def _reader_left(error: Exception) -> bool:
    """Whether nobody reads our output any more; Windows calls that an invalid argument (EINVAL)."""
    if sys.platform == "win32" and isinstance(error, OSError) and error.errno == errno.EINVAL:
        return error.filename is None
    return isinstance(error, BrokenPipeError)


def _usage(error: typer.TyperException) -> FwdctlError:
    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else "fwdctl"
    suggestion = f"See `{where} --help`."
    # Typer keeps the class to itself.
    parameters = context.command.params if context is not None else ()
    if type(error).__name__ == "NoSuchOption" and any(each.name == "command" for each in parameters):
        suggestion = f"Put `--` before a command that has options of its own, or see `{where} --help`."
    message = " ".join(error.format_message().split())
    return UsageError("usage", message, suggestion)


def _give_up_stdout(runtime: Runtime) -> int:
    """The reader of a pipe went away: say nothing, and let the interpreter's last flush succeed."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), runtime.stdout.fileno())
    return ExitCode.UNEXPECTED


def _command_words(words: Sequence[str]) -> list[str]:
    """The group and the command of a line that may not even parse, for the envelope of its failure."""
    for index, word in enumerate(words):
        if not word.startswith("-") and registry.exists(word):
            following = words[index + 1 : index + 2]
            return [word, *(name for name in following if not name.startswith("-"))]
    return []


def _wanted_format(words: Sequence[str]) -> OutputFormat:
    """The format asked for, found without parsing; what follows `--` belongs to another program."""
    own = words[: words.index("--")] if "--" in words else words
    wanted = ""
    for index, word in enumerate(own):
        if word in {"-o", "--output"}:
            wanted = own[index + 1] if index + 1 < len(own) else ""
        elif word.startswith("--output="):
            wanted = word.removeprefix("--output=")
        elif word.startswith("-o"):
            wanted = word.removeprefix("-o").removeprefix("=")
    return OutputFormat(wanted) if wanted in OutputFormat.__members__ else OutputFormat.table
