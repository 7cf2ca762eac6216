"""The exec channel against a real shell on a real terminal, with the faults that the service has shown."""

from __future__ import annotations

import errno
import io
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fwdctl.channel import Channel, Outcome, Request, framing, script
from fwdctl.channel.socket import connect
from fwdctl.errors import FwdctlError, StoppedError
from support.aci_exec_server import AciExecServer, Damage, aci_exec_server

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the fake service needs a PTY")
ALL_BYTES = bytes(range(256))


@pytest.fixture
def server() -> Iterator[AciExecServer]:
    with aci_exec_server() as running:
        yield running


@pytest.fixture(scope="module")
def sound() -> Iterator[AciExecServer]:
    """Shared by tests that switch no fault on."""
    with aci_exec_server() as running:
        yield running


def run(server: AciExecServer, *argv: str | bytes, stdin: bytes | None = None, **options: object) -> Outcome:
    channel = Channel(server.ticket, lambda ticket: connect(ticket, {}))
    options.setdefault("timeout", 60.0)
    return channel.run(Request(argv, stdin, **options))  # type: ignore[arg-type]


def test_status_and_both_streams(sound: AciExecServer) -> None:
    outcome = run(sound, "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (outcome.state, outcome.status, outcome.stdout, outcome.stderr) == (
        "completed",
        3,
        b"out\n",
        b"err\n",
    )


def test_all_bytes_come_back(sound: AciExecServer) -> None:
    script = 'i=0; while [ $i -lt 256 ]; do printf "\\\\$(printf %03o $i)"; i=$((i+1)); done'
    assert run(sound, "sh", "-c", script).stdout == ALL_BYTES


def test_output_larger_than_every_buffer(sound: AciExecServer) -> None:
    outcome = run(sound, "head", "-c", "500001", "/dev/zero")
    assert outcome.stdout == bytes(500001)


def test_no_command_is_127_and_a_signal_is_128_plus(sound: AciExecServer) -> None:
    missing = run(sound, "no-such-command")
    expected = b"The box has no program 'no-such-command' that can be run.\n"
    assert (missing.status, missing.stderr) == (127, expected)
    forbidden = run(sound, "/etc/passwd")
    assert (forbidden.status, forbidden.stderr) == (126, expected.replace(b"no-such-command", b"/etc/passwd"))
    killed = run(sound, "sh", "-c", "kill -9 $$")
    assert (killed.status, killed.stderr) == (137, b"")


def test_builtins_of_the_shell_do_not_stand_in_for_programs(sound: AciExecServer) -> None:
    assert run(sound, "echo", r"a\nb").stdout == b"a\\nb\n"
    assert run(sound, "exit", "3").status == 127


HOSTILE = [
    "", " ", "a b", "\t", "\n", "a\n\nb\n", "'", '"', "'\\''", "$HOME", "$(id)", "`id`", "\\", "\\n", "%s", "*", "~",
    "!", "!!", "-n", "--", "@x", "\x01", "\x03", "\x04", "\x11\x13", "\x1a", "\x1b[0m", "\x7f", "é", b"\xff\xfe", b"\x81\x88",
]  # fmt: skip


def test_hostile_arguments_arrive_as_typed(sound: AciExecServer) -> None:
    outcome = run(sound, "printf", "%s\\0", *HOSTILE)
    expected = b"".join((os.fsencode(word) if isinstance(word, str) else word) + b"\0" for word in HOSTILE)
    assert outcome.stdout == expected


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(st.binary(max_size=60).map(lambda b: b.replace(b"\0", b"")), max_size=6))
def test_any_arguments_arrive(sound: AciExecServer, words: list[bytes]) -> None:
    expected = b"".join(word + b"\0" for word in words) or b"\0"
    assert run(sound, "printf", "%s\\0", *words).stdout == expected


def test_long_arguments(sound: AciExecServer) -> None:
    word = "x'" * 20_000
    assert run(sound, "printf", "%s", word).stdout == word.encode()


def test_nul_in_an_argument_is_refused() -> None:
    channel = Channel(lambda: pytest.fail("must not start"), lambda _: pytest.fail("must not connect"))
    with pytest.raises(FwdctlError) as error:
        channel.run(Request(("echo", "a\0b")))
    assert (error.value.code, error.value.exit_code) == ("argument_has_nul", 2)


def test_stdin_byte_for_byte(sound: AciExecServer) -> None:
    data = ALL_BYTES * 30
    assert run(sound, "cat", stdin=data).stdout == data


def test_stdin_from_a_pipe_and_none(sound: AciExecServer) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"through a pipe\n")
    os.close(writer)
    channel = Channel(sound.ticket, lambda ticket: connect(ticket, {}))
    with os.fdopen(reader, "rb") as stream:
        assert channel.run(Request(("cat",), stream, 60)).stdout == b"through a pipe\n"
    assert run(sound, "cat").stdout == b""


def test_a_command_may_end_before_its_stdin(sound: AciExecServer) -> None:
    outcome = run(sound, "head", "-c", "3", stdin=b"abcdef" * 5000)
    assert (outcome.status, outcome.stdout) == (0, b"abc")


def test_output_comes_while_the_command_runs(sound: AciExecServer) -> None:
    reader, writer = os.pipe()
    seen: list[bytes] = []

    def output(stream: str, data: bytes) -> None:
        seen.append(data)
        if data == b"one\n":  # only now may the command go on: its output cannot have waited for its end
            os.write(writer, b"go\n")
            os.close(writer)

    channel = Channel(sound.ticket, lambda ticket: connect(ticket, {}))
    with os.fdopen(reader, "rb") as stream:
        request = Request(("sh", "-c", "echo one; read -r x; echo two $x"), stream, 60)
        outcome = channel.run(request, output)
    assert seen == [b"one\n", b"two go\n"]
    assert (outcome.status, outcome.stdout) == (0, b"")


@pytest.mark.parametrize(
    "faults",
    [
        {"empty_first": True},
        {"text": True},
        {"split": 1},
        {"split": 7, "empty_first": True, "text": True},
        {"max_message": 40},
    ],
    ids=str,
)
def test_the_services_habits_do_no_harm(server: AciExecServer, faults: dict[str, object]) -> None:
    for name, value in faults.items():
        setattr(server.faults, name, value)
    outcome = run(server, "sh", "-c", "cat; echo err >&2; exit 7", stdin=ALL_BYTES)
    assert (outcome.status, outcome.stdout, outcome.stderr) == (7, ALL_BYTES, b"err\n")


@pytest.mark.parametrize("shell", [("/bin/sh",), ("/bin/bash",), ("/bin/bash", "--posix", "--norc")], ids=str)
def test_shells_that_edit_lines(server: AciExecServer, shell: tuple[str, ...]) -> None:
    if not Path(shell[0]).exists():
        pytest.skip(f"{shell[0]} is not installed")
    server.shell = shell
    assert run(server, "printf", "%s", "a\tb!c").stdout == b"a\tb!c"


@pytest.mark.parametrize("tools", [["cksum", "od"], ["sha256sum", "base64"], ["python3"]], ids=str)
def test_boxes_with_few_tools(server: AciExecServer, tools: list[str], tmp_path: Path) -> None:
    directory = _toolbox(tmp_path, tools)
    server.environ["PATH"] = directory
    outcome = run(server, "sh", "-c", "printf 'a\\000\\377'; echo e >&2; exit 4")
    assert (outcome.status, outcome.stdout, outcome.stderr) == (4, b"a\0\xff", b"e\n")


@pytest.mark.parametrize("tools", [["cksum", "od"], ["sha256sum", "base64"], ["python3"]], ids=str)
def test_stdin_of_boxes_with_few_tools(server: AciExecServer, tools: list[str], tmp_path: Path) -> None:
    server.environ["PATH"] = _toolbox(tmp_path, [*tools, "stty"])
    outcome = run(server, "sh", "-c", 'while read -r l; do echo "$l"; done', stdin=b"line\n" * 1000)
    assert (outcome.status, outcome.stdout) == (0, b"line\n" * 1000)


@pytest.mark.parametrize("tools", [[], ["base64"], ["cksum"]], ids=str)
def test_a_box_that_can_prove_nothing_says_so(
    server: AciExecServer, tmp_path: Path, tools: list[str]
) -> None:
    server.environ["PATH"] = _toolbox(tmp_path, tools)
    outcome = run(server, "echo", "hi")
    assert outcome.state == "unsupported"
    assert "cksum" in outcome.detail


def _toolbox(directory: Path, tools: list[str]) -> str:
    """A PATH with the given tools; without dd where python3 has to do it all."""
    wanted = {"sh", "sleep", "kill", *tools} | (set() if "python3" in tools or not tools else {"dd"})
    for tool in wanted:
        found = sys.executable if tool == "python3" else shutil.which(tool)
        if found:
            (directory / tool).symlink_to(found)
    return str(directory)


IN_THE_PAYLOAD = 2000
"""An output byte after the shell's prompt, its echo and the greeting."""


def test_a_lost_character_is_noticed(server: AciExecServer) -> None:
    server.faults.output = (Damage(IN_THE_PAYLOAD),)
    outcome = run(server, "head", "-c", "20000", "/dev/zero")
    assert outcome.state == "damaged"
    assert outcome.inconclusive
    assert server.connections == 1


def test_a_lost_character_leads_to_a_second_run_where_that_is_harmless(server: AciExecServer) -> None:
    server.faults.output = (Damage(IN_THE_PAYLOAD),)
    server.faults.connections = 1
    outcome = run(server, "head", "-c", "20000", "/dev/zero", idempotent=True)
    assert (outcome.state, outcome.stdout, server.connections) == ("completed", bytes(20000), 2)


def test_a_damaged_greeting_leads_to_a_second_connection(server: AciExecServer) -> None:
    """Nothing has run then, so that it is tried again even though nobody said that it is idempotent."""
    server.faults.input = (Damage(50, b"X"),)
    server.faults.connections = 1
    outcome = run(server, "echo", "hi")
    assert (outcome.state, outcome.stdout, server.connections) == ("completed", b"hi\n", 2)


@pytest.mark.parametrize("put", [b"", None, b"X", b"\n"], ids=["lost", "doubled", "changed", "a new line"])
@pytest.mark.parametrize("position", [700, 1500, 2500])
def test_a_damaged_program_is_asked_for_again(
    server: AciExecServer, position: int, put: bytes | None
) -> None:
    server.faults.input = (Damage(position, put),)
    outcome = run(server, "echo", "x" * 3000)
    assert (outcome.state, outcome.stdout, server.connections) == ("completed", b"x" * 3000 + b"\n", 1)


@pytest.mark.parametrize("put", [b"", None, b"X", b"\n"], ids=["lost", "doubled", "changed", "a new line"])
@pytest.mark.parametrize("position", [2500, 4000, 6000])
def test_damaged_stdin_is_asked_for_again(server: AciExecServer, position: int, put: bytes | None) -> None:
    server.faults.input = (Damage(position, put),)
    data = b"0123456789abcdef" * 400
    outcome = run(server, "cat", stdin=data)
    assert (outcome.state, outcome.stdout, server.connections) == ("completed", data, 1)


def test_a_last_line_of_stdin_that_loses_its_end_is_asked_for(server: AciExecServer) -> None:
    """Nothing follows that would show it, so it takes a second."""
    program = script.program((b"cat",), "bc", has_stdin=True)
    before = script.greeting("0" * 12, "0" * 8) + framing.program_lines(program, "bc")
    stdin = framing.stdin_line(1, "dx", "bc") + framing.stdin_line(2, "q", "bc")
    server.faults.input = (Damage(len(before + stdin) - 1),)
    outcome = run(server, "cat", stdin=b"x")
    assert (outcome.state, outcome.stdout) == ("completed", b"x")


def test_a_program_that_never_arrives_whole_is_not_started(server: AciExecServer) -> None:
    server.faults.input = tuple(Damage(at, b"?") for at in range(700, 100_000, 500))
    outcome = run(server, "echo", "hi")
    assert (outcome.state, outcome.status, server.connections) == ("not_started", None, 2)
    assert outcome.detail == "the command arrived damaged 5 times"


def test_stdin_that_never_arrives_whole_is_inconclusive(server: AciExecServer) -> None:
    server.faults.input = tuple(Damage(at, b"?") for at in range(2600, 100_000, 500))
    outcome = run(server, "cat", stdin=b"x" * 20_000)
    assert (outcome.state, outcome.status) == ("damaged", None)
    assert "standard input" in outcome.detail


def test_a_cut_is_inconclusive_and_not_repeated(server: AciExecServer) -> None:
    server.faults.cut_output = 3000
    outcome = run(server, "head", "-c", "100000", "/dev/zero")
    assert outcome.state == "cut"
    assert outcome.status is None
    assert server.connections == 1


def test_a_cut_leads_to_a_second_run_where_that_is_harmless(server: AciExecServer) -> None:
    server.faults.cut_output = 3000
    server.faults.connections = 1
    outcome = run(server, "head", "-c", "100000", "/dev/zero", idempotent=True)
    assert (outcome.status, len(outcome.stdout)) == (0, 100000)


def test_a_hung_command_is_given_up_and_killed(server: AciExecServer, tmp_path: Path) -> None:
    pidfile = tmp_path / "pid"
    outcome = run(server, "sh", "-c", f"echo $$ > {pidfile}; exec sleep 300", timeout=2.0)
    assert outcome.state == "timeout"
    _wait_until_gone(int(pidfile.read_text()))


def test_ctrl_c_kills_the_remote_command(server: AciExecServer, tmp_path: Path) -> None:
    pidfile = tmp_path / "pid"

    def interrupt(stream: str, data: bytes) -> None:
        raise KeyboardInterrupt

    channel = Channel(server.ticket, lambda ticket: connect(ticket, {}))
    with pytest.raises(KeyboardInterrupt):
        channel.run(Request(("sh", "-c", f"echo $$ > {pidfile}; echo go; exec sleep 300")), interrupt)
    _wait_until_gone(int(pidfile.read_text()))


def test_cancelling_ends_a_run(server: AciExecServer) -> None:
    channel = Channel(server.ticket, lambda ticket: connect(ticket, {}), lambda: True)
    with pytest.raises(StoppedError):
        channel.run(Request(("sleep", "300")))


def _wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 30
    while _state(pid) != "Z":
        assert time.monotonic() < deadline, f"process {pid} still runs"
        time.sleep(0.05)


def _state(pid: int) -> str:
    """Its state by ps; Z once it has ended."""
    answer = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, check=False, timeout=10
    )
    return answer.stdout.decode().strip()[:1] or "Z"


def test_a_stream_of_bytes_needs_no_descriptor(sound: AciExecServer) -> None:
    channel = Channel(sound.ticket, lambda ticket: connect(ticket, {}))
    assert channel.run(Request(("cat",), io.BytesIO(b"abc"), 60)).stdout == b"abc"


def test_a_stdin_that_does_not_block_is_waited_for(sound: AciExecServer) -> None:
    """As node and some CI systems hand it over: a read finds nothing, and that is not the end."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    seen: list[bytes] = []

    def output(stream: str, data: bytes) -> None:
        seen.append(data)
        if data == b"ready\n":  # the first read is over by now
            os.write(writer, b"hello\n")
            os.close(writer)

    channel = Channel(sound.ticket, lambda ticket: connect(ticket, {}))
    with os.fdopen(reader, "rb") as stream:
        request = Request(("sh", "-c", "sleep 0.2; echo ready; cat"), stream, 60)
        assert channel.run(request, output).status == 0
    assert seen == [b"ready\n", b"hello\n"]


def test_a_stdin_that_breaks_is_not_its_end(sound: AciExecServer, tmp_path: Path) -> None:
    runs = threading.Event()

    class Breaking(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            assert runs.wait(60)
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    pidfile = tmp_path / "pid"
    channel = Channel(sound.ticket, lambda ticket: connect(ticket, {}))
    request = Request(("sh", "-c", f"echo $$ > {pidfile}; echo runs; exec cat"), Breaking(), 60)
    outcome = channel.run(request, lambda *_: runs.set())
    assert (outcome.state, outcome.status) == ("cut", None)
    assert os.strerror(errno.EIO) in outcome.detail
    _wait_until_gone(int(pidfile.read_text()))


def test_a_stdin_for_writing_only_is_an_empty_one(sound: AciExecServer) -> None:
    """What `nohup` gives a program that was started on a terminal."""
    channel = Channel(sound.ticket, lambda ticket: connect(ticket, {}))
    with Path(os.devnull).open("wb") as stream:
        outcome = channel.run(Request(("cat",), stream, 60))
    assert (outcome.status, outcome.stdout) == (0, b"")
