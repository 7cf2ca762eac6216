"""Targets by host name: each name is looked up in a thread of its own, which a dead resolver may hold up."""

from __future__ import annotations

import json
import socket
import threading
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from configuration import log, recall, refuse_address, remember

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RESOLVE_SECONDS = 15.0  # for a name, whatever its time to live: the standard library does not tell it


class Names:
    """The addresses of hosts; the last good ones while a name cannot be resolved, also after a restart.

    Args:
        changed: called by a thread when a name has other addresses, or has been looked up for the first time.
        file: where the addresses are kept.
    """

    def __init__(self, changed: Callable[[], None], file: Path) -> None:
        self.failed: dict[str, str] = {}
        self._changed, self._file = changed, file
        kept = recall(file)
        self._found: dict[str, list[str]] = kept if isinstance(kept, dict) else {}
        self._asked: set[str] = set()
        self._gone: dict[str, threading.Event] = {}
        self._inbound: tuple[IPv4Network, ...] = ()

    def follow(self, hosts: set[str], inbound: tuple[IPv4Network, ...]) -> None:
        """Look these up from now on, and no others."""
        self._inbound = inbound
        for host in self._gone.keys() - hosts:
            self._gone.pop(host).set()
            self.failed.pop(host, None)
            self._asked.discard(host)
        for host in hosts - self._gone.keys():
            self._gone[host] = threading.Event()
            threading.Thread(target=self._watch, args=(host, self._gone[host]), daemon=True).start()

    def addresses(self, host: str) -> list[str]:
        """What a name last meant."""
        return self._found.get(host, [])

    def unasked(self) -> bool:
        """Whether a name waits for its first look-up and nothing is known of it."""
        return any(host not in self._asked and host not in self._found for host in self._gone)

    def _watch(self, host: str, gone: threading.Event) -> None:
        while not gone.is_set():
            found, error = self._look_up(host)
            if gone.is_set():
                return
            news = host not in self._asked or (found and found != self._found.get(host))
            if error and error != self.failed.get(host):
                log(f"target name {host}: {error}; last addresses: {self.addresses(host)}")
            if error:
                self.failed[host] = error
            else:
                self.failed.pop(host, None)
            if found and found != self._found.get(host):
                self._found[host] = found
                remember(self._file, json.dumps({each: self._found.get(each, []) for each in [*self._gone]}))
            self._asked.add(host)
            if news:
                self._changed()
            gone.wait(RESOLVE_SECONDS)

    def _look_up(self, host: str) -> tuple[list[str], str]:
        """Addresses, or what went wrong."""
        try:
            answers = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)
            addresses = sorted({str(answer[4][0]) for answer in answers})
            for address in addresses:
                refuse_address(IPv4Address(address), self._inbound)
        except (OSError, ValueError) as error:
            return [], str(error)
        return addresses, ""
