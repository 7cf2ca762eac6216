"""What `fwdctl lab` prints, and what it hands to a shell; no lab needed."""

from __future__ import annotations

import io
import shutil
import subprocess
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from fwdctl.cli.lab import up, watch
from fwdctl.output import OutputFormat, console
from support.frame import make_runtime

if TYPE_CHECKING:
    from pathlib import Path


def test_a_lab_is_shown_in_every_encoding(tmp_path: Path) -> None:
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="ascii", newline="\n")
    runtime = make_runtime(tmp_path, stdout=stdout)
    state = SimpleNamespace(name="漢", base_url="https://x")
    data = {"nodes": [], "faults": ["\u2014"], "warnings": ["✓"]}
    watch._print_status(console(runtime, stdout), state, data)  # type: ignore[arg-type]
    watch._print_requests(runtime, [{"event": "refused", "host": "漢"}], OutputFormat.table)
    said = {"stdout": "漢\n", "stderr": "", "returncode": 3}
    client = SimpleNamespace(control=lambda *_, **__: said)
    assert watch._run_in(runtime, client, "hub", ["x"]).exit_code == 3  # type: ignore[arg-type]
    stdout.seek(0)
    assert stdout.read().count("\\u6f22") == 3


@pytest.mark.parametrize("shell", ["sh", "bash --posix", "bash", "zsh"])
def test_a_shell_uses_the_lab_and_gets_its_own_settings_back(tmp_path: Path, shell: str) -> None:
    argv = shell.split()
    if shutil.which(argv[0]) is None:
        pytest.skip(f"{argv[0]} is not installed")
    environ = {"AZURE_CONFIG_DIR": "it's mine", "PATH": "/usr/bin:/bin"}
    runtime = make_runtime(tmp_path, environ)
    up._print_shell(
        console(runtime, runtime.stdout), {"AZURE_CONFIG_DIR": "a b", "FWDCTL_LAB": "lab"}, runtime
    )
    lines = runtime.stdout.getvalue()  # type: ignore[attr-defined]
    show = 'echo "$AZURE_CONFIG_DIR ${FWDCTL_LAB-none}"'
    script = f'eval "$LINES_OF_LAB"; {show}; fwdctl_lab_off; {show}'
    done = subprocess.run(
        [*argv, "-c", script],
        env={**environ, "LINES_OF_LAB": lines},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "a b lab\nit's mine none\n", "")
