"""Let one thread alone use a TLS connection.

The `websockets` client reads in a thread of its own while the caller writes, but OpenSSL wants one thread at
a time on a connection. Now and then opening one hung for ever: the reading thread stayed in a read that no
time limit ends (the server's session tickets had woken it), while the answer to the first request never came.
So a thread of ours carries bytes between the connection and a plain socket pair, whose near end `websockets`
gets.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
from threading import Thread
from typing import TYPE_CHECKING, Any

from websockets.sync.client import ClientConnection

if TYPE_CHECKING:
    from websockets.client import ClientProtocol

ENOUGH = 256 * 1024
"""Bytes waiting in one direction beyond which that direction is not read."""
PARTING = 5.0
"""Seconds that the last bytes may take after our end was closed."""
_CHUNK = 65536
_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)
"""`select` takes no descriptor above 1023; on Windows, where there is no `poll`, it takes any."""


class Connection(ClientConnection):
    """The client's connection, over a plain socket whatever it came in."""

    def __init__(self, sock: socket.socket, protocol: ClientProtocol, **options: Any) -> None:
        plain = plain_end(sock) if isinstance(sock, ssl.SSLSocket) else sock
        super().__init__(plain, protocol, **options)


def plain_end(connection: ssl.SSLSocket) -> socket.socket:
    """A plain socket that stands for a TLS connection; closing it closes the connection."""
    near, far = socket.socketpair()
    for side in (connection, far):
        side.settimeout(0)
    Thread(target=_carry, args=(connection, far), name="fwdctl-tls", daemon=True).start()
    return near


def _carry(connection: ssl.SSLSocket, far: socket.socket) -> None:
    """Carry bytes both ways until one side ends; what the service still said is delivered."""
    outward, inward = bytearray(), bytearray()
    with contextlib.suppress(OSError), connection, far:
        ended = False
        while not ended or inward:
            _wait(connection, far, outward, inward, ended=ended)
            if not ended and len(inward) < ENOUGH:
                ended = _receive(connection, inward)
            _send(far, inward)
            if not ended and len(outward) < ENOUGH and _receive(far, outward):
                connection.settimeout(PARTING)
                connection.sendall(outward)
                return
            try:
                _send(connection, outward)
            except OSError:
                outward.clear()  # the service is gone; what it said before is still to be read
        far.shutdown(socket.SHUT_WR)
        # `websockets` answers a farewell, and would lose what came with it if that failed.
        far.settimeout(None)
        while far.recv(_CHUNK):
            pass


def _wait(
    connection: ssl.SSLSocket, far: socket.socket, outward: bytearray, inward: bytearray, *, ended: bool
) -> None:
    """Wait until something can be carried."""
    waits = {connection: 0, far: selectors.EVENT_WRITE if inward else 0}
    if not ended:
        waits[connection] |= selectors.EVENT_READ if len(inward) < ENOUGH else 0
        waits[connection] |= selectors.EVENT_WRITE if outward else 0
        waits[far] |= selectors.EVENT_READ if len(outward) < ENOUGH else 0
    if waits[connection] & selectors.EVENT_READ and connection.pending():
        return
    with _Selector() as selector:
        for side, events in waits.items():
            if events:
                selector.register(side, events)
        selector.select()


def _receive(side: socket.socket, buffer: bytearray) -> bool:
    """Read what is there; True at the end, also of a connection that broke.

    A TLS record that is not complete yet counts as nothing.
    """
    try:
        while len(buffer) < ENOUGH:
            data = side.recv(_CHUNK)
            if not data:
                return True
            buffer += data
    except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return False
    except OSError:
        return True
    return False


def _send(side: socket.socket, buffer: bytearray) -> None:
    """Write what can be written now."""
    with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
        while buffer:
            del buffer[: side.send(buffer[:_CHUNK])]
