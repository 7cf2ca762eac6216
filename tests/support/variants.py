"""The templates below infra/variants: with which parameters tests deploy them, as whom, and into which lab."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from conftest import ROOT
from fwdctl.azure.clients import Clients
from fwdctl.azure.credential import Login
from fwdctl.progress import Progress
from fwdctl.runtime import Runtime
from fwdctl.template.parameters import read_values
from fwdlab.cli import deploy, setup
from support.programs import FWDCTL, Done, run

if TYPE_CHECKING:
    from support.programs import RunningLab

LOG_IN = """
import sys
from fwdctl.azure.credential import log_in
from fwdctl.runtime import Runtime
login = log_in(Runtime(), sys.argv[1])
print(login.endpoint, login.token())
"""


def template(variant: str) -> Path:
    return ROOT / "infra" / "variants" / variant / "main.json"


def given(variant: str) -> dict[str, Any]:
    """The variant's own parameters file."""
    file = template(variant).with_name("main.parameters.json")
    document: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return document


class Subscription:
    """Who works in one subscription of a lab: the first one, the second one of its tenant, or one abroad."""

    def __init__(self, lab: RunningLab, which: str) -> None:
        self.lab = lab
        profile = Path(lab.environ["AZURE_CONFIG_DIR"]) / "azureProfile.json"
        own = lab.environ["AZURE_TENANT_ID"]
        (chosen,) = (
            each
            for each in json.loads(profile.read_text("utf-8-sig"))["subscriptions"]
            if which == ("first" if each["isDefault"] else "second" if each["tenantId"] == own else "abroad")
        )
        self.id, self.tenant = str(chosen["id"]), str(chosen["tenantId"])
        kept = {key: value for key, value in lab.environ.items() if not key.startswith(("FWD_", "RESOURCE_"))}
        self.environ = {**kept, "AZURE_SUBSCRIPTION_ID": self.id, "AZURE_TENANT_ID": self.tenant}

    def deploy(self, variant: str, changes: dict[str, Any] | None = None, **environment: str) -> None:
        """Deploy a variant there; its outputs stand in the environment from then on.

        Args:
            variant: its folder.
            changes: parameters with other values than the variant's own file gives.
            environment: what the file asks for besides a name and a region.
        """
        environment = {"AZURE_ENV_NAME": "lab", "AZURE_LOCATION": setup.LOCATION, **environment}
        file, compiled = template(variant).with_name("main.parameters.json"), template(variant)
        values = read_values(file, compiled, None, environment) | (changes or {})
        parameters = {name: {"value": value} for name, value in values.items() if value is not None}
        document = json.loads(compiled.read_text("utf-8"))
        plan = setup.LabDeployment(f"{variant}-1", setup.LOCATION, document, parameters)
        runtime = Runtime(environ=self.environ)
        with patch.dict(os.environ, self.environ):  # the library beneath reads the lab's authority there
            clients = Clients(self._login(), runtime)
            self.environ |= setup.environment_of(deploy.deploy(runtime, clients, plan, Progress(runtime)))

    def _login(self) -> Login:
        """Az's own; in a process of its own, because its library keeps the first login of a process."""
        done = run([sys.executable, "-c", LOG_IN, self.id], environ=self.environ, cwd=self.lab.home)
        endpoint, token = done.stdout.split()
        return Login(self.id, endpoint, lambda _claims: (token, time.time() + 600.0))

    def fwdctl(self, *words: str, expect: int = 0) -> Done:
        return run([*FWDCTL, *words], environ=self.environ, cwd=self.lab.home, expect=expect)
