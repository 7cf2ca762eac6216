"""`fwdctl probe`: test the paths from inside the networks."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fwdctl.cli.command import Call, command
from fwdctl.cli.completion import complete_boxes
from fwdctl.cli.options import ENVIRONMENT, PROBE_OUTPUT, RESOURCE_GROUP, option
from fwdctl.errors import UsageError
from fwdctl.output import OutputFormat, Result, tell
from fwdctl.progress import Progress

if TYPE_CHECKING:
    from fwdctl.azure.clients import Clients
    from fwdctl.deployment import Deployment
    from fwdctl.probe.model import PathResult
    from fwdctl.runtime import Runtime

EXAMPLES = """
fwdctl probe spoke                      from the spokes, all the way
fwdctl probe hub                        each target, and the load balancer
fwdctl probe all -o junit > probe.xml   for a pipeline
fwdctl probe spoke --samples 20         which servers answer
fwdctl probe all --topology FILE        a deployment of another tool
"""

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


class HubUse(StrEnum):
    """When the hub's box is started to explain a path of a spoke."""

    never = "never"
    auto = "auto"
    always = "always"


Which = Annotated[
    str,
    typer.Argument(metavar="hub|spoke|all|NAME", autocompletion=complete_boxes, help="From where to test."),
]
KeepRunning = Annotated[bool, option("--keep-running", "Do not stop boxes that were started for this.")]
Samples = Annotated[
    int | None,
    option(
        "--samples N",
        "Fresh connections for each path; by default twice the number of targets.",
        min=1,
        max=200,
    ),
]
Ports = Annotated[
    list[int] | None,
    option(
        "--port N",
        "Test this port only; may be repeated. Needed where a load balancer takes every port.",
        min=1,
        max=65535,
    ),
]
Timeout = Annotated[float, option("--timeout SECONDS", "For one look-up or connection.", min=1, max=60)]
Retries = Annotated[
    int,
    option("--retries N", "Times that a path which fails is asked again, after two seconds.", min=0, max=10),
]
Strict = Annotated[bool, option("--strict", "Exit code 4 for warnings too.")]
Explain = Annotated[bool, option("--explain/--no-explain", "Ask Azure and the hub why a path fails.")]
Hub = Annotated[
    HubUse,
    option(
        "--hub never|auto|always",
        "Start the hub's box to explain: never, when nothing else tells, or always.",
    ),
]
TopologyFile = Annotated[
    Path | None, option("--topology FILE", "Test what this JSON file describes, not an azd environment.")
]


@command(app, "probe {which}", ENVIRONMENT, RESOURCE_GROUP, PROBE_OUTPUT, examples=EXAMPLES)
def probe_command(
    call: Call,
    which: Which,
    *,
    keep_running: KeepRunning = False,
    samples: Samples = None,
    port: Ports = None,
    timeout: Timeout = 5.0,
    retries: Retries = 1,
    strict: Strict = False,
    explain: Explain = True,
    hub: Hub = HubUse.auto,
    topology: TopologyFile = None,
) -> Result:
    """Test every path with real packets, say which segment is broken and what to do.

    A stopped jump box is started and stopped again. Exit code 4: a path is broken; 5: it could not be tested.

    A topology file has the keys version (1), resourceGroup, forwards, and hub and spokes as far as they are
    known; resources stand there by name or id. What it leaves out is said to be unknown. Its JSON schema:
    docs/topology.schema.json, a sample: docs/samples/topology.json.
    """
    from fwdctl.probe.model import Options
    from fwdctl.probe.run import probe

    runtime = call.runtime
    deployment, clients = _described(call, topology) if topology else call.load()
    ports = tuple(port or ())
    options = Options(which, samples or 0, timeout, retries, keep_running, ports, explain, hub.value)
    prepare(runtime, table=call.output is OutputFormat.table)
    with Progress(runtime) as progress:
        results = probe(runtime, clients, deployment, options, progress)
    return result_of(runtime, deployment.resource_group, results, strict=strict)


def _described(call: Call, file: Path) -> tuple[Deployment, Clients]:
    """What a topology file describes, and a login for it.

    Raises:
        FwdctlError: another deployment is named as well, or something in the file is wrong (exit code 2).
    """
    from fwdctl.azure.clients import Clients
    from fwdctl.azure.credential import log_in
    from fwdctl.template import topology_file

    if call.environment or call.resource_group:
        raise UsageError(
            "usage",
            "--topology names a deployment, and so do --environment and --resource-group.",
            "Give one of them.",
        )
    runtime = call.runtime
    deployment = topology_file.load(runtime.cwd / file)
    tell(runtime, f"Using {deployment.resource_group} ({deployment.source}).\n")
    return deployment, Clients(log_in(runtime, deployment.subscription_id), runtime)


def prepare(runtime: Runtime, *, table: bool) -> None:
    """Import what is needed later while Azure and the box are at work."""
    from threading import Thread

    def load_modules() -> None:
        from fwdctl.channel.socket import prepare

        prepare(runtime.environ)
        if table:
            from rich import console, text  # noqa: F401 - for their place in sys.modules

    Thread(target=load_modules, name="fwdctl-imports", daemon=True).start()


def result_of(
    runtime: Runtime, resource_group: str, results: Sequence[PathResult], *, strict: bool = False
) -> Result:
    """What a probe found, for every format."""
    from fwdctl.cli.probe_table import print_results
    from fwdctl.probe.junit import junit
    from fwdctl.probe.model import causes
    from fwdctl.probe.run import exit_code

    code = exit_code(results, strict=strict)
    return Result(
        {
            "resourceGroup": resource_group,
            "checks": _checks(results),
            "causes": [cause.data() for cause in causes(results)],
            "paths": [result.data() for result in results],
        },
        exit_code=code,
        table=lambda console: print_results(runtime, console, results),
        junit=lambda: junit(results, strict=strict),
    )


def _checks(results: Sequence[PathResult]) -> list[dict[str, Any]]:
    return [
        {"path": r.path.label, "check": f.check, "verdict": f.verdict, "reason": f.reason}
        for r in results
        for f in r.findings
    ]
