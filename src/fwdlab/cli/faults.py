"""`fwdctl lab break` and `heal`: the fault table."""

from __future__ import annotations

from typing import Annotated

import typer

from fwdctl.cli.command import Call
from fwdctl.cli.options import OUTPUT
from fwdctl.errors import ExitCode
from fwdctl.output import Result, grid, say
from fwdctl.progress import Progress
from fwdlab.cli.complete import complete_fault, complete_fault_in_force
from fwdlab.cli.group import FROM_SHELL, NameOption, lab_command
from fwdlab.cli.health import wait_until_healthy
from fwdlab.cli.labs import client_of

HEAL_SECONDS = 60.0
"""A loaded machine needs more than 20 s until every probe has answered again."""


@lab_command(
    "break",
    OUTPUT,
    examples="""
        fwdctl lab break                       list the faults
        fwdctl lab break target-down
        fwdctl lab break target-down --target all
        fwdctl lab heal
        """,
)
def break_(
    call: Call,
    fault: Annotated[
        str | None,
        typer.Argument(metavar="FAULT", autocompletion=complete_fault, help="Which; none lists them."),
    ] = None,
    *,
    target: Annotated[
        str, typer.Option(metavar="SERVER|all", help="Which server, where the fault is about one.")
    ] = "",
    name: NameOption = FROM_SHELL,
) -> Result:
    """Cause a fault, to see what it looks like; without a name, list what can be caused."""
    if fault is None:
        return _list_faults()
    body = {"name": fault, "target": target}
    data = client_of(name, call.runtime).control("POST", "/lab/break", body, seconds=60)
    text = f"(!) {data['name']}: {data['summary']}. Run `fwdctl probe spoke` to see what it says."
    return Result(data, table=lambda console: say(console, text))


def _list_faults() -> Result:
    from fwdlab.faults import FAULTS

    rows = [(fault.name, fault.summary) for fault in FAULTS.values()]
    return Result(
        {"faults": [{"name": name, "summary": summary} for name, summary in rows]},
        table=lambda console: grid(console, ["fault", "what it changes"], rows),
    )


@lab_command("heal", OUTPUT, examples="fwdctl lab heal\nfwdctl lab heal target-down")
def heal(
    call: Call,
    fault: Annotated[
        str | None,
        typer.Argument(
            metavar="FAULT", autocompletion=complete_fault_in_force, help="Which; none heals all."
        ),
    ] = None,
    *,
    name: NameOption = FROM_SHELL,
) -> Result:
    """Undo a fault, or all of them, and wait until the load balancer's probes are well again.

    Exit code 5: undone, but something is not healthy a minute later.
    """
    client = client_of(name, call.runtime)
    data = client.control("POST", "/lab/heal", {"name": fault}, seconds=60)
    now = client.control("GET", "/lab/status")
    if data["healed"] and now["health"] and not now["faults"]:  # another fault may keep it ill
        with Progress(call.runtime) as progress:
            progress.step("Waiting for the load balancer's health probes")
            data["healthy"] = wait_until_healthy(call.runtime, client, HEAL_SECONDS)
            if not data["healthy"]:
                progress.warning(f"Not healthy after {HEAL_SECONDS:.0f} s; see `fwdctl lab status`")
    well = data.get("healthy", True)
    text = f"Healed: {', '.join(data['healed'])}" if data["healed"] else "No fault was in force"
    return Result(
        data=data,
        status="succeeded" if well else "inconclusive",
        exit_code=ExitCode.OK if well else ExitCode.INCONCLUSIVE,
        table=lambda console: say(console, text),
    )
