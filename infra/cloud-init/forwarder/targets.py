"""The targets of all forwards: their names resolved, each address checked in a thread of its own."""

from __future__ import annotations

import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from checks import check_target
from configuration import refuse_address

if TYPE_CHECKING:
    from collections.abc import Callable

    from configuration import Config, Forward

CHECK_SECONDS = 2.0  # for a whole check, however slowly the target answers
IN_A_ROW = 2  # checks that must agree before a target changes its state
RECHECK_SECONDS = 1.0  # to the next check while one has not agreed yet
RESOLVE_SECONDS = 15.0  # for a name, whatever its time to live: the standard library does not tell it


def log(message: str) -> None:
    """One line to the journal."""
    sys.stderr.write(message + "\n")
    sys.stderr.flush()


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
        """Take in a check: two in a row change the state; the very first counts at once."""
        seen = "down" if error else "up"
        self.last_error = error or self.last_error
        self.against = 0 if seen == self.state else self.against + 1
        if self.state != "unknown" and self.against < IN_A_ROW:
            return
        if seen != self.state:
            self.state, self.against = seen, 0
            self.since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            log(f"forward {self.forward.name}: target {self.address} is {seen} {error}".rstrip())


class Targets:
    """All targets of one configuration; states outlive a change of it: of names, of checks, of other targets.

    Args:
        changed: called by a checking thread when a target's state has changed.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self.names_failed: dict[str, str] = {}
        self.addresses: dict[str, list[str]] = {}  # ADDRESS:PORT by a forward's name, in order
        self._changed = changed
        self._interval = RECHECK_SECONDS
        self._resolved: dict[str, list[str]] = {}
        self._targets: dict[tuple[int, str], Target] = {}  # by port and ADDRESS:PORT
        self._config: Config | None = None
        self._next_resolve = 0.0

    def follow(self, config: Config) -> None:
        """Resolve names when it is time; check the addresses that are wanted and no others."""
        if config is not self._config or time.monotonic() >= self._next_resolve:
            self._config, self._interval = config, config.interval
            self._next_resolve = time.monotonic() + RESOLVE_SECONDS
            self._check_only(self._resolve(config))

    def of(self, forward: Forward) -> list[Target]:
        """A forward's targets, in order."""
        return [self._targets[forward.port, address] for address in self.addresses.get(forward.name, ())]

    def unchecked(self) -> bool:
        """Whether a target waits for its first check."""
        return any(target.state == "unknown" for target in self._targets.values())

    def live(self, config: Config) -> dict[str, list[str]]:
        """Addresses that may get new connections, by a forward's name."""
        return {f.name: [each.address for each in self.of(f) if each.state == "up"] for f in config.forwards}

    def _resolve(self, config: Config) -> dict[tuple[Forward, str], str]:
        """The name by (forward, address)."""
        inbound = tuple(map(IPv4Network, config.inbound))
        hosts: dict[tuple[Forward, str], str] = {}
        for forward, target in ((f, target) for f in config.forwards for target in f.targets):
            host, _, port = target.rpartition(":")
            for address in self._look_up(host, inbound):
                hosts.setdefault((forward, f"{address}:{port}"), host)
        return hosts

    def _look_up(self, host: str, inbound: tuple[IPv4Network, ...]) -> list[str]:
        """The addresses of a host; the last good ones while its name cannot be resolved."""
        try:
            return [str(IPv4Address(host))]
        except ValueError:
            pass
        try:
            answers = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)
            addresses = sorted({str(answer[4][0]) for answer in answers})
            for address in addresses:
                refuse_address(IPv4Address(address), inbound)
        except (OSError, ValueError) as error:
            if self.names_failed.get(host) != str(error):
                log(f"target name {host}: {error}; last addresses: {self._resolved.get(host, [])}")
            self.names_failed[host] = str(error)
        else:
            self.names_failed.pop(host, None)
            self._resolved[host] = addresses
        return self._resolved.get(host, [])

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
