"""`fwdctl jump`: start, stop and use the jump boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fwdctl.cli.command import Call, command
from fwdctl.cli.group import group
from fwdctl.cli.options import ENVIRONMENT, OUTPUT, RESOURCE_GROUP, BoxArgument, BoxesArgument, option
from fwdctl.errors import ExitCode
from fwdctl.output import Result, grid
from fwdctl.progress import Progress

if TYPE_CHECKING:
    from fwdctl.jump.boxes import Change, Status
    from fwdctl.jump.session import Session

app = group(
    "Start, stop and use the jump boxes.",
    examples="""
    fwdctl jump status                          do they run and cost money
    fwdctl jump start spoke
    fwdctl jump exec spoke -- curl -sS http://onprem-server.fwdctl.internal:8000
    fwdctl jump exec hub -- sh -c 'ip route; exit 3'
    fwdctl jump shell hub
    fwdctl jump stop all
    """,
)

StartOption = Annotated[
    bool, option("--start", "Start the box if it does not run, and stop it again afterwards.")
]


@command(app, "jump status", ENVIRONMENT, RESOURCE_GROUP, OUTPUT)
def status_command(call: Call, which: BoxesArgument = "all") -> Result:
    """Show whether the boxes run.

    Example: fwdctl jump status -o json
    """
    from fwdctl.deployment import orphans
    from fwdctl.jump import boxes

    deployment, clients = call.load()
    found = [_status(entry) for entry in boxes.status(clients, deployment, boxes.select(deployment, which))]
    kinds, left, progress = (orphans.ENDPOINT, orphans.BOX), [], Progress(call.runtime)
    if which == "all":
        left = orphans.find_or_warn(clients, deployment, progress, "a jump box", kinds)
    if left:
        progress.warning(f"{orphans.summary(left)} See `fwdctl env orphans{call.again}`.")
    missing = any(entry["state"] == "Missing" for entry in found)
    rows = [(entry["name"], entry["containerGroup"], entry["state"], entry["address"]) for entry in found]
    return Result(
        {"boxes": found, "orphans": [{"kind": o.kind, "name": o.name, "state": o.state} for o in left]},
        exit_code=ExitCode.NOT_FOUND if missing else ExitCode.OK,
        table=lambda console: grid(console, ["box", "container group", "state", "address"], rows),
    )


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


@command(app, "jump start", ENVIRONMENT, RESOURCE_GROUP, OUTPUT)
def start_command(call: Call, which: BoxesArgument) -> Result:
    """Start boxes and wait until they run; they end by themselves after their lifetime, 8 hours by default.

    Example: fwdctl jump start spoke
    """
    from fwdctl.jump import boxes, session

    deployment, clients = call.load()
    chosen = boxes.select(deployment, which)
    with Progress(call.runtime) as progress:
        changes = boxes.start(call.runtime, clients, deployment, chosen, progress)
        running = [change.box for change in changes if change.error is None]
        session.stay(call.runtime, clients, deployment, running, progress)
    return _changes(changes)


@command(app, "jump stop", ENVIRONMENT, RESOURCE_GROUP, OUTPUT)
def stop_command(call: Call, which: BoxesArgument) -> Result:
    """Stop boxes; a stopped box costs nothing. `all` includes those of spokes that are no longer deployed.

    Example: fwdctl jump stop all
    """
    from fwdctl.deployment import orphans
    from fwdctl.jump import boxes

    deployment, clients = call.load()
    chosen = boxes.select(deployment, which)
    with Progress(call.runtime) as progress:
        if which == "all":
            left = orphans.find_or_warn(clients, deployment, progress, "a jump box", (orphans.BOX,))
            chosen += tuple(orphan.box for orphan in left)
        progress.step(f"Stopping {', '.join(box.name for box in chosen)}")
        changes = boxes.stop(call.runtime, clients, deployment, chosen)
    return _changes(changes)


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


@command(app, "jump exec", ENVIRONMENT, RESOURCE_GROUP)
def exec_command(
    call: Call,
    which: BoxArgument,
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND [ARGUMENT]...", help="What to run.")],
    *,
    start: StartOption = False,
    timeout: Annotated[float | None, option("--timeout SECONDS", "End it after this time.", min=0.1)] = None,
) -> Result:
    """Run a command in a box; its output, its exit code, and standard input when piped.

    Exit code 125: it could not be run. Exit code 5: it ran, but its end is not known.

    Example: tar c data | fwdctl jump exec hub -- tar t
    """
    from fwdctl.channel import Request
    from fwdctl.jump import remote

    runtime, progress = call.runtime, Progress(call.runtime)
    request = Request(tuple(command), None if runtime.stdin.isatty() else runtime.stdin_bytes, timeout)

    def open_session() -> Session:
        return _session(call, which, progress, start=start, announce=False)

    return Result(None, exit_code=remote.run(runtime, progress, open_session, request))


@command(app, "jump shell", ENVIRONMENT, RESOURCE_GROUP)
def shell_command(call: Call, which: BoxArgument, *, start: StartOption = False) -> Result:
    """Open a shell in a box; it ends with `exit` or Ctrl-D.

    Example: fwdctl jump shell hub --start
    """
    from fwdctl.jump import remote

    remote.require_terminal(call.runtime)
    with Progress(call.runtime) as progress, _session(call, which, progress, start=start) as session:
        remote.shell(call.runtime, progress, session)
    return Result(None)


def _session(call: Call, which: str, progress: Progress, *, start: bool, announce: bool = True) -> Session:
    from fwdctl.jump import boxes
    from fwdctl.jump.session import Session

    deployment, clients = call.load(announce=announce)
    box = boxes.select_one(deployment, which)
    return Session(call.runtime, clients, deployment, box, progress, may_start=start)
