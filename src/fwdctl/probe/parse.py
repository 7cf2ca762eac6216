"""What the script printed -> what was observed. Pure."""

from __future__ import annotations

import re

from fwdctl.output import visible
from fwdctl.probe.model import Observation, Sample
from fwdctl.probe.talk import heard

NOT_THERE = 127
CURL_NO_HOST, CURL_REFUSED, CURL_TIMEOUT = 6, 7, 28
TIMEOUT_KILLED, BUSYBOX_KILLED = 124, 143
SERVER_ERROR = 500

_FAILURES = (
    ("refused", r"refused"),
    ("timeout", r"timed? ?out"),
    ("unreachable", r"unreachable|no route"),
    ("reset", r"reset|empty reply|closed|RemoteDisconnected|EOF"),
    ("name", r"resolv|name or service"),
)
_FROM_TLS = re.compile(
    r"alert|tlsv1|unrecognized.name|not recognized|unsupported.protocol|sigalg disallowed|key too small"
    r"|session has been invalid",
    re.IGNORECASE,
)
"""Errors of TLS clients that only a server's own TLS record leads to: it lives, and wants something else."""


class IncompleteError(Exception):
    """The script's output is not whole, so nothing may be concluded from it."""


def parse(text: str, count: int) -> list[Observation]:
    """What was observed on each of `count` paths, by index.

    Raises:
        IncompleteError: the closing line is missing, or a line makes no sense.
    """
    *lines, rest = text.split("\n")  # not splitlines(): headers bring carriage returns
    if rest or not lines or lines[-1] != "end":
        raise IncompleteError("the closing line is missing")
    names: dict[int, tuple[str, int, tuple[str, ...]]] = {}
    samples: dict[int, list[Sample]] = {}
    try:
        for line in lines[:-1]:
            kind, indexes, rest = line.split(" ", 2)
            if kind == "name":
                names |= {int(index): _name(rest) for index in indexes.split(",")}
            elif kind == "sample":
                samples.setdefault(int(indexes), []).append(sample(rest))
            else:
                raise IncompleteError(f"unknown line {line!r}")
    except (ValueError, IndexError) as error:
        raise IncompleteError(f"a line makes no sense: {error}") from error
    return [
        Observation(*names.get(index, ("", 0, ())), samples=tuple(samples.get(index, ())))
        for index in range(count)
    ]


def _name(rest: str) -> tuple[str, int, tuple[str, ...]]:
    tool, status, *addresses = rest.split(" ")
    found = addresses[0].split(",") if addresses else []
    return tool, int(status), tuple(sorted({address for address in found if address}))


def sample(rest: str) -> Sample:
    r"""One connection from `KIND TOOL STATUS \t NUMBERS \t SERVER \t LOCATION \t HEX \t TEXT [\t STATUS]`."""
    head, *fields = rest.split("\t")
    kind, tool, status_text = head.split(" ")
    shown = [visible(field.strip()) for field in fields]
    measured, server, location, raw, text, own = [*shown, *[""] * 6][:6]
    status = int(own) if tool == "python3" and own else int(status_text)
    if status == NOT_THERE:
        return Sample(
            tool, connected=False, answered=False, failure="tool", text=text or f"no tool for {kind}"
        )
    code, connect, secured = _numbers(measured)
    connected = connect > 0 or _connected_by_words(kind, tool, status, measured, text)
    if kind == "tcp-only" and connected:
        return Sample(tool, connected, answered=False, failure="tool", text=text.partition(";")[0])
    if kind in {"http", "https"}:
        alive, seen = 0 < code < SERVER_ERROR, f"HTTP {code}"
    elif kind in {"tcp", "tcp-only"}:
        alive, seen = connected, ""
    elif tool in {"curl", "openssl"}:
        alive, seen = (
            secured > 0 or (tool == "openssl" and (status == 0 or "Verification error" in text)),
            "a TLS handshake",
        )
    else:
        alive, seen = heard(kind, bytes.fromhex(raw)) if raw or status == 0 else (False, "")
    if kind in {"https", "tls"} and not alive and _FROM_TLS.search(text):
        connected, alive, seen = True, True, text
    if connected and alive:
        return Sample(tool, connected, alive, server, seen=seen, location=location)
    text = text or ("" if kind in {"http", "https"} else seen) or _silent(status)
    failure = _failure(status, text, code)
    if failure == "status":
        text = f"HTTP status {code}"
    return Sample(tool, connected, answered=False, server=server, failure=failure, text=text)


def _connected_by_words(kind: str, tool: str, status: int, measured: str, text: str) -> bool:
    if tool == "wget":
        return bool(measured) or "connected." in text
    if tool == "openssl":
        return status == 0 or "CONNECTED" in text
    return measured == "~" or (kind in {"tcp", "tcp-only"} and tool in {"bash", "nc"} and status == 0)


def _numbers(measured: str) -> tuple[int, float, float]:
    """Code, seconds to connect, seconds to the end of the TLS handshake; zeros where nothing was measured."""
    words = measured.removeprefix("@").split()
    if len(words) >= 3 and re.fullmatch(r"\d{3}", words[0]):  # noqa: PLR2004 - curl's and our own form
        # Where TLS fails curl reports no time to connect, but whom it was connected to.
        peer = len(words) > 3  # noqa: PLR2004
        return int(words[0]), float(words[1]) or float(peer), float(words[2])
    # wget prints the status line: `1.1 200 OK`
    return (int(words[1]) if len(words) > 1 and words[1].isdigit() else 0), 0.0, 0.0


def _silent(status: int) -> str:
    """What became of a tool that said nothing."""
    killed = status in {TIMEOUT_KILLED, BUSYBOX_KILLED}
    return "no answer in time" if killed else f"exit code {status}"


def _failure(status: int, text: str, code: int) -> str:
    if code >= SERVER_ERROR:
        return "status"
    for name, pattern in _FAILURES:
        if re.search(pattern, text, re.IGNORECASE):
            return name
    by_status = {
        CURL_NO_HOST: "name",
        CURL_REFUSED: "refused",
        CURL_TIMEOUT: "timeout",
        TIMEOUT_KILLED: "timeout",
        BUSYBOX_KILLED: "timeout",
    }
    return by_status.get(status, "other")
