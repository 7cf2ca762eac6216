"""A deployment that does not come to its end: cancelled with az, cancelled at azd's question, left alone."""

from __future__ import annotations

import signal
import time
from contextlib import closing
from typing import Any

import pytest

from support.azd_project import OF_AZD, Project
from support.programs import run
from support.terminal import CTRL_C, DOWN, ENTER, Terminal

pytestmark = [*OF_AZD, pytest.mark.timeout(240)]
UP = ("up", "--no-prompt")


def az(project: Project, *arguments: str) -> Any:
    done = run(["az", *arguments, "-o", "json"], environ=project.environ)
    return done.json if done.stdout.strip() else None


def deployment_under_way(project: Project) -> str:
    """Name of the deployment, once some resource of a module is being made."""
    deadline = time.monotonic() + 90
    while not az(project, "resource", "list"):
        assert time.monotonic() < deadline, "nothing was deployed"
    [name] = az(project, "deployment", "sub", "list", "--query", "[].name")
    return str(name)


def resource_types(project: Project) -> set[str]:
    return {resource["type"].lower() for resource in az(project, "resource", "list")}


def state(project: Project, name: str) -> str:
    return str(
        az(project, "deployment", "sub", "show", "-n", name, "--query", "properties.provisioningState")
    )


def up_again(project: Project) -> None:
    project.lab.lab("heal")
    project.azd("up", "--no-prompt")
    project.fwdctl("probe", "spoke")


@pytest.mark.az
def test_a_deployment_that_somebody_cancels(project: Project) -> None:
    project.lab.lab("break", "resources-slow")
    process = project.start_azd(*UP)
    try:
        name = deployment_under_way(project)
        operations = az(project, "deployment", "operation", "sub", "list", "-n", name)
        states = {
            operation["properties"]["targetResource"]["resourceType"]: operation["properties"][
                "provisioningState"
            ]
            for operation in operations
        }
        assert states == {
            "Microsoft.Resources/resourceGroups": "Succeeded",
            "Microsoft.Resources/deployments": "Running",
        }
        az(project, "deployment", "sub", "cancel", "-n", name)
        printed, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 1
    assert "DeploymentCanceled: This deployment was canceled because a cancelation request" in printed
    shown = az(project, "deployment", "sub", "show", "-n", name, "--query", "properties")
    assert (shown["provisioningState"], shown["error"]["code"]) == ("Canceled", "DeploymentCanceled")
    assert shown["outputResources"] is None
    made = resource_types(project)
    assert "microsoft.operationalinsights/workspaces" in made
    up_again(project)
    assert made < resource_types(project)  # some had not been begun


@pytest.mark.az
def test_cancelling_at_the_question_that_ctrl_c_brings(project: Project) -> None:
    project.lab.lab("break", "resources-slow")
    environ = {key: value for key, value in project.environ.items() if key != "CI"}
    with closing(Terminal(["azd", "up"], environ=environ, cwd=project.folder)) as terminal:
        terminal.until("Log Analytics")
        terminal.type(CTRL_C)
        terminal.until("Cancel the Azure deployment")
        terminal.type(DOWN)
        terminal.until("do? Cancel the Azure deployment")
        terminal.type(ENTER)
        code = terminal.end()
    assert code == 1, terminal.shown
    assert "Deployment canceled" in terminal.shown
    assert "deployment was canceled by user request" in terminal.shown
    [name] = az(project, "deployment", "sub", "list", "--query", "[].name")
    assert state(project, name) == "Canceled"
    up_again(project)


@pytest.mark.az
def test_an_interrupt_without_a_terminal_leaves_the_deployment_running(project: Project) -> None:
    project.lab.lab("break", "resources-slow")
    process = project.start_azd(*UP)
    try:
        name = deployment_under_way(project)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == -signal.SIGINT
    assert state(project, name) == "Running"
    up_again(project)
    deadline = time.monotonic() + 60
    while state(project, name) == "Running":
        assert time.monotonic() < deadline
    assert state(project, name) == "Succeeded"
