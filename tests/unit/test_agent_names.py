"""Targets by host name: every address a target, looked up again and again, the last good ones kept."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from support.agent_program import agent_module
from support.agent_world import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

names = agent_module("names")
DB = {"name": "db", "port": 1433, "targets": ["db.example:1433"], "check": "none"}


class Resolver:
    """Answers with these addresses, or fails; `held` keeps it from answering."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.held = threading.Event()
        self.held.set()

    def __call__(self, _host: str, *_: Any) -> list[Any]:
        self.held.wait(30)
        if not self.addresses:
            raise socket.gaierror(-2, "no such name")
        return [(2, 1, 6, "", (address, 0)) for address in self.addresses]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    made = Resolver()
    monkeypatch.setattr("socket.getaddrinfo", made)
    monkeypatch.setattr(names, "RESOLVE_SECONDS", 0.02)
    yield made
    made.held.set()


@pytest.fixture
def world(tmp_path: Path, resolver: Resolver) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.end()


def targets(world: World) -> list[str]:
    return world.agent.targets.addresses.get("db", [])  # type: ignore[no-any-return]


def test_names_are_looked_up_at_least_once_a_minute() -> None:
    assert names.RESOLVE_SECONDS <= 60


def test_a_name_is_resolved_again_and_its_last_addresses_stay(world: World, resolver: Resolver) -> None:
    resolver.addresses = ["198.51.100.8", "198.51.100.7"]
    both = ["198.51.100.7:1433", "198.51.100.8:1433"]
    world.give(forwards=[DB])
    world.until(lambda: targets(world) == both and world.healthy("/forward/db/1433") == 200)
    assert len(world.kernel.chains["nat"]["FWDCTL-1433"]) == 2
    resolver.addresses = []
    world.until(lambda: "db.example" in world.status()["namesFailed"])
    assert (targets(world), world.healthy("/forward/db/1433")) == (both, 200)
    assert world.status()["codes"] == ["TARGET_DNS"]
    assert 'fwdctl_problem{code="TARGET_DNS"} 1' in world.agent.answer("/metrics")[1]
    resolver.addresses = ["198.51.100.9"]
    world.until(lambda: targets(world) == ["198.51.100.9:1433"])
    assert (world.status()["namesFailed"], world.status()["codes"]) == ({}, [])


def test_a_resolver_that_hangs_holds_up_nothing_else(world: World, resolver: Resolver) -> None:
    resolver.addresses = ["198.51.100.7"]
    world.give(forwards=[DB])
    world.until(lambda: world.healthy("/forward/db/1433") == 200)
    resolver.held.clear()
    time.sleep(0.1)
    world.kernel.chains = {}
    world.agent._sight = (0.0, {})
    begin = time.monotonic()
    world.turn()
    assert world.healthy("/forward/db/1433") == 200
    assert time.monotonic() - begin < 5


def test_a_name_that_never_resolved_leaves_its_forward_unhealthy_and_others_alone(
    world: World, resolver: Resolver
) -> None:
    web = {"name": "web", "port": 8000, "targets": ["198.51.100.1:80"], "check": "none"}
    world.give(forwards=[DB, web])
    world.until(lambda: world.healthy() == 200)
    assert world.healthy("/forward/db/1433") == 503
    assert (world.status()["codes"], world.status()["hash"]) == (["TARGET_DNS"], "first")


def test_addresses_are_known_after_a_restart_without_a_resolver(
    world: World, resolver: Resolver, tmp_path: Path
) -> None:
    resolver.addresses = ["198.51.100.7"]
    world.give(forwards=[DB])
    world.until(lambda: targets(world) == ["198.51.100.7:1433"])
    assert json.loads((tmp_path / "names.json").read_text()) == {"db.example": ["198.51.100.7"]}
    resolver.addresses = []
    again = World(tmp_path)
    again.until(lambda: again.healthy("/forward/db/1433") == 200)
    assert targets(again) == ["198.51.100.7:1433"]
    again.end()


def test_what_is_served_waits_for_a_new_name(world: World, resolver: Resolver) -> None:
    resolver.addresses = ["198.51.100.7"]
    world.give(forwards=[DB])
    world.until(lambda: world.healthy("/forward/db/1433") == 200)
    resolver.held.clear()
    world.give(hash="second", forwards=[{**DB, "targets": ["other.example:1433"]}])
    for _ in range(3):
        world.turn()
        assert world.healthy("/forward/db/1433") == 200
    resolver.addresses = ["198.51.100.8"]
    resolver.held.set()
    world.until(lambda: targets(world) == ["198.51.100.8:1433"] and world.healthy("/forward/db/1433") == 200)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.1.9", "224.0.0.1"])
def test_a_name_that_leads_to_no_server_is_not_followed(
    world: World, resolver: Resolver, address: str
) -> None:
    resolver.addresses = [address]
    world.give(forwards=[DB])
    world.until(lambda: "db.example" in world.status()["namesFailed"])
    assert targets(world) == []


def test_a_name_that_is_not_wanted_any_more_is_not_asked_for(world: World, resolver: Resolver) -> None:
    world.give(forwards=[DB])
    world.until(lambda: "db.example" in world.status()["namesFailed"])
    world.give(hash="second")
    world.until(lambda: world.status()["hash"] == "second")
    time.sleep(0.1)
    assert world.status()["namesFailed"] == {}
