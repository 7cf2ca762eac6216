"""The forwarder agent's turns: configurations come and go, targets live and die, rules are lost and put back."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from support.agent_program import agent_module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

agent = agent_module("agent")
configuration = agent_module("configuration")
targets = agent_module("targets")
rules = agent_module("rules")


class Kernel:
    """Shows what was written, as iptables-save would, and forgets when told to."""

    def __init__(self) -> None:
        self.chains: dict[str, dict[str, list[str]]] = {}
        self.forwarding = False
        self.refuses = False
        self.writes = 0

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

    def healthy(self, path: str = "/forward/web/8000") -> int:
        return int(self.agent.answer(path)[0])

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.agent.answer("/status")[1]
        return status


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    for target in made.agent.targets._targets.values():
        target.gone.set()


def test_a_forward_is_healthy_once_its_rules_are_written(world: World) -> None:
    world.give()
    assert world.healthy() == 404
    world.until(lambda: world.healthy() == 200)
    assert world.kernel.chains["nat"]["FWDCTL-8000"] == [
        "-A FWDCTL-8000 -p tcp -j DNAT --to-destination 198.51.100.1:80"
    ]
    assert world.healthy("/forward/other/9") == 404


def test_a_renamed_forward_stays_healthy_by_its_port(world: World) -> None:
    world.give()
    world.until(lambda: world.healthy() == 200)
    assert world.healthy("/forward/www/8000") == 200


NEW = "198.51.100.2:80"


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Checks of every target but the first wait for this."""
    released = threading.Event()

    def check(_forward: Any, address: str, *_: Any) -> str:
        if address == NEW:
            released.wait(30)
        return ""

    monkeypatch.setattr(targets, "check_target", check)
    monkeypatch.setattr(agent, "FIRST_CHECKS_SECONDS", 60.0)
    return released


def chosen(world: World) -> list[str]:
    """Where new connections go."""
    return [rule.rpartition(" ")[2] for rule in world.kernel.chains["nat"]["FWDCTL-8000"]]


def test_what_is_served_is_served_on_until_new_targets_have_been_checked(
    world: World, slow: threading.Event
) -> None:
    world.give()
    world.until(lambda: world.healthy() == 200)
    [forward] = document()["forwards"]
    world.give(hash="second", forwards=[{**forward, "name": "renamed", "targets": [NEW]}])
    for _ in range(5):
        world.turn()
        assert (world.healthy(), chosen(world)) == (200, ["198.51.100.1:80"])
    assert world.status()["hash"] == "second"
    slow.set()
    world.until(lambda: chosen(world) == [NEW])
    assert world.healthy() == 200


def test_nobody_waits_long_for_a_first_check(
    world: World, slow: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent, "FIRST_CHECKS_SECONDS", 0.0)
    world.give()
    world.until(lambda: world.healthy() == 200)
    [forward] = document()["forwards"]
    world.give(hash="second", forwards=[{**forward, "targets": [NEW]}])
    world.turn()
    assert (world.healthy(), chosen(world)) == (503, [])
    slow.set()


def test_a_target_keeps_its_state_when_only_its_check_or_its_neighbours_change(
    world: World, slow: threading.Event
) -> None:
    world.give()
    world.until(lambda: world.healthy() == 200)
    since = world.status()["forwards"][0]["targets"][0]["since"]
    [forward] = document()["forwards"]
    other = {**forward, "check": "http", "checkPath": "/x", "targets": ["198.51.100.1:80", NEW]}
    slow.set()
    world.give(hash="second", forwards=[other])
    world.until(lambda: len(chosen(world)) == 2)
    told = world.status()["forwards"][0]["targets"]
    assert (told[0]["state"], told[0]["since"]) == ("up", since)


def test_the_rules_of_an_agent_before_this_one_stay_until_targets_have_been_checked(
    world: World, slow: threading.Event, tmp_path: Path
) -> None:
    [forward] = document()["forwards"]
    world.give(forwards=[{**forward, "targets": [NEW]}])
    slow.set()
    world.until(lambda: world.healthy() == 200)
    slow.clear()
    again = World(tmp_path)
    again.kernel = world.kernel
    again.agent = agent.Agent(world.kernel, str(again.file), again.last_good)
    for _ in range(5):
        again.turn()
        assert (again.healthy(), chosen(again)) == (503, [NEW])
    slow.set()
    again.until(lambda: again.healthy() == 200)
    assert chosen(again) == [NEW]


def test_an_unchanged_turn_writes_nothing(world: World) -> None:
    world.give()
    world.until(lambda: world.healthy() == 200)
    before = world.kernel.writes
    for _ in range(3):
        world.turn()
    assert world.kernel.writes == before


def test_a_new_configuration_takes_the_place_of_the_old_and_is_kept(world: World) -> None:
    world.give()
    world.until(lambda: world.healthy() == 200)
    kept = world.agent.targets.of(world.agent.config.forwards[0])[0]
    second = {"name": "db", "port": 1433, "targets": ["198.51.100.9:1433"], "check": "none"}
    world.give(hash="second", forwards=[*document()["forwards"], second])
    world.until(lambda: world.healthy("/forward/db/1433") == 200)
    assert world.status()["hash"] == "second"
    assert world.agent.targets.of(world.agent.config.forwards[0]) == [kept]
    assert json.loads(world.last_good.read_text())["hash"] == "second"
    world.give(hash="third", forwards=[second])
    world.until(lambda: world.healthy() == 404)
    assert "FWDCTL-8000" not in world.kernel.chains["nat"]
    assert kept.gone.is_set()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "Expecting"),
        ("[]", "another shape"),
        ("{}", "'version' is missing"),
        (json.dumps(document(version=2)), "version 2 is not 1"),
        (json.dumps(document(healthPort=8000)), "are the same"),
        (json.dumps(document(padding="x" * 70_000)), "larger than 65536"),
    ],
)
def test_a_bad_configuration_is_refused_and_what_runs_goes_on(world: World, text: str, why: str) -> None:
    world.give()
    world.until(lambda: world.healthy() == 200)
    world.file.write_text(text)
    world.turn()
    assert why in world.status()["refused"]
    assert (world.status()["hash"], world.healthy()) == ("first", 200)
    assert "fwdctl_config_refused 1" in world.agent.answer("/metrics")[1]
    world.give(hash="mended")
    world.until(lambda: world.status()["hash"] == "mended")
    assert world.status()["refused"] is None


def test_a_target_that_is_the_forwarder_itself_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.give()
    monkeypatch.setattr("socket.socket.bind", lambda *_: None)
    world.turn()
    assert world.status()["refused"] == "target 198.51.100.1:80 is the forwarder itself"


def test_a_start_without_the_source_uses_the_last_good_configuration(world: World) -> None:
    world.last_good.write_text(json.dumps(document(hash="kept")))
    world.until(lambda: world.healthy() == 200)
    assert world.status()["hash"] == "kept"
    world.give(hash="new")
    world.until(lambda: world.status()["hash"] == "new")


def test_without_any_configuration_it_lives_and_says_so(world: World) -> None:
    world.turn()
    assert world.agent.answer("/live")[0] == 200
    assert "no configuration" in world.status()["refused"]


def test_user_data_is_read_from_the_metadata_service() -> None:
    class Metadata(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told = self.headers["Metadata"] == "true"
            self.send_response(200 if told else 400)
            self.end_headers()
            self.wfile.write(base64.b64encode(b'{"version": 1}') if told else b"")

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    with HTTPServer(("127.0.0.1", 0), Metadata) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        assert configuration.read(f"http://127.0.0.1:{server.server_address[1]}/x") == '{"version": 1}'
        server.shutdown()


def test_draining_refuses_the_load_balancer_and_keeps_the_rules(world: World) -> None:
    world.give()
    world.until(lambda: world.healthy() == 200)
    world.give(hash="drained", drain=True)
    world.until(lambda: world.healthy() == 503)
    assert world.kernel.chains["nat"]["FWDCTL-8000"]
    assert world.status()["draining"] is True


def test_an_earlier_health_port_is_answered_while_somebody_asks_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.give()
    world.turn()
    world.give(hash="second", healthPort=18100)
    world.turn()
    assert set(world.agent.ports()) == {18099, 18100}
    monkeypatch.setattr(agent, "OLD_PORT_SECONDS", 0.3)
    deadline = time.monotonic() + 0.6
    while time.monotonic() < deadline:
        world.agent.answer(
            "/live", 18099
        )  # as the health extension does, which learns of a port by a reimage
        world.turn()
        assert set(world.agent.ports()) == {18099, 18100}
        time.sleep(0.02)
    time.sleep(0.4)
    world.turn()
    assert world.agent.ports() == [18100]


def test_removed_rules_and_forwarding_are_put_back_at_once_and_counted(world: World) -> None:
    world.give()
    world.until(lambda: world.healthy() == 200)
    wanted = world.kernel.read()
    world.kernel.chains = {}
    world.kernel.forwarding = False
    world.agent._sight = (0.0, {})
    assert world.healthy() == 503
    world.turn()
    assert world.kernel.read() == wanted
    assert world.status()["repairs"] == 2
    assert world.healthy() == 200


def test_a_kernel_that_refuses_makes_the_forward_unhealthy_and_the_agent_stay_alive(world: World) -> None:
    world.give()
    world.until(lambda: world.healthy() == 200)
    world.kernel.chains = {}
    world.kernel.refuses = True
    world.agent._sight = (0.0, {})
    world.turn()
    assert (world.healthy(), world.agent.answer("/live")[0]) == (503, 200)
    assert "no permission" in world.status()["lastError"]
    world.kernel.refuses = False
    world.turn()
    assert world.healthy() == 200


def test_a_loop_that_hangs_is_not_live(world: World) -> None:
    world.give()
    world.until(lambda: world.healthy() == 200)
    world.agent._last_turn -= 1000
    assert (world.healthy(), world.agent.answer("/live")[0]) == (503, 503)


def test_status_and_metrics_tell_hash_rules_targets_and_conntrack(world: World) -> None:
    world.give()
    world.until(lambda: world.healthy() == 200)
    status = world.status()
    assert json.loads(json.dumps(status)) == status
    assert status["conntrack"] == {"count": 5, "max": 100}
    [forward] = status["forwards"]
    assert (forward["name"], forward["port"], forward["rulesInPlace"]) == ("web", 8000, True)
    [target] = forward["targets"]
    assert (target["address"], target["state"], target["connections"]) == ("198.51.100.1:80", "up", 0)
    metrics = world.agent.answer("/metrics")[1].splitlines()
    assert 'fwdctl_target_up{forward="web",target="198.51.100.1:80"} 1' in metrics
    assert "fwdctl_conntrack_count 5" in metrics


def new_target() -> Any:
    forward = configuration.Forward("web", 8000, ())
    return targets.Target(forward, "198.51.100.1", "198.51.100.1:80")


def test_a_target_changes_its_state_after_two_checks_that_agree() -> None:
    target = new_target()
    states = []
    for error in ["", "refused", "", "refused", "refused", "", "refused", "", ""]:
        target.record(error)
        states.append(target.state)
    assert states == ["up", "up", "up", "up", "down", "down", "down", "down", "up"]
    assert target.last_error == "refused"
    assert target.since


def test_the_very_first_check_counts_at_once() -> None:
    target = new_target()
    target.record("refused")
    assert target.state == "down"


def test_a_dead_target_leaves_the_rotation_and_a_slow_one_holds_up_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = threading.Event()

    def checked(_forward: Any, address: str, _seconds: float, _host: str) -> str:
        if address == "198.51.100.2:80":
            end.wait(30)
        return ""

    monkeypatch.setattr(targets, "check_target", checked)
    world.give(forwards=[{"name": "web", "port": 8000, "targets": ["198.51.100.1:80", "198.51.100.2:80"]}])
    try:
        world.until(lambda: world.healthy() == 200)
        [first, second] = world.status()["forwards"][0]["targets"]
        assert (first["state"], second["state"]) == ("up", "unknown")
    finally:
        end.set()


def test_a_name_is_resolved_again_and_its_last_addresses_stay(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Any] = [
        ["198.51.100.7", "198.51.100.8"],
        socket.gaierror(-2, "no such name"),
        ["198.51.100.9"],
    ]

    def resolved(_host: str, *_: Any) -> list[Any]:
        answer = answers[0] if len(answers) == 1 else answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return [(2, 1, 6, "", (address, 0)) for address in answer]

    monkeypatch.setattr("socket.getaddrinfo", resolved)
    monkeypatch.setattr(targets, "RESOLVE_SECONDS", 0.0)
    forward = {"name": "db", "port": 1433, "targets": ["db.example:1433"], "check": "none"}
    world.give(forwards=[forward])
    world.turn()
    assert world.agent.targets.addresses == {"db": ["198.51.100.7:1433", "198.51.100.8:1433"]}
    world.turn()
    assert world.agent.targets.addresses == {"db": ["198.51.100.7:1433", "198.51.100.8:1433"]}
    assert "db.example" in world.status()["namesFailed"]
    world.turn()
    assert world.agent.targets.addresses == {"db": ["198.51.100.9:1433"]}
    assert world.status()["namesFailed"] == {}


def test_a_name_that_leads_into_the_forwarders_network_is_not_followed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.getaddrinfo", lambda *_: [(2, 1, 6, "", ("127.0.0.1", 0))])
    world.give(forwards=[{"name": "db", "port": 1433, "targets": ["db.example:1433"], "check": "none"}])
    world.turn()
    assert world.agent.targets.addresses == {}
    assert "not the address of a server" in world.status()["namesFailed"]["db.example"]
