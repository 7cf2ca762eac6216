from __future__ import annotations

import asyncio

import pytest

from fwdlab.arm.errors import ArmError
from fwdlab.arm.store import Store
from fwdlab.model import NodeSpec, Resource

GROUP = "/subscriptions/s/resourceGroups/rg"
NET = f"{GROUP}/providers/Microsoft.Network/virtualNetworks"


def net(name: str, **properties: object) -> Resource:
    return Resource(f"{NET}/{name}", "Microsoft.Network/virtualNetworks", {"properties": properties})


def test_ids_are_found_in_any_casing() -> None:
    store = Store()
    store.put(net("Hub"))
    assert store.require(f"{NET}/hub".upper()).name == "Hub"


def test_every_change_is_one_revision_and_no_change_is_none() -> None:
    store = Store()
    store.put(net("a"))
    store.put(net("a"))
    assert store.revision == 1
    store.put(net("a", x=1))
    assert store.revision == 2
    assert not store.delete(f"{NET}/missing")
    assert store.revision == 2


def test_a_batch_is_one_revision() -> None:
    store = Store()
    with store.batch():
        store.put(net("a"))
        with store.batch():
            store.put(net("b"))
        store.delete(f"{NET}/a")
    assert store.revision == 1
    assert [r.name for r in store.list()] == ["b"]


def test_a_failed_batch_changes_nothing() -> None:
    store = Store()
    store.put(net("a"))

    def fail() -> None:
        with store.batch():
            store.delete(f"{NET}/a")
            store.put(net("b"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [r.name for r in store.list()] == ["a"]
    assert [r.name for r in store.list(type="Microsoft.Network/virtualNetworks")] == ["a"]
    assert store.revision == 1
    store.put(net("c"))
    assert store.revision == 2


def test_deleting_takes_children_but_not_neighbours() -> None:
    store = Store()
    store.put(net("a"))
    store.put(Resource(f"{NET}/a/children/c", "T/c", {}))
    store.put(net("ab"))
    assert store.delete(f"{NET}/A")
    assert [r.name for r in store.list()] == ["ab"]


def test_listing_by_type_and_group() -> None:
    store = Store()
    store.put(net("a"))
    other = f"{GROUP}-2/providers/Microsoft.Network/virtualNetworks/b"
    store.put(Resource(other, "Microsoft.Network/virtualNetworks", {}))
    assert [r.name for r in store.list(type="microsoft.network/VIRTUALNETWORKS", within=GROUP.upper())] == [
        "a"
    ]


def test_a_snapshot_does_not_follow_later_changes() -> None:
    store = Store()
    node = NodeSpec("vm", "machine", f"{NET}/a/subnets/s", "10.0.0.4", "b1", f"{NET}/a")
    store.put(Resource(f"{NET}/a", "T", {"properties": {}}, node=node))
    before = store.snapshot()
    store.delete(f"{NET}/a")
    assert before.nodes == (node,)
    assert list(before.documents) == [f"{NET}/a".lower()]
    assert store.snapshot().nodes == ()


def test_missing_things_are_named_as_arm_names_them() -> None:
    store = Store()
    with pytest.raises(ArmError, match=r"ResourceNotFound: .*'Microsoft\.Network/virtualNetworks/x'"):
        store.require(f"{NET}/x")
    with pytest.raises(ArmError, match="ResourceGroupNotFound"):
        store.require(GROUP)


def test_waiting_ends_with_the_next_change() -> None:
    async def scene() -> int:
        store = Store()
        waiter = asyncio.create_task(store.wait(0))
        await asyncio.sleep(0)
        assert not waiter.done()
        store.put(net("a"))
        return await asyncio.wait_for(waiter, 5)

    assert asyncio.run(scene()) == 1
