"""`fwdctl probe`: test the paths from inside the networks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fwdctl.cli.command import Call, command
from fwdctl.cli.completion import complete_boxes
from fwdctl.cli.options import ENVIRONMENT, PROBE_OUTPUT, RESOURCE_GROUP
from fwdctl.errors import ExitCode
from fwdctl.output import OutputFormat, Progress, Result, grid, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from fwdctl.probe.model import Broken, Path, PathResult
    from fwdctl.runtime import Runtime

EXAMPLES = """
fwdctl probe spoke                      from the spokes, all the way
fwdctl probe hub                        each target, and the load balancer
fwdctl probe all -o junit > probe.xml   for a pipeline
fwdctl probe spoke --samples 20         which servers answer
"""

NEXT = "  Next: "

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@command(app, "probe {which}", ENVIRONMENT, RESOURCE_GROUP, PROBE_OUTPUT, examples=EXAMPLES)
def probe_command(
    call: Call,
    which: Annotated[
        str,
        typer.Argument(
            metavar="hub|spoke|all|NAME", autocompletion=complete_boxes, help="From where to test."
        ),
    ],
    *,
    keep_running: Annotated[
        bool, typer.Option("--keep-running", help="Do not stop boxes that were started for this.")
    ] = False,
    samples: Annotated[
        int | None,
        typer.Option(
            "--samples",
            metavar="N",
            min=1,
            max=200,
            show_default=False,
            help="Fresh connections for each path; by default twice the number of targets.",
        ),
    ] = None,
    port: Annotated[
        list[int] | None,
        typer.Option(
            "--port",
            metavar="N",
            min=1,
            max=65535,
            show_default=False,
            help="Test this port only; may be repeated. Needed where a load balancer takes every port.",
        ),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option("--timeout", metavar="SECONDS", min=1, max=60, help="For one look-up or connection."),
    ] = 5.0,
    retries: Annotated[
        int,
        typer.Option(
            "--retries",
            metavar="N",
            min=0,
            max=10,
            help="Times that a path which fails is asked again, after two seconds.",
        ),
    ] = 1,
) -> Result:
    """Test every path with real packets, say which segment is broken and what to do.

    A stopped jump box is started and stopped again. Exit code 4: a path is broken; 5: it could not be tested.
    """
    from fwdctl.probe.run import Options, probe

    runtime = call.runtime
    deployment, clients = call.load()
    options = Options(which, samples or 0, timeout, retries, keep_running, tuple(port or ()))
    _prepare(runtime, table=call.output is OutputFormat.table)
    with Progress(runtime) as progress:
        results = probe(runtime, clients, deployment, options, progress)
    return _result(runtime, deployment.resource_group, results)


def _prepare(runtime: Runtime, *, table: bool) -> None:
    """Import what is needed later while Azure and the box are at work."""
    from threading import Thread

    def load_modules() -> None:
        from fwdctl.channel.socket import prepare

        prepare(runtime.environ)
        if table:
            from rich import console, text  # noqa: F401 - for their place in sys.modules

    Thread(target=load_modules, name="fwdctl-imports", daemon=True).start()


def _result(runtime: Runtime, resource_group: str, results: Sequence[PathResult]) -> Result:
    from fwdctl.probe.junit import junit
    from fwdctl.probe.run import exit_code

    code = exit_code(results)
    words = {ExitCode.OK: "succeeded", ExitCode.BROKEN: "failed"}
    return Result(
        {"resourceGroup": resource_group, "checks": _checks(results), "paths": [r.data() for r in results]},
        status=words.get(code, "inconclusive"),
        exit_code=code,
        table=lambda console: _table(runtime, console, results),
        junit=lambda: junit(results),
    )


def _checks(results: Sequence[PathResult]) -> list[dict[str, Any]]:
    return [
        {"path": r.path.label, "check": f.check, "verdict": f.verdict, "reason": f.reason}
        for r in results
        for f in r.findings
    ]


def _table(runtime: Runtime, console: Console, results: Sequence[PathResult]) -> None:
    rows = [(r.path.label, _to(r.path), r.verdict.upper(), _summary(r)) for r in results]
    grid(console, ["path", "to", "verdict", "why"], rows)
    for result in results:
        if result.broken is not None:
            word = "BROKEN" if result.verdict == "fail" else "UNTESTED"
            segment = result.broken.segment
            place = "a segment that is not known" if segment == "unknown" else f"the {segment}"
            _explain(console, f"{word}: {result.path.label} at {place}", result.broken)
        for warning in result.warnings:
            _explain(console, f"WARNING: {result.path.label}{_works(result, warning)}", warning)
    runtime.stdout.flush()


def _to(path: Path) -> str:
    return f"{path.host}:{path.port}" if path.host else ""


def _summary(result: PathResult) -> str:
    """Why a path has its verdict, with what was not asked."""
    last = result.findings[-1]
    if result.verdict == "pass" and last.verdict == "skip":
        return f"{result.reason}; {last.reason}"
    if result.verdict == "pass" and result.servers:
        counts = ", ".join(f"{name} x{count}" for name, count in result.servers.items())
        said, _, lost = result.reason.partition(";")
        head = f"{said.partition(':')[0]}: " if ":" in said else ""
        return f"{head}{counts}{';' if lost else ''}{lost}"
    return result.reason


def _works(result: PathResult, warning: Broken) -> str:
    if result.verdict != "pass":
        return ""
    return " works, but not with every target" if warning.segment == "target" else " works"


def _explain(console: Console, heading: str, broken: Broken) -> None:
    from fwdctl.probe.hops.commands import COMMANDS

    say(console, "")
    for line in (f"{heading} ({broken.code})", f"  {broken.evidence}"):
        for part in _fitted(console, line):
            say(console, part)
    for number, advice in enumerate(broken.suggestion.split("\n")):
        line = f"{' ' * len(NEXT) if number else NEXT}{advice}"
        for part in _fitted(console, line, command=advice.startswith(COMMANDS)):
            say(console, part)


def _fitted(console: Console, line: str, *, command: bool = False) -> list[str]:
    """A line wrapped at words to the terminal's width; whole where there is no terminal.

    A command's lines end in a backslash, so that it can be copied; not on Windows, whose shells know others.
    """
    import re
    from textwrap import wrap

    if not console.file.isatty() or (command and os.name == "nt"):
        return [line]
    margin = "    " if line.startswith(" ") else "  "
    if command:  # no blank between quotes is a place to wrap
        line = re.sub("'[^']*'", lambda found: found[0].replace(" ", "\0"), line)
    lines = wrap(
        line,
        max(20, console.width - (2 if command else 0)),
        subsequent_indent=margin,
        break_long_words=False,
        break_on_hyphens=False,
    )
    lines = [part.replace("\0", " ") for part in lines]
    return [f"{part} \\" for part in lines[:-1]] + lines[-1:] if command else lines
