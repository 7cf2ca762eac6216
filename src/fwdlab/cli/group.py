"""The group `fwdctl lab` and the decorator of its commands."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fwdctl.cli.command import Call, Work, command
from fwdctl.cli.group import group
from fwdctl.output import Result
from fwdlab.cli.complete import complete_lab
from fwdlab.cli.labs import DEFAULT_NAME, lab_errors, name_in

if TYPE_CHECKING:
    import inspect
    from collections.abc import Callable

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
        "--name",
        metavar="NAME",
        autocompletion=complete_lab,
        help="Which lab, if there are several: this one, $FWDCTL_LAB, or 'lab'.",
    ),
]


FROM_SHELL = ""
"""Stands for the lab that `fwdctl lab env` has prepared the shell for, or else for the one without a name."""


def lab_command(name: str, *shared: inspect.Parameter, examples: str) -> Callable[[Work], Work]:
    """As `command`, for `fwdctl lab NAME`; the lab's errors become fwdctl's."""

    def register(function: Work) -> Work:
        @functools.wraps(function)
        def run(call: Call, **values: Any) -> Result:
            if values.get("name") == FROM_SHELL:
                values["name"] = name_in(call.runtime)
            with lab_errors(values.get("name", DEFAULT_NAME)):
                return function(call, **values)

        command(app, f"lab {name}", *shared, examples=examples)(run)
        return function

    return register
