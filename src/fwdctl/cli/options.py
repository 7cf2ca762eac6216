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


def option(words: str, text: str, **settings: Any) -> Any:
    """An option as its help shows it: names, then what stands for the value, such as `--timeout SECONDS`."""
    names, values = [word for word in words.split() if word[0] == "-"], words.rpartition(" ")[2]
    metavar = values if values[0] != "-" else None
    return typer.Option(*names, metavar=metavar, help=text, **settings)


def _output(values: str, **settings: Any) -> Parameter:
    written = option(f"--output -o {values}", "Format of stdout.", **settings)
    return _shared("output", Annotated[OutputFormat, written], OutputFormat.table)


CwdOption = Annotated[Path | None, option("--cwd -C DIR", "Work as if started in this directory.")]
DebugOption = Annotated[bool, option("--debug", "Print tracebacks and requests (redacted).")]
NoPromptOption = Annotated[bool, option("--no-prompt", "Never ask a question.")]
_Environment = option(
    "--environment -e NAME", "The azd environment to use.", autocompletion=complete_environment
)
_ResourceGroup = option("--resource-group -g NAME", "Use this resource group, without azd.")

GENERAL = (
    _shared("cwd", CwdOption),
    _shared("debug", DebugOption, default=False),
    _shared("no_prompt", NoPromptOption, default=False),
)
"""Every command has them, and the root too."""
OUTPUT = _output("table|json", callback=_refuse_junit)
PROBE_OUTPUT = _output("table|json|junit")
ENVIRONMENT = _shared("environment", Annotated[str | None, _Environment])
RESOURCE_GROUP = _shared("resource_group", Annotated[str | None, _ResourceGroup])

BoxesArgument = Annotated[
    str,
    typer.Argument(metavar="hub|spoke|all|NAME", autocompletion=complete_boxes, help="Which jump boxes."),
]
BoxArgument = Annotated[
    str, typer.Argument(metavar="hub|spoke|NAME", autocompletion=complete_box, help="Which jump box.")
]
