"""`fwdctl jump`: start, stop and use the jump boxes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fwdctl.cli.conversion import QuickCommand
from fwdctl.cli.options import (
    CwdOption,
    DebugOption,
    EnvironmentOption,
    NoPromptOption,
    OutputOption,
    ResourceGroupOption,
    complete_box,
    complete_boxes,
    group,
    invoke,
)
from fwdctl.errors import ExitCode, FwdctlError
from fwdctl.output import OutputFormat, Progress, Result, grid

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from fwdctl.channel import Outcome
    from fwdctl.jump.boxes import Change, Status
    from fwdctl.jump.session import Session
    from fwdctl.runtime import Runtime

app = group(
    "Start, stop and use the jump boxes.",
    examples="""
    fwdctl jump status                          do they run and cost money
    fwdctl jump start spoke
    fwdctl jump exec spoke -- curl -sS http://onprem-server.corp.internal:8000
    fwdctl jump exec hub -- sh -c 'ip route; exit 3'
    fwdctl jump shell hub
    fwdctl jump stop all
    """,
)

BoxArgument = Annotated[
    str,
    typer.Argument(metavar="hub|spoke|all|NAME", autocompletion=complete_boxes, help="Which jump boxes."),
]
OneBoxArgument = Annotated[
    str, typer.Argument(metavar="hub|spoke|NAME", autocompletion=complete_box, help="Which jump box.")
]
StartOption = Annotated[
    bool, typer.Option("--start", help="Start the box if it does not run, and stop it again afterwards.")
]


@app.command("status", cls=QuickCommand)
def status_command(
    which: BoxArgument = "all",
    *,
    environment: EnvironmentOption = None,
    resource_group: ResourceGroupOption = None,
    output: OutputOption = OutputFormat.table,
    cwd: CwdOption = None,
    debug: DebugOption = False,
    no_prompt: NoPromptOption = False,
) -> None:
    """Show whether the boxes run.

    Example: fwdctl jump status -o json
    """

    def action(runtime: Runtime) -> Result:
        from fwdctl.deployment import load
        from fwdctl.jump import boxes

        deployment, clients = load(runtime, environment=environment, resource_group=resource_group)
        found = boxes.status(clients, deployment, boxes.select(deployment, which))
        missing = any(status.group is None for status in found)
        return Result(
            {"boxes": [_status(entry) for entry in found]},
            status="failed" if missing else "succeeded",
            exit_code=ExitCode.NOT_FOUND if missing else ExitCode.OK,
            table=lambda console: _status_table(console, found),
        )

    invoke("jump status", action, output=output, cwd=cwd, debug=debug, no_prompt=no_prompt)


def _status(entry: Status) -> dict[str, Any]:
    found = entry.group
    return {
        "name": entry.box.name,
        "containerGroup": entry.box.group,
        "state": entry.state,
        "address": found.address if found else "",
        "image": found.image if found else "",
        "reason": found.reason if found else "",
    }


def _status_table(console: Console, found: Sequence[Status]) -> None:
    rows = [(e["name"], e["containerGroup"], e["state"], e["address"]) for e in map(_status, found)]
    grid(console, ["box", "container group", "state", "address"], rows)


@app.command("start", cls=QuickCommand)
def start_command(
    which: BoxArgument,
    *,
    environment: EnvironmentOption = None,
    resource_group: ResourceGroupOption = None,
    output: OutputOption = OutputFormat.table,
    cwd: CwdOption = None,
    debug: DebugOption = False,
    no_prompt: NoPromptOption = False,
) -> None:
    """Start boxes and wait until they run.

    Example: fwdctl jump start spoke
    """

    def action(runtime: Runtime) -> Result:
        from fwdctl.deployment import load
        from fwdctl.jump import boxes

        deployment, clients = load(runtime, environment=environment, resource_group=resource_group)
        chosen = boxes.select(deployment, which)
        with Progress(runtime) as progress:
            return _changes(boxes.start(runtime, clients, deployment, chosen, progress))

    invoke("jump start", action, output=output, cwd=cwd, debug=debug, no_prompt=no_prompt)


@app.command("stop", cls=QuickCommand)
def stop_command(
    which: BoxArgument,
    *,
    environment: EnvironmentOption = None,
    resource_group: ResourceGroupOption = None,
    output: OutputOption = OutputFormat.table,
    cwd: CwdOption = None,
    debug: DebugOption = False,
    no_prompt: NoPromptOption = False,
) -> None:
    """Stop boxes; a stopped box costs nothing.

    Example: fwdctl jump stop all
    """

    def action(runtime: Runtime) -> Result:
        from fwdctl.deployment import load
        from fwdctl.jump import boxes

        deployment, clients = load(runtime, environment=environment, resource_group=resource_group)
        chosen = boxes.select(deployment, which)
        with Progress(runtime) as progress:
            progress.step(f"Stopping {', '.join(box.name for box in chosen)}")
            changes = boxes.stop(runtime, clients, deployment, chosen)
        return _changes(changes)

    invoke("jump stop", action, output=output, cwd=cwd, debug=debug, no_prompt=no_prompt)


def _changes(changes: Sequence[Change]) -> Result:
    """Boxes and what became of them; the exit code is that of the first that failed."""
    errors = tuple(change.error for change in changes if change.error is not None)
    code = errors[0].exit_code if errors else ExitCode.OK
    if not errors and any(change.outcome == "missing" for change in changes):
        code = ExitCode.NOT_FOUND
    rows = [(change.box.name, change.box.group, change.outcome, change.detail) for change in changes]
    keys = ("name", "containerGroup", "outcome", "detail")
    return Result(
        {"boxes": [dict(zip(keys, row, strict=True)) for row in rows]},
        status="failed" if code else "succeeded",
        exit_code=code,
        table=lambda console: grid(console, ["box", "container group", "outcome", "detail"], rows),
        errors=errors,
    )


@app.command("exec", cls=QuickCommand, context_settings={"ignore_unknown_options": False})
def exec_command(
    which: OneBoxArgument,
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND [ARGUMENT]...", help="What to run.")],
    *,
    start: StartOption = False,
    timeout: Annotated[
        float | None, typer.Option("--timeout", metavar="SECONDS", min=0.1, help="End it after this time.")
    ] = None,
    environment: EnvironmentOption = None,
    resource_group: ResourceGroupOption = None,
    cwd: CwdOption = None,
    debug: DebugOption = False,
    no_prompt: NoPromptOption = False,
) -> None:
    """Run a command in a box; its output, its exit code, and standard input when piped.

    Exit code 125: it could not be run. Exit code 5: it ran, but its end is not known.

    Example: tar c data | fwdctl jump exec hub -- tar t
    """

    def action(runtime: Runtime) -> Result:
        started = False
        progress = Progress(runtime)

        def copy(stream: str, data: bytes) -> None:
            nonlocal started
            started = True
            target = runtime.stdout if stream == "o" else runtime.stderr
            target.buffer.write(data)
            target.buffer.flush()
            if target.isatty():
                progress.others_wrote(data)

        try:
            outcome = _exec(runtime, progress, copy)
        except FwdctlError as error:
            if error.exit_code is ExitCode.USAGE or error.exit_code is ExitCode.INTERRUPTED:
                raise
            code = ExitCode.INCONCLUSIVE if started else ExitCode.NOT_RUN
            raise FwdctlError(error.code, error.message, error.suggestion, exit_code=code) from error
        return _outcome(outcome)

    def _exec(runtime: Runtime, progress: Progress, copy: Callable[[str, bytes], None]) -> Outcome:
        from fwdctl.channel import Request
        from fwdctl.deployment import load
        from fwdctl.jump import boxes
        from fwdctl.jump.session import Session

        deployment, clients = load(
            runtime, environment=environment, resource_group=resource_group, announce=False
        )
        box = boxes.select_one(deployment, which)
        stdin = None if runtime.stdin.isatty() else runtime.stdin_bytes
        request = Request(tuple(command), stdin, timeout)
        with progress, Session(runtime, clients, deployment, box, progress, may_start=start) as session:
            return session.run(request, copy)

    invoke("jump exec", action, cwd=cwd, debug=debug, no_prompt=no_prompt)


def _outcome(outcome: Outcome) -> Result:
    if outcome.status is not None:
        return Result(None, exit_code=outcome.status)
    text, mend = "The command was not run", ""
    code = ExitCode.NOT_RUN
    if outcome.state == "unsupported":
        mend = "Use an image that has them; `fwdctl jump status -o json` names the box's."
    elif outcome.state == "not_started":
        mend = (
            "Try again; if it stays, stop and start the box with `fwdctl jump stop` and `fwdctl jump start`."
        )
    else:
        text, code = "The command's result is not known", ExitCode.INCONCLUSIVE
        mend = "Look with `fwdctl jump shell` before you run it again."
    raise FwdctlError(f"exec_{outcome.state}", f"{text}: {outcome.detail}.", mend, exit_code=code)


@app.command("shell", cls=QuickCommand)
def shell_command(
    which: OneBoxArgument,
    *,
    start: StartOption = False,
    environment: EnvironmentOption = None,
    resource_group: ResourceGroupOption = None,
    cwd: CwdOption = None,
    debug: DebugOption = False,
    no_prompt: NoPromptOption = False,
) -> None:
    """Open a shell in a box; it ends with `exit` or Ctrl-D.

    Example: fwdctl jump shell hub --start
    """

    def action(runtime: Runtime) -> Result:
        from fwdctl.deployment import load
        from fwdctl.jump import boxes
        from fwdctl.jump.session import Session

        _require_terminal(runtime)
        deployment, clients = load(runtime, environment=environment, resource_group=resource_group)
        box = boxes.select_one(deployment, which)
        with (
            Progress(runtime) as progress,
            Session(runtime, clients, deployment, box, progress, may_start=start) as session,
        ):
            _shell(runtime, session, progress)
        return Result(None)

    invoke("jump shell", action, cwd=cwd, debug=debug, no_prompt=no_prompt)


def _require_terminal(runtime: Runtime) -> None:
    if sys.platform == "win32":
        from fwdctl.channel.terminal import needs_posix

        raise needs_posix()
    if not (runtime.stdin.isatty() and runtime.stdout.isatty()):
        raise FwdctlError(
            "not_a_terminal",
            "`jump shell` needs a terminal on standard input and output.",
            "Use `fwdctl jump exec BOX -- COMMAND` in scripts.",
            exit_code=ExitCode.USAGE,
        )


def _shell(runtime: Runtime, session: Session, progress: Progress) -> None:
    import shutil

    from fwdctl.channel.socket import connect
    from fwdctl.channel.terminal import attach

    size = shutil.get_terminal_size()
    socket = connect(session.ticket(columns=size.columns, rows=size.lines), runtime.environ)
    progress.clear()  # the shell has the screen from here on
    try:
        attach(socket, runtime.stdin.fileno(), runtime.stdout.fileno())
    finally:
        socket.close()
