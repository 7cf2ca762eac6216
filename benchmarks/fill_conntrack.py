"""Lets the kernel track connections that exist nowhere: fill_conntrack.py NUMBER new|delete."""

from __future__ import annotations

import socket
import struct
import sys

# linux/netfilter/nfnetlink_conntrack.h; linux/netlink.h
NETFILTER, NESTED = 12, 0x8000
VERBS = {"new": (0x100, 0x601), "delete": (0x102, 0x1)}  # message and flags: create, exclusively
ORIGINAL, REPLY, STATUS, PROTOCOL, TIMEOUT = 1, 2, 3, 4, 7
ASSURED, ESTABLISHED, SECONDS = 14, 3, 600
BLOCK = 30_000


def part(kind: int, data: bytes) -> bytes:
    size = 4 + len(data)
    return struct.pack("=HH", size, kind) + data + bytes(-size % 4)


def way(kind: int, source: bytes, target: bytes, ports: bytes) -> bytes:
    addresses = part(NESTED | 1, part(1, source) + part(2, target))
    tcp = part(NESTED | 2, part(1, bytes([6])) + part(2, ports[:2]) + part(3, ports[2:]))
    return part(NESTED | kind, addresses + tcp)


def main() -> None:
    number, word = int(sys.argv[1]), sys.argv[2]
    verb, flags = VERBS[word]
    state = part(STATUS, struct.pack(">I", ASSURED)) + part(TIMEOUT, struct.pack(">I", SECONDS))
    state += part(NESTED | PROTOCOL, part(NESTED | 1, part(1, bytes([ESTABLISHED]))))
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETFILTER)
    block = b""
    for n in range(number):
        client = bytes([198, 18]) + struct.pack(">H", n >> 15)  # RFC 2544: addresses for benchmarks
        server, ports = bytes([198, 19, 0, 1]), struct.pack(">HH", 1024 + (n & 0x7FFF), 80)
        body = bytes([socket.AF_INET, 0, 0, 0]) + way(ORIGINAL, client, server, ports)
        body += way(REPLY, server, client, ports[2:] + ports[:2])
        body += state if word == "new" else b""
        block += struct.pack("=IHHII", 16 + len(body), verb, flags, n, 0) + body
        if len(block) > BLOCK or n == number - 1:
            netlink.send(block)
            block = b""


if __name__ == "__main__":
    main()
