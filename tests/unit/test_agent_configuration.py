"""What the forwarder agent is told to do: where it reads that, what it refuses, what it remembers."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from support.agent_program import agent_module
from support.agent_world import World, document

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

agent = agent_module("agent")
configuration = agent_module("configuration")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.end()


def forwarding(*targets: str, **changes: Any) -> str:
    """A configuration with one forward."""
    forward = {"name": "web", "port": 8000, "targets": [*targets] or ["198.51.100.1:80"], **changes}
    return json.dumps(document(forwards=[forward]))


TWICE = [{"name": name, "port": 1, "targets": ["198.51.100.1:80"]} for name in "ab"]
SERVER = "not the address of a server"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "Expecting"),
        ("[]", "another shape"),
        ("[" * 60_000, "another shape"),  # deeper than Python's stack
        ("null", "another shape"),
        ("{}", "'version' is missing"),
        (json.dumps(document(version=2)), "version 2 is not 1"),
        (json.dumps(document(healthPort=8000)), "are the same"),
        (json.dumps(document(padding="x" * 70_000)), "larger than 65536"),
        (json.dumps(document(forwards=TWICE)), "are the same"),
        (json.dumps(document(checkInterval=float("nan"))), "interval"),
        (json.dumps(document(configInterval=float("inf"))), "interval"),
        (json.dumps(document(checkInterval=10**400)), "another shape"),
        (forwarding(port=1e999), "port inf"),
        (forwarding(port=8000.5), "port 8000.5"),
        (forwarding(port=True), "port True"),
        (forwarding("127.0.0.2:80"), SERVER),
        (forwarding("0.0.0.0:80"), SERVER),
        (forwarding("224.0.0.1:80"), SERVER),
        (forwarding("169.254.169.254:80"), SERVER),
        (forwarding("10.0.1.9:80"), "forwarders' own network"),
        (forwarding("127.0.0.1:80", "198.51.100.1:80"), SERVER),
        (forwarding("server 65:80"), "not HOST:PORT"),
        (forwarding("198.51.100.300:80"), "not HOST:PORT"),
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

    with serving(Metadata) as address:
        assert configuration.read(address) == '{"version": 1}'


@contextlib.contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/x"
        server.shutdown()


class Answering(BaseHTTPRequestHandler):
    """A metadata service that answers what it is told to."""

    answer: tuple[int, bytes] = (200, b"")
    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        status, body = self.answer
        if status:
            self.send_response(status)
            self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((200, b""), "no user data"),
        ((200, b"not base64!"), "base64"),
        ((200, base64.b64encode(b"\xff\xfe")), "utf-8"),
        ((200, base64.b64encode(b"nothing good")), "Expecting value"),
    ],
)
def test_user_data_that_is_none_is_refused_and_what_was_good_is_taken_again(
    world: World, answer: tuple[int, bytes], why: str
) -> None:
    good = base64.b64encode(json.dumps(document()).encode())
    with serving(Answering) as address:
        world.agent._source = address
        Answering.answer = (200, good)
        world.until(lambda: world.healthy() == 200)
        Answering.answer = answer
        world.turn()
        assert why in world.status()["refused"]
        assert (world.status()["hash"], world.healthy()) == ("first", 200)
        Answering.answer = (200, good)
        world.turn()
        assert world.status()["refused"] is None


@pytest.mark.parametrize("answer", [(429, b""), (503, b""), (0, b"no HTTP at all\r\n")])
def test_a_metadata_service_that_refuses_is_asked_less_often_and_complained_of_once(
    world: World,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    answer: tuple[int, bytes],
) -> None:
    pauses: list[float] = []
    good = base64.b64encode(json.dumps(document()).encode())
    with serving(Answering) as address:
        world.agent._source = address
        Answering.answer = (200, good)
        world.until(lambda: world.healthy() == 200)
        capsys.readouterr()
        Answering.answer = answer
        for _ in range(6):
            world.turn()
            pauses.append(round(world.agent._next_read - time.monotonic()))
        assert pauses == [10, 20, 30, 30, 30, 30]
        assert (world.status()["hash"], world.healthy()) == ("first", 200)
        assert world.status()["unread"]
        assert capsys.readouterr().err.count("cannot be read") == 1
        asked = Answering.asked
        world.agent.turn()
        assert Answering.asked == asked
        Answering.answer = (200, good)
        world.turn()
        assert world.status()["unread"] is None
        assert round(world.agent._next_read - time.monotonic()) == 5


def test_a_start_with_a_bad_configuration_uses_the_last_good_one_and_says_both(world: World) -> None:
    world.last_good.write_text(json.dumps(document(hash="kept")))
    world.file.write_text("{")
    world.until(lambda: world.healthy() == 200)
    assert (world.status()["hash"], "Expecting" in world.status()["refused"]) == ("kept", True)


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


def test_an_earlier_health_port_is_answered_after_a_restart_of_the_agent(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the health extension, which knows no other port until a reimage, has the instance repaired."""
    world.give()
    world.turn()
    world.give(hash="second", healthPort=18100)
    world.turn()
    again = World(tmp_path)
    again.turn()
    assert set(again.agent.ports()) == {18099, 18100}
    assert any("--dport 18099" in rule for rule in planned_inbound(again))
    monkeypatch.setattr(agent, "OLD_PORT_SECONDS", 0.0)
    again.turn()
    assert World(tmp_path).agent.ports() == [18100]


def planned_inbound(world: World) -> list[str]:
    world.until(lambda: world.healthy() == 200)
    return world.kernel.chains["filter"]["FWDCTL-IN"]


@pytest.mark.parametrize("kept", ["", "{", "{}", "null"])
def test_what_was_remembered_badly_is_forgotten(tmp_path: Path, kept: str) -> None:
    for name in ("health-ports.json", "names.json"):
        (tmp_path / name).write_text(kept)
    world = World(tmp_path)
    world.give()
    world.until(lambda: world.healthy() == 200)
    world.end()
