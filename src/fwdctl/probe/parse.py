"""What the script printed -> what was observed. Pure."""

from __future__ import annotations

import re

from fwdctl.probe.model import Observation, Sample, printable

NOT_THERE = 127
CURL_NO_HOST, CURL_REFUSED, CURL_TIMEOUT = 6, 7, 28
TIMEOUT_KILLED = 124
SERVER_ERROR = 500

_FAILURES = (
    ("refused", r"refused"),
    ("timeout", r"timed? ?out"),
    ("unreachable", r"unreachable|no route"),
    ("reset", r"reset|empty reply|closed|RemoteDisconnected|EOF"),
    ("name", r"resolv|name or service"),
)


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
            kind, index, rest = line.split(" ", 2)
            if kind == "name":
                names[int(index)] = _name(rest)
            elif kind == "sample":
                samples.setdefault(int(index), []).append(sample(rest))
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
    r"""One connection from `KIND TOOL STATUS \t @CODE CONNECT TLS ADDRESS \t SERVER \t TEXT [\t STATUS]`."""
    head, *fields = rest.split("\t")
    kind, tool, status_text = head.split(" ")
    measured, server, text, own = [printable(field).strip() for field in [*fields, "", "", "", ""][:4]]
    status = int(own) if tool == "python3" and own else int(status_text)
    if status == NOT_THERE:
        return Sample(tool, connected=False, answered=False, failure="tool", text=f"no tool for {kind}")
    code, connect, secured = _numbers(measured)
    if tool == "wget" and measured:
        connect = 1.0
    elif tool in {"bash", "nc", "openssl"}:
        connect = 1.0 if status == 0 or "CONNECTED" in text else 0.0
        secured = 1.0 if status == 0 else 0.0
    connected = connect > 0
    answered = _answered(kind, status, code, connected=connected, secured=secured > 0)
    if answered:
        return Sample(tool, connected, answered, server)
    failure = _failure(status, text, code)
    if failure == "status":
        text = f"HTTP status {code}"
    return Sample(tool, connected, answered, server, failure, text or f"{tool} ended with {status}")


def _answered(kind: str, status: int, code: int, *, connected: bool, secured: bool) -> bool:
    if kind == "http":
        return 0 < code < SERVER_ERROR
    if kind == "tls":
        return secured
    # curl keeps a silent TCP connection until its time is up; that it was made is all that counts.
    return connected and status in {0, CURL_TIMEOUT}


def _numbers(measured: str) -> tuple[int, float, float]:
    """Code, seconds to connect, seconds to the end of the TLS handshake; zeros where nothing was measured."""
    words = measured.removeprefix("@").split()
    if len(words) >= 3 and re.fullmatch(r"\d{3}", words[0]):  # noqa: PLR2004 - curl's and our own form
        # Where TLS fails curl reports no time to connect, but whom it was connected to.
        peer = len(words) > 3  # noqa: PLR2004
        return int(words[0]), float(words[1]) or float(peer), float(words[2])
    # wget prints the status line: `1.1 200 OK`
    return (int(words[1]) if len(words) > 1 and words[1].isdigit() else 0), 0.0, 0.0


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
    }
    return by_status.get(status, "other")
