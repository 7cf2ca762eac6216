"""Deploys a compiled variant through the lab's template engine into memory."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from conftest import ROOT
from support.deployment_target import AT_SUBSCRIPTION, Client, MemoryTarget

ENVIRONMENT = {
    "AZURE_ENV_NAME": "dev",
    "AZURE_LOCATION": "westeurope",
    "SSH_PUBLIC_KEY": "ssh-ed25519 AAAA",
    "LINK_SERVICE_ALIAS": "pl.guid.westeurope.azure.privatelinkservice",
}


def asked(variant: str, **changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A variant's template and its own parameters, but for some."""
    folder = ROOT / "infra" / "variants" / variant
    text = (folder / "main.parameters.json").read_text("utf-8")
    for name, value in ENVIRONMENT.items():
        text = text.replace(f"${{{name}}}", value)
    given = {name: entry["value"] for name, entry in json.loads(text)["parameters"].items()}
    return json.loads((folder / "main.json").read_text("utf-8")), given | changes


def deploy(variant: str, **changes: Any) -> tuple[MemoryTarget, dict[str, Any]]:
    """What was put, and the deployment's properties."""
    target = MemoryTarget()
    template, values = asked(variant, **changes)

    async def run() -> dict[str, Any]:
        client = Client(target)
        try:
            return await client.deploy(AT_SUBSCRIPTION, "dev-1", template, **values)
        finally:
            await client.routes.close()

    return target, asyncio.run(run())
