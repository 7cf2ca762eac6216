"""Each line of the table of docs/lab.md, of what is faithful and what is not, names tests that exist."""

from __future__ import annotations

import re
from fnmatch import filter as matching

import pytest

from conftest import ROOT

TESTS = ROOT / "tests"
TABLE = re.search(
    r"^\| part \| in the lab \|.*?\n\n",
    (ROOT / "docs" / "lab.md").read_text("utf-8"),
    re.DOTALL | re.MULTILINE,
)
ROWS = (
    [[cell.strip() for cell in row.strip("|").split(" | ")] for row in TABLE[0].splitlines()[2:] if row]
    if TABLE
    else []
)


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_line_says_how_it_is_known_and_tested(row: list[str]) -> None:
    _part, _text, known, tested = row
    assert re.match(r"[ARCL](, [ARCL])*(: |$)", known)
    files = [str(path.relative_to(TESTS)) for path in TESTS.rglob("test_*.py")]
    folder = ""
    for name in tested.split(", "):
        folder, _, file = name.rpartition("/") if "/" in name else (folder, "", name)
        if file.startswith("test_"):
            assert matching(files, f"{folder}/{file}.py"), name
        else:
            assert file.startswith("skipped where"), name


def test_there_are_lines() -> None:
    assert len(ROWS) > 40
