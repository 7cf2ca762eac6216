"""Deploys the project's template into a lab with other values, as `azd provision` does."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from conftest import ROOT
from fwdctl.progress import Progress
from fwdctl.runtime import Runtime
from fwdlab.cli.deploy import azure_of, deploy
from fwdlab.cli.labs import client_of
from fwdlab.cli.setup import environment_of, prepare

if TYPE_CHECKING:
    from pathlib import Path

    from support.programs import RunningLab

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKNCQ3uC2frP8VY9VlLtFzfWjTTuPDVPzWQlpInPBeni"
"""The same every time: that of machines does not change."""


def provision(lab: RunningLab, home: Path, number: int, **values: Any) -> None:
    """The template with these parameters in the place of the file's own; the lab's environment follows."""
    document = json.loads((ROOT / "infra" / "main.parameters.json").read_text("utf-8"))
    document["parameters"] |= {name: {"value": value} for name, value in values.items()}
    file = home / "main.parameters.json"
    file.write_text(json.dumps(document))
    runtime = Runtime(environ=lab.base, cwd=home)
    plan = replace(prepare(runtime, None, file), name=f"lab-{number}")
    plan.parameters["sshPublicKey"] = {"value": KEY}
    with azure_of(runtime, client_of(lab.name, runtime)) as clients:
        outputs = deploy(runtime, clients, plan, Progress(runtime))
    lab.environ |= environment_of(outputs)
