"""fwdctl in this process, with streams that a test can read."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fwdctl.main import main
from fwdctl.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKNCQ3uC2frP8VY9VlLtFzfWjTTuPDVPzWQlpInPBeni"


class Stream(io.StringIO):
    """A text stream that may claim to be a terminal."""

    def __init__(self, text: str = "", *, terminal: bool = False, encoding: str = "utf-8") -> None:
        super().__init__(text)
        self._terminal = terminal
        self._encoding = encoding

    def isatty(self) -> bool:
        return self._terminal

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding


def make_runtime(
    cwd: Path,
    environ: Mapping[str, str] | None = None,
    *,
    terminal: bool = False,
    answer: str = "",
    **rest: Any,
) -> Runtime:
    """A runtime that touches nothing of the test's own process."""
    streams = {name: Stream(terminal=terminal) for name in ("stdout", "stderr")}
    return Runtime(
        environ=dict(environ or {}), cwd=cwd, stdin=Stream(answer, terminal=terminal), **{**streams, **rest}
    )


@dataclass(frozen=True)
class Ran:
    """How a command line ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def envelope(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.stdout)
        return document


def run(runtime: Runtime, *words: str) -> Ran:
    """Run one command line of fwdctl."""
    code = main(list(words), runtime)
    return Ran(code, runtime.stdout.getvalue(), runtime.stderr.getvalue())  # type: ignore[attr-defined]


def project(folder: Path, env_file: str = "", *, name: str = "dev") -> Path:
    """An azd project with one environment, selected."""
    (folder / ".azure" / name).mkdir(parents=True)
    (folder / "azure.yaml").write_text("name: demo\n")
    (folder / ".azure" / "config.json").write_text(json.dumps({"version": 1, "defaultEnvironment": name}))
    (folder / ".azure" / name / ".env").write_text(f'AZURE_ENV_NAME="{name}"\n{env_file}', encoding="utf-8")
    return folder
