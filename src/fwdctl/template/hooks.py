"""What azd runs before and after provisioning. Both may run again: the second run changes nothing.

Inside azd the process environment holds the azd environment's values, and AZURE_ENV_NAME says which it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fwdctl.azd import environment as azd_environment
from fwdctl.deployment import load, orphans
from fwdctl.errors import ExitCode, FwdctlError
from fwdctl.forwarders import user_data
from fwdctl.jump import boxes
from fwdctl.output import Result, printable, tell
from fwdctl.progress import Progress
from fwdctl.shell import quoted
from fwdctl.template import azure_checks, cloudinit, ended_boxes, fixed, parameters, sshkey, zone_names
from fwdctl.template.files import find_template

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fwdctl.azure.clients import Clients
    from fwdctl.deployment import Deployment
    from fwdctl.forwarders.user_data import Handed
    from fwdctl.jump.boxes import Change
    from fwdctl.runtime import Runtime
    from fwdctl.template.azure_checks import Checked
    from fwdctl.template.cloudinit import CloudInit
    from fwdctl.template.files import Template
    from fwdctl.template.parameters import Parameters

WINDOWS_LIMIT = 32_767
"""Characters of one environment variable on Windows; azd hands every value to its hooks as one."""


def preprovision(runtime: Runtime, wanted: str | None = None) -> Result:
    """Check the parameters, find the SSH key, render both cloud-inits and set what changed, all in one go.

    Raises:
        FwdctlError: something is wrong with the project, the parameters, the key or a cloud-init; nothing is
            set then.
    """
    environment = azd_environment.load(runtime, wanted)
    values = {**runtime.environ, **environment.values}
    template = find_template(environment.project)
    with Progress(runtime) as progress:
        given = parameters.load(template.parameters, template.compiled, values)  # refuses what is wrong
        for text in parameters.hidden_zones(given):
            progress.warning(text)
        rendered = cloudinit.render(template)
        key = sshkey.resolve(runtime, environment.values, environment.directory, environment.project)
        ready = {"SSH_PUBLIC_KEY": key.line, **rendered.environment()}
        _check_azure(runtime, template, given, values, ready, progress=progress)
        changed = {name: value for name, value in ready.items() if environment.values.get(name) != value}
        if changed:
            azd_environment.set_values(runtime, environment, changed)
        notes = {
            "SSH_PUBLIC_KEY": f"from {key.source}",
            "CLOUD_INIT_FWD": _size(rendered.forwarder),
            "CLOUD_INIT_ONPREM": _size(rendered.onprem),
        }
        _report(progress, notes, changed)
        _warn_of_windows(runtime, progress, ready)
    return Result(
        data={
            "environment": environment.name,
            "template": str(template.infra),
            "changed": sorted(changed),
            "unchanged": sorted(ready.keys() - changed.keys()),
            "configHash": {
                "CLOUD_INIT_FWD": rendered.forwarder.config_hash,
                "CLOUD_INIT_ONPREM": rendered.onprem.config_hash,
            },
        }
    )


def _check_azure(
    runtime: Runtime,
    template: Template,
    given: Parameters,
    values: Mapping[str, str],
    ready: Mapping[str, str],
    *,
    progress: Progress,
) -> None:
    """Refuse what Azure would refuse of what is there already; not to know is a warning."""
    try:
        checked = azure_checks.check(runtime, given, values, ready)
        if checked is not None and not checked.problems:
            _prepare(runtime, template, given, checked, progress)
    except FwdctlError as error:
        progress.warning(f"Whether Azure will take the parameters is not known: {error.message}")
        return
    if checked is not None and checked.problems:
        raise parameters.ParametersError(template.parameters, checked.problems)


def _prepare(
    runtime: Runtime, template: Template, given: Parameters, checked: Checked, progress: Progress
) -> None:
    """Delete what Azure cannot change, and tell what security groups refuse; it deploys all the same."""
    progress.done("Azure has nothing against the parameters")
    clients, place = checked.clients, checked.place
    if place is not None:
        for box in ended_boxes.delete_unchangeable(runtime, clients, given, place, template.compiled):
            progress.done(f"Jump box {box} deleted: Azure cannot change it, the deployment makes it anew")
    from fwdctl.template import needed_rules

    needed = needed_rules.find(clients, given)
    for name, why in needed.unread.items():
        progress.warning(f"Whether {name} refuses what the forwarders need is not known: {why}")
    if needed.commands:
        progress.warning("Security groups of the existing networks refuse what the forwarders need. Run:")
        runtime.stderr.write(printable("".join(f"    {line}\n" for line in needed.commands), runtime.stderr))


def wrong_parameters(runtime: Runtime, wanted: str | None = None) -> FwdctlError | None:
    """What preprovision would refuse in the parameters file, so far as Azure can be asked."""
    environment = azd_environment.load(runtime, wanted)
    template = find_template(environment.project)
    values = {**runtime.environ, **environment.values}
    try:
        given = parameters.load(template.parameters, template.compiled, values)
    except FwdctlError as error:
        return error
    try:
        checked = azure_checks.check(runtime, given, values, values)
    except FwdctlError:
        return None
    found = checked.problems if checked is not None else []
    return parameters.ParametersError(template.parameters, found) if found else None


def _size(cloud_init: CloudInit) -> str:
    return f"{len(cloud_init.encoded):,} characters, hash {cloud_init.config_hash}"


def _report(progress: Progress, notes: Mapping[str, str], changed: Mapping[str, str]) -> None:
    for name, note in notes.items():
        if name in changed:
            progress.done(f"{name} set: {note}")
        else:
            progress.skipped(f"{name} unchanged: {note}")


def _warn_of_windows(runtime: Runtime, progress: Progress, ready: Mapping[str, str]) -> None:
    if runtime.environ.get("OS") != "Windows_NT":
        return
    for name, value in ready.items():
        if len(value) > WINDOWS_LIMIT:
            progress.warning(
                f"{name} has {len(value):,} characters; Windows cannot hand more than {WINDOWS_LIMIT:,} to "
                "a hook. Run azd from WSL or the dev container."
            )


def postprovision(runtime: Runtime, wanted: str | None = None) -> Result:
    """Stop the jump boxes, which cost money while they run; hand the forwarders what they shall forward.

    Raises:
        FwdctlError: the boxes could not even be looked for.
    """
    # What is not written down is not searched for: azd installs no azure-mgmt-network for a hook.
    deployment, clients = load(runtime, environment=wanted, discover=False)
    with Progress(runtime) as progress:
        # First: the load balancer knows the forwards already.
        handed = _hand_on(clients, deployment, progress)
        progress.step("Stopping the jump boxes")
        left = orphans.find_or_warn(clients, deployment, progress, "something")
        former = tuple(orphan.box for orphan in left if orphan.kind == orphans.BOX)
        own = deployment.boxes if deployment.described else boxes.select(deployment, "all")
        changes = boxes.stop(runtime, clients, deployment, own + former)
        errors = tuple(_tell(progress, change) for change in changes)
        if former:
            # Their states have changed.
            left = orphans.find_or_warn(clients, deployment, progress, "something")
        if left:
            suggestion = "`fwdctl env orphans --remove` deletes it, after asking."
            progress.warning(f"{orphans.summary(left)} {suggestion}")
    old = [each for each in handed if each.outdated]
    if old:
        tell(runtime, _renewal(deployment, old))
    tell(runtime, _next_step(clients, deployment))
    return Result(
        data={
            "boxes": [_change_json(change) for change in changes],
            "orphans": [{"kind": orphan.kind, "name": orphan.name} for orphan in left],
            "forwarders": [_handed_json(each) for each in handed],
            "outdatedForwarders": [each.instance for each in old],
        },
        exit_code=ExitCode.UNEXPECTED if any(errors) else ExitCode.OK,
        errors=tuple(error for error in errors if error is not None),
    )


def postdown(runtime: Runtime, wanted: str | None = None) -> Result:
    """Remove the environment's names from zones that were there before it; not to be able to is a warning.

    Raises:
        FwdctlError: something is wrong with the project or the parameters.
    """
    environment = azd_environment.load(runtime, wanted)
    values = {**runtime.environ, **environment.values}
    template = find_template(environment.project)
    zones = zone_names.zones(parameters.load(template.parameters, template.compiled, values))
    removed: list[str] = []
    if zones:
        from fwdctl.azure.clients import Clients
        from fwdctl.azure.credential import log_in

        with Progress(runtime) as progress:
            try:
                clients = Clients(log_in(runtime, values.get("AZURE_SUBSCRIPTION_ID")), runtime)
                if clients.find(fixed.group_id(clients, environment.name)) is not None:
                    progress.skipped(
                        "The resource group is still there, and so are its names in existing zones"
                    )
                else:
                    for name in zone_names.remove_marked(runtime, clients, zones, environment.name):
                        removed.append(name)
                        progress.done(f"Name {name} removed from a zone that stays")
            except FwdctlError as error:
                progress.warning(f"Names of this environment may be left in existing zones: {error.message}")
    return Result(data={"environment": environment.name, "removed": removed})


def _tell(progress: Progress, change: Change) -> FwdctlError | None:
    """Show what became of a box; the error if it was not stopped and should have been."""
    name = change.box.name
    if change.outcome == "failed":
        error = FwdctlError(
            "jump_stop_failed",
            f"Jump box {name} was not stopped: {change.detail}",
            f"Stop it with `fwdctl jump stop {name}`; it costs money while it runs.",
        )
        progress.failed(error.message)
        return error
    if change.outcome == "stopped":
        progress.done(f"Jump box {name} stopped; a probe starts it when needed")
    else:
        progress.skipped(f"Jump box {name}: {change.outcome}")
    return None


def _change_json(change: Change) -> dict[str, Any]:
    stopped, failed = change.outcome == "stopped", change.outcome == "failed"
    note = "" if stopped or failed else change.outcome
    return {"name": change.box.name, "stopped": stopped, "note": note, "failed": failed}


def _hand_on(clients: Clients, deployment: Deployment, progress: Progress) -> list[Handed]:
    """Give the forwarders that run the configuration of the scale set; a failure is a warning."""
    if not deployment.hub.scale_set:
        return []
    try:
        handed = user_data.hand_on(clients, deployment.resource_group, deployment.hub.scale_set)
    except FwdctlError as error:
        progress.warning(f"Whether the forwarders run this configuration is not known: {error.message}")
        return []
    for each in handed:
        if each.outcome == "failed":
            progress.warning(f"Forwarder {each.instance} keeps its configuration of before: {each.detail}")
    new = [each.instance for each in handed if each.outcome == "handed"]
    if new:
        progress.done(f"Forwarders {' '.join(new)} have the new configuration and use it within seconds")
    elif all(each.outcome == "same" for each in handed):
        progress.skipped("Forwarders: the configuration is unchanged")
    return handed


def _handed_json(handed: Handed) -> dict[str, Any]:
    return {
        "instance": handed.instance,
        "outcome": handed.outcome,
        "detail": handed.detail,
        "outdated": bool(handed.outdated),
    }


def _next_step(clients: Clients, deployment: Deployment) -> str:
    """What to do now, for people; where there is no spoke, how others connect."""
    if deployment.spokes or not deployment.hub.link_service:
        return "\nNext:  fwdctl probe spoke     test the way from each spoke to the servers\n"
    group = f"/subscriptions/{clients.subscription_id}/resourceGroups/{deployment.resource_group}"
    service = f"{group}/providers/Microsoft.Network/privateLinkServices/{deployment.hub.link_service}"
    try:
        alias = clients.request("GET", service)["properties"]["alias"]
    except FwdctlError as error:
        alias = f"unknown: {error.message}"
    return (
        "\nNext:  fwdctl probe hub     test the way from the hub to the servers\n"
        "       Others connect to the link service (docs/consumers.md), in this tenant by its id:\n"
        f"       {service}\n"
        "       and from anywhere by its alias, waiting for approval:\n"
        f"       {alias}\n"
    )


def _renewal(deployment: Deployment, handed: Sequence[Handed]) -> str:
    """What to run, for people: programs come with a cloud-init, which runs at a reimage only."""
    ids = " ".join(each.instance for each in handed)
    what = ", ".join(dict.fromkeys(word for each in handed for word in each.outdated))
    command = " ".join(["fwdctl forwarder rollout", *map(quoted, deployment.options)])
    return (
        f"\nNext:  {command}     forwarders {ids} have the {what} of before; renews them, one at a time,\n"
        "       while they carry traffic (`--dry-run` prints the steps)\n"
    )
