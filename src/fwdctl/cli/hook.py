"""`fwdctl hook`: what azure.yaml's hooks run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwdctl.cli.command import Call, command
from fwdctl.cli.group import group
from fwdctl.cli.options import ENVIRONMENT, OUTPUT
from fwdctl.output import Result

if TYPE_CHECKING:
    from fwdctl.azure.arm import Arm
    from fwdctl.jump.boxes import Change
    from fwdctl.runtime import Runtime
    from fwdctl.template.hooks import Stop

app = group(
    "What azd runs before and after provisioning; running it by hand does the same.",
    examples="""
    fwdctl hook preprovision       set the SSH key and both cloud-inits
    fwdctl hook postprovision      stop the jump boxes
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
    from fwdctl import deployment
    from fwdctl.azure.scale_sets import outdated_instances
    from fwdctl.jump import boxes
    from fwdctl.template import hooks

    def stop_boxes(inner: Runtime) -> list[hooks.Stop]:
        found, arm = deployment.load(inner, environment=call.environment)
        loaded.append((found, arm))
        return [_stop(change) for change in boxes.stop(inner, found, found.boxes, arm)]

    def outdated() -> hooks.Outdated | None:
        [(found, arm)] = loaded
        name = found.hub.scale_set
        ids = outdated_instances(arm, found.resource_group, name) if name else []
        return hooks.Outdated(found.resource_group, name, tuple(ids)) if ids else None

    loaded: list[tuple[deployment.Deployment, Arm]] = []
    return hooks.postprovision(call.runtime, stop_boxes, outdated)


def _stop(change: Change) -> Stop:
    from fwdctl.errors import FwdctlError
    from fwdctl.template.hooks import Stop

    if change.outcome != "failed":
        ended = change.outcome == "stopped"
        return Stop(change.box.name, ended=ended, note="" if ended else change.outcome)
    mend = f"Stop it with `fwdctl jump stop {change.box.name}`; it costs money while it runs."
    text = f"Jump box {change.box.name} was not stopped: {change.detail}"
    return Stop(change.box.name, ended=False, error=FwdctlError("jump_stop_failed", text, mend))
