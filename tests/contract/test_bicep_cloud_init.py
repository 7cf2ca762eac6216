"""The forwarder's cloud-init as fwdctl renders it: the hash that the template reads out of it and tags."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

from fwdctl.template import cloudinit
from fwdctl.template.files import Template
from support.deployment_target import AT_SUBSCRIPTION, Client, MemoryTarget

INFRA = Path(__file__).resolve().parents[2] / "infra"


def test_the_template_tags_the_hash_that_fwdctl_computed() -> None:
    both = cloudinit.render(Template(INFRA))
    target = MemoryTarget()
    values: dict[str, Any] = {
        "environmentName": "dev",
        "location": "westeurope",
        "sshPublicKey": "ssh-ed25519 AAAA",
        "cloudInitForwarder": both.forwarder.encoded,
        "cloudInitOnPrem": both.onprem.encoded,
    }

    async def run() -> None:
        client = Client(target)
        try:
            template = json.loads((INFRA / "main.json").read_text(encoding="utf-8"))
            properties = await client.deploy(AT_SUBSCRIPTION, "dev-1", template, **values)
            assert properties["provisioningState"] == "Succeeded"
        finally:
            await client.routes.close()

    asyncio.run(run())
    [scale_set] = [doc for key, doc in target.documents.items() if "/virtualmachinescalesets/" in key]
    assert scale_set["tags"]["fwdctl-config-hash"] == both.forwarder.config_hash
    custom_data = scale_set["properties"]["virtualMachineProfile"]["osProfile"]["customData"]
    assert base64.b64decode(custom_data) == both.forwarder.data
