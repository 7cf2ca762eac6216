"""A command or a shell in a jump box for somebody who looks on."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from fwdctl.errors import ExitCode, FwdctlError, UsageError

if TYPE_CHECKING:
    from fwdctl.channel import Outcome, Request
    from fwdctl.jump.session import Session
    from fwdctl.progress import Progress
    from fwdctl.runtime import Runtime

NOT_RUN = {
    "unsupported": "Use an image that has them; `fwdctl jump status -o json` names the box's.",
    "not_started": (
        "Try again; if it stays, stop and start the box with `fwdctl jump stop` and `fwdctl jump start`."
    ),
}
"""State of an outcome of a command that has certainly not run -> what to do."""


def run(runtime: Runtime, progress: Progress, open_session: Callable[[], Session], request: Request) -> int:
    """Run a command, copy its output as it comes, and return its exit code.

    Raises:
        FwdctlError: it could not be run (exit code 125), or how it ended is not known (5).
    """
    started = False

    def copy(stream: str, data: bytes) -> None:
        nonlocal started
        started = True
        target = runtime.stdout if stream == "o" else runtime.stderr
        target.buffer.write(data)
        target.buffer.flush()
        if target.isatty():
            progress.others_wrote(data)

    try:
        with progress, open_session() as session:
            outcome = session.run(request, copy)
    except FwdctlError as error:
        if error.exit_code is ExitCode.USAGE:
            raise
        code = ExitCode.INCONCLUSIVE if started else ExitCode.NOT_RUN
        raise FwdctlError(error.code, error.message, error.suggestion, exit_code=code) from error
    return exit_code(outcome)


def exit_code(outcome: Outcome) -> int:
    """The command's own exit code.

    Raises:
        FwdctlError: as `run`.
    """
    if outcome.status is not None:
        return outcome.status
    text, code = "The command's result is not known", ExitCode.INCONCLUSIVE
    suggestion = "Look with `fwdctl jump shell` before you run it again."
    if outcome.state in NOT_RUN:
        text, code, suggestion = "The command was not run", ExitCode.NOT_RUN, NOT_RUN[outcome.state]
    raise FwdctlError(f"exec_{outcome.state}", f"{text}: {outcome.detail}.", suggestion, exit_code=code)


def require_terminal(runtime: Runtime) -> None:
    """Refuse a shell where there is no terminal (exit code 2)."""
    if sys.platform == "win32":
        from fwdctl.channel.terminal import needs_posix

        raise needs_posix()
    if not (runtime.stdin.isatty() and runtime.stdout.isatty()):
        raise UsageError(
            "not_a_terminal",
            "`jump shell` needs a terminal on standard input and output.",
            "Use `fwdctl jump exec BOX -- COMMAND` in scripts.",
        )


def shell(runtime: Runtime, progress: Progress, session: Session) -> None:
    """Join the terminal to a shell until that ends."""
    from fwdctl.channel.socket import connect
    from fwdctl.channel.terminal import attach

    size = shutil.get_terminal_size()
    socket = connect(session.ticket(columns=size.columns, rows=size.lines), runtime.environ)
    progress.clear()  # the shell has the screen from here on
    try:
        attach(socket, runtime.stdin.fileno(), runtime.stdout.fileno())
    finally:
        socket.close()
