"""The cloud-inits as fwdctl renders them: what the agent reads, and the hash that the template tags."""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import yaml

from fwdctl.template import cloudinit, parameters
from fwdctl.template.files import Template
from support.deployment_target import AT_SUBSCRIPTION, Client, MemoryTarget

INFRA = Path(__file__).resolve().parents[2] / "infra"
ENVIRONMENT = {"AZURE_ENV_NAME": "dev", "AZURE_LOCATION": "westeurope", "SSH_PUBLIC_KEY": "ssh-ed25519 AAAA"}


def rendered() -> cloudinit.Rendered:
    template = Template(INFRA)
    return cloudinit.render(template, parameters.load(template.parameters, template.compiled, ENVIRONMENT))


def files(text: str) -> dict[str, bytes]:
    found = {}
    for entry in yaml.safe_load(text)["write_files"]:
        content = entry["content"]
        found[entry["path"]] = (
            base64.b64decode(content, validate=True) if entry.get("encoding") == "b64" else content.encode()
        )
    return found


def test_the_agent_accepts_the_configuration_that_it_is_sent_with(tmp_path: Path) -> None:
    forwarder = rendered().forwarder
    written = files(forwarder.text)
    source = tmp_path / "agent_as_written.py"
    source.write_bytes(written["/opt/fwdctl/agent.py"])
    assert source.read_bytes() == (INFRA / "cloud-init" / "forwarder" / "agent.py").read_bytes()
    spec = importlib.util.spec_from_file_location("agent_as_written", source)
    assert spec is not None
    assert spec.loader is not None
    agent = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = agent
    spec.loader.exec_module(agent)
    config = agent.parse_config(json.loads(written["/etc/fwdctl/forwarder.json"]))
    assert config.hash == forwarder.config_hash
    assert [(forward.name, forward.port) for forward in config.forwards] == [("web", 8000)]
    assert config.inbound == ("10.0.1.0/26", "10.0.1.64/26")


def test_the_demo_server_is_sent_with_its_ports() -> None:
    written = files(rendered().onprem.text)
    assert json.loads(written["/etc/fwdctl/server.json"])["ports"] == [8000]
    assert (
        written["/opt/fwdctl/server.py"]
        == (INFRA / "cloud-init" / "onprem-server" / "server.py").read_bytes()
    )


def test_the_template_tags_the_hash_that_fwdctl_computed() -> None:
    both = rendered()
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
    assert base64.b64decode(custom_data).decode() == both.forwarder.text
