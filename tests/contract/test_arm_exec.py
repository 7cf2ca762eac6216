"""The exec web socket."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from fwdlab.arm.errors import ArmError
from fwdlab.arm.ids import ResourceId
from support.controlplane import Endpoint, seed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


class Door:
    """Opens sessions in the jump box."""

    def __init__(self, endpoint: Endpoint, session: aiohttp.ClientSession) -> None:
        self.endpoint = endpoint
        self.session = session
        box = f"{endpoint.group}/providers/Microsoft.ContainerInstance/containerGroups/jump"
        self.container = ResourceId.parse(f"{box}/containers/jump")

    def open(self, command: str, **size: int) -> dict[str, str]:
        return self.endpoint.server.sessions.open(self.container, {"command": command, "terminalSize": size})

    async def run(
        self, command: str, typed: bytes = b"", *, binary_password: bool = False, **size: int
    ) -> bytes:
        """All that a session prints; the connection is expected to be closed by the server."""
        ticket = self.open(command, **size)
        received = b""
        async with self.session.ws_connect(ticket["webSocketUri"]) as socket:
            if binary_password:
                await socket.send_bytes(ticket["password"].encode())
            else:
                await socket.send_str(ticket["password"])
            if typed:
                await socket.send_bytes(typed)
            async for message in socket:
                received += message.data
        return received


def with_door(home: Path, scene: Callable[[Door], Awaitable[None]]) -> None:
    async def main() -> None:
        endpoint = await Endpoint.start(home)
        tls = ssl.create_default_context(cafile=str(endpoint.certificates.bundle))
        try:
            await seed(endpoint.api, endpoint.group)
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as session:
                await scene(Door(endpoint, session))
        finally:
            await endpoint.stop()

    asyncio.run(main())


def test_output_arrives_and_the_socket_closes_with_the_process(tmp_path: Path) -> None:
    async def scene(door: Door) -> None:
        assert await door.run("echo one two") == b"one two\r\n"
        assert await door.run("echo three", binary_password=True) == b"three\r\n"

    with_door(tmp_path, scene)


def test_the_command_is_split_at_blanks_only(tmp_path: Path) -> None:
    async def scene(door: Door) -> None:
        await door.run("echo  'a b'  $HOME")
        assert door.endpoint.plane.opened[-1] == ("jump", ("echo", "'a", "b'", "$HOME"))

    with_door(tmp_path, scene)


def test_what_is_typed_reaches_a_terminal_of_the_size_asked_for(tmp_path: Path) -> None:
    async def scene(door: Door) -> None:
        shown = await door.run("/bin/sh", b"stty size; echo $PLAIN-$SECRET; exit 3\n", rows=12, cols=200)
        assert b"12 200\r\n" in shown
        assert b"1-hidden\r\n" in shown

    with_door(tmp_path, scene)


@pytest.mark.parametrize("first", ["wrong", b"wrong", None])
def test_the_first_message_must_be_the_password(tmp_path: Path, first: Any) -> None:
    async def scene(door: Door) -> None:
        ticket = door.open("echo hi")
        async with door.session.ws_connect(ticket["webSocketUri"]) as socket:
            if isinstance(first, str):
                await socket.send_str(first)
            elif first is not None:
                await socket.send_bytes(first)
            else:
                await socket.close()
            message = await socket.receive(timeout=10)
            assert message.type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}
        assert door.endpoint.plane.opened == []

    with_door(tmp_path, scene)


def test_a_session_serves_once_and_only_if_it_exists(tmp_path: Path) -> None:
    async def scene(door: Door) -> None:
        ticket = door.open("true")
        async with door.session.ws_connect(ticket["webSocketUri"]) as socket:
            await socket.send_str(ticket["password"])
        for address in (ticket["webSocketUri"], f"{door.endpoint.server.base_url}/exec/none"):
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await door.session.ws_connect(address)
            assert caught.value.status == 404

    with_door(tmp_path, scene)


def test_a_client_that_leaves_ends_the_process(tmp_path: Path) -> None:
    async def scene(door: Door) -> None:
        ticket = door.open("sleep 600")
        async with door.session.ws_connect(ticket["webSocketUri"]) as socket:
            await socket.send_str(ticket["password"])
            await asyncio.wait_for(door.endpoint.plane.entered.wait(), 10)
        code = await asyncio.wait_for(door.endpoint.plane.terminals[0].wait(), 10)
        assert code == -9

    with_door(tmp_path, scene)


def test_a_command_in_another_case_is_a_command(tmp_path: Path) -> None:
    async def scene(door: Door) -> None:
        sent = {"COMMAND": "tty", "TerminalSize": {"ROWS": 7, "cols": 9}}
        ticket = door.endpoint.server.sessions.open(door.container, sent)
        assert ticket["webSocketUri"].endswith("rows=7&cols=9")

    with_door(tmp_path, scene)


def test_a_program_that_is_not_there_is_reported_in_the_session(tmp_path: Path) -> None:
    async def scene(door: Door) -> None:
        assert b"no-such-program" in await door.run("no-such-program --now")

    with_door(tmp_path, scene)


def test_exec_needs_a_running_container_and_a_command(tmp_path: Path) -> None:
    async def scene(door: Door) -> None:
        with pytest.raises(ArmError, match="InvalidRequestContent"):
            door.open(" ")
        box = str(door.container.parent)
        other = ResourceId.parse(f"{box}/containers/other")
        with pytest.raises(ArmError, match="ContainerNotFound"):
            door.endpoint.server.sessions.open(other, {"command": "x"})
        await door.endpoint.api.action(box, "stop")
        with pytest.raises(ArmError, match="ContainerGroupStopped") as caught:
            door.open("echo")
        assert caught.value.status == 409

    with_door(tmp_path, scene)


# With Python 3.10 a client's connection that was cut counts as one that nobody closed.
@pytest.mark.filterwarnings("ignore:unclosed transport:ResourceWarning")
def test_faults_of_the_channel(tmp_path: Path) -> None:
    async def scene(door: Door) -> None:
        faults = door.endpoint.server.sessions.faults
        faults.drop_every = 3
        assert await door.run("echo abcdef") == b"abde\r\n"
        faults.drop_every = 0
        faults.empty_first_message = True
        assert await door.run("echo abc") == b"abc\r\n"
        faults.empty_first_message = False
        faults.cut_after = 2
        assert await door.run("echo abc") == b"ab"
        faults.cut_after = None
        faults.refuse = True
        with pytest.raises(ArmError, match="InternalServerError"):
            door.open("echo")

    with_door(tmp_path, scene)
