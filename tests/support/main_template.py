"""The project's own template and what azd sends with it."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from conftest import ROOT

INFRA = ROOT / "infra"
_CLOUD_INIT = base64.b64encode(b"#cloud-config\n# fwdctl-config-hash: 0123456789abcdef\n").decode()
_AZD_VALUES = {
    "AZURE_ENV_NAME": "dev",
    "AZURE_LOCATION": "westeurope",
    "SSH_PUBLIC_KEY": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDev test",
    "CLOUD_INIT_FWD": _CLOUD_INIT,
    "CLOUD_INIT_ONPREM": _CLOUD_INIT,
}


def main_template() -> dict[str, Any]:
    """infra/main.json."""
    found: dict[str, Any] = json.loads((INFRA / "main.json").read_text())
    return found


def values(**more: Any) -> dict[str, Any]:
    """The parameters file with its variables replaced as azd does, empty ones left out."""
    parameters = json.loads((INFRA / "main.parameters.json").read_text())["parameters"]
    found = {}
    for name, entry in parameters.items():
        value = entry["value"]
        if isinstance(value, str):
            value = re.sub(r"\$\{(\w+)(=[^}]*)?\}", lambda match: _AZD_VALUES.get(match[1], ""), value)
        if value != "":
            found[name] = value
    return found | more
