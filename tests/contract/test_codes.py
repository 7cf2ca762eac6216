"""Codes: what the source can name, the table of tests/lab/matrix, docs/codes.md, and the faults that cause them."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from conftest import ROOT
from fwdctl.probe.run import OF_THE_BOX
from lab.matrix.codes import CODES
from lab.matrix.faults import FAULTS

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLE = {code.name: code for code in CODES}
CODE = re.compile(r"(DNS|PE|ENV|LB|FWD|NSG|ROUTE|TARGET|PATH)_[A-Z_]+")
ERRORS = {"arm_unavailable", "not_authorized", ""}
"""What a probe ends with that is no code of a hop."""


def constants(folder: str) -> Iterator[str]:
    for file in (ROOT / "src" / "fwdctl" / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_what_the_source_can_name_is_in_the_table_and_nothing_else() -> None:
    named = {text for text in constants("probe") if CODE.fullmatch(text)}
    named |= {code.upper() for code in OF_THE_BOX}
    named |= {text.upper() for text in constants("channel") if re.fullmatch("exec_[a-z_]+", text)}
    assert named == set(TABLE)
    assert len(CODES) == len(TABLE)


def test_the_page_says_what_the_table_says() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/codes", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_code_can_be_caused_or_it_is_said_why_not() -> None:
    caused = {code for fault in FAULTS for code in (fault.code, *fault.also)}
    assert {code.name for code in CODES if not code.lab} == caused - ERRORS


@pytest.mark.parametrize("code", [code for code in CODES if not code.lab], ids=lambda code: code.name)
def test_a_code_ends_with_the_exit_code_that_its_faults_have(code: object) -> None:
    name = getattr(code, "name", "")
    exits = {
        0 if name in fault.also else fault.exit_code for fault in FAULTS if name in {fault.code, *fault.also}
    }
    assert TABLE[name].exit_code in exits
    assert exits <= {TABLE[name].exit_code, 0}


def test_every_fault_was_measured_and_was_right() -> None:
    page = (ROOT / "docs" / "codes.md").read_text("utf-8").partition("<!-- scripts/matrix -->")[2]
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in page.splitlines()
        if line.startswith("| ")
    ]
    seen = {row[0]: (row[1].strip("`"), int(row[3])) for row in rows[1:]}
    assert seen == {fault.name: (fault.code or "-", fault.exit_code) for fault in FAULTS}
    assert "| WRONG |" not in page
