"""Runs the real programs as subprocesses, always with a time limit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

FWDCTL = [sys.executable, "-m", "fwdctl"]


@dataclass(frozen=True)
class Done:
    """How a program ended."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


def run(
    argv: list[str],
    *,
    environ: dict[str, str],
    cwd: Path | None = None,
    stdin: str | None = None,
    seconds: float = 90,
    expect: int | None = 0,
) -> Done:
    """Run a program; `expect` None takes any exit code. One that hangs tells where, in all its threads."""
    with subprocess.Popen(
        argv,
        env={**environ, "PYTHONFAULTHANDLER": "1"},
        cwd=cwd,
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            out, err = process.communicate(stdin, timeout=seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)
            out, err = process.communicate(timeout=10)
            pytest.fail(f"{' '.join(argv)} hung for {seconds} s\n{out}\n{err}")
    result = Done(process.returncode, out, err)
    if expect is not None:
        assert result.returncode == expect, f"{' '.join(argv)}: exit {result.returncode}\n{out}\n{err}"
    return result


def clean_environ(home: Path) -> dict[str, str]:
    """This process's environment without anything that names a deployment, with a home of its own."""
    keep = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("AZURE_", "AZD_", "FWD", "RESOURCE_", "CLOUD_INIT", "SSH_", "HUB_", "SPOKE_"))
    }
    return {
        **keep,
        "HOME": str(home),
        "XDG_STATE_HOME": str(home / "state"),
        "AZURE_CONFIG_DIR": str(home / "azure"),
        "CI": "1",
        "COLUMNS": "80",
    }


@dataclass
class RunningLab:
    """A lab of the test's own and the environment in which programs reach it."""

    name: str
    home: Path
    base: dict[str, str]
    environ: dict[str, str] = field(default_factory=dict)

    @classmethod
    def up(cls, home: Path, name: str, *options: str) -> RunningLab:
        """`fwdctl lab up`, then `fwdctl lab env`."""
        base = clean_environ(home)
        run([*FWDCTL, "lab", "up", "--name", name, *options], environ=base, cwd=home)
        lab = cls(name, home, base)
        variables = run([*FWDCTL, "lab", "env", "--name", name, "-o", "json"], environ=base).json
        lab.environ = {**base, **variables["data"]["variables"]}
        return lab

    def down(self) -> None:
        """`fwdctl lab down`, if it still runs."""
        run([*FWDCTL, "lab", "down", "--name", self.name], environ=self.base, expect=None)

    def fwdctl(self, *arguments: str, expect: int | None = 0, stdin: str | None = None) -> Done:
        """A command of fwdctl in the lab's environment."""
        return run([*FWDCTL, *arguments], environ=self.environ, cwd=self.home, expect=expect, stdin=stdin)

    def lab(self, *arguments: str, expect: int | None = 0) -> Done:
        """A command of `fwdctl lab` on this lab."""
        verb, *rest = arguments
        return self.fwdctl("lab", verb, "--name", self.name, *rest, expect=expect)

    def arm(self, method: str, path: str, body: Any = None) -> Any:
        """A request to the lab's ARM endpoint; the decoded answer."""
        from fwdctl.runtime import Runtime
        from fwdlab.cli.deploy import azure_of
        from fwdlab.cli.labs import client_of

        runtime = Runtime(environ=self.base)
        with azure_of(runtime, client_of(self.name, runtime)) as arm:
            return arm.request(method, path, body)

    @property
    def topology(self) -> dict[str, Any]:
        """What the template handed over."""
        value: dict[str, Any] = json.loads(self.environ["FWD_TOPOLOGY"])
        return value
