"""The real az in the lab."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from support.programs import Done, run

if TYPE_CHECKING:
    from support.programs import RunningLab


class Az:
    """az in the lab's environment; `-g` is added."""

    def __init__(self, lab: RunningLab) -> None:
        self.lab = lab
        self.topology = lab.topology
        self.group = lab.topology["resourceGroup"]

    def __call__(self, *arguments: str, expect: int | None = 0, group: bool = True) -> Done:
        tail = ["-g", self.group] if group else []
        return run(
            ["az", *arguments, *tail], environ=self.lab.environ, cwd=self.lab.home, seconds=120, expect=expect
        )

    def json(self, *arguments: str, group: bool = True) -> Any:
        return json.loads(self(*arguments, "-o", "json", group=group).stdout)

    def tsv(self, *arguments: str, group: bool = True) -> str:
        return self(*arguments, "-o", "tsv", group=group).stdout.strip()
