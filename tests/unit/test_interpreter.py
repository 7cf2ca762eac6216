"""A node's Python programs, run by a fork of the lab's interpreter, behave as with an interpreter of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

DRIVER = """
import os, sys
from fwdlab.nodes import interpreter
interpreter.preload()
argv = ["python3", *sys.argv[1:]]
os.execvpe = lambda *_: sys.exit("not by a fork")
assert interpreter.may_run(argv, {})
interpreter.run(argv, {"A": "b"})
"""
PROGRAMS = {
    "ends": "print('a')",
    "arguments": "import sys; print(sys.argv, __name__, __file__, sys.path[0])",
    "environment": "import os; print(sorted(os.environ.items()))",
    "own-module": "import beside; print(beside.VALUE)",
    "exit-code": "import sys; print('a', end=''); sys.exit(7)",
    "exit-text": "raise SystemExit('no')",
    "raises": "def f():\n    raise ValueError('no')\nf()",
    "threads": "import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.1), print('late'))).start()",
    "at-exit": "import atexit; atexit.register(print, 'end'); print('begin')",
    "builtins": "print('ü'); exit(3)",
    "loop": "import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    print('ran')\nasyncio.run(f())",
}


def ran(argv: list[str], home: Path, **environ: str) -> tuple[int, str, list[str]]:
    done = subprocess.run(
        argv, cwd=home, env=environ, capture_output=True, text=True, encoding="utf-8", timeout=30, check=False
    )
    shown = [line for line in done.stderr.splitlines() if "^" not in line]
    return done.returncode, done.stdout, shown


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_cannot_tell(tmp_path: Path, name: str) -> None:
    (tmp_path / "beside.py").write_text("import json\nVALUE = json.dumps({'a': 1})\n")
    (tmp_path / "p.py").write_text(PROGRAMS[name])
    argv = [str(tmp_path / "p.py"), "x", "-y"]
    own = ran([sys.executable, *argv], tmp_path, A="b", LANG="C.UTF-8", LC_CTYPE="C.UTF-8")
    fork = ran([sys.executable, "-c", DRIVER, *argv], tmp_path, PATH=os.environ["PATH"])
    if name == "environment":
        assert fork == (0, "[('A', 'b')]\n", [])
    else:
        assert fork == own


@pytest.mark.parametrize(
    ("program", "beside"),
    [
        ("import yaml", ""),
        ("import helper", "import yaml"),
        ("from . import helper", ""),
        ("import json", ""),
        ("print(", ""),
    ],
)
def test_others_get_an_interpreter_of_their_own(tmp_path: Path, program: str, beside: str) -> None:
    """One that needs what is not in the library, stands before it, or is wrong."""
    (tmp_path / "helper.py").write_text(beside)
    (tmp_path / "json.py").write_text("")
    (tmp_path / "p.py").write_text(program)
    code, _, said = ran([sys.executable, "-c", DRIVER, str(tmp_path / "p.py")], tmp_path)
    assert (code, said[-1]) == (1, "not by a fork")
