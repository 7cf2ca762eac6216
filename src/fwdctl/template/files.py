"""Where the template's files are: in the user's azd project, else the copy that came with fwdctl."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fwdctl.errors import MissingError

_PACKAGE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Template:
    """The files of a folder `infra`."""

    infra: Path

    @property
    def parameters(self) -> Path:
        """What a user edits."""
        return self.infra / "main.parameters.json"

    @property
    def compiled(self) -> Path:
        return self.infra / "main.json"

    @property
    def cloud_init(self) -> Path:
        return self.infra / "cloud-init"


def find_template(project: Path | None = None) -> Template:
    """The project's `infra` if it is a template's, else the packaged copy, else that of the source tree.

    Raises:
        FwdctlError: there is none: a broken installation (exit code 3).
    """
    places = [_PACKAGE / "_template" / "infra", _PACKAGE.parent.parent / "infra"]
    if project is not None:
        places.insert(0, project / "infra")
    for place in places:
        found = Template(place)
        if found.parameters.is_file() or found.cloud_init.is_dir():  # whoever reads tells what is missing
            return found
    text = f"No template in {' or '.join(map(str, places))}."
    suggestion = "Work in a project made with `azd init --template`, or install fwdctl again."
    raise MissingError("template_not_found", text, suggestion)
