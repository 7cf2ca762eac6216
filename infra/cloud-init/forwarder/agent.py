"""The forwarder agent: forwards TCP ports to servers with the kernel's NAT and says how that goes.

Standard library only, Python 3.8 or newer, iptables 1.8. Usage: agent.py [SOURCE]: the file or the address
that holds the configuration (configuration.py); by default the machine's own user data.

Three things go on side by side. The configuration is read every `configInterval` seconds and a good one is
put in place; a bad one is refused, and what runs goes on. Each address of a target is checked every
`checkInterval` seconds (targets.py). The main loop brings the kernel to what both ask for (rules.py) and
looks twice a second whether the rules are still there. Established connections are in connection tracking
and outlive all this, and the agent. It owns the chains named FWDCTL-* and the jumps to them, nothing else.

On `healthPort`: /forward/NAME/PORT (200 or 503), /live (200 while the loop runs), /status (JSON), /metrics.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configuration import USER_DATA, Config, Forward, log, parse_text, read, recall, remember
from health import HealthServer
from rules import JUMPS, NEARLY_FULL, SYS, Kernel, plan_rules, target_rules
from targets import CHECK_SECONDS, Target, Targets

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from rules import Counters, Plan

LOOP_SECONDS = 0.5  # between two looks at the kernel's rules, unless somebody changes some
LEAST_SECONDS = 0.05  # between two of those changes
NETFILTER, RULES_CHANGED = 12, 1 << 6  # of netlink: the protocol, and the group of nf_tables
OLDEST_SIGHT = 1.0  # seconds: what an answer to the load balancer may rest on
STUCK_SECONDS = 60.0
FIRST_CHECKS_SECONDS = 2 * CHECK_SECONDS + 1.5  # for new targets: two checks, before the rules change
OLD_PORT_SECONDS = 600.0  # an earlier health port is answered until nobody has asked there for so long
SLOWEST_READ = 30.0  # seconds: the pause doubles up to here while the configuration cannot be read
CONNTRACK_FULL, DNS = CODES = ("FWD_CONNTRACK_FULL", "TARGET_DNS")  # as `fwdctl probe` calls them
LAST_GOOD = Path(os.environ.get("STATE_DIRECTORY", "/var/lib/fwdctl")) / "last-good.json"


class Agent:
    """What is forwarded now. One thread runs `turn`; those of the server only read."""

    def __init__(self, kernel: Kernel, source: str = USER_DATA, last_good: Path = LAST_GOOD) -> None:
        self.wake = threading.Event()
        self.targets = Targets(self.wake.set, last_good.with_name("names.json"))
        self.config: Config | None = None
        self.repairs = 0
        self.refused = self.unread = self.last_error = ""
        self._kernel, self._source, self._last_good = kernel, source, last_good
        self._text = ""
        self._next_read = 0.0
        self._failures = 0
        self._started = self._last_turn = time.monotonic()
        self._ports_file = last_good.with_name("health-ports.json")
        kept = recall(self._ports_file)
        self._kept_ports = kept if isinstance(kept, list) else []
        self._health_ports = dict.fromkeys(self._kept_ports, self._started)  # when each was last asked
        self._planned: Plan = {}
        self._written: list[str] = []
        self._served: dict[int, list[str]] = {}  # by port
        self._followed: Config | None = None
        self._patience = 0.0
        self._reading = threading.Lock()
        self._sight: tuple[float, dict[str, Counters]] = (0.0, {})

    def turn(self) -> None:
        """One round: the configuration, the targets, then the kernel."""
        self._reconfigure()
        if self.config is not None:
            self._forget_old_ports(self.config)
            try:
                self._follow(self.config)
            except (OSError, subprocess.SubprocessError) as error:
                if str(error) != self.last_error:
                    log(f"rules are not in place: {error}")
                self._planned, self.last_error = {}, str(error)
        self._last_turn = time.monotonic()

    def _follow(self, config: Config) -> None:
        self.targets.follow(config)
        if config is not self._followed:
            self._followed, self._patience = config, time.monotonic() + FIRST_CHECKS_SECONDS
        if self.targets.unchecked() and time.monotonic() < self._patience:
            # What was served is served on, also by the rules of an agent before this one. Where there are
            # none the first ones are written: without them some images drop the answers to checks.
            if self._planned:
                self._apply(self._planned)
            if self._planned or self._look():
                return
        live = self.targets.live(config)
        ports = tuple(sorted(self._health_ports))
        self._apply(plan_rules(config, self.targets.addresses, live, ports))
        before, self._served = self._served, {each.port: live[each.name] for each in config.forwards}
        for address in {a for each in before.values() for a in each} - {
            a for each in live.values() for a in each
        }:
            threading.Thread(target=self._kernel.forget, args=(address,), daemon=True).start()

    # -- the configuration

    def _reconfigure(self) -> None:
        """Read the source when it is time to; a good new configuration replaces the old one."""
        if time.monotonic() < self._next_read:
            return
        try:
            text = read(self._source)
        except OSError as error:
            self._not_read(str(error))
        except ValueError as error:
            self._text, self._failures = "", 0
            self._refuse(str(error))
        else:
            self.unread, self._failures = "", 0
            if text != self._text:
                self._text = text
                self._take(text)
        if self.config is None:
            self._start_from_last_good()
        interval = self.config.config_interval if self.config else 1.0
        longest = max(interval, SLOWEST_READ)
        self._next_read = time.monotonic() + min(interval * 2.0 ** min(self._failures, 9), longest)

    def _not_read(self, why: str) -> None:
        """Ask less and less often: the metadata service refuses who asks too much (429)."""
        if why != self.unread:
            log(f"the configuration cannot be read: {why}")
        self.unread, self._failures = why, self._failures + 1

    def _start_from_last_good(self) -> None:
        """Forward what was forwarded before the start, where there is nothing good to read."""
        try:
            self.config = parse_text(self._last_good.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            if self.unread:
                self._refuse(f"no configuration: {self.unread}")
        else:
            log(f"the last good configuration is used: {self.unread or self.refused}")

    def _take(self, text: str) -> None:
        """Check a configuration and make it the present one, or refuse it."""
        try:
            config = parse_text(text)
            _refuse_own_addresses(config)
        except ValueError as error:
            self._refuse(str(error))
            return
        self.config, self.refused = config, ""
        log(f"configuration {config.hash} is used")
        remember(self._last_good, text)

    def _refuse(self, why: str) -> None:
        """Say once what is wrong; what runs goes on."""
        if why != self.refused:
            log(f"configuration refused: {why}")
        self.refused = why

    def _forget_old_ports(self, config: Config) -> None:
        """An earlier health port is answered while somebody asks: the health extension, until a reimage."""
        now = time.monotonic()
        self._health_ports.setdefault(config.health_port, now)
        for port, asked in list(self._health_ports.items()):
            if port != config.health_port and now - asked > OLD_PORT_SECONDS:
                del self._health_ports[port]
        if self._kept_ports != list(self._health_ports):
            self._kept_ports = list(self._health_ports)
            remember(self._ports_file, json.dumps(self._kept_ports))

    # -- the kernel

    def _apply(self, plan: Plan) -> None:
        """Write the plan where it is new or where somebody changed the agent's rules."""
        if not self._kernel.ensure_forwarding() and self._planned:
            self._repaired("IPv4 forwarding was off and is on again")
        if self._planned and not self._intact(0.0):
            self._planned = {}
            self._repaired("rules in the kernel were not the agent's and are written anew")
        if plan != self._planned:
            self._kernel.write(plan)
            self._written = list(self._look())
            self._planned = plan
        wanted = len(JUMPS) + sum(len(rules) for table in plan.values() for rules in table.values())
        if len(self._written) != wanted:
            raise OSError(f"{wanted} rules were written, the kernel shows {len(self._written)}")
        self.last_error = ""

    def _look(self) -> dict[str, Counters]:
        """The agent's rules in the kernel, now."""
        with self._reading:
            rules = self._kernel.read()[0]
            self._sight = (time.monotonic(), rules)
            return rules

    def _seen(self, age: float) -> dict[str, Counters]:
        """The agent's rules in the kernel, at most so many seconds ago."""
        seen, rules = self._sight
        return rules if time.monotonic() - seen <= age else self._look()

    def _intact(self, age: float) -> bool:
        """Whether the kernel has what was written, by a sight of at most so many seconds."""
        rules = self._seen(age)
        return bool(self._planned) and list(rules) == self._written

    def _repaired(self, what: str) -> None:
        """Count and log what somebody else undid."""
        self.repairs += 1
        log(what)

    # -- answers

    def ports(self) -> Collection[int]:
        """Where the health server listens: the configured port, and an earlier one while somebody asks."""
        return list(self._health_ports)

    def answer(self, path: str, port: int = 0) -> tuple[int, dict[str, Any] | str]:
        """HTTP status and body of a path; that somebody asked at a port is remembered."""
        if port in self._health_ports:
            self._health_ports[port] = time.monotonic()
        live = time.monotonic() - self._last_turn < STUCK_SECONDS
        if path == "/live":
            return (200 if live else 503), {"live": live}
        if path == "/status":
            return 200, self._status()
        if path == "/metrics":
            return 200, _metrics(self._status())
        for forward in self.config.forwards if self.config else ():
            # By the port: a forward that is only renamed stays healthy, whichever side learns of it first.
            if path.startswith("/forward/") and path.rpartition("/")[2] == str(forward.port):
                return self._health(forward, live=live)
        return 404, {"error": f"no such path: {path}"}

    def _health(self, forward: Forward, *, live: bool) -> tuple[int, dict[str, Any]]:
        draining = bool(self.config and self.config.drain)
        if self._served:
            intact = self._intact(OLDEST_SIGHT)
            served = bool(self._served.get(forward.port))
        else:  # until the first checks by the rules of an agent before this one, else a restart is an outage
            rules, chain = self._seen(OLDEST_SIGHT), f"FWDCTL-{forward.port}"
            intact = any(rule.endswith(f" -j {chain}") for rule in rules)
            served = any(rule.startswith(f"-A {chain} ") for rule in rules)
        healthy = live and intact and served and not draining
        return (200 if healthy else 503), {"healthy": healthy, "rulesInPlace": intact, "draining": draining}

    def _status(self) -> dict[str, Any]:
        """The agent's whole state; rules and counters are read from the kernel now."""
        config, rules, tracked = self.config, self._look(), self._kernel.conntrack()
        full = tracked.get("count", 0) > NEARLY_FULL * tracked.get("max", 1 << 62)
        failed = dict(self.targets.names.failed)
        intact = bool(self._planned) and list(rules) == self._written
        return {
            "version": 1,
            "hash": config.hash if config else None,
            "programs": os.environ.get("FWDCTL_PROGRAMS"),
            "refused": self.refused or None,
            "unread": self.unread or None,
            "host": socket.gethostname(),
            "uptime": round(time.monotonic() - self._started, 1),
            "forwarding": (SYS / "ipv4/ip_forward").read_text().strip() == "1",
            "draining": bool(config and config.drain),
            "repairs": self.repairs,
            "lastError": self.last_error or None,
            "codes": [code for code, holds in ((CONNTRACK_FULL, full), (DNS, failed)) if holds],
            "namesFailed": failed,
            "conntrack": tracked,
            "forwards": [
                {
                    "name": forward.name,
                    "port": forward.port,
                    "rulesInPlace": intact,
                    "targets": [_told(target, rules) for target in self.targets.of(forward)],
                }
                for forward in (config.forwards if config else ())
            ],
        }


def _refuse_own_addresses(config: Config) -> None:
    """ValueError for a target that is this machine."""
    for target in (target for forward in config.forwards for target in forward.targets):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            try:
                own.bind((str(IPv4Address(target.rpartition(":")[0])), 0))
            except (OSError, ValueError):  # another machine's address, or a name
                continue
        raise ValueError(f"target {target} is the forwarder itself")


def _told(target: Target, rules: dict[str, Counters]) -> dict[str, Any]:
    """A target for /status, with what its rules counted, while they are there."""
    opened, sent = (rules.get(rule) for rule in target_rules(target.forward, target.address))
    counts = {"connections": opened[0], "packets": sent[0], "bytes": sent[1]} if opened and sent else {}
    return {
        "address": target.address,
        "host": target.host,
        "state": target.state,
        "against": target.against,
        "since": target.since or None,
        "lastError": target.last_error or None,
        **counts,
    }


def _metrics(status: dict[str, Any]) -> str:
    """A status as Prometheus text."""
    lines = [
        f"fwdctl_config_info{{hash={json.dumps(status['hash'] or '')}}} 1",
        f"fwdctl_config_refused {int(bool(status['refused']))}",
        f"fwdctl_repairs_total {status['repairs']}",
        f"fwdctl_draining {int(status['draining'])}",
        *(f'fwdctl_problem{{code="{code}"}} {int(code in status["codes"])}' for code in CODES),
        *(f"fwdctl_conntrack_{name} {value}" for name, value in status["conntrack"].items()),
    ]
    for forward in status["forwards"]:
        label = f"forward={json.dumps(forward['name'])}"
        lines.append(f"fwdctl_rules_in_place{{{label}}} {int(forward['rulesInPlace'])}")
        for target in forward["targets"]:
            own = f'{{{label},target="{target["address"]}"}}'
            lines.append(f"fwdctl_target_up{own} {int(target['state'] == 'up')}")
            counted = (name for name in ("connections", "packets", "bytes") if name in target)
            lines += [f"fwdctl_target_{name}_total{own} {target[name]}" for name in counted]
    return "\n".join(lines) + "\n"


def watch(changed: Callable[[], None]) -> None:
    """Tell when somebody changes rules, so that lost ones are back at once; legacy iptables does not tell."""
    with suppress(OSError), socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETFILTER) as changes:
        changes.bind((0, RULES_CHANGED))
        while True:
            with suppress(OSError):  # more changes than fit
                changes.recv(65_536)
            changed()
            time.sleep(LEAST_SECONDS)


def main(arguments: list[str]) -> int:
    """Forward until killed; rules stay when the agent ends, as the load balancer then sends nothing new."""
    kernel = Kernel()
    agent = Agent(kernel, arguments[0] if arguments else USER_DATA)
    refused = kernel.size_conntrack()
    if refused:
        log(f"connection tracking keeps its size: {refused}")
    agent.turn()
    server = HealthServer(agent)
    threading.Thread(target=lambda: asyncio.run(server.run()), daemon=True).start()
    threading.Thread(target=watch, args=(agent.wake.set,), daemon=True).start()
    while True:
        agent.wake.wait(LOOP_SECONDS)
        agent.wake.clear()
        agent.turn()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
