"""What users get wrong around a lab: one clear line, the mend, the exit code."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from typing import TYPE_CHECKING

import pytest

from fwdlab.cli import watch
from support.programs import FWDCTL, run

if TYPE_CHECKING:
    from pathlib import Path

    from support.programs import RunningLab

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("deployed-lab")]


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(("ERROR", "Suggestion"))]


def test_a_resource_group_that_is_not_there(lab: RunningLab) -> None:
    done = lab.fwdctl("probe", "spoke", "-g", "rg-nowhere", expect=3)
    assert "rg-nowhere" in lines(done.stderr)[0]
    assert lines(done.stderr)[1].startswith("Suggestion: ")


def test_nobody_is_logged_in(lab: RunningLab, tmp_path: Path) -> None:
    environ = {**lab.environ, "AZURE_CONFIG_DIR": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = run([*FWDCTL, "jump", "status"], environ=environ, cwd=tmp_path, expect=3)
    assert "az login" in lines(done.stderr)[1]
    assert "azd auth login" in lines(done.stderr)[1]


def test_no_project_and_no_environment(lab: RunningLab, tmp_path: Path) -> None:
    done = run([*FWDCTL, "probe", "spoke"], environ=lab.base, cwd=tmp_path, expect=3)
    assert len(lines(done.stderr)) == 2


def test_a_box_that_does_not_run(lab: RunningLab) -> None:
    done = lab.fwdctl("jump", "exec", "spoke", "--", "true", expect=125)
    assert "fwdctl jump start app" in done.stderr


def test_a_slow_start_is_none_of_the_commands_time(lab: RunningLab) -> None:
    lab.fwdctl("jump", "stop", "spoke")
    lab.lab("break", "jump-slow")
    try:
        done = lab.fwdctl("jump", "exec", "spoke", "--start", "--timeout", "2", "--", "echo", "ran")
    finally:
        lab.lab("heal", "jump-slow")
    assert done.stdout == "ran\n"


def test_a_command_that_the_box_does_not_have(lab: RunningLab) -> None:
    lab.fwdctl("jump", "start", "spoke")
    assert lab.fwdctl("jump", "exec", "spoke", "--", "no-such-program", expect=127).stdout == ""


def test_bytes_arguments_and_streams_come_through_unchanged(lab: RunningLab) -> None:
    lab.fwdctl("jump", "start", "spoke")
    words = ["a b", "'", '"', "$HOME", "`id`", "\\", "", "line\nline", "*", "ä€"]
    done = lab.fwdctl("jump", "exec", "spoke", "--", "printf", "[%s]", *words)
    assert done.stdout == "".join(f"[{word}]" for word in words)
    both = lab.fwdctl("jump", "exec", "spoke", "--", "sh", "-c", "echo out; echo err >&2; exit 9", expect=9)
    assert both.stdout == "out\n"
    assert both.stderr == "err\n"
    piped = lab.fwdctl("jump", "exec", "spoke", "--", "sort", stdin="b\na\n")
    assert piped.stdout == "a\nb\n"


def test_raw_bytes_come_through_unchanged(lab: RunningLab, tmp_path: Path) -> None:
    lab.fwdctl("jump", "start", "spoke")
    wanted = bytes(range(256)) * 40
    code = "import sys; sys.stdout.buffer.write(bytes(range(256)) * 40)"
    done = subprocess.run(
        [*FWDCTL, "jump", "exec", "spoke", "--", "python3", "-c", code],
        env=lab.environ,
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == wanted


def test_status_shows_boxes_that_are_stopped_and_warns_of_nothing_in_a_healthy_lab(lab: RunningLab) -> None:
    lab.fwdctl("jump", "stop", "all")
    boxes = {lab.environ["HUB_JUMP_NAME"]: "vnet-hub", lab.environ["SPOKE_JUMP_NAME"]: "vnet-app"}
    rows = {line.split()[0]: line.split() for line in lab.lab("status").stdout.splitlines() if line}
    for name, network in boxes.items():
        assert rows[name][1:] == [network, "-", "stopped", "-"]
    lab.fwdctl("jump", "start", "spoke")
    done = lab.lab("status")
    states = {
        line.split()[0]: line.split()[3] for line in done.stdout.splitlines() if line.startswith(tuple(boxes))
    }
    assert states == dict(zip(boxes, ["stopped", "running"], strict=True))
    assert "Warning" not in done.stdout


def test_a_warning_gives_names_not_ids() -> None:
    base = "/subscriptions/0/resourceGroups/rg/providers/Microsoft.Network"
    text = f"{base}/networkInterfaces/nic: subnet {base}/virtualNetworks/v/subnets/s does not exist; left out"
    assert watch._short(text) == "nic: subnet s does not exist; left out"


def on_a_terminal(
    argv: list[str], environ: dict[str, str], typed: list[tuple[bytes, bytes]]
) -> tuple[int, bytes]:
    """Run a program on a terminal of its own; each text is typed once what precedes it has been printed."""
    child, master = pty.fork()
    if child == 0:
        os.execvpe(argv[0], argv, environ)  # noqa: S606 - an argument list, on the new terminal
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    shown, answered, deadline = b"", 0, time.monotonic() + 90
    while select.select([master], [], [], max(0.0, deadline - time.monotonic()))[0]:
        try:
            shown += os.read(master, 65536)
        except OSError:  # everybody has closed it
            break
        if typed and typed[0][0] in shown[answered:]:
            answered = len(shown)
            os.write(master, typed.pop(0)[1])
    os.close(master)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), shown


@pytest.mark.parametrize(("typed", "code"), [(b"exit 5\n", 5), (b"\x04", 0), (b"(exit 3)\n\x04", 3)])
def test_a_shell_on_a_terminal_ends_with_its_own_exit_code(lab: RunningLab, typed: bytes, code: int) -> None:
    argv = [*FWDCTL, "lab", "shell", "--name", lab.name, "server65"]
    ended, shown = on_a_terminal(argv, lab.environ, [(b"# ", typed)])
    assert ended == code, shown
    assert b"tty" not in shown


def test_a_shell_on_a_terminal_has_job_control_and_the_terminals_size(lab: RunningLab) -> None:
    argv = [*FWDCTL, "lab", "shell", "--name", lab.name, "server65"]
    dialogue = [
        (b"# ", b"stty size; hostname; tty; sh -c 'echo rea''dy; sleep 60'\n"),
        (b"\nready", b"\x03"),
        (b"# ", b"exit 4\n"),
    ]
    ended, shown = on_a_terminal(argv, lab.environ, dialogue)
    assert ended == 4, shown
    assert b"30 100\r\nserver65\r\n/dev/pts/" in shown


def test_parameters_that_are_wrong_leave_no_lab(lab: RunningLab, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text("{")
    argv = [*FWDCTL, "lab", "up", "--name", "wrong", "--parameters", str(tmp_path / "p.json")]
    done = run(argv, environ=lab.base, cwd=tmp_path, expect=2)
    assert "p.json: line 1, column 2" in done.stderr
    assert "wrong" not in [entry.name for entry in (lab.home / "state/fwdctl/labs").iterdir()]


@pytest.mark.parametrize("option", ["--parameters", "--template"])
def test_a_file_that_was_mistyped_is_to_be_typed_again(lab: RunningLab, tmp_path: Path, option: str) -> None:
    argv = [*FWDCTL, "lab", "up", "--name", "wrong", option, "none.json"]
    done = run(argv, environ=lab.base, cwd=tmp_path, expect=3)
    error, suggestion = lines(done.stderr)
    assert error == f"ERROR: {tmp_path}/none.json does not exist."
    assert option in suggestion
    assert "version control" not in suggestion
    assert "Compile" not in suggestion


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["break", "none"], 2, "ERROR: No fault is called 'none'."),
        (["shell", "none", "--", "true"], 3, "ERROR: No node is called 'none'."),
        (["shell", "server65"], 2, "ERROR: A shell needs a terminal."),
        (["up", "--empty"], 2, "ERROR: The lab '{name}' is already running."),
    ],
)
def test_the_labs_errors_are_sentences(lab: RunningLab, words: list[str], code: int, error: str) -> None:
    said, suggestion = lines(lab.lab(*words, expect=code).stderr)
    assert said == error.format(name=lab.name)
    assert suggestion.endswith(".")
    assert "'fwdctl" not in suggestion
