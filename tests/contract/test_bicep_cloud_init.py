"""The forwarder's cloud-init as fwdctl renders it: the hash that the template reads out of it and tags."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fwdctl.template import cloudinit
from fwdctl.template.files import Template
from fwdlab.machine import first_boot
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


def test_systemd_finds_the_agents_sandbox_tight(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    files = first_boot.parse(cloudinit.render(Template(INFRA)).forwarder.encoded).files
    [text] = [file.content for file in files if file.path.endswith(".service")]
    unit = tmp_path / "fwdctl-agent.service"
    unit.write_bytes(text)
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze reads no unit files")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # a setting that systemd does not know is a line here
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found is not None, done.stdout
    assert float(found[1]) <= 4, done.stdout
