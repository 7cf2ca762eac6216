"""Container exec as Azure Container Instances offers it.

`POST …/containers/C/exec` answers an address and a password. The client opens the web socket and sends the
password as its first message; from then on bytes go both ways, in text or binary messages. There is no exit
status and no resize message; the socket closes when the process ends.

The command is one string that the lab splits at blanks and nothing else: quotes are not honoured, because
clients cannot rely on the service to honour them.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import secrets
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from fwdlab.arm.errors import ArmError
from fwdlab.arm.services.container_instance.container_groups import Containers
from fwdlab.arm.services.shapes import number, record, spelled, text
from fwdlab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwdlab.arm.api import ArmApi
    from fwdlab.arm.ids import ResourceId
    from fwdlab.arm.ports import Terminal

_ASKED = record(command=text(), terminalSize=record(rows=number(), cols=number()))
_SESSION_SECONDS = 60.0
_PASSWORD_SECONDS = 15.0
_SIZE_LIMIT = 1000


@dataclass
class ExecFaults:
    """What goes wrong in sessions that are opened from now on.

    Attributes:
        refuse: exec itself fails with 500.
        empty_first_message: the first message of the server is empty.
        drop_every: one byte in so many is lost on the way out; 0 for none.
        cut_after: the connection breaks after so many bytes out; None for never.
    """

    refuse: bool = False
    empty_first_message: bool = False
    drop_every: int = 0
    cut_after: int | None = None


@dataclass(frozen=True)
class _ExecSession:
    node: str
    environment: Mapping[str, str]
    argv: tuple[str, ...]
    rows: int
    cols: int
    password: str
    expires: float


@dataclass
class ExecSessions:
    """Sessions that wait for their web socket, below `address`; each serves once."""

    api: ArmApi
    address: str
    faults: ExecFaults = field(default_factory=ExecFaults)
    _waiting: dict[str, _ExecSession] = field(default_factory=dict)

    def open(self, container: ResourceId, body: Any) -> dict[str, str]:
        """The answer to POST exec with a body `{"command": …, "terminalSize": {"rows", "cols"}}`.

        Raises:
            ArmError: 400 without a command, 404, or 409 while the group does not run.
        """
        if self.faults.refuse:
            raise ArmError(500, "InternalServerError", "Exec could not be started.")
        body = spelled(_ASKED, body, str)
        command = body.get("command") if isinstance(body, dict) else None
        if not isinstance(command, str) or not command.strip():
            raise ArmError(400, "InvalidRequestContent", "The 'command' of the exec request is missing.")
        provider = self.api.world.provider(container.type)
        if not isinstance(provider, Containers):
            raise ArmError(400, "LabOperationNotSupported", f"'{container.type}' has no exec.")
        node, own = provider.running(container)
        rows, cols = _size(body, "rows", 24), _size(body, "cols", 80)
        now = asyncio.get_running_loop().time()
        self._waiting = {k: s for k, s in self._waiting.items() if s.expires > now}
        session, password = uuid.uuid4().hex, secrets.token_urlsafe(24)
        expires = now + _SESSION_SECONDS
        self._waiting[session] = _ExecSession(
            node.name, dict(own.environment), tuple(command.split()), rows, cols, password, expires
        )
        return {
            "webSocketUri": f"{self.address}/exec/{session}?rows={rows}&cols={cols}",
            "password": password,
        }

    async def serve(self, request: web.Request) -> web.StreamResponse:
        session = self._waiting.pop(request.match_info["session"], None)
        if session is None or session.expires < asyncio.get_running_loop().time():
            return web.Response(status=404)
        socket = web.WebSocketResponse(heartbeat=30.0, max_msg_size=1 << 20)
        await socket.prepare(request)
        if not await _authenticated(socket, session.password):
            await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"wrong password")
            return socket
        with contextlib.suppress(ConnectionError):  # the client may go away at any moment
            await self._run(socket, session, request.transport)
        return socket

    async def _run(
        self, socket: web.WebSocketResponse, session: _ExecSession, transport: asyncio.Transport | None
    ) -> None:
        outlet = _Outlet(socket, transport, self.faults)
        if self.faults.empty_first_message:
            await socket.send_bytes(b"")
        try:
            terminal = await self.api.world.data_plane.open_terminal(
                session.node,
                session.argv,
                rows=session.rows,
                cols=session.cols,
                environment=session.environment,
            )
        except (OSError, LabError) as error:
            await socket.send_bytes(f"exec: {session.argv[0]}: {error}\r\n".encode())
            await socket.close()
            return
        try:
            await _pump(socket, terminal, outlet)
        finally:
            await terminal.close()
        if not outlet.cut:
            await socket.close()


class _Outlet:
    """Bytes on their way to the client, with whatever fault is set when the session opens."""

    def __init__(
        self, socket: web.WebSocketResponse, transport: asyncio.Transport | None, faults: ExecFaults
    ) -> None:
        self._socket = socket
        self._transport = transport
        self._drop_every = faults.drop_every
        self._cut_after = faults.cut_after
        self._sent = 0
        self.cut = False

    async def send(self, data: bytes) -> None:
        start = self._sent
        self._sent += len(data)
        if self._cut_after is not None and self._sent > self._cut_after:
            data = data[: max(0, self._cut_after - start)]
            self.cut = True
        if self._drop_every:
            data = bytes(b for i, b in enumerate(data, start + 1) if i % self._drop_every)
        await self._socket.send_bytes(data)
        if self.cut and self._transport is not None:
            self._transport.abort()


async def _authenticated(socket: web.WebSocketResponse, password: str) -> bool:
    try:
        first = await socket.receive(timeout=_PASSWORD_SECONDS)
    except TimeoutError:
        return False
    given = _bytes(first)
    return given is not None and hmac.compare_digest(given, password.encode())


def _bytes(message: WSMessage) -> bytes | None:
    if message.type is WSMsgType.TEXT:
        return str(message.data).encode()
    return bytes(message.data) if message.type is WSMsgType.BINARY else None


async def _pump(socket: web.WebSocketResponse, terminal: Terminal, outlet: _Outlet) -> None:
    """Carry bytes until the process ends or the client leaves."""
    loop = asyncio.get_running_loop()
    ends = [loop.create_task(_outward(terminal, outlet)), loop.create_task(_inward(socket, terminal))]
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in ends:
            task.cancel()
        await asyncio.gather(*ends, return_exceptions=True)


async def _outward(terminal: Terminal, outlet: _Outlet) -> None:
    while (data := await terminal.read()) and not outlet.cut:
        await outlet.send(data)


async def _inward(socket: web.WebSocketResponse, terminal: Terminal) -> None:
    async for message in socket:
        data = _bytes(message)
        if data is None:
            return
        await terminal.write(data)


def _size(body: dict[str, Any], name: str, default: int) -> int:
    size = body.get("terminalSize")
    value = size.get(name) if isinstance(size, dict) else None
    return value if isinstance(value, int) and 0 < value <= _SIZE_LIMIT else default
