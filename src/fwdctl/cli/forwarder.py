"""`fwdctl forwarder`: what the forwarders do, and how they are renewed while they carry traffic."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fwdctl.cli.command import Call, command
from fwdctl.cli.completion import complete_instances
from fwdctl.cli.group import group
from fwdctl.cli.options import ENVIRONMENT, OUTPUT, RESOURCE_GROUP, option
from fwdctl.output import Result, grid, say
from fwdctl.progress import Progress
from fwdctl.shell import quoted

if TYPE_CHECKING:
    from fwdctl.errors import FwdctlError
    from fwdctl.forwarders.fleet import Fleet, Watch
    from fwdctl.forwarders.plan import Turn
    from fwdctl.template.render import Rendering

app = group(
    "Show the forwarders, and renew them while they carry traffic.",
    examples="""
    fwdctl forwarder status                 what each of them does
    fwdctl forwarder drift                  what is not as deployed
    fwdctl forwarder rollout --dry-run      what a new agent or image takes
    fwdctl forwarder rollout
    fwdctl forwarder restart --instance 0
    fwdctl forwarder check                  is the parameters file good
    fwdctl forwarder render --part rules    what it leads to
    """,
)
SHARED = (ENVIRONMENT, RESOURCE_GROUP, OUTPUT)
DrainOption = Annotated[
    float,
    option(
        "--drain SECONDS",
        "Wait at most so long for open connections to end; the rest is counted.",
        min=0,
        max=3600,
    ),
]
TimeoutOption = Annotated[
    float,
    option("--timeout SECONDS", "Until a forwarder that was down must be healthy.", min=10, max=7200),
]
DryRunOption = Annotated[bool, option("--dry-run", "Print the plan and change nothing.")]
InterruptOption = Annotated[
    bool, option("--allow-interruption", "Go on with a single forwarder: nothing works meanwhile.")
]
InstanceOption = Annotated[
    list[str] | None,
    option("--instance ID", "This one only; may be repeated.", autocompletion=complete_instances),
]
ParametersOption = Annotated[
    Path | None, option("--parameters FILE", "Instead of infra/main.parameters.json.")
]


class RenderedPart(StrEnum):
    """What can be rendered."""

    configuration = "configuration"
    rules = "rules"
    cloud_init = "cloud-init"


def _watch(call: Call, progress: Progress) -> Watch:
    from fwdctl.forwarders.fleet import Watch

    deployment, clients = call.load()
    progress.step("Looking at the forwarders")
    return Watch(call.runtime, clients, deployment, progress)


@command(
    app,
    "forwarder status",
    *SHARED,
    examples="fwdctl forwarder status\nfwdctl forwarder status -o json",
)
def status_command(call: Call) -> Result:
    """Show every forwarder: its machine, its health, and what its agent says.

    The hub's jump box asks the agents; it is started when needed and left as it was found.

    Exit code 4: one takes no connections, or there is none; 5: something could not be asked.
    """
    from fwdctl.forwarders import views

    with Progress(call.runtime) as progress, _watch(call, progress) as watch:
        return views.status(watch.look())


@command(
    app,
    "forwarder drift",
    *SHARED,
    examples="fwdctl forwarder drift\nfwdctl forwarder drift -e dev -o json",
)
def drift_command(call: Call) -> Result:
    """Say what is not as the scale set asks for, by forwarder.

    Compared are the wanted hash, each instance's user data and model, and what its agent runs.

    Exit code 4: something differs; 5: nothing is known to differ, but an agent could not be asked.
    """
    from fwdctl.forwarders import views

    with Progress(call.runtime) as progress, _watch(call, progress) as watch:
        return views.drift(watch.settled(), call.again)


@command(
    app,
    "forwarder rollout",
    *SHARED,
    examples="""
    fwdctl forwarder rollout --dry-run
    fwdctl forwarder rollout
    fwdctl forwarder rollout --drain 600        for connections that last long
    """,
)
def rollout_command(
    call: Call,
    *,
    dry_run: DryRunOption = False,
    drain: DrainOption = 120.0,
    timeout: TimeoutOption = 900.0,
    allow_interruption: InterruptOption = False,
) -> Result:
    """Bring every forwarder to what the scale set asks for, one at a time.

    User data is handed on at once and breaks nothing. A new agent, image or size takes an update of the
    instance and a reimage: after a drain, only while all other forwarders are healthy, and until it carries
    connections again.

    It stops when health falls. What is left to do is read from Azure, so running it again goes on where it
    stopped. Ctrl-C gives a drained forwarder its own user data back.

    Exit code 4: stopped, or something differs still; 5: the forwarders could not be watched.
    """
    from fwdctl.forwarders.drift import differences
    from fwdctl.forwarders.plan import plan_rollout

    def plan(fleet: Fleet) -> Sequence[Turn]:
        return plan_rollout(fleet, differences(fleet), drain)

    return _carry_out(call, plan, "rollout", timeout, dry_run=dry_run, alone=allow_interruption)


@command(
    app,
    "forwarder restart",
    *SHARED,
    examples="""
    fwdctl forwarder restart --instance 0
    fwdctl forwarder restart                    all of them, one at a time
    """,
)
def restart_command(
    call: Call,
    *,
    instance: InstanceOption = None,
    dry_run: DryRunOption = False,
    drain: DrainOption = 120.0,
    timeout: TimeoutOption = 900.0,
    allow_interruption: InterruptOption = False,
) -> Result:
    """Restart the forwarders' machines, one at a time.

    Each is drained first, only while all others are healthy, and awaited until it carries connections again.

    Exit code 4: stopped; 5: the forwarders could not be watched.
    """
    from fwdctl.forwarders.plan import plan_restart

    def plan(fleet: Fleet) -> Sequence[Turn]:
        return plan_restart(fleet, instance or (), drain)

    words = " ".join(["restart", *(f"--instance {quoted(number)}" for number in instance or ())])
    return _carry_out(call, plan, words, timeout, dry_run=dry_run, alone=allow_interruption)


def _carry_out(
    call: Call,
    plan: Callable[[Fleet], Sequence[Turn]],
    words: str,
    patience: float,
    *,
    dry_run: bool,
    alone: bool,
) -> Result:
    from fwdctl.forwarders import views
    from fwdctl.forwarders.rollout import Rollout

    with Progress(call.runtime) as progress, _watch(call, progress) as watch:
        fleet = watch.look()
        fleet.require_template()
        turns = plan(fleet)
        if dry_run:
            return views.plan(fleet, turns)
        again = f"fwdctl forwarder {words}{call.again}"
        rollout = Rollout(call.runtime, watch, fleet, progress, again, patience)
        error = rollout.carry_out(turns, alone=alone)
        errors: tuple[FwdctlError, ...] = (error,) if error else ()
        if not error and words == "rollout":  # which promises that nothing differs any more
            errors = views.left_over(watch.settled(), call.again)
    return views.rollout(fleet, turns, rollout.ended, errors)


def _rendering(call: Call, file: Path | None) -> Rendering:
    """From the azd project here, with the values of its environment where there is one."""
    from fwdctl.azd import environment as azd_environment
    from fwdctl.errors import FwdctlError
    from fwdctl.template.files import find_template
    from fwdctl.template.render import Rendering

    runtime, project = call.runtime, None
    values: Mapping[str, str] = {}
    try:
        project = azd_environment.find_project(runtime.cwd)
        values = azd_environment.load(runtime, call.environment).values
    except FwdctlError:
        if call.environment:
            raise
    template = find_template(project)
    return Rendering(template, runtime.cwd / (file or template.parameters), {**runtime.environ, **values})


@command(
    app,
    "forwarder render",
    ENVIRONMENT,
    OUTPUT,
    examples="""
    fwdctl forwarder render
    fwdctl forwarder render --part rules
    fwdctl forwarder render --parameters my.parameters.json -o json
    """,
)
def render_command(
    call: Call,
    *,
    file: ParametersOption = None,
    part: Annotated[
        RenderedPart | None,
        option("--part configuration|rules|cloud-init", "This part alone."),
    ] = None,
) -> Result:
    """Print what forwarders would get from a parameters file.

    The configuration is their user data, whose hash the deployment makes. The rules are those of an agent
    whose targets are all up; a name stands where it puts the addresses. The cloud-init carries the agent.
    """
    rendering = _rendering(call, file)
    forwarder = rendering.cloud_inits.forwarder
    parts = {
        "configuration": json.dumps(rendering.configuration, indent=2),
        "rules": rendering.rules,
        "cloud-init": forwarder.text,
    }
    told = {"text": forwarder.text, "hash": forwarder.config_hash, "characters": len(forwarder.encoded)}
    data = {"configuration": rendering.configuration, "rules": rendering.rules, "cloudInit": told}
    shown = [f"# {name}\n{text.rstrip()}\n" for name, text in parts.items()]
    text = parts[part].rstrip() if part else "\n".join(shown).rstrip()
    return Result(data, table=lambda console: say(console, text))


@command(
    app,
    "forwarder check",
    ENVIRONMENT,
    OUTPUT,
    examples="fwdctl forwarder check\nfwdctl forwarder check --parameters my.parameters.json",
)
def check_command(call: Call, *, file: ParametersOption = None) -> Result:
    """Check what a deployment would give the forwarders, as far as it can be checked without Azure.

    The parameters and cloud-inits as the preprovision hook does; the configuration by the agent's own rules;
    with cloud-init and iptables where they are installed. What was not checked is said.

    Exit code 2: something is wrong.
    """
    from fwdctl.errors import ExitCode, FwdctlError
    from fwdctl.template.render import checks

    found = list(checks(_rendering(call, file)))
    errors = tuple(
        FwdctlError("check_failed", f"{check.name}: {check.detail}", check.suggestion)
        for check in found
        if check.outcome == "failed"
    )
    return Result(
        {"checks": [vars(check) for check in found]},
        exit_code=ExitCode.USAGE if errors else ExitCode.OK,
        table=lambda console: grid(
            console, ("check", "outcome", "detail"), [(c.name, c.outcome, c.detail) for c in found]
        ),
        errors=errors,
    )
