"""`fwdctl lab status`, `log` and `shell`: look into a lab."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from fwdctl.cli.command import Call
from fwdctl.cli.options import OUTPUT
from fwdctl.errors import ExitCode, FwdctlError
from fwdctl.output import OutputFormat, Result, encodable, grid, say
from fwdlab.cli.complete import complete_node
from fwdlab.cli.group import FROM_SHELL, NameOption, lab_command
from fwdlab.cli.labs import client_of

if TYPE_CHECKING:
    from rich.console import Console

    from fwdctl.runtime import Runtime
    from fwdlab.cli.client import LabClient
    from fwdlab.process.state import LabState


@lab_command("status", OUTPUT, examples="fwdctl lab status -o json")
def status(call: Call, *, name: NameOption = FROM_SHELL) -> Result:
    """Show each node, its network, address and health, and the faults in force."""
    client = client_of(name, call.runtime)
    data = client.control("GET", "/lab/status")
    return Result(data=data, table=lambda console: _print_status(console, client.state, data))


def _print_status(console: Console, state: LabState, data: dict[str, Any]) -> None:
    # All names of the template end in the same token; without it a network's fits into 80 columns.
    token = "-" + getattr(state, "outputs", {}).get("RESOURCE_TOKEN", "-")
    say(console, f"Lab '{state.name}' at {state.base_url}\n")
    rows = [
        (node["name"], node["network"].removesuffix(token), node["address"], node["state"], node["health"])
        for node in data["nodes"]
    ]
    grid(console, ["node", "network", "address", "state", "health"], rows)
    for text, names in _not_done(data["nodes"]).items():
        say(console, f"\nCloud-init of {', '.join(names)}: {text}")
    for text in data["faults"]:
        say(console, f"\nFault in force: {text}")
    for text in data["warnings"]:
        say(console, f"\nWarning: {_short(text)}")


def _not_done(nodes: list[dict[str, Any]]) -> dict[str, list[str]]:
    """What cloud-init could not do, each with the nodes that it is about."""
    found: dict[str, list[str]] = {}
    for node in nodes:
        for text in filter(None, (node.get("error"), *node.get("warnings", ()))):
            found.setdefault(text, []).append(node["name"])
    return found


def _short(text: str) -> str:
    """With each resource's name instead of its whole id."""
    return re.sub(r"/subscriptions/\S*/([^/\s:,;]+)", r"\1", text)


@lab_command("log", OUTPUT, examples="fwdctl lab log --follow\nfwdctl lab log -o json")
def log(
    call: Call,
    *,
    name: NameOption = FROM_SHELL,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on printing until Ctrl-C.")] = False,
) -> Result:
    """Print the requests that the lab has answered, oldest first; --follow prints JSON line by line."""
    client = client_of(name, call.runtime)
    page = client.control("GET", "/lab/log?after=0")
    while follow:
        _print_requests(call.runtime, page["requests"], call.output)
        page = client.control("GET", f"/lab/log?after={page['last']}&wait=20", seconds=30)
    return Result(
        data={"requests": page["requests"]},
        table=lambda _: _print_requests(call.runtime, page["requests"], call.output),
    )


def _print_requests(runtime: Runtime, requests: list[dict[str, Any]], output: OutputFormat) -> None:
    for request in requests:
        if output is OutputFormat.json:
            runtime.stdout.write(json.dumps(request) + "\n")
        else:
            runtime.stdout.write(encodable(_line(request), runtime.stdout) + "\n")
    runtime.stdout.flush()


def _line(entry: dict[str, Any]) -> str:
    """A request, or something else that happened, such as a host that the proxy refused."""
    if "event" in entry:
        own = {"n", "time", "event"}
        rest = "  ".join(f"{key}={value}" for key, value in entry.items() if key not in own)
        return f"{entry['event']:<22} {rest}"
    query = f"?{entry['query']}" if entry.get("query") else ""
    return f"{entry['status']} {entry['ms']:>7.1f} ms  {entry['method']:<6} {entry['path']}{query}"


@lab_command("shell", examples="fwdctl lab shell fwd000000\nfwdctl lab shell fwd000000 -- iptables-save -c")
def shell(
    call: Call,
    node: Annotated[
        str,
        typer.Argument(metavar="NODE", autocompletion=complete_node, help="A name from 'fwdctl lab status'."),
    ],
    command: Annotated[list[str] | None, typer.Argument(help="Run this instead of a shell.")] = None,
    *,
    name: NameOption = FROM_SHELL,
) -> Result:
    """Open a terminal in a node, or run one command there."""
    client = client_of(name, call.runtime)
    if command:
        return _run_in(call.runtime, client, node, command)
    if not sys.stdin.isatty():
        raise FwdctlError(
            "terminal_needed",
            "A shell needs a terminal.",
            f"Give a command: `fwdctl lab shell {node} -- COMMAND`.",
            exit_code=ExitCode.USAGE,
        )
    return Result(data=None, exit_code=_open_shell(client, node))


def _run_in(runtime: Runtime, client: LabClient, node: str, command: list[str]) -> Result:
    run = {"node": node, "argv": command, "seconds": None}
    done = client.control("POST", "/lab/run", run, seconds=None)
    runtime.stdout.write(encodable(done["stdout"], runtime.stdout))
    runtime.stderr.write(encodable(done["stderr"], runtime.stderr))
    return Result(data=None, exit_code=done["returncode"])


def _open_shell(client: LabClient, node: str) -> int:
    """A shell in the node, on a terminal of the node's own.

    The shell must lead a session that it can see: the user's has its leader outside the node, and a shell
    fails when it hands such a terminal back at its end. script(1) opens the terminal and passes on its size
    and the exit code.
    """
    import shutil
    import subprocess

    if shutil.which("script") is None:
        raise FwdctlError(
            "lab_requirement_missing",
            "A shell in a node needs the program `script`, which is not on PATH.",
            f"Install util-linux (Debian: bsdutils), or use `fwdctl lab shell {node} -- COMMAND`.",
            exit_code=ExitCode.NOT_FOUND,
        )
    pid = client.control("GET", f"/lab/node?name={quote(node)}")["pid"]
    enter = ["nsenter", "--target", str(pid), "--user", "--preserve-credentials", "--mount", "--net", "--uts"]
    terminal = ["script", "--quiet", "--return", "--command", "exec /bin/sh -i", "/dev/null"]
    code = subprocess.run([*enter, "--ipc", "--pid", *terminal], check=False).returncode
    return code if code >= 0 else 128 - code
