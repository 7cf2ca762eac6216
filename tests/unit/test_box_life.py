"""The first process of a jump box: it ends itself unless it is told that somebody works with the box."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from fwdctl.jump import session

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
TEMPLATE = Path(__file__).parents[2] / "infra" / "main.json"
SHELLS = [("sh",), ("bash",), ("busybox", "ash")]
FASTER = 50
"""So many seconds of the box are one here."""


def script() -> str:
    """What the template gives to the shell."""
    commands: list[list[str]] = []

    def search(value: object) -> None:
        if isinstance(value, dict):
            if "image" in value and "command" in value:
                commands.append(value["command"])
            for each in value.values():
                search(each)
            if "life" in value and isinstance(value["life"], str):
                found.append(value["life"])
        elif isinstance(value, list):
            for each in value:
                search(each)

    found: list[str] = []
    search(json.loads(TEMPLATE.read_text(encoding="utf-8")))
    assert all(command[2] == "[variables('life')]" for command in commands)
    assert len(set(found)) == 1
    return found[0]


class Box:
    """A box that lives for 20 s unattended and for 500 s when told to stay."""

    def __init__(self, shell: tuple[str, ...], folder: Path) -> None:
        self.life = folder / "life"
        text = script()
        assert session.LIFE in text
        text = text.replace(session.LIFE, str(self.life)).replace("sleep 5", f"sleep {5 / FASTER}")
        self.process = subprocess.Popen([*shell, "-c", text, "sh", "20", "500"])
        self.began = time.monotonic()

    def tell(self, word: str) -> None:
        self.life.write_text(f"{word}\n")

    def ends_within(self, seconds: float) -> bool:
        """In its own time."""
        try:
            return self.process.wait(seconds / FASTER) == 0
        except subprocess.TimeoutExpired:
            return False


@pytest.fixture(params=SHELLS, ids=" ".join)
def box(request: pytest.FixtureRequest, tmp_path: Path) -> object:
    if shutil.which(request.param[0]) is None:
        pytest.skip(f"{request.param[0]} is not installed")
    box = Box(request.param, tmp_path)
    yield box
    box.process.kill()
    box.process.wait()


def test_a_box_that_nobody_works_with_ends_itself(box: Box) -> None:
    assert box.ends_within(20 + 100)
    assert time.monotonic() - box.began >= 20 / FASTER


def test_a_box_lives_as_long_as_somebody_works_with_it(box: Box) -> None:
    for _ in range(6):
        time.sleep(10 / FASTER)
        box.tell("renew")
        assert box.process.poll() is None
    assert box.ends_within(200)


def test_a_box_that_is_told_to_stay_does_so_and_ends_after_its_lifetime(box: Box) -> None:
    box.tell("stay")
    assert not box.ends_within(100)
    box.tell("renew")  # which shortens nothing
    assert not box.ends_within(200)
    assert box.ends_within(2000)
    assert time.monotonic() - box.began >= 450 / FASTER


def test_a_box_obeys_sigterm(box: Box) -> None:
    box.tell("stay")
    time.sleep(0.3)
    box.process.send_signal(signal.SIGTERM)
    assert box.process.wait(10) == 0
