"""The platform's DNS server at 168.63.129.16, answering each network by its own private zones.

Networks may use the same addresses, so the sender's address does not tell which one asks: the fabric hands
each network's questions to a port of its own, and answers leave with that network's mark.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import replace
from typing import TYPE_CHECKING

from dnslib import AAAA, CNAME, QTYPE, RCODE, RR, SOA, A, DNSError, DNSRecord

from fwdlab.model import PLATFORM_ADDRESS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fwdlab.fabric.wanted import Record, View
    from fwdlab.nodes.node import Node

_LONGEST_CHAIN = 8
_IDLE_SECONDS = 10.0
_UDP_SIZE = 512
_DATA = {"A": A, "AAAA": AAAA, "CNAME": CNAME}
_LARGEST_QUESTION = 4096


def answer(view: View, packet: bytes, *, longest: int | None = None) -> bytes | None:
    """The answer to one question in a network's view, None for what is no question.

    An answer of more than `longest` bytes is cut and says so.
    """
    try:
        question = DNSRecord.parse(packet)
    except (DNSError, struct.error, UnicodeError):
        return None
    if question.header.qr or not question.questions:
        return None
    reply = question.reply(ra=1, aa=0)
    name = str(question.q.qname).rstrip(".").lower()
    found, exists = _look_up(view, name, QTYPE[question.q.qtype])
    for record in found:
        for value in record.values:
            data = _DATA[record.type](value)
            reply.add_answer(RR(record.name, getattr(QTYPE, record.type), rdata=data, ttl=record.ttl))
    if not exists:
        reply.header.rcode = RCODE.NXDOMAIN
    zone = _zone_of(view, name)
    if zone and not found:
        times = (1, 3600, 300, 2419200, 10)
        soa = SOA("azureprivatedns.net", "azureprivatedns-host.microsoft.com", times)
        reply.add_auth(RR(zone, QTYPE.SOA, rdata=soa, ttl=10))
    data = bytes(reply.pack())
    return bytes(reply.truncate().pack()) if longest is not None and len(data) > longest else data


def _zone_of(view: View, name: str) -> str | None:
    fitting = [zone for zone in view.zones if name == zone or name.endswith("." + zone)]
    return max(fitting, key=len, default=None)


def _look_up(view: View, name: str, kind: str) -> tuple[list[Record], bool]:
    """Records that answer, aliases followed, and whether the name exists.

    Outside the linked zones there are names of the lab's own services only: it has no way to the internet.
    """
    answers: list[Record] = []
    for _ in range(_LONGEST_CHAIN):
        zone = _zone_of(view, name)
        records = view.public if zone is None else view.records
        here = [record for record in records if record.name == name]
        if zone is None and not here:
            return answers, bool(answers)
        if not here and name != zone:
            wildcard = "*." + name.partition(".")[2]
            here = [replace(record, name=name) for record in records if record.name == wildcard]
        alias = next((record for record in here if record.type == "CNAME"), None)
        if alias is None or kind == "CNAME":
            answers += [record for record in here if record.type == kind]
            parent_of_some = any(record.name.endswith("." + name) for record in records)
            return answers, bool(here or answers) or name == zone or parent_of_some
        answers.append(alias)
        name = alias.values[0]
    return answers, True


class DnsServer:
    """One udp and one tcp socket for each network, in the fabric's namespace."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._views: dict[int, View] = {}
        self._open: dict[int, tuple[socket.socket, asyncio.Server]] = {}

    async def follow(self, views: Iterable[View]) -> None:
        """Answer by these views from now on.

        Raises:
            OSError: when a socket cannot be made.
        """
        self._views = {view.network: view for view in views}
        for number in self._open.keys() - self._views.keys():
            self._stop(number)
        for number in self._views.keys() - self._open.keys():
            await self._start(number)

    async def _start(self, number: int) -> None:
        datagrams = await self._node.socket(socket.SOCK_DGRAM, PLATFORM_ADDRESS, number, mark=number)
        stream = await self._node.socket(
            socket.SOCK_STREAM, PLATFORM_ADDRESS, number, mark=number, listen=True
        )
        asyncio.get_running_loop().add_reader(datagrams, self._answer_datagram, number, datagrams)

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._serve(number, reader, writer)

        self._open[number] = (datagrams, await asyncio.start_server(connected, sock=stream))

    def _answer_datagram(self, number: int, datagrams: socket.socket) -> None:
        with contextlib.suppress(OSError):
            packet, sender = datagrams.recvfrom(_LARGEST_QUESTION)
            reply = self._answer(number, packet, longest=_UDP_SIZE)
            if reply is not None:
                datagrams.sendto(reply, sender)

    async def _serve(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                async with asyncio.timeout(_IDLE_SECONDS):
                    size = int.from_bytes(await reader.readexactly(2), "big")
                    packet = await reader.readexactly(size)
                reply = self._answer(number, packet)
                if reply is None:
                    return
                writer.write(len(reply).to_bytes(2, "big") + reply)
                await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    def _answer(self, number: int, packet: bytes, *, longest: int | None = None) -> bytes | None:
        view = self._views.get(number)
        return answer(view, packet, longest=longest) if view else None

    def _stop(self, number: int) -> None:
        datagrams, server = self._open.pop(number)
        asyncio.get_running_loop().remove_reader(datagrams)
        datagrams.close()
        server.close()

    def close(self) -> None:
        for number in list(self._open):
            self._stop(number)
