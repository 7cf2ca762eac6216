"""Signals: from the program's first line on they end it with 128 + their number, and without a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
OFFSETS = [each / 25 for each in range(11)]
"""Seconds after the program's first line, over its imports and its work."""


def wait_until(process: subprocess.Popen[str], how: str, number: int) -> None:
    """Wait until a process catches (SigCgt) or ignores (SigIgn) a signal."""
    status = Path(f"/proc/{process.pid}/status")
    deadline = time.monotonic() + 20
    while not int(status.read_text().partition(f"{how}:")[2].split()[0], 16) >> (number - 1) & 1:
        assert time.monotonic() < deadline
        time.sleep(0.0005)


def signalled(words: list[str], number: int, offset: float) -> tuple[int, str, str]:
    """Exit code and what was printed, of a program that got a signal so long after its first line."""
    environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "fwdctl", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environ,
        text=True,
    ) as process:
        wait_until(process, "SigCgt", signal.SIGTERM)
        time.sleep(offset)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=30)
        return process.returncode, stdout, stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("words", [["--help"], ["env", "show"]], ids=" ".join)
def test_a_signal_ends_the_program_in_order(words: list[str], number: int) -> None:
    ended = set()
    for offset in OFFSETS:
        code, stdout, stderr = signalled(words, number, offset)
        assert code in {128 + number, 0, 3}, (offset, code, stderr)
        assert "Traceback" not in stderr + stdout, (offset, stderr)
        assert "KeyboardInterrupt" not in stderr + stdout, (offset, stderr)
        ended.add(code)
    assert 128 + number in ended


def test_handlers_stand_before_anything_slow_is_imported() -> None:
    program = "import sys; import fwdctl.__main__; print(sorted({'typer', 'typing', 'fwdctl.main'} & {*sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-S", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        env={**os.environ, "PYTHONPATH": "src"},
    )
    assert done.stdout == "[]\n"


def test_a_signal_that_is_ignored_stays_so() -> None:
    """As `nohup` and a shell's `&` leave it to a program."""
    program = 'trap "" INT HUP; exec "$0" -m fwdctl --help'
    argv = ["sh", "-c", program, sys.executable]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        wait_until(process, "SigIgn", signal.SIGHUP)
        for _ in range(20):
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGHUP)
            time.sleep(0.02)
        stdout, _ = process.communicate(timeout=30)
        assert (process.returncode, "Usage" in stdout) == (0, True)
