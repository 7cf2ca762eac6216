"""The forwarder agent on a real kernel: a client, a forwarder and two servers in network namespaces of their own."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.lab

CLOUD_INIT = Path(__file__).resolve().parents[2] / "infra" / "cloud-init"
FORWARDER, SERVERS = "10.0.1.4", ("192.168.42.2", "192.168.42.34")
ENTER = ["nsenter", "--preserve-credentials", "-U", "-n", "-t"]

# Asks twice over one connection and waits for a line in between.
KEEP_ALIVE = """
import http.client, json, sys
connection = http.client.HTTPConnection("10.0.1.4", 8000, timeout=10)
for _ in range(2):
    connection.request("GET", "/")
    print(connection.getresponse().read().decode().strip(), flush=True)
    sys.stdin.readline()
"""


@dataclass(frozen=True)
class Node:
    """A network namespace, held by a sleeping process."""

    pid: int

    def run(self, *command: str) -> str:
        done = subprocess.run(
            [*ENTER, str(self.pid), *command], capture_output=True, text=True, timeout=20, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def start(self, *command: str, **options: Any) -> subprocess.Popen[str]:
        return subprocess.Popen([*ENTER, str(self.pid), *command], text=True, **options)

    def get(self, path: str, port: int = 8000, *more: str) -> tuple[int, str]:
        """HTTP status and body, status 0 when there was no answer."""
        curl = ["curl", "-s", "-m", "2", "-w", "\n%{http_code}", *more, f"http://{FORWARDER}:{port}{path}"]
        done = subprocess.run(
            [*ENTER, str(self.pid), *curl], capture_output=True, text=True, timeout=20, check=False
        )
        body, _, status = done.stdout.rpartition("\n")
        return int(status), body


@dataclass(frozen=True)
class Network:
    """client 10.0.1.10 (and 10.0.2.10, which may not come in) - forwarder - one server on each of two links."""

    forwarder: Node
    client: Node
    servers: tuple[Node, Node]
    config: Path
    agent: subprocess.Popen[str]

    def reconfigure(self, **changes: Any) -> None:
        """Give the agent another configuration and wait until it is used, or refused."""
        document = {**json.loads(self.config.read_text()), **changes}
        new = self.config.with_suffix(".new")
        new.write_text(json.dumps(document))
        new.replace(self.config)
        until(lambda: self.status()["hash"] == document["hash"] or self.status()["refused"], "it is taken")

    def answering(self, requests: int = 6) -> dict[str, int]:
        """How many of so many fresh connections each server answered, by the forwarder's address on its link."""
        count: dict[str, int] = {}
        for _ in range(requests):
            status, body = self.client.get("/")
            assert status == 200
            client = json.loads(body)["client"]
            count[client] = count.get(client, 0) + 1
        return count

    def status(self) -> dict[str, Any]:
        status, body = self.client.get("/status", 18099)
        assert status == 200
        document: dict[str, Any] = json.loads(body)
        return document

    def states(self) -> list[str]:
        return [target["state"] for target in self.status()["forwards"][0]["targets"]]


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"not within 60 s: {what}"
        time.sleep(0.05)


def hold(stack: contextlib.ExitStack, *command: str) -> Node:
    """Run a command that unshares and then says so; it ends with the stack."""
    said = ["sh", "-c", "echo ready; exec sleep 120"]
    process = subprocess.Popen([*command, *said], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    stack.enter_context(process)
    stack.callback(process.kill)
    assert process.stdout is not None
    assert process.stderr is not None
    if process.stdout.readline() != "ready\n":
        pytest.skip(f"{' '.join(command)}: {process.stderr.read().strip()}")
    return Node(process.pid)


def link(forwarder: Node, peer: Node, name: str, own: str, address: str) -> None:
    forwarder.run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", str(peer.pid))
    forwarder.run("ip", "address", "add", own, "dev", name)
    forwarder.run("ip", "link", "set", name, "up")
    peer.run("ip", "address", "add", address, "dev", "eth0")
    for device in ("lo", "eth0"):
        peer.run("ip", "link", "set", device, "up")


def program(stack: contextlib.ExitStack, node: Node, path: str, config: Path) -> subprocess.Popen[str]:
    journal = stack.enter_context((config.parent / Path(path).name).with_suffix(".log").open("w"))
    process = node.start(sys.executable, str(CLOUD_INIT / path), str(config), stderr=journal)
    stack.enter_context(process)
    stack.callback(process.kill)
    return process


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    with built(tmp_path) as made:
        yield made


# As the iptables.service of Azure Linux loads them (SPECS/iptables/ip4save), without its rules.
DROP_ALL = "*filter\n:INPUT DROP\n:FORWARD DROP\n:OUTPUT ACCEPT\nCOMMIT\n"


@contextlib.contextmanager
def built(tmp_path: Path, filter_table: str = "") -> Iterator[Network]:
    """The network with the agent in it; before it starts the machine has these rules."""
    for tool in ("unshare", "nsenter", "ip", "iptables", "curl"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    server, agent = tmp_path / "server.json", tmp_path / "forwarder.json"
    server.write_text(json.dumps({"version": 1, "hash": "x", "ports": [9000]}))
    forward = {"name": "web", "port": 8000, "targets": [f"{a}:9000" for a in SERVERS], "check": "http"}
    agent.write_text(
        json.dumps(
            {
                "version": 1,
                "hash": "0123456789abcdef",
                "healthPort": 18099,
                "checkInterval": 0.2,
                "configInterval": 1,
                "inbound": ["10.0.1.0/26"],
                "forwards": [forward],
            }
        )
    )
    with contextlib.ExitStack() as stack:
        forwarder = hold(stack, "unshare", "--user", "--map-root-user", "--net")
        inside = [*ENTER, str(forwarder.pid), "unshare", "--net"]
        client, first, second = (hold(stack, *inside) for _ in range(3))
        forwarder.run("ip", "link", "set", "lo", "up")
        link(forwarder, client, "client", f"{FORWARDER}/26", "10.0.1.10/26")
        forwarder.run("ip", "address", "add", "10.0.2.4/26", "dev", "client")
        client.run("ip", "address", "add", "10.0.2.10/26", "dev", "eth0")
        link(forwarder, first, "first", "192.168.42.1/27", f"{SERVERS[0]}/27")
        link(forwarder, second, "second", "192.168.42.33/27", f"{SERVERS[1]}/27")
        forwarder.run("iptables", "-A", "INPUT", "-p", "tcp", "--dport", "22", "-j", "DROP")
        if filter_table:
            (tmp_path / "rules").write_text(filter_table)
            forwarder.run("iptables-restore", str(tmp_path / "rules"))
        for node in (first, second):
            program(stack, node, "onprem-server/server.py", server)
        running = program(stack, forwarder, "forwarder/agent.py", agent)
        made = Network(forwarder, client, (first, second), agent, running)
        until(lambda: client.get("/status", 18099)[0] == 200, "the agent answers")
        until(lambda: made.states() == ["up", "up"], "both servers are up")
        until(lambda: forwarder.run("iptables-save").count("--to-destination") == 2, "both are in rotation")
        yield made


def test_connections_take_turns_and_come_from_the_forwarder(network: Network) -> None:
    assert network.client.get("/forward/web/8000", 18099)[0] == 200
    assert network.answering(6) == {"192.168.42.1": 3, "192.168.42.33": 3}
    targets = network.status()["forwards"][0]["targets"]
    assert [target["connections"] for target in targets] == [3, 3]
    assert all(target["packets"] > 3 for target in targets)


def test_a_dead_server_leaves_the_rotation_comes_back_and_keeps_its_connections(network: Network) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with network.client.start(sys.executable, "-c", KEEP_ALIVE, **pipes) as kept:
        assert kept.stdout is not None
        assert kept.stdin is not None
        via = json.loads(kept.stdout.readline())["client"]
        index = 0 if via == "192.168.42.1" else 1
        syn = ["-p", "tcp", "--dport", "9000", "--syn", "-j", "REJECT", "--reject-with", "tcp-reset"]
        network.servers[index].run("iptables", "-A", "INPUT", *syn)
        until(lambda: network.states()[index] == "down", "the server is down")
        assert via not in network.answering(4)
        kept.stdin.write("\n")
        kept.stdin.flush()
        assert json.loads(kept.stdout.readline())["client"] == via
        kept.stdin.close()
    network.servers[index].run("iptables", "-F", "INPUT")
    until(lambda: network.states() == ["up", "up"], "the server is back")
    assert set(network.answering(4)) == {"192.168.42.1", "192.168.42.33"}
    assert network.status()["repairs"] == 0


def test_connections_that_a_dead_server_did_not_answer_go_to_another_one(network: Network) -> None:
    network.servers[0].run("iptables", "-A", "INPUT", "-j", "DROP")
    curl = ["curl", "-s", "-m", "30", f"http://{FORWARDER}:8000/"]
    asking = [network.client.start(*curl, stdout=subprocess.PIPE) for _ in range(6)]
    bodies = [process.communicate(timeout=60)[0] for process in asking]
    assert {json.loads(body or "{}").get("client") for body in bodies} == {"192.168.42.33"}
    assert network.states()[0] == "down"


def test_without_a_live_server_the_probe_fails_and_the_agent_lives(network: Network) -> None:
    for node in network.servers:
        node.run("ip", "link", "set", "eth0", "down")
    until(lambda: network.client.get("/forward/web/8000", 18099)[0] == 503, "the probe fails")
    assert network.client.get("/live", 18099)[0] == 200
    assert network.client.get("/")[0] == 0


def test_removed_rules_come_back_and_rules_of_others_stay(network: Network) -> None:
    before = network.forwarder.run("iptables-save")
    assert "--dport 22 -j DROP" in before
    network.forwarder.run("iptables", "-t", "nat", "-F")
    network.forwarder.run("iptables", "-D", "FORWARD", "-j", "FWDCTL-FWD")
    until(lambda: network.status()["repairs"] > 0, "the repair is counted")
    until(lambda: network.status()["forwards"][0]["rulesInPlace"], "the rules are back")
    assert len(network.answering(2)) == 2
    rules = [line for line in network.forwarder.run("iptables-save").splitlines() if line.startswith("-A")]
    assert sorted(rules) == sorted(line for line in before.splitlines() if line.startswith("-A"))


def test_an_image_that_drops_what_no_rule_admits(tmp_path: Path) -> None:
    with built(tmp_path, DROP_ALL) as network:
        log = (tmp_path / "agent.log").read_text()
        assert "is up" in log
        assert "is down" not in log  # the answers to the very first checks came in
        assert len(network.answering(4)) == 2  # the targets are up: answers to the agent's checks come in
        assert network.client.get("/forward/web/8000", 18099)[0] == 200
        assert '"live": true' in network.forwarder.run(
            "curl", "-sS", "-m", "5", "http://127.0.0.1:18099/live"
        )
        network.forwarder.run("iptables-restore", str(tmp_path / "rules"))  # its service loads them again
        until(lambda: network.forwarder.run("iptables-save").count("-j FWDCTL-") == 5, "the rules are back")
        until(lambda: network.status()["repairs"] > 0, "that is counted")
        assert len(network.answering(4)) == 2
        saved = network.forwarder.run("iptables-save", "-t", "filter")
        assert ":INPUT DROP" in saved
        assert ":FORWARD DROP" in saved


def test_an_open_connection_outlives_a_flush_of_nat_and_filter(network: Network) -> None:
    """Without rules the kernel would stop to track connections, were there not one in another table."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with network.client.start(sys.executable, "-c", KEEP_ALIVE, **pipes) as kept:
        assert kept.stdout is not None
        assert kept.stdin is not None
        via = json.loads(kept.stdout.readline())["client"]
        network.agent.send_signal(signal.SIGSTOP)
        network.forwarder.run("iptables", "-t", "nat", "-F")
        network.forwarder.run("iptables", "-F")
        assert network.client.get("/")[0] == 0  # nothing new
        kept.stdin.write("\n")
        kept.stdin.flush()
        assert json.loads(kept.stdout.readline())["client"] == via
        network.agent.send_signal(signal.SIGCONT)
        kept.stdin.close()
    until(lambda: network.client.get("/")[0] == 200, "the rules are back")


def test_other_networks_do_not_come_in(network: Network) -> None:
    assert network.client.get("/live", 18099, "--interface", "10.0.1.10")[0] == 200
    assert network.client.get("/live", 18099, "--interface", "10.0.2.10")[0] == 0
    assert network.client.get("/", 8000, "--interface", "10.0.1.10")[0] == 200
    assert network.client.get("/", 8000, "--interface", "10.0.2.10")[0] == 0


def test_a_changed_configuration_keeps_connections_and_counters(network: Network) -> None:
    web = {"name": "web", "port": 8000, "targets": [f"{SERVERS[0]}:9000"], "check": "http"}
    other = {"name": "other", "port": 8001, "targets": [f"{SERVERS[1]}:9000"], "check": "http"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with network.client.start(sys.executable, "-c", KEEP_ALIVE, **pipes) as kept:
        assert kept.stdout is not None
        assert kept.stdin is not None
        via = json.loads(kept.stdout.readline())["client"]
        counted = network.status()["forwards"][0]["targets"][0]["connections"]
        network.reconfigure(hash="two", forwards=[web, other])
        until(lambda: network.client.get("/forward/other/8001", 18099)[0] == 200, "the second is healthy")
        assert json.loads(network.client.get("/", 8001)[1])["client"] == "192.168.42.33"
        assert network.answering(4) == {"192.168.42.1": 4}
        assert network.status()["forwards"][0]["targets"][0]["connections"] == counted + 4
        network.reconfigure(hash="three", forwards=[other])
        until(lambda: network.client.get("/")[0] == 0, "the first is gone")
        assert network.client.get("/forward/web/8000", 18099)[0] == 404
        kept.stdin.write("\n")
        kept.stdin.flush()
        assert json.loads(kept.stdout.readline())["client"] == via
        kept.stdin.close()
    assert "FWDCTL-8000" not in network.forwarder.run("iptables-save")
    assert network.status()["repairs"] == 0


def test_a_refused_configuration_changes_nothing(network: Network) -> None:
    before = network.forwarder.run("iptables-save")
    network.reconfigure(hash="bad", forwards=[{"name": "web", "port": 8000, "targets": [f"{FORWARDER}:80"]}])
    assert "own network" in network.status()["refused"]
    assert network.answering(2)
    rules = [line for line in network.forwarder.run("iptables-save").splitlines() if line.startswith("-A")]
    assert rules == [line for line in before.splitlines() if line.startswith("-A")]


def test_both_health_ports_are_answered_after_a_change(network: Network) -> None:
    network.reconfigure(hash="two", healthPort=18100)
    until(lambda: network.client.get("/forward/web/8000", 18100)[0] == 200, "the new port answers")
    assert network.client.get("/forward/web/8000", 18099)[0] == 200


def test_slow_clients_do_not_keep_the_health_port_from_others(network: Network) -> None:
    hold_open = (
        "import socket, sys\n"
        f"held = [socket.create_connection(('{FORWARDER}', 18099)) for _ in range(150)]\n"
        "print(len(held), flush=True)\n"
        "sys.stdin.readline()\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with network.client.start(sys.executable, "-c", hold_open, **pipes) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == "150\n"
        assert network.client.get("/forward/web/8000", 18099)[0] == 200
        holder.stdin.close()
