"""The JSON envelope and the exit codes that scripts rely on, also where a command never ran."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fwdctl.errors import ExitCode
from support.frame import make_runtime, project, run

if TYPE_CHECKING:
    from pathlib import Path

KEYS = ["schema", "command", "status", "exitCode", "data", "errors"]


def test_exit_codes_are_those_of_the_documentation() -> None:
    assert {code.name: code.value for code in ExitCode} == {
        "OK": 0,
        "UNEXPECTED": 1,
        "USAGE": 2,
        "NOT_FOUND": 3,
        "BROKEN": 4,
        "INCONCLUSIVE": 5,
        "NOT_RUN": 125,
        "INTERRUPTED": 130,
    }


@pytest.mark.parametrize(
    ("words", "command", "code", "exit_code"),
    [
        (["env", "show", "-o", "json"], "env show", "azd_project_not_found", 3),
        (["hook", "preprovision", "-o", "json"], "hook preprovision", "azd_project_not_found", 3),
        (["env", "nothing", "-o", "json"], "env nothing", "usage", 2),
        (["env", "show", "-o", "json", "--bad"], "env show", "usage", 2),
        (["env", "show", "-o", "json", "-C", "gone"], "env show", "cwd_not_found", 2),
        (["-C", "gone", "env", "show", "-o", "json"], "env show", "cwd_not_found", 2),
    ],
)
def test_failures_have_the_envelope(
    tmp_path: Path, words: list[str], command: str, code: str, exit_code: int
) -> None:
    ran = run(make_runtime(tmp_path), *words)
    assert ran.code == exit_code
    assert list(ran.envelope) == KEYS
    assert ran.envelope["schema"] == "fwdctl/v1"
    assert ran.envelope["command"] == command
    assert ran.envelope["status"] == "failed"
    assert ran.envelope["exitCode"] == exit_code
    assert ran.envelope["data"] is None
    (error,) = ran.envelope["errors"]
    assert list(error) == ["code", "message", "suggestion"]
    assert error["code"] == code
    assert all(error.values())


def test_success_has_the_envelope(tmp_path: Path) -> None:
    ran = run(make_runtime(project(tmp_path)), "env", "show", "-o", "json")
    assert ran.code == 0
    assert list(ran.envelope) == KEYS
    assert ran.envelope["status"] == "succeeded"
    assert ran.envelope["errors"] == []
    assert ran.envelope["data"]["values"] == {"AZURE_ENV_NAME": "dev"}


def test_the_exit_code_is_the_same_for_every_format(tmp_path: Path) -> None:
    assert run(make_runtime(tmp_path), "env", "check").code == 3
    assert run(make_runtime(tmp_path), "env", "check", "-o", "json").code == 3
