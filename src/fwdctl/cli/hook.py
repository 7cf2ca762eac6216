"""`fwdctl hook`: what azure.yaml's hooks run."""

from __future__ import annotations

from fwdctl.cli.command import Call, command
from fwdctl.cli.group import group
from fwdctl.cli.options import ENVIRONMENT, OUTPUT
from fwdctl.output import Result

app = group(
    "What azd runs around provisioning and after `azd down`; running it by hand does the same.",
    examples="""
    fwdctl hook preprovision       set the SSH key and both cloud-inits
    fwdctl hook postprovision      stop the jump boxes
    fwdctl hook postdown           remove the names from existing zones
    azd hooks run preprovision     the same, inside azd
    """,
)


@command(
    app,
    "hook preprovision",
    ENVIRONMENT,
    OUTPUT,
    examples="fwdctl hook preprovision\nfwdctl hook preprovision -e dev -o json",
)
def preprovision(call: Call) -> Result:
    """Set the SSH key and both cloud-inits.

    Checks the parameters file first; what is unchanged is not set again.
    """
    from fwdctl.template import hooks

    return hooks.preprovision(call.runtime, call.environment)


@command(
    app,
    "hook postprovision",
    ENVIRONMENT,
    OUTPUT,
    examples="fwdctl hook postprovision\nfwdctl hook postprovision -e dev -o json",
)
def postprovision(call: Call) -> Result:
    """Stop the jump boxes, which the deployment started.

    A box that is stopped, missing or still starting is reported and is no failure.
    """
    from fwdctl.template import hooks

    return hooks.postprovision(call.runtime, call.environment)


@command(
    app,
    "hook postdown",
    ENVIRONMENT,
    OUTPUT,
    examples="fwdctl hook postdown\nfwdctl hook postdown -e dev -o json",
)
def postdown(call: Call) -> Result:
    """Remove the environment's names from zones that were there before it.

    Nothing is removed while the resource group is still there.
    """
    from fwdctl.template import hooks

    return hooks.postdown(call.runtime, call.environment)
