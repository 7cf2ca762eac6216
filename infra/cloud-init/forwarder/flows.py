"""Connections that a dead target never answered: forgotten, so that the next attempt goes to another one.

Connection tracking keeps such a connection, with its target, for two minutes. A client that asks again, or
another one whose packets have the same address and port by then, would go on to the dead target.
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# linux/netlink.h, linux/netfilter/nfnetlink.h and nfnetlink_conntrack.h
NETFILTER = 12
GET, DELETE, FLOW = 0x101, 0x102, 0x100
REQUEST, DUMP = 0x1, 0x301
FAMILY = struct.pack("=BBH", socket.AF_INET, 0, 0)
ORIGINAL, REPLY, STATUS, ADDRESSES, PORTS, SOURCE, SOURCE_PORT = 1, 2, 3, 1, 2, 1, 2
NESTED, ANSWERED = 0x8000, 2


def attributes(data: bytes) -> dict[int, bytes]:
    """Values by kind, without the flag of those that are nested."""
    found, at = {}, 0
    while at + 4 <= len(data):
        size, kind = struct.unpack_from("=HH", data, at)
        if size < 4:  # noqa: PLR2004 - its own head
            break
        found[kind & ~NESTED] = data[at + 4 : at + size]
        at += (size + 3) & ~3
    return found


def forget(address: str) -> int:
    """Drop all unanswered connections to ADDRESS:PORT; how many there were. OSError where it fails."""
    host, _, port = address.rpartition(":")
    end = socket.inet_aton(host), struct.pack(">H", int(port))
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETFILTER) as kernel:
        kernel.settimeout(10)
        found = list(_unanswered(kernel, *end))
        for original in found:
            named = struct.pack("=HH", 4 + len(original), NESTED | ORIGINAL) + original
            _send(kernel, DELETE, REQUEST, named)
    return len(found)


def _send(kernel: socket.socket, what: int, flags: int, body: bytes = b"") -> None:
    kernel.send(struct.pack("=IHHII", 20 + len(body), what, flags, 0, 0) + FAMILY + body)


def _unanswered(kernel: socket.socket, host: bytes, port: bytes) -> Iterator[bytes]:
    """How each connection began whose answers would come from there."""
    _send(kernel, GET, DUMP)
    while True:
        data, at = kernel.recv(65_536), 0
        while at < len(data):
            size, kind = struct.unpack_from("=IH", data, at)
            if kind != FLOW:
                return  # the end, or an error
            body = data[at + 20 : at + size]
            at += (size + 3) & ~3
            if host not in body:
                continue  # looked at first, as there may be hundreds of thousands
            flow = attributes(body)
            answers = attributes(flow.get(REPLY, b""))
            source = attributes(answers.get(ADDRESSES, b"")).get(SOURCE)
            source_port = attributes(answers.get(PORTS, b"")).get(SOURCE_PORT)
            answered = struct.unpack(">I", flow[STATUS])[0] & ANSWERED
            if (source, source_port) == (host, port) and not answered:
                yield flow[ORIGINAL]
