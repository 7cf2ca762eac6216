"""What the azd environment holds, secrets shortened, and what it lacks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fwdctl.azd import environment as azd_environment
from fwdctl.errors import ExitCode, FwdctlError
from fwdctl.output import Result, grid

if TYPE_CHECKING:
    from rich.console import Console

    from fwdctl.azd.environment import AzdEnvironment
    from fwdctl.runtime import Runtime

LONGEST_SHOWN = 60
_SECRET = re.compile(r"KEY|SECRET|PASSWORD|TOKEN|CLOUD_INIT|CREDENTIAL|CONNECTION_STRING", re.IGNORECASE)
_NO_SECRET = {"RESOURCE_TOKEN", "SSH_PUBLIC_KEY_FILE"}


@dataclass(frozen=True)
class Need:
    """A value that the environment must hold.

    Attributes:
        name: of the value.
        step: the command that sets it.
    """

    name: str
    step: str


NEEDS = (
    Need("AZURE_SUBSCRIPTION_ID", "azd env set AZURE_SUBSCRIPTION_ID ID"),
    Need("AZURE_LOCATION", "azd env set AZURE_LOCATION REGION"),
    *(
        Need(name, "azd hooks run preprovision")
        for name in ("SSH_PUBLIC_KEY", "CLOUD_INIT_FWD", "CLOUD_INIT_ONPREM")
    ),
    *(Need(name, "azd provision") for name in azd_environment.OUTPUTS),
)


def shorten(name: str, value: str) -> str:
    """A value as it may be shown: of keys and cloud-inits only their kind and length."""
    if not value or name in _NO_SECRET or not _SECRET.search(name):
        return value
    kind = value.partition(" ")[0] if name == "SSH_PUBLIC_KEY" and value.startswith("ssh-") else value[:4]
    return f"{kind}... ({len(value):,} characters)"


def show(runtime: Runtime, wanted: str | None = None) -> Result:
    """All values of the environment, secrets shortened.

    Raises:
        FwdctlError: no project or no environment (3).
    """
    environment = azd_environment.load(runtime, wanted)
    values = {name: shorten(name, value) for name, value in sorted(environment.values.items())}

    def table(console: Console) -> None:
        grid(console, ("Name", "Value"), [(name, _cut(value)) for name, value in values.items()])

    runtime.stderr.write(f"azd environment '{environment.name}' in {environment.project}\n")
    return Result(data=_data(environment) | {"values": values}, table=table)


def check(runtime: Runtime, wanted: str | None = None) -> Result:
    """What the environment lacks and which step sets it; exit code 3 if a probe could not run yet.

    Raises:
        FwdctlError: no project or no environment (3).
    """
    environment = azd_environment.load(runtime, wanted)
    rows = [(need.name, _state(runtime, environment, need), need.step) for need in NEEDS]
    missing = [(name, step) for name, state, step in rows if state == "missing"]

    def table(console: Console) -> None:
        grid(
            console,
            ("Name", "State", "Set by"),
            [(name, state, step if state == "missing" else "") for name, state, step in rows],
        )

    runtime.stderr.write(f"azd environment '{environment.name}' in {environment.project}\n")
    errors: tuple[FwdctlError, ...] = ()
    if missing:
        text = f"The azd environment '{environment.name}' lacks {len(missing)} of {len(rows)} values."
        first = f"Run `{missing[0][1]}`" + ("; `azd up` takes every step." if len(missing) > 1 else ".")
        errors = (FwdctlError("not_provisioned", text, first, exit_code=ExitCode.NOT_FOUND),)
    return Result(
        data=_data(environment)
        | {
            "checks": [{"name": name, "state": state, "setBy": step} for name, state, step in rows],
            "missing": [name for name, _ in missing],
        },
        status="failed" if missing else "succeeded",
        exit_code=ExitCode.NOT_FOUND if missing else ExitCode.OK,
        table=table,
        errors=errors,
    )


def _state(runtime: Runtime, environment: AzdEnvironment, need: Need) -> str:
    if environment.values.get(need.name):
        return "set"
    # azd takes the subscription and the location from the process environment too.
    if need.name.startswith("AZURE_") and runtime.environ.get(need.name):
        return "process"
    return "missing"


def _data(environment: AzdEnvironment) -> dict[str, object]:
    return {"environment": environment.name, "project": str(environment.project)}


def _cut(value: str) -> str:
    line = " ".join(value.split())
    return line if len(line) <= LONGEST_SHOWN else f"{line[:LONGEST_SHOWN]}... ({len(value):,} characters)"
