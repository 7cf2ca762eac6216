"""`fwdctl hook`: what azure.yaml's hooks run."""

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
    "What azd runs before and after provisioning; running it by hand does the same.",
    examples="""
    fwdctl hook preprovision       set the SSH key and both cloud-inits
    fwdctl hook postprovision      stop the jump boxes
    azd hooks run preprovision     the same, inside azd
    """,
)


@app.command(epilog=epilog("fwdctl hook preprovision\nfwdctl hook preprovision -e dev -o json"))
def preprovision(
    *,
    environment: EnvironmentOption = None,
    output: OutputOption = OutputFormat.table,
    cwd: CwdOption = None,
    debug: DebugOption = False,
    no_prompt: NoPromptOption = False,
) -> None:
    """Set the SSH key and both cloud-inits.

    Checks the parameters file first; what is unchanged is not set again.
    """

    def action(runtime: Runtime) -> Result:
        from fwdctl.template import hooks

        return hooks.preprovision(runtime, environment)

    invoke("hook preprovision", action, output=output, cwd=cwd, debug=debug, no_prompt=no_prompt)


@app.command(epilog=epilog("fwdctl hook postprovision\nfwdctl hook postprovision -e dev -o json"))
def postprovision(
    *,
    environment: EnvironmentOption = None,
    output: OutputOption = OutputFormat.table,
    cwd: CwdOption = None,
    debug: DebugOption = False,
    no_prompt: NoPromptOption = False,
) -> None:
    """Stop the jump boxes, which the deployment started.

    A box that is stopped, missing or still starting is reported and is no failure.
    """

    def action(runtime: Runtime) -> Result:
        from fwdctl.template import hooks

        return hooks.postprovision(runtime, environment)

    invoke("hook postprovision", action, output=output, cwd=cwd, debug=debug, no_prompt=no_prompt)
