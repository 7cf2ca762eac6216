"""The data plane's loop, without a kernel."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from fwdlab.errors import LabError
from fwdlab.fabric.dataplane import DataPlane
from fwdlab.model import NodeSpec
from fwdlab.nodes.running import RunningNode

if TYPE_CHECKING:
    from pathlib import Path

    from fwdlab.nodes.factory import NodeFactory


def spec(name: str) -> NodeSpec:
    return NodeSpec(name, "machine", "/subnets/s", "10.0.0.4", "1", name)


@pytest.mark.parametrize(
    "error",
    [LabError("node_failed", "bad: why"), OSError("why"), TimeoutError("why"), KeyError("why")],
)
def test_a_node_that_cannot_be_made_does_not_cost_the_others(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def create(wanted: NodeSpec, _factory: Any, log: Any) -> RunningNode:
        if wanted.name == "bad":
            raise error
        return RunningNode(wanted, cast("Any", None), None, log)

    monkeypatch.setattr(RunningNode, "create", create)
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
    monkeypatch.setattr("fwdlab.nodes.running.UnitManager", Units)
    with pytest.raises(OSError, match="no socket"):
        asyncio.run(RunningNode.create(spec("a"), cast("NodeFactory", Nodes()), print))
    assert node.ended
