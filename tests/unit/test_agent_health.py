"""The forwarder agent's health server: slow, broken and many clients."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from support.agent_program import agent_module

if TYPE_CHECKING:
    from collections.abc import Iterator

health = agent_module("health")


class Answers:
    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])

    def ports(self) -> list[int]:
        return [self.port]

    def answer(self, path: str, port: int) -> tuple[int, dict[str, Any]]:
        if path == "/broken":
            raise OSError("iptables-save ended with 4")
        return 200, {"path": path}


@pytest.fixture
def port() -> Iterator[int]:
    answers = Answers()
    loop = asyncio.new_event_loop()
    server = health.HealthServer(answers)
    task = loop.create_task(server.run())

    def run() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(task)

    thread = threading.Thread(target=run)
    thread.start()
    deadline = time.monotonic() + 10
    while True:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", answers.port), 1).close()
            break
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield answers.port
    loop.call_soon_threadsafe(task.cancel)
    thread.join(10)
    for other in (*server._servers.values(), *asyncio.all_tasks(loop)):
        other.close() if isinstance(other, asyncio.Server) else other.cancel()
    loop.run_until_complete(asyncio.sleep(0.05))
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def asked(port: int, path: str = "/live") -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return str(answer.read().decode())


@pytest.mark.parametrize("sent", [b"GET /live", b"\xff\r\n\r\n", b"x" * 100_000])
def test_a_broken_connection_is_one_line_and_no_traceback(
    port: int, sent: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    time.sleep(0.1)
    capfd.readouterr()
    with socket.create_connection(("127.0.0.1", port), 5) as client, contextlib.suppress(OSError):
        client.sendall(sent)
    deadline = time.monotonic() + 10
    said = ""
    while not said:
        assert time.monotonic() < deadline
        time.sleep(0.05)
        said += capfd.readouterr().err
    time.sleep(0.2)
    said += capfd.readouterr().err
    assert said.startswith("health connection of 127.0.0.1: ")
    assert said.count("\n") == 1
    assert '"/live"' in asked(port)


def test_what_cannot_be_found_out_is_an_answer(port: int) -> None:
    with pytest.raises(urllib.error.HTTPError, match="500") as caught:
        asked(port, "/broken")
    assert b"iptables-save ended with 4" in caught.value.read()
    caught.value.close()


def test_many_slow_clients_keep_the_load_balancer_from_nothing(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "MOST_CLIENTS", 20)
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 5)) for _ in range(40)]
        assert '"/live"' in asked(port)
        monkeypatch.setattr(health, "NEVER_REFUSED", ())
        refused = stack.enter_context(socket.create_connection(("127.0.0.1", port), 5))
        assert refused.recv(1) == b""
        monkeypatch.setattr(health, "SLOW_CLIENT_SECONDS", 0.1)
        slow[0].settimeout(10)
        with contextlib.suppress(ConnectionError):
            assert slow[0].recv(1) == b""
