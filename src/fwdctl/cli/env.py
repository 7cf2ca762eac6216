"""`fwdctl env`: what the azd environment holds and what it lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwdctl.cli.options import (
    CwdOption,
    DebugOption,
    EnvironmentOption,
    NoPromptOption,
    OutputOption,
    epilog,
    group,
    invoke,
)
from fwdctl.output import OutputFormat, Result

if TYPE_CHECKING:
    from fwdctl.runtime import Runtime

app = group(
    "Show and check the azd environment that fwdctl reads.",
    examples="""
    fwdctl env show
    fwdctl env check -e dev
    """,
)


@app.command(epilog=epilog("fwdctl env show\nfwdctl env show -e dev -o json"))
def show(
    *,
    environment: EnvironmentOption = None,
    output: OutputOption = OutputFormat.table,
    cwd: CwdOption = None,
    debug: DebugOption = False,
    no_prompt: NoPromptOption = False,
) -> None:
    """Print the environment's values; keys and cloud-inits are shortened."""

    def action(runtime: Runtime) -> Result:
        from fwdctl.azd import report

        return report.show(runtime, environment)

    invoke("env show", action, output=output, cwd=cwd, debug=debug, no_prompt=no_prompt)


@app.command(epilog=epilog("fwdctl env check\nfwdctl env check -e dev -o json"))
def check(
    *,
    environment: EnvironmentOption = None,
    output: OutputOption = OutputFormat.table,
    cwd: CwdOption = None,
    debug: DebugOption = False,
    no_prompt: NoPromptOption = False,
) -> None:
    """Say what is missing and which step sets it.

    The exit code is 3 if something is missing.
    """

    def action(runtime: Runtime) -> Result:
        from fwdctl.azd import report

        return report.check(runtime, environment)

    invoke("env check", action, output=output, cwd=cwd, debug=debug, no_prompt=no_prompt)
