"""azd's environment: find it, read it, and set values through azd itself.

Reading needs no azd: the file `.azure/NAME/.env` is what `azd env get-values` prints. Writing goes through
`azd env set`, because azd locks the file and keeps values of its own in memory (azure-dev,
cli/azd/pkg/environment/local_file_data_store.go).
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fwdctl.encoding import foreign_encoding, plain_text_advice
from fwdctl.errors import FwdctlError, MissingError
from fwdctl.shell import quoted

if TYPE_CHECKING:
    from fwdctl.runtime import Runtime

AZD_TIMEOUT = 60.0
"""Seconds for one command of azd; for its environment it waits up to 30 s for a lock itself."""

OUTPUTS = ("RESOURCE_GROUP_NAME", "RESOURCE_TOKEN", "HUB_JUMP_NAME", "SPOKE_JUMP_NAME", "FWD_TOPOLOGY")
"""What `azd provision` writes from the template's outputs."""


@dataclass(frozen=True)
class AzdEnvironment:
    """One azd environment.

    Attributes:
        name: as in `azd env list`.
        project: the folder of azure.yaml.
        values: the environment's values; secrets among them.
        again: the options that chose it, with a blank before each, for commands that are suggested.
    """

    name: str
    project: Path
    values: Mapping[str, str] = field(repr=False)
    again: str = ""

    @property
    def directory(self) -> Path:
        """`.azure/NAME`, which azd keeps out of version control."""
        return self.project / ".azure" / self.name

    def require(self, names: Iterable[str]) -> None:
        """Check that the template's outputs are there.

        Raises:
            FwdctlError: some are missing: the environment is not provisioned (exit code 3).
        """
        if missing := ", ".join(name for name in names if not self.values.get(name)):
            text = f"The azd environment '{self.name}' is not provisioned: {missing} not set."
            raise MissingError("not_provisioned", text, f"Run `azd provision{self.again}`, which sets them.")


def find_project(start: Path) -> Path:
    """The nearest folder, from `start` upwards, that holds azure.yaml or azure.yml, as azd searches it.

    Raises:
        FwdctlError: there is none (exit code 3).
    """
    here = start.resolve()
    for folder in (here, *here.parents):
        if (folder / "azure.yaml").is_file() or (folder / "azure.yml").is_file():
            return folder
    text = f"No azd project: neither {here} nor a folder above it holds azure.yaml."
    suggestion = (
        "Change to the project's folder or name it with --cwd; without a project, name a --resource-group."
    )
    raise MissingError("azd_project_not_found", text, suggestion)


def list_environments(project: Path) -> list[str]:
    """Names of the project's environments, sorted."""
    return sorted(file.parent.name for file in (project / ".azure").glob("*/.env") if file.is_file())


def choose(project: Path, environ: Mapping[str, str], wanted: str | None = None) -> str:
    """The environment to use, by azd's rules: the wanted one, AZURE_ENV_NAME, the project's default.

    Raises:
        FwdctlError: none is chosen, or the chosen one does not exist (exit code 3).
    """
    name, source = wanted or "", "-e/--environment"
    if not name:
        name, source = environ.get("AZURE_ENV_NAME", ""), "AZURE_ENV_NAME"
    if not name:
        name, source = _default_environment(project), ".azure/config.json"
    known = list_environments(project)
    if name in known:
        return name
    listed = f"There are: {', '.join(known)}." if known else "There is none yet."
    if name:
        text = f"The azd environment '{name}' (from {source}) does not exist in {project}."
        suggestion = f"{listed} Choose one with --environment, or make it with `azd env new {quoted(name)}`."
        raise MissingError("azd_environment_not_found", text, suggestion)
    text = f"No azd environment is selected in {project}."
    suggestion = (
        f"{listed} Choose one with `azd env select` or --environment, or make one with `azd env new`."
    )
    raise MissingError("azd_environment_not_chosen", text, suggestion)


def _default_environment(project: Path) -> str:
    path = project / ".azure" / "config.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        suggestion = "Correct or delete it and run `azd env select NAME`."
        raise MissingError("azd_config_unreadable", f"{path} cannot be read: {error}", suggestion) from error
    name = document.get("defaultEnvironment") if isinstance(document, dict) else None
    return name if isinstance(name, str) else ""


def load(runtime: Runtime, wanted: str | None = None) -> AzdEnvironment:
    """Find the project, choose the environment and read its values.

    Raises:
        FwdctlError: no project, no such environment, or its file cannot be read (exit code 3).
    """
    project = find_project(runtime.cwd)
    name = choose(project, runtime.environ, wanted)
    again = (f" -e {shlex.quote(name)}" if wanted else "") + runtime.again
    return AzdEnvironment(name, project, read_values(project / ".azure" / name / ".env"), again)


def read_values(path: Path) -> dict[str, str]:
    """The values in a file, exactly as `azd env get-values --output json` gives them.

    Raises:
        FwdctlError: the file cannot be read (exit code 3).
    """
    from fwdctl.azd import envfile

    suggestion = "Correct the file, or make the environment again with `azd env new` and `azd env refresh`."
    try:
        content = path.read_bytes()
        if encoding := foreign_encoding(content):
            suggestion = plain_text_advice(path)
            raise ValueError(f"it is in {encoding}")  # noqa: TRY301 - one message for all of them
        return envfile.parse(content.decode("utf-8"))
    except (OSError, ValueError) as error:
        raise MissingError(
            "azd_environment_unreadable", f"{path} cannot be read: {error}.", suggestion
        ) from error


def set_values(runtime: Runtime, environment: AzdEnvironment, values: Mapping[str, str]) -> None:
    """Set values with one `azd env set --file`, all or none.

    Raises:
        FwdctlError: azd is missing (exit code 3), fails or does not answer (1). Nothing is set then.
    """
    for key, value in values.items():
        if value.endswith(("\\", '"')):  # godotenv takes the closing quote for an escaped one, or both away
            text = f"azd cannot keep {key}: its value ends with a backslash or a double quote."
            raise FwdctlError("azd_value_refused", text)
    descriptor, name = tempfile.mkstemp(prefix="fwdctl-", suffix=".env")  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as stream:
            stream.writelines(f'{key}="{escape(value)}"\n' for key, value in sorted(values.items()))
        arguments = ["env", "set", "--file", name, "--environment", environment.name, "--no-prompt"]
        run_azd(runtime, *arguments, "--cwd", str(environment.project))
    finally:
        with suppress(FileNotFoundError):
            Path(name).unlink()


def run_azd(runtime: Runtime, *arguments: str) -> str:
    """Run azd without a terminal; what it printed.

    Raises:
        FwdctlError: azd is missing (exit code 3), fails or does not answer (1).
    """
    azd = shutil.which("azd", path=runtime.environ.get("PATH"))
    if azd is None:
        text = "The Azure Developer CLI `azd` is not on PATH."
        raise MissingError("azd_not_found", text, "Install it: https://aka.ms/azd-install")
    name, suggestion = f"azd {' '.join(arguments[:2])}", f"Try `azd env get-values{runtime.again}` by hand."
    try:
        done = subprocess.run(
            [azd, *arguments],
            env=dict(runtime.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=AZD_TIMEOUT,
            check=False,
            encoding="utf-8",
            errors="replace",
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FwdctlError("azd_failed", f"`{name}` did not run: {error}", suggestion) from error
    if done.returncode != 0:
        said = " ".join((done.stderr + done.stdout).split())
        text = f"`{name}` ended with exit code {done.returncode}: {said}"
        raise FwdctlError("azd_failed", text, suggestion)
    return done.stdout


def escape(value: str) -> str:
    """A value as godotenv 1.5.1, which azd reads with, expects it between double quotes."""
    escaped = re.sub(r'([\\"!$`])', r"\\\1", value)
    return escaped.replace("\n", r"\n").replace("\r", r"\r")
