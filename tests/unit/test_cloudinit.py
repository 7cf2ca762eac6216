from __future__ import annotations

import ast
import base64
import gzip
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from conftest import ROOT
from fwdctl.errors import FwdctlError
from fwdctl.template import cloudinit
from fwdctl.template.files import Template
from fwdlab.machine import first_boot

if TYPE_CHECKING:
    from pathlib import Path

INFRA = ROOT / "infra"


@pytest.fixture
def template(tmp_path: Path) -> Template:
    shutil.copytree(
        INFRA / "cloud-init", tmp_path / "infra" / "cloud-init", ignore=shutil.ignore_patterns("__pycache__")
    )
    return Template(tmp_path / "infra")


def written(rendered: cloudinit.CloudInit) -> dict[str, bytes]:
    """What cloud-init's write_files would put on the machine, by path."""
    files = {file.path: file.content for file in first_boot.parse(rendered.encoded).files}
    assert set(map(str.strip, files)) == set(files)
    return files


def without_docstrings(source: str) -> ast.Module:
    """What a program does."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                body[:1] = [] if len(body) > 1 else [ast.Pass()]
    return tree


@pytest.mark.parametrize("name", ["forwarder", "onprem-server"])
def test_a_machine_gets_every_program_without_words_for_readers_and_no_configuration(name: str) -> None:
    both = cloudinit.render(Template(INFRA))
    files = written(both.forwarder if name == "forwarder" else both.onprem)
    programs = sorted((INFRA / "cloud-init" / name).glob("*.py"))
    assert programs
    for program in programs:
        source, sent = program.read_text("utf-8"), files.pop(f"/opt/fwdctl/{program.name}").decode()
        assert ast.get_docstring(ast.parse(sent)) is None
        assert ast.dump(without_docstrings(sent)) == ast.dump(without_docstrings(source))
        bare = {line.partition("  # ")[0] for line in source.splitlines()}
        assert set(sent.splitlines()) <= {*bare, "        pass"}
        assert not [line for line in sent.splitlines() if line.lstrip().startswith("#")]
    [unit] = files
    assert unit.startswith("/etc/systemd/system/")


def test_the_forwarders_value_is_small_and_still_names_its_hash(capsys: pytest.CaptureFixture[str]) -> None:
    forwarder = cloudinit.render(Template(INFRA)).forwarder
    size = len(forwarder.encoded)
    with capsys.disabled():
        sys.stdout.write(f" CLOUD_INIT_FWD has {size:,} characters ")
    assert size < 20_000
    assert gzip.decompress(forwarder.data).decode() == forwarder.text
    # What the Bicep template reads: characters 16 to 63 of the base64, without unpacking anything.
    assert forwarder.encoded.startswith("H4sIEAAA")
    comment = base64.b64decode(forwarder.encoded[16:64]).decode()
    assert comment == f"fwdctl-config-hash: {forwarder.config_hash}"


def test_the_servers_value_is_plain_text_which_no_version_of_zlib_changes() -> None:
    onprem = cloudinit.render(Template(INFRA)).onprem
    assert onprem.data == onprem.text.encode()


def test_first_two_lines_and_the_environments_names() -> None:
    rendered = cloudinit.render(Template(INFRA))
    assert rendered.environment().keys() == {"CLOUD_INIT_FWD", "CLOUD_INIT_ONPREM"}
    for one in (rendered.forwarder, rendered.onprem):
        assert one.text.splitlines()[:2] == ["#cloud-config", f"# fwdctl-config-hash: {one.config_hash}"]
        assert len(one.config_hash) == 16


def test_the_hash_follows_template_and_programs_only(template: Template) -> None:
    first = cloudinit.render(template)
    assert cloudinit.render(template) == first
    seen = {first.forwarder.config_hash}
    for name in ("forwarder.yaml", "forwarder/agent.py", "forwarder/checks.py"):
        with (template.cloud_init / name).open("a", newline="") as stream:
            stream.write("# changed\n")
        seen.add(cloudinit.render(template).forwarder.config_hash)
    assert len(seen) == 4
    assert cloudinit.render(template).onprem == first.onprem


def rejected(template: Template) -> FwdctlError:
    with pytest.raises(FwdctlError) as caught:
        cloudinit.render(template)
    assert "\n" not in caught.value.message + caught.value.suggestion
    return caught.value


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("forwarder.yaml", "runcmd:", "runcmd:\r", "ends with a carriage return (CRLF)"),
        (
            "forwarder/agent.py",
            "import asyncio\n",
            "import asyncio\r\n",
            "ends with a carriage return (CRLF)",
        ),
        ("forwarder.yaml", "#cloud-config\n", "\n#cloud-config\n", "the first line is not #cloud-config"),
        ("forwarder.yaml", "#cloud-config\n", "\ufeff#cloud-config\n", "the first line is not #cloud-config"),
        ("onprem-server.yaml", "#cloud-config\n", "#cloud-config \n", "the first line is not #cloud-config"),
        ("forwarder.yaml", "# fwdctl-config-hash", "# hash", "the second line is not the one"),
        (
            "forwarder.yaml",
            "@@CHECKS@@",
            "#",
            "@@CHECKS@@ is missing, so the machine would not get checks.py",
        ),
        ("forwarder.yaml", "runcmd:", "runcmd: [", "not YAML"),
        ("forwarder/agent.py", "import asyncio\n", "import (asyncio\n", "is not Python"),
        (
            "forwarder/agent.py",
            "import asyncio\n",
            "import asyncio\nLONG = '" + "x" * 80_000 + "'\n",
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
    programs = sorted((template.cloud_init / "forwarder").glob("*.py"))
    markers = "".join(f"- |\n  @@{program.stem.upper()}@@\n" for program in programs)
    text = f"#cloud-config\n# fwdctl-config-hash: @@CONFIG_HASH@@\n{markers}"
    (template.cloud_init / "forwarder.yaml").write_bytes(text.encode())
    assert "is not a YAML mapping" in rejected(template).message


def test_a_file_that_is_not_utf_8_is_2(template: Template) -> None:
    (template.cloud_init / "onprem-server" / "server.py").write_bytes(b"\xff")
    error = rejected(template)
    assert (error.code, error.exit_code) == ("file_unreadable", 2)
    assert "server.py cannot be read" in error.message


def test_a_marker_without_its_program_names_the_file(template: Template) -> None:
    file = template.cloud_init / "forwarder.yaml"
    file.write_bytes(file.read_bytes().replace(b"@@AGENT@@", b"@@AGNET@@"))
    error = rejected(template)
    assert (error.code, error.exit_code) == ("file_not_found", 3)
    assert "agnet.py" in error.message


def test_a_missing_file_is_3(template: Template) -> None:
    (template.cloud_init / "onprem-server" / "server.py").unlink()
    error = rejected(template)
    assert (error.code, error.exit_code) == ("file_not_found", 3)
