"""`fwdctl env`: what the azd environment holds, what it lacks, and what it no longer knows of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from fwdctl.cli.command import Call, command
from fwdctl.cli.confirm import confirm
from fwdctl.cli.group import group
from fwdctl.cli.options import ENVIRONMENT, OUTPUT, option
from fwdctl.errors import ExitCode, FwdctlError, MissingError
from fwdctl.output import Result, console, grid, say
from fwdctl.progress import Progress

if TYPE_CHECKING:
    from fwdctl.deployment.orphans import Orphan

app = group(
    "Show and check the azd environment that fwdctl reads.",
    examples="""
    fwdctl env show
    fwdctl env check -e dev
    fwdctl env orphans                      what removed spokes left behind
    """,
)


@command(app, "env show", ENVIRONMENT, OUTPUT, examples="fwdctl env show\nfwdctl env show -e dev -o json")
def show(call: Call) -> Result:
    """Print the environment's values; keys and cloud-inits are shortened."""
    from fwdctl.azd import report

    return report.show(call.runtime, call.environment)


@command(app, "env check", ENVIRONMENT, OUTPUT, examples="fwdctl env check\nfwdctl env check -e dev -o json")
def check(call: Call) -> Result:
    """Say what is missing and which step sets it, and what is wrong in the parameters file.

    That includes what Azure would refuse of what is there already, where somebody is logged in.

    The exit code is 2 if a parameter is wrong, 3 if something is missing.
    """
    from fwdctl.azd import report
    from fwdctl.template.hooks import wrong_parameters

    result = report.check(call.runtime, call.environment)
    error = wrong_parameters(call.runtime, call.environment)
    if error is None:
        return result
    return replace(result, status="failed", exit_code=error.exit_code, errors=(error, *result.errors))


RemoveOption = Annotated[bool, option("--remove", "Delete them, after showing them and asking.")]
YesOption = Annotated[bool, option("--yes", "With --remove: delete without asking.")]


@command(
    app,
    "env orphans",
    ENVIRONMENT,
    OUTPUT,
    examples="fwdctl env orphans\nfwdctl env orphans --remove\nfwdctl env orphans --remove --yes -o json",
)
def orphans_command(call: Call, *, remove: RemoveOption = False, yes: YesOption = False) -> Result:
    """List what is no longer deployed and still there, and what it costs.

    Removed or renamed spokes, their zones, names of removed forwards, connections of removed subscriptions.

    The exit code is 0 also if there are some.
    """
    from fwdctl.deployment import orphans

    deployment, clients = call.load()
    if not deployment.described:
        raise MissingError(
            "topology_missing",
            f"FWD_TOPOLOGY is not set ({deployment.source}): nothing says what belongs to the deployment.",
            f"Run `azd env refresh{call.again}`, which sets it.",
        )
    found = orphans.find(clients, deployment)
    if not remove or not found:
        return _listed(found)
    _confirm(call, found, yes=yes)
    shown = {orphan.id for orphan in found}
    still = [orphan for orphan in orphans.find(clients, deployment) if orphan.id in shown]
    with Progress(call.runtime) as progress:
        return _removed(orphans.remove_all(call.runtime, clients, still, progress))


def _listed(found: list[Orphan]) -> Result:
    return Result(
        {"orphans": [_orphan(orphan) for orphan in found]},
        table=lambda out: _table(out, found) if found else say(out, "Nothing was left behind."),
    )


def _removed(changes: Iterable[tuple[Orphan, FwdctlError | None]]) -> Result:
    ended = [(orphan, error) for orphan, error in changes]
    errors = tuple(error for _, error in ended if error is not None)
    rows = [(orphan.kind, orphan.name, "failed" if error else "deleted") for orphan, error in ended]
    return Result(
        {"orphans": [{**_orphan(orphan), "deleted": error is None} for orphan, error in ended]},
        exit_code=ExitCode.UNEXPECTED if errors else ExitCode.OK,
        table=lambda out: grid(out, ("Kind", "Name", "Outcome"), rows),
        errors=errors,
    )


def _orphan(orphan: Orphan) -> dict[str, Any]:
    keys = ("kind", "name", "spoke", "state", "costs", "id")
    return {key: getattr(orphan, key) for key in keys}


def _table(out: Any, found: list[Orphan]) -> None:
    rows = [(each.kind, each.name, each.state, each.costs) for each in found]
    grid(out, ("Kind", "Name", "State", "Costs"), rows)


def _confirm(call: Call, found: list[Orphan], *, yes: bool) -> None:
    """Show what will be deleted and ask."""
    _table(console(call.runtime, call.runtime.stderr), found)
    if not yes:
        confirm(
            call.runtime,
            f"Delete these {len(found)} resources?",
            "deleted",
            f"If all of these may go, run `fwdctl env orphans --remove --yes{call.again}`.",
        )
