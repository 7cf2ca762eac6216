"""What the azd environment holds, secrets shortened, and what it lacks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fwdctl.azd import environment as azd_environment
from fwdctl.errors import MissingError
from fwdctl.output import Result, grid, tell

if TYPE_CHECKING:
    from rich.console import Console

    from fwdctl.azd.environment import AzdEnvironment
    from fwdctl.runtime import Runtime

LONGEST_SHOWN = 60
_SECRET = re.compile(r"KEY|SECRET|PASSWORD|TOKEN|CLOUD_INIT|CREDENTIAL|CONNECTION_STRING", re.IGNORECASE)
_NO_SECRET = {"RESOURCE_TOKEN", "SSH_PUBLIC_KEY_FILE"}


NEEDS = {
    "AZURE_SUBSCRIPTION_ID": "azd env set AZURE_SUBSCRIPTION_ID ID",
    "AZURE_LOCATION": "azd env set AZURE_LOCATION REGION",
    "SSH_PUBLIC_KEY": "azd hooks run preprovision",
    "CLOUD_INIT_FWD": "azd hooks run preprovision",
    "CLOUD_INIT_ONPREM": "azd hooks run preprovision",
    **dict.fromkeys(azd_environment.OUTPUTS, "azd provision"),
}
"""Values that the environment must hold, and the command that sets each."""


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

    _say_which(runtime, environment)
    return Result(data=_data(environment) | {"values": values}, table=table)


def check(runtime: Runtime, wanted: str | None = None) -> Result:
    """What the environment lacks and which step sets it; exit code 3 if a probe could not run yet.

    Raises:
        FwdctlError: no project or no environment (3).
    """
    environment = azd_environment.load(runtime, wanted)
    checks = [
        {"name": name, "state": _state(runtime, environment, name), "setBy": step + environment.again}
        for name, step in NEEDS.items()
    ]
    missing = [check for check in checks if check["state"] == "missing"]

    def table(console: Console) -> None:
        rows = [(c["name"], c["state"], c["setBy"] if c["state"] == "missing" else "") for c in checks]
        grid(console, ("Name", "State", "Set by"), rows)

    _say_which(runtime, environment)
    data = _data(environment) | {"checks": checks, "missing": [check["name"] for check in missing]}
    if not missing:
        return Result(data, table=table)
    text = f"The azd environment '{environment.name}' lacks {len(missing)} of {len(checks)} values."
    suggestion = f"Run `{missing[0]['setBy']}`" + (
        f"; `azd up{environment.again}` takes every step." if missing[1:] else "."
    )
    error = MissingError("not_provisioned", text, suggestion)
    return Result(data, error.exit_code, table=table, errors=(error,))


def _say_which(runtime: Runtime, environment: AzdEnvironment) -> None:
    tell(runtime, f"azd environment '{environment.name}' in {environment.project}\n")


def _state(runtime: Runtime, environment: AzdEnvironment, name: str) -> str:
    # The name of a jump box is empty where there is none.
    if environment.values.get(name) or (name.endswith("_JUMP_NAME") and name in environment.values):
        return "set"
    # azd takes the subscription and the location from the process environment too.
    if name.startswith("AZURE_") and runtime.environ.get(name):
        return "process"
    return "missing"


def _data(environment: AzdEnvironment) -> dict[str, object]:
    return {"environment": environment.name, "project": str(environment.project)}


def _cut(value: str) -> str:
    line = " ".join(value.split())
    return line if len(line) <= LONGEST_SHOWN else f"{line[:LONGEST_SHOWN]}... ({len(value):,} characters)"
