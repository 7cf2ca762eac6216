"""`fwdctl forwarder`: what the forwarders do, and how they are renewed while they carry traffic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fwdctl.cli.command import Call, command
from fwdctl.cli.group import group
from fwdctl.cli.options import ENVIRONMENT, OUTPUT, RESOURCE_GROUP
from fwdctl.errors import ExitCode, FwdctlError
from fwdctl.output import Progress, Result, grid, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from fwdctl.forwarders.drift import Difference
    from fwdctl.forwarders.fleet import Fleet, Instance, Watch

app = group(
    "Show the forwarders, and renew them while they carry traffic.",
    examples="""
    fwdctl forwarder status                     what each of them does
    fwdctl forwarder drift                      what is not as deployed
    """,
)
COLOURS = {"up": "32", "down": "31", "no answer": "31", "unknown": "33"}


def _watch(call: Call, progress: Progress) -> Watch:
    from fwdctl.forwarders.fleet import Watch

    deployment, clients = call.load()
    return Watch(call.runtime, clients, deployment, progress)


@command(
    app,
    "forwarder status",
    ENVIRONMENT,
    RESOURCE_GROUP,
    OUTPUT,
    examples="fwdctl forwarder status\nfwdctl forwarder status -o json",
)
def status_command(call: Call) -> Result:
    """Show every forwarder: its machine, its health, and what its agent says.

    The hub's jump box asks the agents; it is started when needed and left as it was found.

    Exit code 4: one takes no connections; 5: the agents could not be asked.
    """
    with Progress(call.runtime) as progress, _watch(call, progress) as watch:
        progress.step("Looking at the forwarders")
        fleet = watch.look()
    unwell = [each.number for each in fleet.instances if not _is_well(fleet, each)]
    code = ExitCode.BROKEN if unwell else ExitCode.INCONCLUSIVE if fleet.unasked else ExitCode.OK
    return Result(
        {**_place(fleet), "instances": [_instance(fleet, each) for each in fleet.instances]},
        status={ExitCode.BROKEN: "failed", ExitCode.INCONCLUSIVE: "inconclusive"}.get(code, "succeeded"),
        exit_code=code,
        table=lambda console: _status_table(console, fleet),
        errors=_unasked(fleet),
    )


def _is_well(fleet: Fleet, instance: Instance) -> bool:
    """Whether it takes connections, as far as that is known."""
    if instance.power not in {"", "running"} or "Down" in instance.health.values():
        return False
    return bool(fleet.unasked) or bool(
        instance.report and instance.told("forwarding") and instance.rules_in_place
    )


def _place(fleet: Fleet) -> dict[str, Any]:
    return {
        "resourceGroup": fleet.resource_group,
        "scaleSet": fleet.scale_set,
        "wanted": {"hash": fleet.setup.hash or None, "programs": fleet.setup.programs or None},
        "agentsAsked": not fleet.unasked,
    }


def _unasked(fleet: Fleet) -> tuple[FwdctlError, ...]:
    if not fleet.unasked:
        return ()
    text = f"What the agents do is not known: {fleet.unasked}"
    advice = "See `fwdctl jump status hub`; the agents are asked from there."
    return (FwdctlError("agents_not_asked", text, advice, exit_code=ExitCode.INCONCLUSIVE),)


def _instance(fleet: Fleet, instance: Instance) -> dict[str, Any]:
    """For JSON; what the agent did not tell is null."""
    report = instance.report
    up = [target for target in instance.targets if target.get("state") == "up"]
    return {
        "instance": instance.number,
        "address": instance.address,
        "zone": instance.zone,
        "power": instance.power,
        "latestModel": instance.latest,
        "health": dict(instance.health),
        "answers": None if fleet.unasked else report is not None,
        "hash": instance.told("hash"),
        "wantedHash": fleet.setup.hash or None,
        "refused": instance.told("refused"),
        "programs": instance.programs or None,
        "draining": instance.told("draining"),
        "forwarding": instance.told("forwarding"),
        "rulesInPlace": instance.rules_in_place if report else None,
        "targets": {"up": len(up), "total": len(instance.targets)} if report else None,
        "conntrack": instance.told("conntrack") or None,
        "uptime": instance.told("uptime"),
    }


def _status_table(console: Console, fleet: Fleet) -> None:
    wanted = fleet.setup.hash or "not known"
    say(console, f"Scale set {fleet.scale_set} in {fleet.resource_group}; wanted configuration: {wanted}")
    headings = ("id", "address", "zone", "power", "model", "health", "configuration", "rules", "forwarding")
    rows = [_row(fleet, each) for each in fleet.instances]
    grid(console, (*headings, "targets", "conntrack"), rows, COLOURS if not console.no_color else None)


def _row(fleet: Fleet, instance: Instance) -> Sequence[object]:
    down = [name for name, state in instance.health.items() if state != "Up"]
    health = f"down: {', '.join(down)}" if len(down) < len(instance.health) else "down"
    model = "latest" if instance.latest else "earlier"
    known = (instance.number, instance.address, instance.zone, instance.power, model)
    health = (health if down else "up") if instance.health else ""
    if instance.report is None:
        word = "unknown" if fleet.unasked else "no answer"
        return (*known, health, word, "", "", "", "")
    running = str(instance.told("hash") or "none")
    running += "" if running == fleet.setup.hash else ", differs"
    running += ", drained" if instance.told("draining") else ""
    up = sum(target.get("state") == "up" for target in instance.targets)
    return (
        *known,
        health,
        running,
        "in place" if instance.rules_in_place else "missing",
        "on" if instance.told("forwarding") else "off",
        f"{up}/{len(instance.targets)}",
        _fill(instance.told("conntrack") or {}),
    )


def _fill(conntrack: dict[str, int]) -> str:
    count, most = conntrack.get("count"), conntrack.get("max")
    return f"{count} ({100 * count // most} %)" if count is not None and most else ""


@command(
    app,
    "forwarder drift",
    ENVIRONMENT,
    RESOURCE_GROUP,
    OUTPUT,
    examples="fwdctl forwarder drift\nfwdctl forwarder drift -e dev -o json",
)
def drift_command(call: Call) -> Result:
    """Say what is not as the scale set asks for, by forwarder.

    Compared are the wanted hash, each instance's user data and model, and what its agent runs.

    Exit code 4: something differs; 5: nothing is known to differ, but an agent could not be asked.
    """
    from fwdctl.forwarders import drift

    with Progress(call.runtime) as progress, _watch(call, progress) as watch:
        progress.step("Looking at the forwarders")
        fleet = watch.look()
        if any(each.what == "running" for each in drift.differences(fleet)):
            call.runtime.sleep(drift.AGENT_SECONDS)  # for agents to read what they were just handed
            fleet = watch.look()
    found, silent = drift.differences(fleet), drift.unknown(fleet)
    code = ExitCode.BROKEN if found else ExitCode.INCONCLUSIVE if silent else ExitCode.OK
    return Result(
        {
            **_place(fleet),
            "differences": [vars(each) for each in found],
            "unknown": [{"instance": number, "reason": why} for number, why in silent.items()],
        },
        status={ExitCode.BROKEN: "failed", ExitCode.INCONCLUSIVE: "inconclusive"}.get(code, "succeeded"),
        exit_code=code,
        table=lambda console: _drift_table(console, found, silent),
        errors=_drifted(call, found),
    )


def _drift_table(console: Console, found: Sequence[Difference], silent: dict[str, str]) -> None:
    if found:
        grid(console, ("id", "differs", "has", "wanted"), [tuple(vars(each).values()) for each in found])
    elif not silent:
        say(console, "Every forwarder is as the scale set asks for.")
    for number, why in silent.items():
        say(console, f"What forwarder {number} runs is not known: {why.rstrip('.')}.")


def _drifted(call: Call, found: Sequence[Difference]) -> tuple[FwdctlError, ...]:
    from fwdctl.forwarders import drift

    if not found:
        return ()
    own = sorted({each.instance for each in found if each.instance != drift.SCALE_SET}, key=int)
    running = [each.instance for each in found if each.what == "running"]
    other = {each.instance for each in found if each.what != "running"}
    advice = f"`fwdctl forwarder rollout{call.again}` brings them to it; `--dry-run` says how."
    if not own:
        advice = f"Run `azd provision{call.again}`: somebody has changed the scale set by hand."
    elif not other:
        advice = f"Run `fwdctl forwarder restart --instance {running[0]}{call.again}`, one at a time."
    text = f"Not as deployed: {', '.join(f'forwarder {number}' for number in own) or 'the scale set'}."
    return (FwdctlError("forwarders_differ", text, advice, exit_code=ExitCode.BROKEN),)
