"""The forwarder agent: forwards TCP ports to servers with the kernel's NAT and says how that goes.

Standard library only, Python 3.8 or newer, iptables 1.8. Usage: agent.py CONFIG (JSON, see `parse_config`).

Every cycle (`checkInterval`, 5 s; sooner while a target is suspected) it tests each target, takes a dead one
out of rotation and a live one back in, and compares its rules in the kernel with what it wrote; rules that
somebody removed are put back, counted and logged. It owns the chains named FWDCTL-* and the jumps to them and
touches nothing else. Established connections are in connection tracking and outlive all this, and the agent.

On `healthPort`: /forward/NAME (200 or 503), /live (200 while the cycle runs), /status (JSON).
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Plan = dict[str, dict[str, list[str]]]  # table -> chain -> rules

PROBE_SOURCE = "168.63.129.16"  # Azure's load balancer probes come from here
IP_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
FAILURES_UNTIL_DOWN = 2
RECHECK_SECONDS, SETTLING_SECONDS = 1.0, 30.0
SLOWEST_VERDICT = 10.0  # seconds; a target that answers byte by byte must not hold up the cycle
HTTP_ERRORS = 400
SOURCE_BUCKETS = 16
JUMPS = (
    ("nat", "PREROUTING", "FWDCTL-PRE"),
    ("nat", "POSTROUTING", "FWDCTL-POST"),
    ("filter", "INPUT", "FWDCTL-IN"),
    ("filter", "FORWARD", "FWDCTL-FWD"),
)
_SAVED_RULE = re.compile(r"^\[(\d+):(\d+)\] (-A (\S+) .*)$")


@dataclass(frozen=True)
class Forward:
    """A forwarded port; targets are ADDRESS:PORT."""

    name: str
    port: int
    targets: tuple[str, ...]
    balance: str
    check: str
    check_path: str


@dataclass(frozen=True)
class Config:
    """The agent's configuration; interval in seconds, inbound subnets in CIDR notation."""

    hash: str
    health_port: int
    inbound: tuple[str, ...]
    forwards: tuple[Forward, ...]
    interval: float


def _target(value: str) -> str:
    address, _, port = value.rpartition(":")
    return f"{IPv4Address(address)}:{int(port)}"


def _forward(item: dict[str, Any]) -> Forward:
    balance, check = item.get("balance", "roundRobin"), item.get("check", "tcp")
    if balance not in {"roundRobin", "sourceHash"} or check not in {"tcp", "http", "tls", "none"}:
        raise ValueError(f"forward {item['name']}: balance {balance} or check {check} is unknown")
    targets = tuple(dict.fromkeys(map(_target, item["targets"])))
    return Forward(item["name"], int(item["port"]), targets, balance, check, item.get("checkPath", "/"))


def parse_config(document: dict[str, Any]) -> Config:
    """The configuration out of its JSON; ValueError or KeyError says what is wrong."""
    inbound = tuple(dict.fromkeys(str(IPv4Network(prefix)) for prefix in document["inbound"]))
    forwards = tuple(map(_forward, document["forwards"]))
    interval = float(document.get("checkInterval", 5))
    config = Config(document["hash"], int(document["healthPort"]), inbound, forwards, interval)
    ports = [config.health_port, *(forward.port for forward in forwards)]
    if document["version"] != 1 or len(set(ports)) < len(ports):
        raise ValueError(f"version {document['version']} is not 1, or two of the ports {ports} are the same")
    return config


def balance_rules(forward: Forward, live: list[str]) -> list[str]:
    """The rules of a forward's own chain, which only the first packet of a connection passes.

    roundRobin takes every n-th connection out of what is left for the n targets still to come. sourceHash
    cuts the clients into 16 buckets by the last four bits of their address, which every iptables can match
    and every instance cuts alike; only a dead target's buckets move. (The hashing modules HMARK and cluster
    are not in every kernel image.) Behind a link service all clients share its NAT addresses: few buckets.
    """
    if not live:
        return []
    rule = f"-A FWDCTL-{forward.port} %s-p tcp %s-j DNAT --to-destination %s"
    if forward.balance == "sourceHash" and len(live) > 1:
        wanted = [forward.targets[bucket % len(forward.targets)] for bucket in range(SOURCE_BUCKETS)]
        chosen = [to if to in live else live[bucket % len(live)] for bucket, to in enumerate(wanted)]
        return [rule % (f"-s 0.0.0.{n}/0.0.0.{SOURCE_BUCKETS - 1} ", "", to) for n, to in enumerate(chosen)]
    turn = "-m statistic --mode nth --every %d --packet 0 "
    rules = [rule % ("", turn % (len(live) - index), to) for index, to in enumerate(live[:-1])]
    return [*rules, rule % ("", "", live[-1])]


def _to_target(chain: str, forward: Forward, target: str, action: str) -> str:
    address, _, port = target.rpartition(":")
    flow = f"-m conntrack --ctstate DNAT --ctorigdstport {forward.port}"
    return f"-A {chain} -d {address}/32 -p tcp -m tcp --dport {port} {flow} -j {action}"


def plan_rules(config: Config, live: dict[str, list[str]]) -> Plan:
    """Every chain that the agent owns with its rules, by table. Live targets are given by a forward's name.

    POST and FWD begin with one rule for each target, alive or not: connections to one that left the rotation
    go on, and the counters (new connections in POST, packets in FWD) last while nobody removes the rules.
    """
    pairs = [(forward, target) for forward in config.forwards for target in forward.targets]
    replies = "-p tcp -m conntrack --ctstate DNAT --ctorigdstport %d --ctdir REPLY"
    local = "-p tcp -m addrtype --dst-type LOCAL -m tcp --dport"
    health = f"-p tcp -m tcp --dport {config.health_port}"
    sources = ["-i lo", *(f"-s {source}" for source in (f"{PROBE_SOURCE}/32", *config.inbound))]
    nat = {f"FWDCTL-{f.port}": balance_rules(f, live.get(f.name, [])) for f in config.forwards}
    nat["FWDCTL-PRE"] = [
        f"-A FWDCTL-PRE -s {prefix} {local} {forward.port} -j FWDCTL-{forward.port}"
        for forward in config.forwards
        for prefix in config.inbound
    ]
    nat["FWDCTL-POST"] = [_to_target("FWDCTL-POST", *pair, "MASQUERADE") for pair in pairs]
    forwarded = [_to_target("FWDCTL-FWD", *pair, "ACCEPT") for pair in pairs]
    forwarded += [f"-A FWDCTL-FWD {replies % forward.port} -j ACCEPT" for forward in config.forwards]
    inbound = [f"-A FWDCTL-IN {source} {health} -j ACCEPT" for source in sources]
    inbound.append(f"-A FWDCTL-IN {health} -j DROP")
    return {"nat": nat, "filter": {"FWDCTL-IN": inbound, "FWDCTL-FWD": forwarded}}


def changed_chains(old: Plan, new: Plan) -> Plan:
    """The part of the new plan that differs, so that the other chains keep their counters."""
    return {
        table: {name: rules for name, rules in chains.items() if old.get(table, {}).get(name) != rules}
        for table, chains in new.items()
    }


def restore_text(plan: Plan, present: set[str]) -> str:
    """Input of `iptables-restore --noflush`: a transaction per table; declaring a chain empties just that.

    Jumps that are not among the kernel's present rules are put first: no rule of others comes before them.
    """
    lines: list[str] = []
    for table, chains in plan.items():
        lines += [f"*{table}", *(f":{chain} - [0:0]" for chain in chains)]
        lines += [rule for rules in chains.values() for rule in rules]
        jumps = [(hook, chain) for where, hook, chain in JUMPS if where == table]
        lines += [
            f"-I {hook} 1 -j {chain}" for hook, chain in jumps if f"-A {hook} -j {chain}" not in present
        ]
        lines.append("COMMIT")
    return "\n".join(lines) + "\n"


def parse_save(text: str) -> dict[str, tuple[int, int]]:
    """The agent's rules in `iptables-save -c` output, in order, with their counters (packets, bytes)."""
    jumps = {f"-A {hook} -j {chain}" for _, hook, chain in JUMPS}
    matches = filter(None, map(_SAVED_RULE.match, text.splitlines()))
    return {m[3]: (int(m[1]), int(m[2])) for m in matches if m[4].startswith("FWDCTL") or m[3] in jumps}


class Kernel:
    """iptables and ip_forward; a failure is an OSError or subprocess error with what iptables said."""

    def _run(self, *command: str, text: str = "") -> str:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=15, check=False)
        if done.returncode:
            raise OSError(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def read(self) -> dict[str, tuple[int, int]]:
        """The agent's rules in both tables with their counters."""
        return parse_save(
            "".join(self._run("iptables-save", "-c", "-t", table) for table in ("nat", "filter"))
        )

    def write(self, plan: Plan) -> None:
        """Put the chains of the plan, and the jumps, in place."""
        self._run("iptables-restore", "-w", "10", "--noflush", text=restore_text(plan, set(self.read())))

    def ensure_forwarding(self) -> bool:
        """Switch IPv4 forwarding on; False when it was off."""
        was_on = IP_FORWARD.read_text().strip() == "1"
        if not was_on:
            IP_FORWARD.write_text("1\n")
        return was_on


def check_target(forward: Forward, target: str, timeout: float) -> str:
    """Test a target as its forward says; '' when it is well, else what went wrong."""
    address, _, port = target.rpartition(":")
    try:
        if forward.check == "http":
            with closing(HTTPConnection(address, int(port), timeout=timeout)) as connection:
                connection.request("GET", forward.check_path, headers={"Connection": "close"})
                status = connection.getresponse().status
            return "" if status < HTTP_ERRORS else f"GET {forward.check_path} answered {status}"
        if forward.check != "none":
            with socket.create_connection((address, int(port)), timeout) as plain:
                if forward.check == "tls":  # the certificate is for the client to judge: it knows the name
                    context = ssl.create_default_context()
                    context.check_hostname = False
                    context.verify_mode = ssl.CERT_NONE
                    context.wrap_socket(plain).close()
    except (OSError, HTTPException, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


@dataclass
class Target:
    """State of one target of one forward; `since` is when it last changed (UTC)."""

    forward: Forward
    address: str
    state: str = "unknown"
    since: str = ""
    last_error: str = ""
    failures: int = 0

    def record(self, error: str) -> None:
        """Take in a check: one success brings a target up, two failures in a row (or the very first) down."""
        self.failures = self.failures + 1 if error else 0
        self.last_error = error or self.last_error
        state = self.state if error else "up"
        if error and (self.failures >= FAILURES_UNTIL_DOWN or state == "unknown"):
            state = "down"
        if state != self.state:
            self.state, self.since = state, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            log(f"forward {self.forward.name}: target {self.address} is {state} {error}")


def log(message: str) -> None:
    """One line to the journal."""
    sys.stderr.write(message + "\n")
    sys.stderr.flush()


class Agent:
    """What was written to the kernel, and the targets. One thread runs `cycle`, the others only read."""

    def __init__(self, config: Config, kernel: Kernel) -> None:
        self.config = config
        self.kernel = kernel
        self.targets = [Target(forward, to) for forward in config.forwards for to in forward.targets]
        self.pool = ThreadPoolExecutor(max_workers=max(1, min(len(self.targets), 32)))
        self.started = self.last_cycle = time.monotonic()
        self.planned: Plan = {}
        self.written: list[str] = []
        self.served: dict[str, list[str]] = {}
        self.in_place = False
        self.repairs = 0
        self.last_error = ""

    def live(self, forward: Forward) -> list[str]:
        """Targets of a forward that belong into rotation."""
        return [each.address for each in self.targets if each.forward == forward and each.state == "up"]

    def cycle(self) -> None:
        """One round: test all targets side by side, then bring the kernel to what that asks for."""
        timeout = min(self.config.interval, 2.0)
        checks = [
            self.pool.submit(check_target, target.forward, target.address, timeout) for target in self.targets
        ]
        wait(checks, timeout=SLOWEST_VERDICT)
        for target, check in zip(self.targets, checks):  # noqa: B905 - 3.8 has no strict
            target.record(check.result() if check.done() else f"no verdict within {SLOWEST_VERDICT:g} s")
            check.cancel()
        live = {each.name: self.live(each) for each in self.config.forwards}
        try:
            self.apply(plan_rules(self.config, live))
            self.served = live
        except (OSError, subprocess.SubprocessError) as error:
            self.planned, self.in_place, self.last_error = {}, False, str(error)
            log(f"rules are not in place: {error}")
        self.last_cycle = time.monotonic()

    def pause(self) -> float:
        """Seconds until the next cycle: few after a first failure, and while servers may be starting too."""
        young = time.monotonic() - self.started < SETTLING_SECONDS
        suspected = any(target.failures and (young or target.state == "up") for target in self.targets)
        return min(RECHECK_SECONDS, self.config.interval) if suspected else self.config.interval

    def apply(self, plan: Plan) -> None:
        """Write the plan where it is new, and all of it where somebody changed the agent's rules."""
        if not self.kernel.ensure_forwarding() and self.planned:
            self.repaired("IPv4 forwarding was off and is on again")
        if self.planned and list(self.kernel.read()) != self.written:
            self.planned = {}
            self.repaired("rules in the kernel were not the agent's and are written anew")
        if plan != self.planned:
            self.kernel.write(changed_chains(self.planned, plan))
            self.planned, self.written = plan, list(self.kernel.read())
        wanted = len(JUMPS) + sum(len(rules) for table in plan.values() for rules in table.values())
        if len(self.written) != wanted:
            raise OSError(f"{wanted} rules were written, the kernel shows {len(self.written)}")
        self.in_place, self.last_error = True, ""

    def repaired(self, what: str) -> None:
        """Count and log what somebody else undid."""
        self.in_place, self.repairs = False, self.repairs + 1
        log(what)

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        """HTTP status and body of a path."""
        live = time.monotonic() - self.last_cycle < 60 + 3 * self.config.interval
        if path == "/live":
            return (200 if live else 503), {"live": live}
        if path == "/status":
            return 200, self.status()
        for forward in self.config.forwards:
            if path == f"/forward/{forward.name}":
                healthy = live and self.in_place and bool(self.served.get(forward.name))
                return (200 if healthy else 503), {"healthy": healthy, "rulesInPlace": self.in_place}
        return 404, {"error": f"no such path: {path}"}

    def status(self) -> dict[str, Any]:
        """The agent's whole state. Rules and counters are read from the kernel now, not in the last cycle."""
        rules = self.kernel.read()
        intact = self.in_place and list(rules) == self.written
        sent = [counters for rule, counters in rules.items() if rule.startswith("-A FWDCTL-FWD ")]
        opened = [packets for rule, (packets, _) in rules.items() if rule.startswith("-A FWDCTL-POST ")]
        targets: dict[str, list[dict[str, Any]]] = {forward.name: [] for forward in self.config.forwards}
        for n, target in enumerate(self.targets):
            state = {"address": target.address, "state": target.state, "since": target.since or None}
            counts = {"connections": opened[n], "packets": sent[n][0], "bytes": sent[n][1]} if intact else {}
            targets[target.forward.name].append({**state, "lastError": target.last_error or None, **counts})
        return {
            "version": 1,
            "hash": self.config.hash,
            "host": socket.gethostname(),
            "uptime": round(time.monotonic() - self.started, 1),
            "forwarding": IP_FORWARD.read_text().strip() == "1",
            "repairs": self.repairs,
            "lastError": self.last_error or None,
            "forwards": [
                {"name": f.name, "port": f.port, "rulesInPlace": intact, "targets": targets[f.name]}
                for f in self.config.forwards
            ],
        }


class Handler(BaseHTTPRequestHandler):
    """The agent's paths over HTTP/1.0: one answer for each connection."""

    agent: Agent
    timeout = 10

    def do_GET(self) -> None:
        """Answer as the agent says; what it cannot find out is a 500 with the reason."""
        try:
            status, document = self.agent.answer(self.path)
        except (OSError, subprocess.SubprocessError) as error:
            status, document = 500, {"error": str(error)}
        body = (json.dumps(document) + "\n").encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Keep the journal free of probes."""


def main(arguments: list[str]) -> int:
    """Forward until killed; rules stay when the agent ends, as the load balancer then sends nothing new."""
    config = parse_config(json.loads(Path(arguments[0]).read_text(encoding="utf-8")))
    Handler.agent = Agent(config, Kernel())
    server = ThreadingHTTPServer(("", config.health_port), Handler)
    Handler.agent.cycle()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while True:
        time.sleep(Handler.agent.pause())
        Handler.agent.cycle()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
