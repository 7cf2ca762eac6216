"""One round trip: open, greet, send the program, collect frames, close."""

from __future__ import annotations

import errno
import io
import os
import secrets
import select
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Literal

from fwdctl.channel import framing
from fwdctl.channel.socket import ClosedError, Socket, Ticket
from fwdctl.errors import ExitCode, FwdctlError

if TYPE_CHECKING:
    from collections.abc import Callable

PROMPT_WAIT = 1.0
"""Seconds to wait for the shell's first sign of life before talking to it anyhow."""
ANSWER_WAIT = 10.0
"""Seconds that the shell may take to answer the greeting, and to say that the program runs."""
STDIN_WINDOW = 8
"""Lines of stdin under way at most; the terminal's own buffer takes 4096 bytes."""

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

    def run(self, request: Request, output: Callable[[str, bytes], None] | None = None) -> Outcome:
        """Run a command and wait for its end.

        A run that certainly did not begin is tried once more; one whose result was lost only if the
        request is idempotent and its output is not handed on. `output` gets ("o" or "e", bytes) as they come.

        Raises:
            FwdctlError: the exec could not be started or its socket not opened; an argument has a NUL.
        """
        argv = tuple(_encoded(word) for word in request.argv)
        left = float("inf") if request.timeout is None else request.timeout
        python = repeated = False
        while True:
            program = framing.program(argv, python=python)
            socket = self._connect(self._start())
            began = time.monotonic()
            talk = _Conversation(socket, program, output, began + left, self._cancelled)
            outcome = self._hold(talk, socket, request.stdin)
            left -= time.monotonic() - began
            if outcome.state == "unsupported" and not python:
                python = True
            elif left > 0 and not repeated and _repeatable(outcome, request, output):
                repeated = True
            else:
                return outcome

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
        program: str,
        output: Callable[[str, bytes], None] | None,
        deadline: float,
        cancelled: Callable[[], bool],
    ) -> None:
        self._socket = socket
        self._cancelled = cancelled
        self._kept = {"o": bytearray(), "e": bytearray()}
        self._output = output or self._keep
        self._deadline = deadline
        self._frames = framing.Frames(secrets.token_hex(6))
        self._program = program
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
                self._feeder = _Feeder(stdin, self._send, self._frames)
            self._until(lambda: self._frames.status is not None, None)
        except ClosedError:
            return self._given_up("cut", "the connection was cut")
        except framing.DamagedError as error:
            return self._given_up("damaged", f"output was lost on the way: {error}")
        except _TimeIsUpError:
            return self._given_up("timeout", "its time limit has passed")
        except _StdinError as error:
            return self._given_up("cut", f"standard input cannot be read: {error}")
        finally:
            if self._feeder is not None:
                self._feeder.stop()
        with suppress(ClosedError):
            self._socket.send(framing.LEAVE)
        return self._outcome("completed")

    def _begin(self, *, has_stdin: bool) -> Outcome | None:
        """Greet and send the program; an outcome where it did not start."""
        frames = self._frames
        self._until(lambda: self._heard, PROMPT_WAIT)
        self._send(framing.greeting(frames.nonce, len(self._program)))
        if not self._until(lambda: frames.ready, ANSWER_WAIT):
            return self._outcome("not_started", "the shell in the container does not answer")
        self._may_run = True
        self._send(framing.program_lines(self._program))
        if not has_stdin:
            self._send(framing.END_OF_STDIN)
        if not self._until(lambda: frames.started or bool(frames.refused), ANSWER_WAIT):
            return self._given_up("damaged", "the container did not say whether the command runs")
        if frames.refused == "unsupported":
            return self._outcome("unsupported", "the container has neither base64, od nor python3")
        if frames.refused:
            return self._outcome("not_started", "the command arrived damaged in the container")
        return None

    def kill(self) -> None:
        """End the remote command, as far as the connection still lives."""
        if self._feeder is not None:
            self._feeder.stop()
        with suppress(ClosedError):
            self._socket.send(b"\n" + framing.KILL)

    def _given_up(self, state: State, detail: str) -> Outcome:
        self.kill()
        return self._outcome(state if self._may_run else "not_started", detail)

    def _outcome(self, state: State, detail: str = "") -> Outcome:
        status = self._frames.status if state == "completed" else None
        return Outcome(state, status, bytes(self._kept["o"]), bytes(self._kept["e"]), detail)

    def _send(self, data: bytes) -> None:
        for message in framing.messages(data):
            self._socket.send(message)

    def _until(self, done: Callable[[], bool], patience: float | None) -> bool:
        """Listen until `done`; False when `patience` seconds were not enough."""
        limit = float("inf") if patience is None else time.monotonic() + patience
        while not done():
            now = time.monotonic()
            if self._cancelled():
                raise FwdctlError("interrupted", "Interrupted.", exit_code=ExitCode.INTERRUPTED)
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

    def _keep(self, stream: str, data: bytes) -> None:
        self._kept[stream] += data


class _TimeIsUpError(Exception):
    """The request's own limit has passed."""


class _StdinError(Exception):
    """What was read so far is not all."""


class _Feeder:
    """Passes stdin on in a thread, a few lines ahead of what the box has acknowledged."""

    def __init__(
        self, stdin: bytes | BinaryIO, send: Callable[[bytes], None], frames: framing.Frames
    ) -> None:
        self._stdin = io.BytesIO(stdin) if isinstance(stdin, bytes) else stdin
        self._send = send
        self._frames = frames
        self._stopped = threading.Event()
        self._moved = threading.Condition()
        self._failure = ""
        threading.Thread(target=self._run, name="fwdctl-stdin", daemon=True).start()

    def stop(self) -> None:
        """Send nothing more; a read that blocks is left behind."""
        self._stopped.set()
        with self._moved:
            self._moved.notify_all()

    def check(self) -> None:
        """Acknowledgements may have come.

        Raises:
            _StdinError: a read has failed.
        """
        if self._failure:
            raise _StdinError(self._failure)
        with self._moved:
            self._moved.notify_all()

    def _run(self) -> None:
        try:
            self._pass_on()
        except ClosedError:
            return
        except OSError as error:
            self._failure = error.strerror or str(error)

    def _pass_on(self) -> None:
        sent = 0
        while chunk := _read(self._stdin):
            for line in framing.stdin_lines(chunk):
                if not self._may_send(sent):
                    return
                self._send(line)
                sent += 1
        if not self._stopped.is_set():
            self._send(framing.END_OF_STDIN)

    def _may_send(self, sent: int) -> bool:
        with self._moved:
            self._moved.wait_for(
                lambda: self._stopped.is_set() or sent - self._frames.acknowledged < STDIN_WINDOW
            )
        return not self._stopped.is_set()


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
        raise FwdctlError(
            "argument_has_nul",
            "An argument contains a NUL character, which no program can be given.",
            "Pass such data on standard input.",
            exit_code=ExitCode.USAGE,
        )
    return data
