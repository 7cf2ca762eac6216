"""Deploys the compiled template through the lab's template engine into memory, and reads what was put."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

from support.deployment_target import AT_SUBSCRIPTION, Client, MemoryTarget
from support.main_template import main_template

TEMPLATE = main_template()
CLOUD_INIT = "#cloud-config\n# fwdctl-config-hash: 0123456789abcdef\nruncmd: []\n"
SERVERS = TEMPLATE["parameters"]["corp"]["defaultValue"]["servers"]
SPOKE = TEMPLATE["parameters"]["spokes"]["defaultValue"][0]
WEB = TEMPLATE["parameters"]["forwards"]["defaultValue"][0]


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def values(**changes: Any) -> dict[str, Any]:
    return {
        "environmentName": "dev",
        "location": "westeurope",
        "sshPublicKey": "ssh-ed25519 AAAA",
        "cloudInitForwarder": encoded(CLOUD_INIT),
        "cloudInitOnPrem": encoded(CLOUD_INIT),
        **changes,
    }


def deploy(*there: str, **changes: Any) -> tuple[MemoryTarget, dict[str, Any]]:
    """Deploy and answer what was put, and the deployment's properties; `there` is what was before, by id."""
    target = MemoryTarget()
    for key in there:
        target.documents[key.lower()] = {"id": key, "name": key.rpartition("/")[2], "properties": {}}

    async def run() -> dict[str, Any]:
        client = Client(target)
        try:
            return await client.deploy(AT_SUBSCRIPTION, "dev-1", TEMPLATE, **values(**changes))
        finally:
            await client.routes.close()

    return target, asyncio.run(run())


def refused(**changes: Any) -> tuple[MemoryTarget, str]:
    """Ask for a deployment that must not begin; answer what was put and the error's text."""
    target = MemoryTarget()

    async def run() -> Any:
        client = Client(target)
        try:
            answer = await client.put(AT_SUBSCRIPTION, "dev-1", TEMPLATE, **values(**changes))
            if answer.status < 400:
                return (await client.deploy(AT_SUBSCRIPTION, "dev-2", TEMPLATE, **values(**changes)))["error"]
            return answer.body
        finally:
            await client.routes.close()

    return target, json.dumps(asyncio.run(run()))


def of_type(target: MemoryTarget, kind: str) -> list[dict[str, Any]]:
    marker = f"/{kind.lower()}/"
    return [doc for key, doc in target.documents.items() if f"{key.rsplit('/', 1)[0]}/".endswith(marker)]


def topology(properties: dict[str, Any]) -> dict[str, Any]:
    assert properties["provisioningState"] == "Succeeded", properties.get("error")
    found: dict[str, Any] = properties["outputs"]["FWD_TOPOLOGY"]["value"]
    return found


def user_data(document: dict[str, Any]) -> dict[str, Any]:
    """What a machine or a scale set tells its programs, decoded."""
    properties = document["properties"]
    encoded_text = properties.get("virtualMachineProfile", properties)["userData"]
    found: dict[str, Any] = json.loads(base64.b64decode(encoded_text, validate=True))
    return found
