"""`fwdctl lab up`, `down` and `env`: the life of a lab."""

from __future__ import annotations

import contextlib
import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fwdctl.cli.command import Call
from fwdctl.cli.options import OUTPUT
from fwdctl.errors import FwdctlError
from fwdctl.output import Result, say
from fwdctl.progress import Progress
from fwdlab.cli.group import FROM_SHELL, NameOption, lab_command
from fwdlab.cli.health import wait_until_healthy
from fwdlab.cli.labs import client_of, lab_errors

if TYPE_CHECKING:
    from rich.console import Console

    from fwdctl.runtime import Runtime
    from fwdlab.cli.client import LabClient
    from fwdlab.cli.setup import LabDeployment
    from fwdlab.process.state import LabDirectory, LabState


@lab_command(
    "up",
    OUTPUT,
    examples="""
        fwdctl lab up
        fwdctl lab up --parameters my.parameters.json
        fwdctl lab up --empty      only the endpoint; deploy with az or azd yourself
        """,
)
def up(
    call: Call,
    *,
    name: NameOption = FROM_SHELL,
    template: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Compiled template instead of infra/main.json.")
    ] = None,
    parameters: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Parameters instead of infra/main.parameters.json.")
    ] = None,
    empty: Annotated[bool, typer.Option("--empty", help="Start the endpoint and deploy nothing.")] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the endpoint; 0 takes a free one.")
    ] = 0,
) -> Result:
    """Start the lab, deploy the template into it, wait until it is healthy, stop the jump boxes."""
    from fwdlab.cli import setup

    plan = None if empty else setup.prepare(call.runtime, template, parameters)
    client = bring_up(call.runtime, name, port, plan)
    return _up_result(client, name)


def bring_up(
    runtime: Runtime, name: str, port: int, plan: LabDeployment | None, *, keep_failed: bool = True
) -> LabClient:
    """Start the lab and deploy.

    A lab whose deployment fails stays up, so that it can be looked at, unless `keep_failed` is false. Ctrl-C
    and SIGTERM take down what was started here, and nothing else.
    """
    from fwdlab.cli.client import LabClient
    from fwdlab.process import start
    from fwdlab.process.state import LabDirectory

    directory = LabDirectory(name, runtime.environ)
    state: LabState | None = None
    with Progress(runtime) as progress:
        begin = runtime.clock()
        try:
            for killed in directory.sweep():
                progress.warning(f"Lab '{killed}' had been killed; its files are gone now")
            progress.step("Starting the lab")
            state = start.start(directory, port=port, environ=runtime.environ)
            client = LabClient(state, directory.ca_bundle)
            progress.done(f"Lab '{name}' answers at {state.base_url} ({runtime.clock() - begin:.1f} s)")
            if plan is not None:
                with lab_errors():
                    _deploy(runtime, client, plan, progress)
        except KeyboardInterrupt:
            if state is not None:
                _take_down(directory)
            ended = "was not started" if state is None else "is gone again"
            progress.failed(f"Interrupted: lab '{name}' {ended}")
            raise
        except FwdctlError as error:
            if not keep_failed:
                _take_down(directory)
                raise
            advice = f"The lab stays, to be looked at; end it with `fwdctl lab down{_option(name)}`."
            suggestion = f"{error.suggestion} {advice}".strip()
            raise FwdctlError(error.code, error.message, suggestion, exit_code=error.exit_code) from error
    return client


def _option(name: str) -> str:
    return "" if name == "lab" else f" --name {name}"


def _take_down(directory: LabDirectory) -> None:
    from fwdlab.errors import LabError
    from fwdlab.process import start

    with contextlib.suppress(LabError):  # it has ended by itself
        start.stop(directory)


def _deploy(runtime: Runtime, client: LabClient, plan: LabDeployment, progress: Progress) -> None:
    """Deploy into a running lab, wait until it is healthy, stop the jump boxes."""
    from fwdlab.cli import deploy, setup

    begin = runtime.clock()
    progress.step("Deploying the template")
    with deploy.azure_of(runtime, client) as clients:
        outputs = setup.environment_of(deploy.deploy(runtime, clients, plan, progress))
        client.control("POST", "/lab/outputs", outputs)
        client.state = replace(client.state, outputs=outputs)
        progress.done(f"Template deployed ({runtime.clock() - begin:.1f} s)")
        topology = json.loads(outputs.get("FWD_TOPOLOGY", "{}"))
        if "loadBalancer" in topology.get("hub", {}):  # another template has nothing to wait for
            progress.step("Waiting for the load balancer's health probes")
            if wait_until_healthy(runtime, client):
                progress.done(f"Every backend is healthy ({runtime.clock() - begin:.1f} s)")
            else:
                progress.warning("Some backends are not healthy; see `fwdctl lab status`")
        if "RESOURCE_GROUP_NAME" in outputs:
            deploy.stop_boxes(runtime, clients, outputs, progress)


def _up_result(client: LabClient, name: str) -> Result:
    state = client.state

    def table(console: Console) -> None:
        what = "fwdctl probe spoke" if "FWD_TOPOLOGY" in state.outputs else "az or azd"
        say(console, f'\nNext:  eval "$(fwdctl lab env{_option(name)})"  and then  {what}')

    data = {
        "name": name,
        "endpoint": state.base_url,
        "outputs": state.outputs,
        "variables": variables_of(state),
    }
    return Result(data=data, table=table)


@lab_command(
    "env",
    OUTPUT,
    examples="""
        eval "$(fwdctl lab env)"
        fwdctl_lab_off             restore the shell's own settings
        """,
)
def env(call: Call, *, name: NameOption = FROM_SHELL) -> Result:
    """Print what a shell needs so that az, azd and fwdctl in it use the lab."""
    variables = variables_of(client_of(name, call.runtime).state)
    return Result(
        {"variables": variables}, table=lambda console: _print_shell(console, variables, call.runtime)
    )


def variables_of(state: LabState) -> dict[str, str]:
    """Everything that az, azd and fwdctl need, and the outputs of the template that `lab up` deployed."""
    return {**state.environment, **state.outputs, "FWDCTL_LAB": state.name}


def _print_shell(console: Console, variables: dict[str, str], runtime: Runtime) -> None:
    """Shell lines; the function that undoes them knows what the shell had before."""
    lines = [f"export {key}={shlex.quote(value)}" for key, value in sorted(variables.items())]
    if runtime.environ.get("FWDCTL_LAB") is None:
        undo = [
            f"export {key}={shlex.quote(runtime.environ[key])}" if key in runtime.environ else f"unset {key}"
            for key in sorted(variables)
        ]
        lines.append("fwdctl_lab_off() {\n  " + "\n  ".join([*undo, "unset -f fwdctl_lab_off"]) + "\n}")
    if console.file.isatty():
        lines.append('# Let this shell use the lab:  eval "$(fwdctl lab env)"   and back:  fwdctl_lab_off')
    console.file.write("\n".join(lines) + "\n")


@lab_command("down", OUTPUT, examples="fwdctl lab down")
def down(call: Call, *, name: NameOption = FROM_SHELL) -> Result:
    """End the lab; nothing of it stays behind."""
    from fwdlab.process import start
    from fwdlab.process.state import LabDirectory

    ended = start.stop(LabDirectory(name, call.runtime.environ))
    done = "is gone" if ended else "had been killed; its files are gone now"
    return Result(data={"name": name}, table=lambda console: say(console, f"Done: lab '{name}' {done}"))
