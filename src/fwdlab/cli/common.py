"""What the commands of `fwdctl lab` share."""

from __future__ import annotations

import contextlib
import functools
import json
import re
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fwdctl.cli.command import Call, Work, command
from fwdctl.cli.group import group
from fwdctl.errors import ExitCode, FwdctlError
from fwdctl.output import Result
from fwdlab.cli.complete import complete_lab

if TYPE_CHECKING:
    import inspect
    from collections.abc import Callable, Iterator

    from fwdctl.runtime import Runtime
    from fwdlab.cli.client import LabClient

app = group(
    "Run the same template on this machine: an ARM endpoint whose resources are kernel network namespaces.",
    examples="""
    fwdctl lab demo                     up, probe, break, probe, heal, down
    fwdctl lab up                       deploy the template, stop the jump boxes
    eval "$(fwdctl lab env)"            let this shell use the lab
    fwdctl lab break target-down        switch a server off
    fwdctl lab down
    """,
)

NameOption = Annotated[
    str,
    typer.Option(
        "--name", metavar="NAME", autocompletion=complete_lab, help="Which lab, if there are several."
    ),
]
NOT_FOUND = {
    "lab_not_running",
    "node_not_found",
    "fault_not_active",
    "lab_unreachable",
    "lab_requirement_missing",
}
USAGE = {
    "lab_name_invalid",
    "fault_unknown",
    "fault_target_unknown",
    "fault_active",
    "lab_already_running",
    "lab_port_taken",
}


def lab_command(name: str, *shared: inspect.Parameter, examples: str) -> Callable[[Work], Work]:
    """As `command`, for `fwdctl lab NAME`; the lab's errors become fwdctl's."""

    def register(function: Work) -> Work:
        @functools.wraps(function)
        def run(call: Call, **values: Any) -> Result:
            with lab_errors():
                return function(call, **values)

        command(app, f"lab {name}", *shared, examples=examples)(run)
        return function

    return register


@contextlib.contextmanager
def lab_errors() -> Iterator[None]:
    """Turn the lab's errors into fwdctl's, with the exit code of the contract."""
    if sys.platform != "linux":
        raise FwdctlError(
            "platform_not_supported",
            f"The lab needs Linux kernel namespaces; this is {sys.platform}.",
            "Use the dev container, a Linux machine or WSL 2.",
            exit_code=ExitCode.NOT_FOUND,
        )
    from fwdlab.errors import LabError

    try:
        yield
    except ModuleNotFoundError as error:
        raise _extra_missing(error) from error
    except LabError as error:
        code = ExitCode.UNEXPECTED
        if error.code in NOT_FOUND:
            code = ExitCode.NOT_FOUND
        elif error.code in USAGE:
            code = ExitCode.USAGE
        raise FwdctlError(
            error.code, sentence(error.message), sentence(error.suggestion), exit_code=code
        ) from error


def sentence(text: str) -> str:
    """A text of the lab in the style of fwdctl's own: a capital, a full stop, commands in backticks."""
    text = re.sub(r"'(fwdctl [^']*)'", r"`\1`", text.strip())
    first = text.partition(" ")[0]
    if first.isalpha() and first.islower() and first not in {"nft", "ip", "fwdctl"}:  # those are programs
        text = text[0].upper() + text[1:]
    return text if not text or text.endswith((".", "?", "!")) else f"{text}."


def _extra_missing(error: ImportError) -> FwdctlError:
    return FwdctlError(
        "lab_extra_missing",
        f"The lab needs the Python package '{error.name}', which is not installed.",
        "Run `pip install 'fwdctl[lab]'`.",
        exit_code=ExitCode.NOT_FOUND,
    )


def client_of(name: str, runtime: Runtime) -> LabClient:
    """A client of the running lab of that name."""
    from fwdlab.cli.client import LabClient
    from fwdlab.process.state import LabDirectory

    directory = LabDirectory(name, runtime.environ)
    return LabClient(directory.load(), directory.ca_bundle)


def wait_until_healthy(runtime: Runtime, client: LabClient, seconds: float = 20) -> bool:
    """Wait until every backend's probe says Up and every forwarder has its targets; False when that lasts."""
    deadline = runtime.clock() + seconds
    while not _healthy(client):
        if runtime.clock() > deadline:
            return False
        runtime.sleep(0.1)
    return True


def _healthy(client: LabClient) -> bool:
    status = client.control("GET", "/lab/status")
    health = status["health"]
    return (
        bool(health)
        and all(backend["state"] == "Up" for backend in health)
        and _targets_up(client, status["nodes"], {backend["address"] for backend in health})
    )


def _targets_up(client: LabClient, nodes: list[dict[str, Any]], backends: set[str]) -> bool:
    """What the forwarders' agents say of their targets; true where the template has none."""
    topology = json.loads(client.state.outputs.get("FWD_TOPOLOGY", "{}"))
    port = topology.get("hub", {}).get("healthPort")
    if port is None:
        return True
    argv = ["curl", "-sS", "--max-time", "2", f"http://127.0.0.1:{port}/status"]
    for node in nodes:
        if node["address"] not in backends:
            continue
        done = client.control("POST", "/lab/run", {"node": node["name"], "argv": argv})
        if done["returncode"]:
            return False
        forwards = json.loads(done["stdout"])["forwards"]
        if any(target["state"] != "up" for forward in forwards for target in forward["targets"]):
            return False
    return True
