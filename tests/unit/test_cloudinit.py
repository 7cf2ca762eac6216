from __future__ import annotations

import base64
import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from conftest import ROOT
from fwdctl.errors import FwdctlError
from fwdctl.template import cloudinit, parameters
from fwdctl.template.files import Template

if TYPE_CHECKING:
    from pathlib import Path

INFRA = ROOT / "infra"
PARAMETERS = parameters.load(INFRA / "main.parameters.json", INFRA / "main.json", {})


def with_forward(**changes: Any) -> parameters.Parameters:
    """The template's own parameters with a change in their only forward."""
    [forward] = PARAMETERS.forwards
    return PARAMETERS.model_copy(update={"forwards": (forward.model_copy(update=changes),)})


@pytest.fixture
def template(tmp_path: Path) -> Template:
    shutil.copytree(INFRA / "cloud-init", tmp_path / "infra" / "cloud-init")
    return Template(tmp_path / "infra")


def written(rendered: cloudinit.CloudInit, path: str) -> bytes:
    """What cloud-init's write_files would put there."""
    document = yaml.safe_load(base64.b64decode(rendered.encoded))
    entry: dict[str, Any] = next(item for item in document["write_files"] if item["path"] == path)
    assert entry["encoding"] == "b64"
    return base64.b64decode(entry["content"], validate=True)


def test_the_forwarder_gets_its_configuration_and_its_agent() -> None:
    rendered = cloudinit.render(Template(INFRA), PARAMETERS).forwarder
    assert json.loads(written(rendered, "/etc/fwdctl/forwarder.json")) == {
        "version": 1,
        "hash": rendered.config_hash,
        "healthPort": 18099,
        "inbound": ["10.0.1.0/26", "10.0.1.64/26"],
        "forwards": [
            {
                "name": "web",
                "port": 8000,
                "targets": ["192.168.42.65:8000", "192.168.42.66:8000"],
                "balance": "roundRobin",
                "check": "http",
                "checkPath": "/",
            }
        ],
    }
    agent = (INFRA / "cloud-init" / "forwarder" / "agent.py").read_bytes()
    assert written(rendered, "/opt/fwdctl/agent.py") == agent


def test_the_servers_get_their_ports_and_their_program() -> None:
    rendered = cloudinit.render(Template(INFRA), PARAMETERS).onprem
    config = {"version": 1, "hash": rendered.config_hash, "ports": [8000]}
    assert json.loads(written(rendered, "/etc/fwdctl/server.json")) == config
    server = (INFRA / "cloud-init" / "onprem-server" / "server.py").read_bytes()
    assert written(rendered, "/opt/fwdctl/server.py") == server


def test_first_two_lines_and_the_environments_names() -> None:
    rendered = cloudinit.render(Template(INFRA), PARAMETERS)
    assert rendered.environment().keys() == {"CLOUD_INIT_FWD", "CLOUD_INIT_ONPREM"}
    for one in (rendered.forwarder, rendered.onprem):
        assert one.text.splitlines()[:2] == ["#cloud-config", f"# fwdctl-config-hash: {one.config_hash}"]
        assert len(one.config_hash) == 16


def test_the_hash_follows_template_configuration_and_program_only(template: Template) -> None:
    first = cloudinit.render(template, PARAMETERS)
    assert cloudinit.render(template, PARAMETERS) == first
    other = cloudinit.render(template, with_forward(port=8001))
    assert other.forwarder.config_hash != first.forwarder.config_hash
    assert other.onprem == first.onprem
    seen = {first.forwarder.config_hash}
    for name in ("forwarder.yaml", "forwarder/agent.py"):
        with (template.cloud_init / name).open("a", newline="") as stream:
            stream.write("# changed\n")
        seen.add(cloudinit.render(template, PARAMETERS).forwarder.config_hash)
    assert len(seen) == 3


def test_the_agent_is_not_told_how_servers_name_themselves(template: Template) -> None:
    named = with_forward(identity_header="X-Served-By")
    assert cloudinit.render(template, named) == cloudinit.render(template, PARAMETERS)


def rejected(template: Template) -> FwdctlError:
    with pytest.raises(FwdctlError) as caught:
        cloudinit.render(template, PARAMETERS)
    assert "\n" not in caught.value.message + caught.value.suggestion
    return caught.value


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("forwarder.yaml", "runcmd:", "runcmd:\r", "ends with a carriage return (CRLF)"),
        ("forwarder/agent.py", "import json\n", "import json\r\n", "ends with a carriage return (CRLF)"),
        ("forwarder.yaml", "#cloud-config\n", "\n#cloud-config\n", "the first line is not #cloud-config"),
        ("forwarder.yaml", "#cloud-config\n", "\ufeff#cloud-config\n", "the first line is not #cloud-config"),
        ("onprem-server.yaml", "#cloud-config\n", "#cloud-config \n", "the first line is not #cloud-config"),
        ("forwarder.yaml", "# fwdctl-config-hash", "# hash", "the second line is not the one"),
        ("forwarder.yaml", "@@AGENT_B64@@", "@@AGENT@@", "@@AGENT@@ is not a known marker"),
        ("forwarder.yaml", '"@@CONFIG_B64@@"', '""', "@@CONFIG_B64@@ is missing"),
        ("forwarder.yaml", "runcmd:", "runcmd: [", "not YAML"),
        (
            "forwarder/agent.py",
            "import json\n",
            "import json\n" + "#" * 60_000 + "\n",
            "takes at most 65,535",
        ),
    ],
)
def test_what_a_machine_would_not_run_is_refused(
    template: Template, name: str, old: str, new: str, message: str
) -> None:
    file = template.cloud_init / name
    text = file.read_text("utf-8")
    assert old in text
    file.write_bytes(text.replace(old, new, 1).encode())
    error = rejected(template)
    assert (error.code, error.exit_code) == ("cloud_init_invalid", 2)
    assert message in error.message
    assert str(template.cloud_init) in error.message


def test_crlf_names_the_line(template: Template) -> None:
    file = template.cloud_init / "forwarder" / "agent.py"
    lines = file.read_bytes().split(b"\n")
    lines[4] += b"\r"
    file.write_bytes(b"\n".join(lines))
    assert f"{file}: line 5 ends with" in rejected(template).message


def test_a_list_is_not_a_cloud_config(template: Template) -> None:
    markers = "".join(f"- '{name}'\n" for name in ("@@CONFIG_B64@@", "@@AGENT_B64@@"))
    text = f"#cloud-config\n# fwdctl-config-hash: @@CONFIG_HASH@@\n{markers}"
    (template.cloud_init / "forwarder.yaml").write_bytes(text.encode())
    assert "is not a YAML mapping" in rejected(template).message


def test_a_file_that_is_not_utf_8_is_2(template: Template) -> None:
    (template.cloud_init / "onprem-server" / "server.py").write_bytes(b"\xff")
    error = rejected(template)
    assert (error.code, error.exit_code) == ("file_unreadable", 2)
    assert "server.py cannot be read" in error.message


def test_a_missing_file_is_3(template: Template) -> None:
    (template.cloud_init / "onprem-server" / "server.py").unlink()
    error = rejected(template)
    assert (error.code, error.exit_code) == ("file_not_found", 3)
