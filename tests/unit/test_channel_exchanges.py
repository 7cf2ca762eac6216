"""Randomised exchanges over a line that damages characters in both directions: never a wrong result.

Each exchange has a seed. A fixed few run as a rule; ten thousand (half an hour or more) with

    FWDCTL_EXCHANGES=10000 python -m pytest tests/unit/test_channel_exchanges.py
"""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import pytest

from fwdctl.channel import Channel, Request, script
from fwdctl.channel import run as module
from fwdctl.channel.socket import connect
from support.aci_exec_server import AciExecServer, Damage, Faults, aci_exec_server

if TYPE_CHECKING:
    from pathlib import Path

    from fwdctl.channel import Outcome

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the fake service needs a PTY")
EXCHANGES = int(os.environ.get("FWDCTL_EXCHANGES", "200"))
SHELLS = [
    (found, *words)
    for program, *words in (["sh"], ["bash"], ["busybox", "ash"])
    if (found := shutil.which(program))
]
COUNTED = 'printf x >>"$0"; exec "$@"'
"""A command that leaves a mark each time that it runs."""


@dataclasses.dataclass(frozen=True)
class Expected:
    """What a sound exchange gives."""

    argv: tuple[bytes, ...]
    stdin: bytes | None
    status: int
    stdout: bytes
    stderr: bytes = b""


def some_bytes(dice: random.Random, most: int) -> bytes:
    """Text or anything, a little or more than a line takes."""
    size = dice.randrange(dice.choice([8, 200, most]))
    return bytes(dice.choices(range(256) if dice.random() < 0.5 else b"abc d\n'\"\\$1", k=size))


def command(dice: random.Random) -> Expected:
    kind = dice.choice(["stdin", "part of stdin", "arguments", "output"])
    if kind == "stdin":
        data = some_bytes(dice, 4000)
        return Expected((b"cat",), data, 0, data)
    if kind == "part of stdin":
        data = some_bytes(dice, 4000)
        return Expected((b"head", b"-c", b"20"), data, 0, data[:20])
    if kind == "arguments":
        words = tuple(some_bytes(dice, 600).replace(b"\0", b"") for _ in range(dice.randrange(1, 5)))
        return Expected((b"printf", rb"%s\0", *words), None, 0, b"".join(word + b"\0" for word in words))
    status, size = dice.randrange(256), dice.randrange(6000)
    script = f"head -c {size} /dev/zero; echo failed >&2; exit {status}"
    return Expected((b"sh", b"-c", script.encode()), None, status, bytes(size), b"failed\n")


def damages(dice: random.Random, length: int) -> tuple[Damage, ...]:
    """Up to three, lost, doubled or changed, wherever the stream may be."""
    puts = [b"", None, bytes([dice.randrange(256)]), bytes([dice.choice(b"\n \rxk.0129bhe@")])]
    return tuple(Damage(dice.randrange(length), dice.choice(puts)) for _ in range(dice.randrange(4)))


def exchange(server: AciExecServer, folder: Path, seed: int) -> str:
    """Hold one exchange and say how it ended; what is wrong begins with WRONG."""
    dice = random.Random(seed)  # noqa: S311 - a seed that gives the same exchange again
    expected = command(dice)
    sent = 2100 + len(script.escape(b"".join((*expected.argv, expected.stdin or b""))))
    faults = Faults(
        input=damages(dice, sent),
        output=damages(dice, 1500 + 2 * len(expected.stdout)),
        connections=dice.choice([1, 99]),
        shell=SHELLS[seed % len(SHELLS)],
        split=dice.choice([0, 0, 0, 13]),
    )
    idempotent = dice.random() < 0.5
    ran = folder / str(seed)
    argv = (b"sh", b"-c", COUNTED.encode(), os.fsencode(ran), *expected.argv)
    channel = Channel(partial(server.ticket, faults), lambda ticket: connect(ticket, {}))
    outcome = channel.run(Request(argv, expected.stdin, timeout=20, idempotent=idempotent))
    times = ran.stat().st_size if ran.exists() else 0
    return verdict(outcome, expected, times, idempotent=idempotent)


def verdict(outcome: Outcome, expected: Expected, times: int, *, idempotent: bool) -> str:
    if times > 1 + idempotent:
        return f"WRONG: ran {times} times"
    if outcome.state == "completed":
        got = (outcome.status, outcome.stdout, outcome.stderr)
        right = got == (expected.status, expected.stdout, expected.stderr)
        return "completed" if right and times else f"WRONG: {outcome} after {times} runs of {expected}"
    if outcome.state == "not_started" and times and not idempotent:
        return "WRONG: it ran and is said not to have"
    return outcome.state


@pytest.mark.timeout(120 + EXCHANGES)
def test_no_damage_gives_a_wrong_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, seconds in {"PROMPT_WAIT": 0.5, "ANSWER_WAIT": 2.0, "FIRST_ASK": 0.2}.items():
        monkeypatch.setattr(module, name, seconds)
    with aci_exec_server() as server, ThreadPoolExecutor(6) as pool:
        ends = list(pool.map(partial(exchange, server, tmp_path), range(EXCHANGES)))
    count = Counter(ends)
    with capsys.disabled():
        sys.stdout.write(f"\n{EXCHANGES} exchanges: {dict(count.most_common())}\n")
    assert [end for end in ends if end.startswith("WRONG")] == []
    assert count["completed"] > EXCHANGES / 3
    assert count["damaged"] > EXCHANGES / 20
