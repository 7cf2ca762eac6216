"""What `fwdctl lab up` deploys: the template and its parameters, as `azd up` would hand them to ARM."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fwdctl.azd import environment as azd_environment
from fwdctl.errors import ExitCode, FwdctlError
from fwdctl.template import cloudinit
from fwdctl.template.files import Template, find_template
from fwdctl.template.parameters import load as load_parameters
from fwdctl.template.parameters import read_values

if TYPE_CHECKING:
    from pathlib import Path

    from fwdctl.runtime import Runtime

ENVIRONMENT_NAME = "lab"
LOCATION = "westeurope"


@dataclass(frozen=True)
class LabDeployment:
    """A deployment ready to be sent.

    Attributes:
        name: of the deployment.
        location: of the deployment's record.
        template: ARM JSON.
        parameters: `{name: {"value": …}}`.
    """

    name: str
    location: str
    template: dict[str, Any]
    parameters: dict[str, Any]


def prepare(runtime: Runtime, compiled: Path | None, parameters: Path | None) -> LabDeployment:
    """Render the cloud-inits and fill in the parameters; nothing is changed anywhere.

    Args:
        runtime: where the command runs; an azd project around it brings its own template.
        compiled: another compiled template, None for the template's own.
        parameters: another parameters file, None for the one beside the template.

    Raises:
        FwdctlError: a file is missing (3) or wrong (2).
    """
    for option, typed in (("--template", compiled), ("--parameters", parameters)):
        if typed is not None:
            _require(runtime.cwd / typed, f"Give {option} the path of a file that exists.")
    own = find_template(_project_folder(runtime))
    compiled = runtime.cwd / compiled if compiled else own.compiled
    file = runtime.cwd / parameters if parameters else compiled.parent / own.parameters.name
    template = _read_template(compiled)
    values = {"AZURE_ENV_NAME": ENVIRONMENT_NAME, "AZURE_LOCATION": LOCATION}
    if "sshPublicKey" in template.get("parameters", {}):
        values["SSH_PUBLIC_KEY"] = _throw_away_key()
    if "cloudInitForwarder" in template.get("parameters", {}):
        values |= _rendered(own, file, compiled, values)
    filled = read_values(file, compiled, None, values) if parameters or file.is_file() else {}
    return LabDeployment(
        f"{ENVIRONMENT_NAME}-1",
        LOCATION,
        template,
        {name: {"value": value} for name, value in filled.items() if value is not None},
    )


def environment_of(outputs: dict[str, Any]) -> dict[str, str]:
    """Outputs as azd writes them into its environment: text as it is, the rest as compact JSON."""
    return {
        name: value["value"]
        if isinstance(value["value"], str)
        else json.dumps(value["value"], separators=(",", ":"), sort_keys=True)
        for name, value in outputs.items()
    }


def _project_folder(runtime: Runtime) -> Path | None:
    try:
        return azd_environment.find_project(runtime.cwd)
    except FwdctlError:
        return None  # outside a project the template that came with fwdctl serves


def _require(file: Path, suggestion: str) -> None:
    if not file.exists():
        raise FwdctlError(
            "file_not_found", f"{file} does not exist.", suggestion, exit_code=ExitCode.NOT_FOUND
        )


def _read_template(compiled: Path) -> dict[str, Any]:
    _require(compiled, "Compile it: `bicep build infra/main.bicep --outfile infra/main.json`.")
    try:
        document: Any = json.loads(compiled.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise FwdctlError(
            "template_not_json",
            f"{compiled} cannot be read as JSON: {error}.",
            "Give the compiled template, not the Bicep file.",
            exit_code=ExitCode.USAGE,
        ) from error
    if not isinstance(document, dict) or "resources" not in document:
        raise FwdctlError(
            "template_not_arm",
            f"{compiled} is no ARM template: it has no 'resources'.",
            "Give the JSON that `bicep build` writes.",
            exit_code=ExitCode.USAGE,
        )
    return document


def _rendered(own: Template, file: Path, compiled: Path, values: dict[str, str]) -> dict[str, str]:
    load_parameters(file, compiled, values)  # refuses what is wrong
    return cloudinit.render(own).environment()


def _throw_away_key() -> str:
    """A public key whose private half nobody keeps: no machine of the lab runs an SSH server."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = Ed25519PrivateKey.generate().public_key()
    return public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() + " lab"
