"""The targets of all forwards: each address checked in a thread of its own; names are in names.py."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from checks import check_target
from configuration import log
from names import Names

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from configuration import Config, Forward

CHECK_SECONDS = 5.0  # for a whole check, however slowly the target answers: as `fwdctl probe` has by default
IN_A_ROW = 2  # checks that must agree before a target changes its state
RECHECK_SECONDS = 1.0  # to the next check while one has not agreed yet


@dataclass
class Target:
    """State of one address behind one port; `since` is when it last changed (UTC)."""

    forward: Forward
    host: str
    address: str
    state: str = "unknown"
    since: str = ""
    last_error: str = ""
    against: int = 0  # checks in a row that contradict the state
    gone: threading.Event = field(default_factory=threading.Event)

    def record(self, error: str) -> None:
        """Take in a check: two in a row change the state; only the very first success counts at once."""
        seen = "down" if error else "up"
        self.last_error = error or self.last_error
        self.against = 0 if seen == self.state else self.against + 1
        if self.against >= IN_A_ROW or (self.state, seen) == ("unknown", "up"):
            self.state, self.against = seen, 0
            self.since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            log(f"forward {self.forward.name}: target {self.address} is {seen} {error}".rstrip())


class Targets:
    """All targets of one configuration; states outlive a change of it: of names, of checks, of other targets.

    Args:
        changed: called by a thread when a target's state, or what a name means, has changed.
        names_file: where the addresses of names are kept.
    """

    def __init__(self, changed: Callable[[], None], names_file: Path) -> None:
        self.names = Names(self._renamed, names_file)
        self.addresses: dict[str, list[str]] = {}  # ADDRESS:PORT by a forward's name, in order
        self._changed = changed
        self._interval = RECHECK_SECONDS
        self._targets: dict[tuple[int, str], Target] = {}  # by port and ADDRESS:PORT
        self._config: Config | None = None

    def _renamed(self) -> None:
        self._config = None
        self._changed()

    def follow(self, config: Config) -> None:
        """Check the addresses that are wanted now and no others."""
        if config is not self._config:
            self._config, self._interval = config, config.interval
            self._check_only(self._addresses(config))

    def of(self, forward: Forward) -> list[Target]:
        """A forward's targets, in order."""
        known = (self._targets.get((forward.port, each)) for each in self.addresses.get(forward.name, ()))
        return [target for target in known if target]  # who asks from another thread may see half a change

    def unchecked(self) -> bool:
        """Whether a target waits for its first check, or a name for its first look-up."""
        return self.names.unasked() or any(target.state == "unknown" for target in self._targets.values())

    def live(self, config: Config) -> dict[str, list[str]]:
        """Addresses that may get new connections, by a forward's name."""
        return {f.name: [each.address for each in self.of(f) if each.state == "up"] for f in config.forwards}

    def _addresses(self, config: Config) -> dict[tuple[Forward, str], str]:
        """The host by (forward, ADDRESS:PORT)."""
        wanted = [(f, *target.rpartition(":")[::2]) for f in config.forwards for target in f.targets]
        named = {host for _, host, _ in wanted if not _is_address(host)}
        self.names.follow(named, tuple(map(IPv4Network, config.inbound)))
        hosts: dict[tuple[Forward, str], str] = {}
        for forward, host, port in wanted:
            for address in self.names.addresses(host) if host in named else [host]:
                hosts.setdefault((forward, f"{address}:{port}"), host)
        return hosts

    def _check_only(self, wanted: dict[tuple[Forward, str], str]) -> None:
        new: dict[tuple[int, str], Target] = {}
        addresses: dict[str, list[str]] = {}
        for (forward, address), host in wanted.items():
            key = forward.port, address
            new[key] = self._targets.get(key) or Target(forward, host, address)
            new[key].forward, new[key].host = forward, host  # which may be called or checked otherwise now
            addresses.setdefault(forward.name, []).append(address)
        for key in self._targets.keys() - new.keys():
            self._targets[key].gone.set()
        started = new.keys() - self._targets.keys()
        self._targets, self.addresses = new, addresses
        for key in started:
            threading.Thread(target=self._check, args=(new[key],), daemon=True).start()

    def _check(self, target: Target) -> None:
        """Check one address until it is not wanted any more; checks never overlap."""
        while not target.gone.is_set():
            before = target.state
            target.record(check_target(target.forward, target.address, CHECK_SECONDS, target.host))
            if target.state != before:
                self._changed()
            target.gone.wait(min(RECHECK_SECONDS, self._interval) if target.against else self._interval)


def _is_address(host: str) -> bool:
    try:
        IPv4Address(host)
    except ValueError:
        return False
    return True
