"""`fwdctl env`: what the azd environment holds and what it lacks."""

from __future__ import annotations

from fwdctl.cli.command import Call, command
from fwdctl.cli.group import group
from fwdctl.cli.options import ENVIRONMENT, OUTPUT
from fwdctl.output import Result

app = group(
    "Show and check the azd environment that fwdctl reads.",
    examples="""
    fwdctl env show
    fwdctl env check -e dev
    """,
)


@command(app, "env show", ENVIRONMENT, OUTPUT, examples="fwdctl env show\nfwdctl env show -e dev -o json")
def show(call: Call) -> Result:
    """Print the environment's values; keys and cloud-inits are shortened."""
    from fwdctl.azd import report

    return report.show(call.runtime, call.environment)


@command(app, "env check", ENVIRONMENT, OUTPUT, examples="fwdctl env check\nfwdctl env check -e dev -o json")
def check(call: Call) -> Result:
    """Say what is missing and which step sets it.

    The exit code is 3 if something is missing.
    """
    from fwdctl.azd import report

    return report.check(call.runtime, call.environment)
