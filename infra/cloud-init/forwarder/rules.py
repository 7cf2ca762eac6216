"""What the kernel is asked for: configuration and live targets in, rules out; and the kernel itself."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from flows import forget

if TYPE_CHECKING:
    from collections.abc import Iterable

    from configuration import Config, Forward

    Plan = dict[str, dict[str, list[str]]]  # table -> chain -> rules
    Counters = tuple[int, int]  # packets, bytes

PROBE_SOURCE = "168.63.129.16"  # Azure's load balancer probes come from here
SOURCE_BUCKETS = 16
SYS = Path("/proc/sys/net")
CONNTRACK = SYS / "netfilter"
TRACKED = Path("/proc/net/nf_conntrack")
BUCKETS = Path("/sys/module/nf_conntrack/parameters/hashsize")
ESTABLISHED_SECONDS = 900  # well above the 5 minutes after which the private link forgets an idle connection
BYTES_PER_CONNECTION = 320
NEARLY_FULL = 0.9
MOST_LISTED = 50_000  # connections; a list of more takes seconds
JUMPS = (
    ("nat", "PREROUTING", "FWDCTL-PRE"),
    ("nat", "POSTROUTING", "FWDCTL-POST"),
    ("filter", "INPUT", "FWDCTL-IN"),
    ("filter", "FORWARD", "FWDCTL-FWD"),
)
_ESTABLISHED = re.compile(r" ESTABLISHED src=\S+ dst=(\S+) sport=\d+ dport=\d+ .*?src=(\S+) ")
_SAVED_RULE = re.compile(r"^\[(\d+):(\d+)\] (-A (\S+) .*)$")


def balance_rules(forward: Forward, wanted: list[str], live: list[str]) -> list[str]:
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
        asked = [wanted[bucket % len(wanted)] for bucket in range(SOURCE_BUCKETS)]
        chosen = [to if to in live else live[bucket % len(live)] for bucket, to in enumerate(asked)]
        return [rule % (f"-s 0.0.0.{n}/0.0.0.{SOURCE_BUCKETS - 1} ", "", to) for n, to in enumerate(chosen)]
    turn = "-m statistic --mode nth --every %d --packet 0 "
    rules = [rule % ("", turn % (len(live) - index), to) for index, to in enumerate(live[:-1])]
    return [*rules, rule % ("", "", live[-1])]


def target_rules(forward: Forward, address: str) -> tuple[str, str]:
    """What counts and masquerades new connections to a target, and what admits its packets."""
    host, _, port = address.rpartition(":")
    flow = f"-d {host}/32 -p tcp -m tcp --dport {port} -m conntrack --ctstate DNAT"
    flow += f" --ctorigdstport {forward.port}"
    return f"-A FWDCTL-POST {flow} -j MASQUERADE", f"-A FWDCTL-FWD {flow} -j ACCEPT"


def plan_rules(
    config: Config, addresses: dict[str, list[str]], live: dict[str, list[str]], health_ports: tuple[int, ...]
) -> Plan:
    """Every chain that the agent owns with its rules, by table.

    POST and FWD have a rule for each address of a target, alive or not: connections to one that left the
    rotation go on, and the counters (new connections in POST, packets in FWD) last.

    Args:
        config: what to forward.
        addresses: all ADDRESS:PORT of a forward, by its name.
        live: those that may get new connections.
        health_ports: the present one, and earlier ones that somebody still asks.
    """
    own = {forward.name: addresses.get(forward.name, []) for forward in config.forwards}
    pairs = [target_rules(forward, address) for forward in config.forwards for address in own[forward.name]]
    local = "-p tcp -m addrtype --dst-type LOCAL -m tcp --dport"
    nat = {f"FWDCTL-{f.port}": balance_rules(f, own[f.name], live[f.name]) for f in config.forwards}
    # The load balancer learns of another health port before the agent does, or after: its probes come to the
    # agent whatever port they go to. Nothing else connects from that address.
    probes = f"-s {PROBE_SOURCE}/32 -p tcp -m addrtype --dst-type LOCAL -j REDIRECT"
    nat["FWDCTL-PRE"] = [f"-A FWDCTL-PRE {probes} --to-ports {config.health_port}"]
    nat["FWDCTL-PRE"] += [
        f"-A FWDCTL-PRE -s {prefix} {local} {forward.port} -j FWDCTL-{forward.port}"
        for forward in config.forwards
        for prefix in config.inbound
    ]
    nat["FWDCTL-POST"] = [masquerade for masquerade, _ in pairs]
    # For replies, and for connections of a forward that is not configured any more. An image may bring rules
    # of its own and drop all else, which would be the answers to the agent's own checks as well.
    known = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    forwarded = [*(accept for _, accept in pairs), f"-A FWDCTL-FWD {known}"]
    sources = ["-i lo", *(f"-s {source}" for source in (f"{PROBE_SOURCE}/32", *config.inbound))]
    inbound = [f"-A FWDCTL-IN {known}"]
    for port in health_ports:
        health = f"-p tcp -m tcp --dport {port}"
        inbound += [f"-A FWDCTL-IN {source} {health} -j ACCEPT" for source in sources]
        inbound.append(f"-A FWDCTL-IN {health} -j DROP")
    return {
        "nat": nat,
        "filter": {"FWDCTL-IN": inbound, "FWDCTL-FWD": forwarded},
        # Nothing jumps there. The kernel tracks connections while a rule of any table needs that: without
        # this one, flushing nat and filter would cut every open connection.
        "mangle": {"FWDCTL-TRACK": ["-A FWDCTL-TRACK -m conntrack --ctstate INVALID"]},
    }


def restore_text(plan: Plan, present: dict[str, Counters], chains: set[str]) -> str:
    """Input of `iptables-restore --noflush --counters`: one transaction for each table.

    Declaring a chain empties just that; counters of rules that stay are handed on; chains of ours that the
    plan lacks go; jumps that are missing are put first, so that no rule of others comes before them.
    """
    lines: list[str] = []
    old = sorted(chains - {name for wanted in plan.values() for name in wanted})  # a forward's, so in nat
    for table, wanted in plan.items():
        gone = old if table == "nat" else []
        lines += [f"*{table}", *(f":{chain} - [0:0]" for chain in [*wanted, *gone])]
        jumps = [(hook, chain) for where, hook, chain in JUMPS if where == table]
        lines += [
            f"-I {hook} 1 -j {chain}" for hook, chain in jumps if f"-A {hook} -j {chain}" not in present
        ]
        for rule in (rule for rules in wanted.values() for rule in rules):
            packets, size = present.get(rule, (0, 0))
            lines.append(f"[{packets}:{size}] {rule}")
        lines += [*(f"-X {chain}" for chain in gone), "COMMIT"]
    return "\n".join(lines) + "\n"


def parse_save(text: str) -> tuple[dict[str, Counters], set[str]]:
    """The agent's rules in `iptables-save -c` output, in order, with their counters; and its chains."""
    jumps = {f"-A {hook} -j {chain}" for _, hook, chain in JUMPS}
    matches = list(filter(None, map(_SAVED_RULE.match, text.splitlines())))
    rules = {m[3]: (int(m[1]), int(m[2])) for m in matches if m[4].startswith("FWDCTL") or m[3] in jumps}
    return rules, set(re.findall(r"^:(FWDCTL-\S+)", text, re.MULTILINE))


def established(lines: Iterable[str]) -> int:
    """Open connections that are forwarded: their answers come from elsewhere than they were opened to.

    Line by line: there may be hundreds of thousands, and other threads have to go on meanwhile.
    """
    found = (_ESTABLISHED.search(line) for line in lines if " ESTABLISHED " in line)
    return sum(match[1] != match[2] for match in found if match)


class Kernel:
    """iptables and sysctls; a failure is an OSError or subprocess error with what the program said."""

    def _run(self, *command: str, text: str = "") -> str:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=15, check=False)
        if done.returncode:
            raise OSError(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def read(self) -> tuple[dict[str, Counters], set[str]]:
        """The agent's rules in all tables with their counters, and its chains."""
        return parse_save(self._run("iptables-save", "-c"))

    def write(self, plan: Plan) -> None:
        """Put the chains of the plan, and the jumps, in place."""
        self._run(
            "iptables-restore", "-w", "10", "--noflush", "--counters", text=restore_text(plan, *self.read())
        )

    def ensure_forwarding(self) -> bool:
        """Switch IPv4 forwarding on; False when it was off."""
        file = SYS / "ipv4/ip_forward"
        was_on = file.read_text().strip() == "1"
        if not was_on:
            file.write_text("1\n")
        return was_on

    def size_conntrack(self) -> str:
        """Let connection tracking use a quarter of the memory and forget idle connections.

        Returns what was refused, '' for nothing.

        The kernel's default is about 7,000 connections on a machine of 1 GiB, and five days for idle ones.
        """
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        most = max(65_536, memory // 4 // BYTES_PER_CONNECTION)
        wanted = (
            (CONNTRACK / "nf_conntrack_max", most),
            (BUCKETS, most // 4),
            (CONNTRACK / "nf_conntrack_tcp_timeout_established", ESTABLISHED_SECONDS),
        )
        refused = []
        for file, value in wanted:
            try:
                file.write_text(f"{value}\n")
            except OSError as error:
                refused.append(str(error))
        return "; ".join(refused)

    def forget(self, address: str) -> None:
        """Drop the connections that a target never answered."""
        with suppress(OSError):
            forget(address)

    def conntrack(self) -> dict[str, int]:
        """Connections that are tracked, how many can be, and those of clients to targets that are open.

        What the kernel does not say is left out.
        """
        found: dict[str, int] = {}
        with suppress(OSError, ValueError):
            for name in ("count", "max"):
                found[name] = int((CONNTRACK / f"nf_conntrack_{name}").read_text())
            if found["count"] < MOST_LISTED:
                with TRACKED.open() as lines:  # if there is one
                    found["established"] = established(lines)
        return found
