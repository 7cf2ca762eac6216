"""What azd runs before and after provisioning. Both may run again: the second run changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fwdctl.azd import environment as azd_environment
from fwdctl.errors import ExitCode, FwdctlError
from fwdctl.output import Progress, Result
from fwdctl.template import cloudinit, parameters, sshkey
from fwdctl.template.files import find_template

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fwdctl.runtime import Runtime
    from fwdctl.template.cloudinit import CloudInit

WINDOWS_LIMIT = 32_767
"""Characters of one environment variable on Windows; azd hands every value to its hooks as one."""


def preprovision(runtime: Runtime, wanted: str | None = None) -> Result:
    """Check the parameters, find the SSH key, render both cloud-inits and set what changed, all in one go.

    Args:
        runtime: inside azd the process environment holds the environment's values.
        wanted: name of the azd environment; inside azd AZURE_ENV_NAME says it.

    Raises:
        FwdctlError: something is wrong with the project, the parameters, the key or a cloud-init; nothing is
            set then.
    """
    environment = azd_environment.load(runtime, wanted)
    values = {**runtime.environ, **environment.values}
    template = find_template(environment.project)
    with Progress(runtime) as progress:
        rendered = cloudinit.render(template, parameters.load(template.parameters, template.compiled, values))
        key = sshkey.resolve(runtime, environment.values, environment.directory, environment.project)
        ready = {"SSH_PUBLIC_KEY": key.line, **rendered.environment()}
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


def _size(cloud_init: CloudInit) -> str:
    return f"{len(cloud_init.text.encode()):,} bytes, hash {cloud_init.config_hash}"


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


@dataclass(frozen=True)
class Stop:
    """What became of one jump box.

    Attributes:
        box: the box's name in the topology: `hub` or a spoke's.
        ended: whether this run stopped it.
        note: why it was not needed or not possible, in a few words.
        error: what went wrong; None where the box was stopped, was not running or is not there.
    """

    box: str
    ended: bool
    note: str = ""
    error: FwdctlError | None = None


@dataclass(frozen=True)
class Outdated:
    """Forwarders that a changed configuration has not reached: each must take the model and be reimaged.

    Attributes:
        resource_group: of the scale set.
        scale_set: its name.
        instances: their ids.
    """

    resource_group: str
    scale_set: str
    instances: tuple[str, ...]

    @property
    def text(self) -> str:
        """What to run, for people."""
        where = f"-g {self.resource_group} -n {self.scale_set} --instance-ids"
        ids = " ".join(self.instances)
        reimage = "".join(f"       az vmss reimage {where} {one}\n" for one in self.instances)
        return (
            f"\nNext:  forwarders {ids} run the configuration of before. Hand on the new one, one by one:\n"
            f"       az vmss update-instances {where} {ids}\n{reimage}"
        )


def postprovision(
    runtime: Runtime,
    stop_boxes: Callable[[Runtime], Sequence[Stop]],
    outdated: Callable[[], Outdated | None] = lambda: None,
) -> Result:
    """Stop the jump boxes, which cost money while they run, and say what to run next.

    Args:
        runtime: inside azd the process environment holds the template's outputs.
        stop_boxes: stops all boxes side by side and returns what became of each; passed in, because
            this layer does not reach the jump boxes.
        outdated: asked after that: the forwarders that still run an earlier configuration.

    Raises:
        FwdctlError: the boxes could not even be looked for.
    """
    with Progress(runtime) as progress:
        progress.step("Stopping the jump boxes")
        stops = stop_boxes(runtime)
        for stop in stops:
            if stop.error is not None:
                progress.failed(stop.error.message)
            elif stop.ended:
                progress.done(f"Jump box {stop.box} stopped; a probe starts it when needed")
            else:
                progress.skipped(f"Jump box {stop.box}: {stop.note}")
    errors = tuple(stop.error for stop in stops if stop.error is not None)
    old = None
    try:
        old = outdated()
    except FwdctlError as error:
        progress.warning(f"Whether the forwarders run this configuration is not known: {error.message}")
    if old is not None:
        runtime.stderr.write(old.text)
    runtime.stderr.write("\nNext:  fwdctl probe spoke     test the way from each spoke to the servers\n")
    return Result(
        data={
            "boxes": [_stop_json(stop) for stop in stops],
            "outdatedForwarders": [] if old is None else list(old.instances),
        },
        status="failed" if errors else "succeeded",
        exit_code=ExitCode.UNEXPECTED if errors else ExitCode.OK,
        errors=errors,
    )


def _stop_json(stop: Stop) -> dict[str, Any]:
    return {"name": stop.box, "stopped": stop.ended, "note": stop.note, "failed": stop.error is not None}
