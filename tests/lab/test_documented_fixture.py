"""The fixture in docs/lab.md does what is said of it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from conftest import ROOT
from support.programs import clean_environ, run

pytestmark = pytest.mark.lab


def test_the_documented_fixture_works(tmp_path: Path) -> None:
    (snippet,) = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "docs" / "lab.md").read_text(), re.DOTALL | re.MULTILINE
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_snippet.py").write_text(snippet)
    environ = clean_environ(tmp_path)
    environ["PATH"] = f"{Path(sys.executable).parent}:{environ['PATH']}"
    done = run([sys.executable, "-m", "pytest", "-q", "test_snippet.py"], environ=environ, cwd=tmp_path)
    assert "1 passed" in done.stdout
    assert not list((tmp_path / "state").rglob("lab.json"))
