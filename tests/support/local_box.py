"""A jump box on this machine: a shell that finds the programs of one folder and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from fwdctl.channel.run import Outcome, Request
from fwdctl.probe.boxes import BoxClient

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path as Folder

    from fwdctl.deployment import Box
    from fwdctl.probe.model import Path, PathResult


def install(folder: Folder, tools: str) -> None:
    """Put programs of this machine there; `busybox` brings a shell and all that it can do."""
    for tool in ["sh", *tools.split()]:
        found = shutil.which(tool)
        if tool == "python3":  # a link to a virtual environment's python does not find its library
            program(folder, tool, f'exec {os.path.realpath(sys.executable)} "$@"')
        elif found is None:
            pytest.skip(f"{tool} is not installed")
        elif tool == "busybox":
            names = subprocess.run([found, "--list"], capture_output=True, text=True, check=True, timeout=10)
            for name in names.stdout.split():
                (folder / name).unlink(missing_ok=True)
                (folder / name).symlink_to(found)
        else:
            (folder / tool).symlink_to(found)


def program(folder: Folder, name: str, text: str) -> None:
    """A program of a few lines for /bin/sh."""
    (folder / name).unlink(missing_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


@dataclass
class LocalBox:
    """Stands in for the session of a box; `steps` says what each exec was for, `stages` how far it was."""

    folder: Folder
    steps: list[str] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    stages: list[str] = field(default_factory=list)

    def leave(self, *, failed: bool) -> None:
        """Nothing was started."""

    def run(self, request: Request, *, doing: str, stage: Callable[[bytes], str]) -> Outcome:
        self.steps.append(doing)
        shell, *words = (os.fsdecode(word) for word in request.argv)
        assert shell == "/bin/sh"
        done = subprocess.run(
            [str(self.folder / "sh"), *words],
            env={"PATH": str(self.folder), "HOME": str(self.folder)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=120,
        )
        self.stages += [stage(line) for line in [b"", *done.stdout.splitlines(keepends=True)]]
        return Outcome("completed", done.returncode, done.stdout, done.stderr)

    def test(self, paths: Sequence[Path], seconds: float, retries: int = 0) -> list[PathResult]:
        def session(_box: Box, *, may_start: bool) -> LocalBox:
            return self

        boxes = [paths[0].box]
        with BoxClient(session, boxes, seconds, self.pauses.append) as client:  # type: ignore[arg-type]
            return client.test(paths, retries)
