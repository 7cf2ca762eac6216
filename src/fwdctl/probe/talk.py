"""Protocols that are not HTTP: what a client says first, and whether the answer is a sign of life.

The forwarders' agents judge by the same rules (infra/cloud-init/forwarder); tests/support/check_cases.py is
the table that both have to pass.
"""

from __future__ import annotations

import ssl
from contextlib import suppress

from fwdctl.output import visible

_CLOSED = "the connection is closed without a word"
# MS-TDS, 2.2.6.5: PRELOGIN with VERSION and ENCRYPTION (not supported), answered by a packet of type 4.
_TDS_PRELOGIN = bytes.fromhex("1201001a0000010000000b00060100110001ff00000000000002")
_TDS_ANSWER = 4
# PostgreSQL, protocol-message-formats: SSLRequest, answered by S, N or E.
_POSTGRES_SSL = bytes.fromhex("0000000804d2162f")
_POSTGRES_ANSWERS = {b"S": "TLS is offered", b"N": "TLS is not offered", b"E": "an error message"}
# RFC 8446, 5.1 and 6: record types, the major version, and the alerts of a server that wants something else.
_ALERT, _HANDSHAKE, _MAJOR = 21, 22, 3
_ALERTS = {
    40: "handshake failure",
    70: "protocol version",
    80: "internal error",
    109: "missing extension",
    112: "unrecognized name",
    116: "certificate required",
}


def opening(kind: str, name: str) -> bytes:
    """What a client says first; `name` is what TLS asks for, empty for none."""
    if kind == "tls":
        return _client_hello(name)
    return {"mssql": _TDS_PRELOGIN, "postgres": _POSTGRES_SSL}.get(kind, b"")


def heard(kind: str, data: bytes) -> tuple[bool, str]:
    """Whether an answer's first bytes are a sign of life, and what they are, in words."""
    if kind == "banner" and data:
        return True, f"'{_readable(data)}'"
    if kind == "mssql" and data[:1] == bytes([_TDS_ANSWER]):
        return True, "a pre-login answer"
    if kind == "postgres" and data[:1] in _POSTGRES_ANSWERS:
        return True, _POSTGRES_ANSWERS[data[:1]]
    if kind == "tls" and data[:1] in {b"\x15", b"\x16"} and data[1:2] in {b"", bytes([_MAJOR])}:
        return True, _record(data)
    wanted = {"tls": "no TLS answer", "mssql": "no pre-login answer", "postgres": "no answer to SSLRequest"}
    return False, f"{wanted[kind]}, but '{_readable(data)}'" if data else _CLOSED


def _record(data: bytes) -> str:
    if data[0] == _HANDSHAKE:
        return "a TLS ServerHello"
    number = data[6] if len(data) > 6 else 0  # noqa: PLR2004 - 5 bytes of header, then level and description
    return f"TLS alert {_ALERTS.get(number, number)}"


def _readable(data: bytes) -> str:
    return visible(data.partition(b"\n")[0].decode("ascii", "replace").replace("\ufffd", "?").strip()[:40])


def _client_hello(name: str) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname = False  # the certificate is for the client to judge
    context.verify_mode = ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    handshake = context.wrap_bio(incoming, outgoing, server_hostname=name or None)
    with suppress(ssl.SSLWantReadError):
        handshake.do_handshake()
    return outgoing.read()
