"""An agent over a kernel that is none, whose configuration is a file."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from support.agent_program import agent_module

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

agent = agent_module("agent")
rules = agent_module("rules")


class Kernel:
    """Shows what was written, as iptables-save would, and forgets when told to."""

    def __init__(self) -> None:
        self.chains: dict[str, dict[str, list[str]]] = {}
        self.forwarding = False
        self.refuses = False
        self.writes = 0
        self.forgotten: list[tuple[str, bool]] = []

    def read(self) -> tuple[dict[str, tuple[int, int]], set[str]]:
        jumps = [f"-A {hook} -j {chain}" for _, hook, chain in rules.JUMPS] if self.chains else []
        own = [rule for table in self.chains.values() for chain in table.values() for rule in chain]
        return dict.fromkeys([*jumps, *own], (0, 0)), set()

    def write(self, plan: dict[str, dict[str, list[str]]]) -> None:
        if self.refuses:
            raise OSError("iptables-restore ended with 4: no permission")
        self.writes += 1
        self.chains = {
            table: {name: list(own) for name, own in chains.items()} for table, chains in plan.items()
        }

    def ensure_forwarding(self) -> bool:
        was, self.forwarding = self.forwarding, True
        return was

    def forget(self, address: str) -> None:
        """Noted with whether new connections still went there."""
        self.forgotten.append((address, address in str(self.chains["nat"])))

    def conntrack(self) -> dict[str, int]:
        return {"count": 5, "max": 100}


def document(**changes: Any) -> dict[str, Any]:
    forward = {"name": "web", "port": 8000, "targets": ["198.51.100.1:80"], "check": "none"}
    return {
        "version": 1,
        "hash": "first",
        "healthPort": 18099,
        "inbound": ["10.0.1.0/26"],
        "forwards": [forward],
        **changes,
    }


class World:
    """An agent whose configuration is a file."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "config.json"
        self.last_good = folder / "last-good.json"
        self.kernel = Kernel()
        self.agent = agent.Agent(self.kernel, str(self.file), self.last_good)

    def give(self, **changes: Any) -> None:
        self.file.write_text(json.dumps(document(**changes)))

    def turn(self) -> None:
        self.agent._next_read = 0.0
        self.agent.turn()

    def until(self, condition: Callable[[], bool]) -> None:
        """Turn until it holds; checks run in threads of their own."""
        deadline = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < deadline
            self.turn()
            time.sleep(0.01)

    def end(self) -> None:
        """Let its threads end."""
        for target in self.agent.targets._targets.values():
            target.gone.set()
        self.agent.targets.names.follow(set(), ())

    def healthy(self, path: str = "/forward/web/8000") -> int:
        return int(self.agent.answer(path)[0])

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.agent.answer("/status")[1]
        return status
