"""The data plane's loop, without a kernel."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from fwdlab.errors import LabError
from fwdlab.fabric.dataplane import DataPlane
from fwdlab.fabric.running import Running
from fwdlab.model import NodeSpec

if TYPE_CHECKING:
    from pathlib import Path

    from fwdlab.nodes.nursery import Nursery


def spec(name: str) -> NodeSpec:
    return NodeSpec(name, "machine", "/subnets/s", "10.0.0.4", "1", name)


@pytest.mark.parametrize(
    "error",
    [LabError("node_failed", "bad: why"), OSError("why"), TimeoutError("why"), KeyError("why")],
)
def test_a_node_that_cannot_be_made_does_not_cost_the_others(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def create(wanted: NodeSpec, _nursery: Any, log: Any) -> Running:
        if wanted.name == "bad":
            raise error
        return Running(wanted, cast("Any", None), None, log)

    monkeypatch.setattr(Running, "create", create)
    plane = DataPlane(run_dir=tmp_path, log=print)
    made, problems = asyncio.run(plane._create([spec("a"), spec("bad"), spec("b")]))
    assert [each.spec.name for each in made] == ["a", "b"]
    assert len(problems) == 1
    assert problems[0].startswith("bad: ")
    assert "why" in problems[0]


def test_a_node_whose_units_cannot_be_watched_is_ended_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class Node:
        ended = False

        def destroy(self) -> None:
            self.ended = True

    class Nodes:
        async def create(self, _name: str, **_: Any) -> Node:
            return node

    class Units:
        def __init__(self, *_: Any) -> None:
            pass

        async def listen(self) -> None:
            raise OSError("no socket")

    node = Node()
    monkeypatch.setattr("fwdlab.fabric.running.UnitManager", Units)
    with pytest.raises(OSError, match="no socket"):
        asyncio.run(Running.create(spec("a"), cast("Nursery", Nodes()), print))
    assert node.ended
