"""Messages between the lab's process and the first process of each node: JSON and open files.

One message is one packet of a `SOCK_SEQPACKET` socket pair. Standard library only.
"""

from __future__ import annotations

import json
import os
import socket
from typing import Any

LARGEST = 190_000
"""Bytes of one message; below the kernel's default limit for a packet of a unix socket."""
MOST_FILES = 240
"""Files with one message; the kernel allows 253."""


def pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(end: socket.socket, message: dict[str, Any], files: tuple[int, ...] = ()) -> None:
    """Send one message with duplicates of open files.

    Raises:
        ValueError: when it is larger than `LARGEST`.
        OSError: when the other end is gone.
    """
    packet = json.dumps(message, separators=(",", ":")).encode()
    if len(packet) > LARGEST:
        raise ValueError(f"a message of {len(packet)} bytes is larger than {LARGEST}")
    socket.send_fds(end, [packet], list(files))


def receive(end: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Receive one message and its files; None when the other end is gone.

    Raises:
        BlockingIOError: when the socket does not block and nothing is there.
    """
    packet, files, _, _ = socket.recv_fds(end, LARGEST + 1, MOST_FILES)
    if not packet:
        return None
    for file in files:
        os.set_inheritable(file, False)  # noqa: FBT003 - the standard library's own signature
    message: dict[str, Any] = json.loads(packet)
    return message, files
