"""Answers of the platform's DNS server."""

from __future__ import annotations

import pytest
from dnslib import QTYPE, RCODE, DNSRecord

from fwdlab.fabric.dns import answer
from fwdlab.fabric.wanted import Record, View

VIEW = View(
    7,
    ("corp.internal", "sub.corp.internal"),
    (
        Record("server.corp.internal", "A", 10, ("10.1.17.4", "10.1.17.5")),
        Record("server.corp.internal", "AAAA", 10, ("fd00::4",)),
        Record("alias.corp.internal", "CNAME", 20, ("server.corp.internal",)),
        Record("loop.corp.internal", "CNAME", 20, ("loop.corp.internal",)),
        Record("away.corp.internal", "CNAME", 20, ("www.example.com",)),
        Record("*.sub.corp.internal", "A", 10, ("10.9.9.9",)),
        Record("deep.er.corp.internal", "A", 10, ("10.8.8.8",)),
        Record("big.corp.internal", "A", 10, tuple(f"10.0.{n}.1" for n in range(60))),
    ),
)


def ask(name: str, kind: str = "A", **options: int) -> DNSRecord:
    reply = answer(VIEW, DNSRecord.question(name, kind).pack(), **options)
    assert reply is not None
    return DNSRecord.parse(reply)


def data(reply: DNSRecord) -> list[tuple[str, str]]:
    return [(QTYPE[record.rtype], str(record.rdata).rstrip(".")) for record in reply.rr]


@pytest.mark.parametrize("name", ["server.corp.internal", "SERVER.Corp.INTERNAL."])
def test_address(name: str) -> None:
    reply = ask(name)
    assert data(reply) == [("A", "10.1.17.4"), ("A", "10.1.17.5")]
    assert reply.header.rcode == RCODE.NOERROR
    assert reply.rr[0].ttl == 10


def test_address_of_ipv6() -> None:
    assert data(ask("server.corp.internal", "AAAA")) == [("AAAA", "fd00::4")]


def test_alias_is_followed() -> None:
    assert data(ask("alias.corp.internal"))[:2] == [("CNAME", "server.corp.internal"), ("A", "10.1.17.4")]
    assert data(ask("alias.corp.internal", "CNAME")) == [("CNAME", "server.corp.internal")]
    assert data(ask("away.corp.internal")) == [("CNAME", "www.example.com")]


def test_alias_of_itself_ends() -> None:
    assert {kind for kind, _ in data(ask("loop.corp.internal"))} == {"CNAME"}


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("nobody.corp.internal", "A", RCODE.NXDOMAIN),
        ("www.example.com", "A", RCODE.NXDOMAIN),
        ("big.corp.internal", "AAAA", RCODE.NOERROR),
        ("corp.internal", "A", RCODE.NOERROR),
        ("er.corp.internal", "A", RCODE.NOERROR),
        ("xcorp.internal", "A", RCODE.NXDOMAIN),
    ],
)
def test_no_address(name: str, kind: str, code: int) -> None:
    reply = ask(name, kind)
    assert data(reply) == []
    assert reply.header.rcode == code


def test_wildcard_and_longest_zone() -> None:
    reply = ask("any.sub.corp.internal")
    assert data(reply) == [("A", "10.9.9.9")]
    assert str(reply.rr[0].rname) == "any.sub.corp.internal."


def test_long_answer_is_cut_over_udp_only() -> None:
    assert ask("big.corp.internal", longest=512).header.tc == 1
    assert len(data(ask("big.corp.internal"))) == 60


@pytest.mark.parametrize("packet", [b"", b"\0", b"x" * 40, bytes(12)])
def test_rubbish_is_not_answered(packet: bytes) -> None:
    assert answer(VIEW, packet) is None
