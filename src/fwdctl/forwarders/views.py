"""What was seen of the forwarders, and done to them, as results: JSON and tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fwdctl.errors import ExitCode, FwdctlError, InconclusiveError
from fwdctl.forwarders.drift import SCALE_SET, Difference, differences, silent
from fwdctl.forwarders.plan import Ended, Step, Turn
from fwdctl.output import Result, grid, say

if TYPE_CHECKING:
    from rich.console import Console

    from fwdctl.forwarders.fleet import Fleet, Instance

COLUMNS = ("id", "address", "zone", "power", "model", "health", "what the agent says")
COLOURS = {"up": "32", "down": "31", "no answer": "31", "unknown": "33"}


def _place(fleet: Fleet) -> dict[str, Any]:
    return {
        "resourceGroup": fleet.resource_group,
        "scaleSet": fleet.scale_set,
        "wanted": {"hash": fleet.setup.hash or None, "programs": fleet.setup.programs or None},
        "agentsAsked": not fleet.unasked,
        "healthKnown": not fleet.unseen,
    }


def unknowns(fleet: Fleet) -> tuple[FwdctlError, ...]:
    """What could not be asked, each an error of exit code 5; nothing where all was."""
    box = "They are asked from the hub's jump box: see `fwdctl jump status hub`."
    role = "It takes Microsoft.Network/loadBalancers/loadBalancingRules/health/action, which no reader has."
    asked = (
        ("agents_not_asked", "What the agents do", fleet.unasked, box),
        ("health_not_known", "How the load balancer sees the forwarders", fleet.unseen, role),
    )
    return tuple(
        InconclusiveError(code, f"{what} is not known: {why}", advice)
        for code, what, why, advice in asked
        if why
    )


# -- status


def status(fleet: Fleet) -> Result:
    """Exit code 4 where there is no forwarder or one takes no connections, 5 where something is not known."""
    well = bool(fleet.instances) and all(_is_well(fleet, each) for each in fleet.instances)
    unknown = unknowns(fleet)
    code = ExitCode.BROKEN if not well else ExitCode.INCONCLUSIVE if unknown else ExitCode.OK
    return Result(
        {**_place(fleet), "instances": [_instance(fleet, each) for each in fleet.instances]},
        exit_code=code,
        table=lambda console: _status_table(console, fleet),
        errors=unknown,
    )


def _is_well(fleet: Fleet, instance: Instance) -> bool:
    """Whether it takes connections, as far as that is known."""
    if instance.power not in {"", "running"} or "Down" in instance.health.values():
        return False
    return bool(fleet.unasked or (instance.told("forwarding") and instance.rules_in_place))


def _instance(fleet: Fleet, instance: Instance) -> dict[str, Any]:
    """For JSON; what the agent did not tell is null."""
    answers = instance.report is not None
    return {
        "instance": instance.number,
        "address": instance.address,
        "zone": instance.zone,
        "power": instance.power,
        "latestModel": instance.latest,
        "health": dict(instance.health),
        "answers": None if fleet.unasked else answers,
        "hash": instance.told("hash"),
        "wantedHash": fleet.setup.hash or None,
        "refused": instance.told("refused"),
        "programs": instance.programs or None,
        "draining": instance.told("draining"),
        "forwarding": instance.told("forwarding"),
        "rulesInPlace": instance.rules_in_place if answers else None,
        "targets": {"up": instance.targets_up, "total": len(instance.targets)} if answers else None,
        "conntrack": instance.told("conntrack") or None,
        "uptime": instance.told("uptime"),
    }


def _status_table(console: Console, fleet: Fleet) -> None:
    wanted = fleet.setup.hash or "not known"
    say(console, f"Scale set {fleet.scale_set} in {fleet.resource_group}; wanted configuration: {wanted}")
    rows = [_row(fleet, each) for each in fleet.instances]
    grid(console, COLUMNS, rows, None if console.no_color else COLOURS)


def _row(fleet: Fleet, instance: Instance) -> Sequence[object]:
    down = [name for name, state in instance.health.items() if state != "Up"]
    health = "up" if instance.health else ""
    if down:
        health = "down" if len(down) == len(instance.health) else f"down: {', '.join(down)}"
    model = "latest" if instance.latest else "earlier"
    known = (instance.number, instance.address, instance.zone, instance.power, model, health)
    if instance.report is None:
        return (*known, "unknown" if fleet.unasked else "no answer")
    return (*known, ", ".join(filter(None, _says(instance, fleet.setup.hash))))


def _says(instance: Instance, wanted: str) -> Iterator[str]:
    running, tracked = instance.told("hash"), instance.told("conntrack") or {}
    yield str(running) if running == wanted else f"{running or 'nothing'} instead of {wanted or 'nothing'}"
    yield "drained" if instance.told("draining") else ""
    yield "rules in place" if instance.rules_in_place else "rules missing"
    yield "forwarding on" if instance.told("forwarding") else "forwarding off"
    yield f"targets {instance.targets_up}/{len(instance.targets)}"
    if tracked.get("max"):
        yield f"conntrack {tracked['count']} ({100 * tracked['count'] // tracked['max']} %)"


# -- drift


def drift(fleet: Fleet, again: str) -> Result:
    """Exit code 4 where something differs, 5 where only what an agent runs is not known.

    `again` are the options that mean the same deployment.
    """
    found, unknown = differences(fleet), silent(fleet)
    code = ExitCode.BROKEN if found else ExitCode.INCONCLUSIVE if unknown else ExitCode.OK
    return Result(
        {
            **_place(fleet),
            "differences": [vars(each) for each in found],
            "unknown": [{"instance": number, "reason": why} for number, why in unknown.items()],
        },
        exit_code=code,
        table=lambda console: _drift_table(console, found, unknown),
        errors=_differ(found, again) if found else (),
    )


def _drift_table(console: Console, found: Sequence[Difference], unknown: dict[str, str]) -> None:
    if found:
        grid(console, ("id", "differs", "has", "wanted"), [tuple(vars(each).values()) for each in found])
    elif not unknown:
        say(console, "Every forwarder is as the scale set asks for.")
    for number, why in unknown.items():
        say(console, f"What forwarder {number} runs is not known: {why.rstrip('.')}.")


def _differ(found: Sequence[Difference], again: str) -> tuple[FwdctlError, ...]:
    own = list(dict.fromkeys(each.instance for each in found if each.instance != SCALE_SET))
    advice = f"`fwdctl forwarder rollout{again}` brings them to it; `--dry-run` says how."
    if not own:
        advice = f"Run `azd provision --no-state{again}`: the scale set was changed by hand."
    elif all(each.what == "running" for each in found):
        advice = (
            f"`fwdctl forwarder status{again}` says whether the agent runs; "
            f"`fwdctl forwarder restart --instance {own[0]}{again}` starts it anew."
        )
    text = f"Not as deployed: {', '.join(f'forwarder {number}' for number in own) or 'the scale set'}."
    return (FwdctlError("forwarders_differ", text, advice, exit_code=ExitCode.BROKEN),)


# -- rollout and restart


def left_over(fleet: Fleet, again: str) -> tuple[FwdctlError, ...]:
    """What is wrong still after all turns; `again` as in `drift`."""
    found = differences(fleet)
    return _differ(found, again) if found else unknowns(fleet)


def plan(fleet: Fleet, turns: Sequence[Turn]) -> Result:
    """What would be done."""
    rows = [(turn.instance, ", ".join(turn.why), _told(turn)) for turn in turns]
    return Result(
        _rollout_data(fleet, turns, (), dry_run=True),
        table=lambda console: _listed(console, ("id", "why", "steps"), rows),
    )


def rollout(
    fleet: Fleet, turns: Sequence[Turn], ended: Sequence[Ended], errors: tuple[FwdctlError, ...]
) -> Result:
    """The plan, and what was done of it until the end or an error."""
    code = errors[0].exit_code if errors else ExitCode.OK
    not_done = turns[len(ended) :]
    rows = [(each.turn.instance, ", ".join(each.turn.why), "done", each.open) for each in ended]
    rows += [(turn.instance, ", ".join(turn.why), "not done", None) for turn in not_done]
    return Result(
        _rollout_data(fleet, turns, ended, dry_run=False),
        exit_code=code,
        table=lambda console: _listed(console, ("id", "why", "outcome", "open connections"), rows),
        errors=errors,
    )


def _rollout_data(
    fleet: Fleet, turns: Sequence[Turn], ended: Sequence[Ended], *, dry_run: bool
) -> dict[str, Any]:
    plan = [
        {
            "instance": turn.instance,
            "why": list(turn.why),
            "steps": [_step(turn, step) for step in turn.steps],
        }
        for turn in turns
    ]
    done = [{"instance": each.turn.instance, "openConnections": each.open} for each in ended]
    return {**_place(fleet), "dryRun": dry_run, "plan": plan, "done": done}


def _step(turn: Turn, step: Step) -> dict[str, Any]:
    return {"step": step.value} | ({"seconds": turn.drain} if step is Step.drain else {})


def _listed(console: Console, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    if rows:
        grid(console, headings, rows)
    else:
        say(console, "Nothing to do: no forwarder lacks user data, an agent, an image or a size.")


def _told(turn: Turn) -> str:
    limit = f" (at most {turn.drain:.0f} s)"
    return ", ".join(f"{step}{limit if step is Step.drain else ''}" for step in turn.steps)
