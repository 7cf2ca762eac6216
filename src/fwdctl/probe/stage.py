"""Which hop of which path a box is testing, from what its script has printed so far. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fwdctl.probe.model import Path


@dataclass
class Stage:
    """The tests of one box, while they go on; for a display, nothing is judged by it."""

    paths: Sequence[Path]
    _heard: bytearray = field(default_factory=bytearray)

    def hear(self, data: bytes) -> str:
        """The hop under test after some more output; empty when all are done."""
        self._heard += data
        named: set[str] = set()
        sampled: Counter[str] = Counter()
        for line in self._heard.decode("utf-8", "replace").split("\n")[:-1]:
            kind, _, rest = line.partition(" ")
            indexes = rest.partition(" ")[0].split(",")
            if kind == "name":
                named.update(indexes)
            elif kind == "sample":
                sampled.update(indexes)
        for place, path in enumerate(self.paths):
            index = str(place)
            if not path.skip and path.address and index not in named:
                return f"{path.label}, name"
            if not path.skip and sampled[index] < path.samples:
                number = f" {sampled[index] + 1} of {path.samples}" if path.samples > 1 else ""
                return f"{path.label}, connection{number}"
        return ""
