"""Programs that stand in for others on PATH, on every system."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def write_program(folder: Path, name: str, source: str) -> None:
    """Put a Python program where `name` finds it, once `folder` is on PATH."""
    if sys.platform == "win32":
        (folder / f"{name}.py").write_text(source, "utf-8")
        (folder / f"{name}.cmd").write_text(f'@"{sys.executable}" "%~dp0{name}.py" %*\n', "utf-8")
    else:
        (folder / name).write_text(f"#!{sys.executable}\n{source}", "utf-8")
        (folder / name).chmod(0o755)
