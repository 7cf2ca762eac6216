"""The options and arguments that several commands share."""

from __future__ import annotations

from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any

import typer

from fwdctl.cli.completion import complete_box, complete_boxes, complete_environment
from fwdctl.output import OutputFormat


def _refuse_junit(value: OutputFormat) -> OutputFormat:
    if value is OutputFormat.junit:
        raise typer.BadParameter("only probes write junit; use table or json.")
    return value


def _shared(name: str, annotation: Any, default: object = None) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _output(**settings: Any) -> Parameter:
    option = typer.Option("--output", "-o", help="Format of stdout.", **settings)
    return _shared("output", Annotated[OutputFormat, option], OutputFormat.table)


CwdOption = Annotated[
    Path | None, typer.Option("--cwd", "-C", metavar="DIR", help="Work as if started in this directory.")
]
DebugOption = Annotated[bool, typer.Option("--debug", help="Print tracebacks and requests (redacted).")]
NoPromptOption = Annotated[bool, typer.Option("--no-prompt", help="Never ask a question.")]
_Environment = typer.Option(
    "--environment",
    "-e",
    metavar="NAME",
    autocompletion=complete_environment,
    help="The azd environment to use.",
)
_ResourceGroup = typer.Option(
    "--resource-group", "-g", metavar="NAME", help="Use this resource group, without azd."
)

GENERAL = (
    _shared("cwd", CwdOption),
    _shared("debug", DebugOption, default=False),
    _shared("no_prompt", NoPromptOption, default=False),
)
"""Every command has them, and the root too."""
OUTPUT = _output(metavar="table|json", callback=_refuse_junit)
PROBE_OUTPUT = _output(metavar="table|json|junit")
ENVIRONMENT = _shared("environment", Annotated[str | None, _Environment])
RESOURCE_GROUP = _shared("resource_group", Annotated[str | None, _ResourceGroup])

BoxesArgument = Annotated[
    str,
    typer.Argument(metavar="hub|spoke|all|NAME", autocompletion=complete_boxes, help="Which jump boxes."),
]
BoxArgument = Annotated[
    str, typer.Argument(metavar="hub|spoke|NAME", autocompletion=complete_box, help="Which jump box.")
]
