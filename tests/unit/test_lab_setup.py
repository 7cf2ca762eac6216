"""What `fwdctl lab up --template T --parameters P` makes of files that a user names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from fwdctl.errors import FwdctlError
from fwdlab.cli import setup
from support.frame import make_runtime

if TYPE_CHECKING:
    from pathlib import Path

TEMPLATE = {
    "parameters": {"size": {"type": "int", "defaultValue": 1}, "name": {"type": "string"}},
    "resources": [],
}


def prepare(folder: Path, template: object = TEMPLATE) -> dict[str, object]:
    (folder / "t.json").write_text(json.dumps(template))
    return setup.prepare(make_runtime(folder), folder / "t.json", folder / "p.json").parameters


@pytest.mark.parametrize("template", [TEMPLATE, {"resources": []}])
@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (None, ("file_not_found", 3), "p.json does not exist"),
        ("{", ("parameters_not_json", 2), "p.json: line 1, column 2"),
        ("[]", ("parameters_invalid", 2), "p.json: parameters: is missing or not an object"),
        ('{"parameters": []}', ("parameters_invalid", 2), "p.json: parameters: is missing or not an object"),
        ('{"parameters": {"sise": {"value": 2}}}', ("parameters_invalid", 2), "p.json: sise"),
    ],
)
def test_parameters_that_are_wrong_are_named(
    tmp_path: Path, template: object, content: str | None, code: tuple[str, int], said: str
) -> None:
    if content is not None:
        (tmp_path / "p.json").write_text(content)
    with pytest.raises(FwdctlError) as caught:
        prepare(tmp_path, template)
    assert (caught.value.code, caught.value.exit_code) == code
    assert said in caught.value.message
    assert caught.value.suggestion


def test_another_template_takes_the_parameters_that_are_given(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"parameters": {"name": {"value": "${AZURE_ENV_NAME}"}}}')
    assert prepare(tmp_path) == {"name": {"value": "lab"}}
    (tmp_path / "p.json").write_text('{"parameters": {}}')
    assert prepare(tmp_path, {"resources": []}) == {}


def test_another_template_that_asks_for_a_key_gets_one(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"parameters": {"sshPublicKey": {"value": "${SSH_PUBLIC_KEY}"}}}')
    template = {"parameters": {"sshPublicKey": {"type": "string"}}, "resources": []}
    assert str(prepare(tmp_path, template)["sshPublicKey"]).startswith("{'value': 'ssh-ed25519 ")


def test_another_template_needs_no_parameters_file(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(json.dumps(TEMPLATE))
    assert setup.prepare(make_runtime(tmp_path), tmp_path / "t.json", None).parameters == {}


def test_a_template_that_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(FwdctlError) as caught:
        setup.prepare(make_runtime(tmp_path), tmp_path, None)
    assert (caught.value.code, caught.value.exit_code) == ("template_not_json", 2)
