"""One round trip: open, greet, send the program, collect frames, close."""

from __future__ import annotations

import errno
import io
import os
import secrets
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO, Literal

from fwdctl.channel import framing, script
from fwdctl.channel.socket import ClosedError, Socket, Ticket
from fwdctl.errors import StoppedError, UsageError

PROMPT_WAIT = 1.0
"""Seconds to wait for the shell's first sign of life before talking to it anyhow."""
ANSWER_WAIT = 10.0
"""Seconds that the shell may take to answer the greeting, and to say that the program runs."""
STDIN_WINDOW = 2
"""Lines of stdin under way at most; the terminal's own buffer takes 4096 bytes."""
MOST_TIMES = 5
"""How often the program, or the same line of stdin, is sent before it is given up."""
FIRST_ASK, LAST_ASK = 1.0, 60.0
"""Seconds without an acknowledgement after which the box is asked what it has; each time twice as long."""

State = Literal["completed", "not_started", "cut", "damaged", "timeout", "unsupported"]


@dataclass(frozen=True)
class Request:
    """A command to run.

    Attributes:
        argv: program and arguments; strings are encoded as the file system's names are.
        stdin: None for an empty one; a stream is read until its end.
        timeout: seconds for all attempts together, None for no limit. What comes before, a start of the box
            and the opening of its socket, has limits of its own.
        idempotent: may be run a second time when its result was lost on the way.
    """

    argv: tuple[str | bytes, ...]
    stdin: bytes | BinaryIO | None = None
    timeout: float | None = None
    idempotent: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes:
        state: `completed`: ran to its end and everything arrived. `not_started`: it never ran.
            `cut`, `damaged`, `timeout`: it may have run, and the result is not known.
            `unsupported`: the box lacks the tools.
        status: exit status; None unless completed.
        stdout, stderr: the bytes written, as far as they came; empty where they were handed on.
        detail: one line for people; empty when completed.
    """

    state: State
    status: int | None = None
    stdout: bytes = b""
    stderr: bytes = b""
    detail: str = ""

    @property
    def inconclusive(self) -> bool:
        return self.state != "completed"


class Channel:
    """Commands in one container.

    Args:
        start: begins an exec of `/bin/sh` and returns where to pick it up.
        connect: opens the socket, password sent.
        cancelled: asked twice a second; True ends the remote command and raises `interrupted`.
    """

    def __init__(
        self,
        start: Callable[[], Ticket],
        connect: Callable[[Ticket], Socket],
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self._start = start
        self._connect = connect
        self._cancelled = cancelled

    def run(
        self,
        request: Request,
        output: Callable[[str, bytes], None] | None = None,
        watch: Callable[[bytes], None] | None = None,
    ) -> Outcome:
        """Run a command and wait for its end.

        A run that certainly did not begin is tried once more; one whose result was lost only if the
        request is idempotent and its output is not handed on. `output` gets ("o" or "e", bytes) as they come;
        `watch` sees what the command prints as well, for a display: twice where it runs twice.

        Raises:
            FwdctlError: the exec could not be started or its socket not opened; an argument has a NUL.
        """
        argv = tuple(_encoded(word) for word in request.argv)
        left = float("inf") if request.timeout is None else request.timeout
        repeated = False
        while True:
            socket = self._connect(self._start())
            began = time.monotonic()
            talk = _Conversation(socket, argv, output, began + left, self._cancelled, watch=watch)
            outcome = self._hold(talk, socket, request.stdin)
            left -= time.monotonic() - began
            if left <= 0 or repeated or not _repeatable(outcome, request, output):
                return outcome
            repeated = True

    def _hold(self, talk: _Conversation, socket: Socket, stdin: bytes | BinaryIO | None) -> Outcome:
        try:
            return talk.hold(stdin)
        except BaseException:
            # Ctrl-C, or our reader went away: what we started must not go on running.
            talk.kill()
            raise
        finally:
            socket.close()


def _repeatable(outcome: Outcome, request: Request, output: Callable[[str, bytes], None] | None) -> bool:
    lost = outcome.state in {"cut", "damaged"}
    return outcome.state == "not_started" or (lost and request.idempotent and output is None)


class _Conversation:
    def __init__(
        self,
        socket: Socket,
        argv: tuple[bytes, ...],
        output: Callable[[str, bytes], None] | None,
        deadline: float,
        cancelled: Callable[[], bool],
        *,
        watch: Callable[[bytes], None] | None,
    ) -> None:
        self._socket = socket
        self._watch = watch
        self._cancelled = cancelled
        self._kept = {"o": bytearray(), "e": bytearray()}
        self._output = output or self._keep
        self._deadline = deadline
        self._frames = framing.Frames(secrets.token_hex(6))
        self._word = secrets.token_hex(4)
        """Stands before what only we may say; unlike the nonce, its echo does no harm."""
        self._argv = argv
        self._heard = False
        self._may_run = False
        self._feeder: _Feeder | None = None

    def hold(self, stdin: bytes | BinaryIO | None) -> Outcome:
        """Talk until the command has ended or nothing more can be learnt."""
        try:
            refusal = self._begin(has_stdin=stdin is not None)
            if refusal is not None:
                return refusal
            if stdin is not None:
                self._feeder = _Feeder(stdin, self._send, self._say, self._frames)
            self._until(lambda: self._frames.status is not None, None)
        except ClosedError:
            return self._given_up("cut", "the connection was cut")
        except framing.DamagedError as error:
            return self._given_up("damaged", f"something was lost on the way: {error}")
        except _TimeIsUpError:
            return self._given_up("timeout", "its time limit has passed")
        except _StdinError as error:
            return self._given_up("cut", f"standard input cannot be read: {error}")
        finally:
            if self._feeder is not None:
                self._feeder.stop()
        self._say("leave")
        return self._outcome("completed")

    def _begin(self, *, has_stdin: bool) -> Outcome | None:
        """Greet and send the program; an outcome where it did not start."""
        frames = self._frames
        self._until(lambda: self._heard, PROMPT_WAIT)
        self._send(script.greeting(frames.nonce, self._word))
        if not self._until(lambda: bool(frames.tools), ANSWER_WAIT):
            return self._outcome("not_started", "the shell in the container does not answer")
        if frames.tools == script.NO_TOOLS:
            text = "the container has neither python3, nor cksum or sha256sum with dd and base64 or od"
            return self._outcome("unsupported", text)
        program = script.program(self._argv, frames.tools, has_stdin=has_stdin)
        self._may_run = True
        for times in range(MOST_TIMES):
            self._send(framing.program_lines(program, frames.tools))
            answered = self._until(lambda: frames.started or frames.refused > times, ANSWER_WAIT)  # noqa: B023
            if not answered:
                return self._given_up("damaged", "the container did not say whether the command runs")
            if frames.started:
                return None
        return self._outcome("not_started", f"the command arrived damaged {MOST_TIMES} times")

    def kill(self) -> None:
        """End the remote command, as far as the connection still lives."""
        if self._feeder is not None:
            self._feeder.stop()
        self._say("kill")

    def _given_up(self, state: State, detail: str) -> Outcome:
        self.kill()
        return self._outcome(state if self._may_run else "not_started", detail)

    def _outcome(self, state: State, detail: str = "") -> Outcome:
        status = self._frames.status if state == "completed" else None
        return Outcome(state, status, bytes(self._kept["o"]), bytes(self._kept["e"]), detail)

    def _send(self, data: bytes) -> None:
        for message in framing.messages(data):
            self._socket.send(message)

    def _say(self, what: str) -> None:
        """Tell the box to do something, if it still hears us; what was half said before is cut off."""
        with suppress(ClosedError):
            self._socket.send(f"\n{self._word} {what}\n".encode())

    def _until(self, done: Callable[[], bool], patience: float | None) -> bool:
        """Listen until `done`; False when `patience` seconds were not enough."""
        limit = float("inf") if patience is None else time.monotonic() + patience
        while not done():
            now = time.monotonic()
            if self._cancelled():
                raise StoppedError
            if now >= self._deadline:
                raise _TimeIsUpError
            if now >= limit:
                return False
            with suppress(TimeoutError):
                # A short wait keeps Ctrl-C working where a wait without end cannot be interrupted (Windows).
                self._take(self._socket.recv(min(limit - now, self._deadline - now, 0.5)))
            if self._feeder is not None:
                self._feeder.check()
        return True

    def _take(self, message: str | bytes) -> None:
        data = message.encode("latin-1", "replace") if isinstance(message, str) else message
        self._heard = self._heard or bool(data)
        for stream, output in self._frames.feed(data):
            self._output(stream, output)
            if self._watch is not None and stream == "o":
                self._watch(output)

    def _keep(self, stream: str, data: bytes) -> None:
        self._kept[stream] += data


class _TimeIsUpError(Exception):
    """The request's own limit has passed."""


class _StdinError(Exception):
    """What was read so far is not all."""


class _Feeder:
    """Passes stdin on in a thread, a few lines ahead of what the box has acknowledged."""

    def __init__(
        self,
        stdin: bytes | BinaryIO,
        send: Callable[[bytes], None],
        say: Callable[[str], None],
        frames: framing.Frames,
    ) -> None:
        self._stdin = io.BytesIO(stdin) if isinstance(stdin, bytes) else stdin
        self._send = send
        self._say = say
        self._frames = frames
        self._stopped = threading.Event()
        self._moved = threading.Condition()
        self._failure = ""
        self._under_way: deque[bytes] = deque()
        self._dropped = self._asked = self._again = 0
        self._patience = FIRST_ASK
        self._ask_at = float("inf")
        threading.Thread(target=self._run, name="fwdctl-stdin", daemon=True).start()

    def stop(self) -> None:
        """Send nothing more; a read that blocks is left behind."""
        self._stopped.set()
        with self._moved:
            self._moved.notify_all()

    def check(self) -> None:
        """Act on what the box has acknowledged or asked for; to be called now and then.

        Raises:
            _StdinError: a read has failed.
            DamagedError: a line does not arrive however often it is sent.
        """
        if self._failure:
            raise _StdinError(self._failure)
        with self._moved:
            if self._frames.acknowledged > self._dropped:
                self._drop(self._frames.acknowledged - self._dropped)
            if self._frames.asked > self._asked:
                self._asked = self._frames.asked
                self._send_again()
            elif time.monotonic() >= self._ask_at:
                self._patience = min(2 * self._patience, LAST_ASK)
                self._wait_for_answer()
                self._say("ask")
            self._moved.notify_all()

    def _drop(self, count: int) -> None:
        if count > len(self._under_way):
            raise framing.DamagedError("more was acknowledged than was sent")
        for _ in range(count):
            self._under_way.popleft()
        self._dropped += count
        self._again = 0
        self._patience = FIRST_ASK
        self._wait_for_answer()

    def _send_again(self) -> None:
        if not self._under_way:
            return
        self._again += 1
        if self._again >= MOST_TIMES:
            raise framing.DamagedError("standard input does not arrive as it was sent")
        for line in self._under_way:
            self._send(line)
        self._wait_for_answer()

    def _wait_for_answer(self) -> None:
        self._ask_at = time.monotonic() + self._patience if self._under_way else float("inf")

    def _run(self) -> None:
        try:
            self._pass_on()
        except ClosedError:
            return
        except OSError as error:
            self._failure = error.strerror or str(error)

    def _pass_on(self) -> None:
        for number, content in enumerate(self._contents(), 1):
            line = framing.stdin_line(number, content, self._frames.tools)
            with self._moved:
                self._moved.wait_for(lambda: self._stopped.is_set() or len(self._under_way) < STDIN_WINDOW)
                if self._stopped.is_set():
                    return
                self._under_way.append(line)
                self._send(line)
                if len(self._under_way) == 1:
                    self._wait_for_answer()

    def _contents(self) -> Iterator[str]:
        while chunk := _read(self._stdin):
            yield from framing.stdin_contents(chunk)
        yield framing.END_OF_STDIN


def _read(stream: BinaryIO) -> bytes:
    """What comes next, empty at the end. Not through the buffer, whose lock a blocked thread would keep."""
    try:
        descriptor = stream.fileno()
    except (OSError, AttributeError, ValueError):
        return stream.read(65536)
    while True:
        try:
            return os.read(descriptor, 65536)
        except BlockingIOError:
            select.select([descriptor], [], [])
        except OSError as error:
            if error.errno == errno.EBADF:  # open for writing only, which is how nohup takes a terminal away
                return b""
            raise


def _encoded(word: str | bytes) -> bytes:
    data = os.fsencode(word) if isinstance(word, str) else word
    if b"\0" in data:
        raise UsageError(
            "argument_has_nul",
            "An argument contains a NUL character, which no program can be given.",
            "Pass such data on standard input.",
        )
    return data
