from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer

from fwdctl.cli.command import Invocation, command
from fwdctl.cli.options import OUTPUT
from fwdctl.errors import ExitCode, FwdctlError, StoppedError
from fwdctl.main import guard
from fwdctl.output import Result
from support.frame import Stream, make_runtime, project, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from fwdctl.runtime import Runtime


def guarded(runtime: Runtime, action: Callable[[Runtime], Result], *words: str) -> int:
    """A command whose work is `action`."""
    app = typer.Typer()
    command(app, "x y", OUTPUT)(lambda call: action(call.runtime))
    parsed = typer.main.get_command(app)
    return guard(lambda: parsed.main(args=[*words], standalone_mode=False), Invocation(runtime))


def fails_with(error: BaseException) -> Callable[[Runtime], Result]:
    def action(_: Runtime) -> Result:
        raise error

    return action


def test_an_unexpected_failure_is_one_line(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path)
    assert guarded(runtime, fails_with(ZeroDivisionError("by\nzero"))) == 1
    assert runtime.stderr.getvalue() == (
        "ERROR: ZeroDivisionError: by zero\n"
        "Suggestion: Run again with --debug for the traceback; if it stays, report it.\n"
    )


def test_debug_adds_the_traceback(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path)
    assert guarded(runtime, fails_with(ZeroDivisionError("z")), "--debug") == 1
    assert runtime.stderr.getvalue().startswith("Traceback")


def test_a_known_failure_keeps_its_code_in_json(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path)
    error = FwdctlError("gone", "Gone.", "Look.", exit_code=ExitCode.NOT_FOUND)
    assert guarded(runtime, fails_with(error), "-o", "json") == 3
    assert '"command": "x y"' in runtime.stdout.getvalue()
    assert '"exitCode": 3' in runtime.stdout.getvalue()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), StoppedError(), typer.Abort()])
def test_ctrl_c_is_130_and_silent(tmp_path: Path, error: BaseException) -> None:
    runtime = make_runtime(tmp_path)
    assert guarded(runtime, fails_with(error)) == 130
    assert (runtime.stdout.getvalue(), runtime.stderr.getvalue()) == ("", "")


def test_a_remote_exit_code_is_passed_on(tmp_path: Path) -> None:
    assert guarded(make_runtime(tmp_path), lambda _: Result(None, exit_code=77)) == 77


def test_a_reader_that_went_away_is_silent(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom fwdctl.main import guard\nfrom fwdctl.cli.command import Invocation\n"
        "from fwdctl.runtime import Runtime\nrt = Runtime()\n"
        "def action():\n    sys.stdin.read()\n    rt.stdout.write('x' * 100000)\n    return 0\n"
        "sys.exit(guard(action, Invocation(rt)))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stdin is not None
        process.stdin.close()
        assert process.stderr is not None
        said = process.stderr.read()
        assert process.wait(30) == 1
    assert said == b""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["jmp"], "No such command 'jmp'. Did you mean 'jump'?"),
        (["--nonsense"], "No such option: --nonsense"),
        (["env", "show", "-o", "xml"], "Invalid value for '--output' / '-o'"),
        (["env", "show", "-o", "junit"], "only probes write junit"),
        (["env", "show", "extra"], "Got unexpected extra argument(s) (extra)"),
        (["env", "show", "-e"], "requires an argument"),
    ],
)
def test_usage_errors_are_one_line_and_2(tmp_path: Path, words: list[str], message: str) -> None:
    ran = run(make_runtime(tmp_path), *words)
    assert ran.code == 2
    first, second = ran.stderr.splitlines()
    assert first.startswith("ERROR: ")
    assert message in first
    assert second.startswith("Suggestion: See `fwdctl")
    assert ran.stdout == "" or "junit" in words


@pytest.mark.parametrize(
    "words",
    [
        ["env", "show", "--nonsense", "-o", "json"],
        ["env", "show", "--output=json", "--nonsense"],
        ["env", "show", "-ojson", "--nonsense"],
    ],
)
def test_usage_errors_come_as_envelope_too(tmp_path: Path, words: list[str]) -> None:
    ran = run(make_runtime(tmp_path), *words)
    assert ran.code == 2
    assert ran.envelope["command"] == "env show"
    assert ran.envelope["errors"][0]["code"] == "usage"


def test_what_follows_two_dashes_is_another_programs_business(tmp_path: Path) -> None:
    assert run(make_runtime(tmp_path), "nothing", "--", "-o", "json").stdout == ""


@pytest.mark.parametrize("words", [["-C", "sub", "env", "show"], ["env", "show", "-C", "sub"]])
def test_general_options_stand_on_either_side(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "sub").mkdir()
    ran = run(make_runtime(tmp_path), *words)
    assert ran.code == 3
    assert f"neither {tmp_path / 'sub'} nor" in ran.stderr


def test_debug_and_no_prompt_before_the_command_reach_it(tmp_path: Path) -> None:
    ran = run(make_runtime(tmp_path), "--debug", "env", "show")
    assert ran.stderr.startswith("Traceback")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    ran = run(make_runtime(tmp_path), "env", "show", "--cwd", "nowhere")
    assert ran.code == 2
    assert ran.stderr.splitlines()[0] == f"ERROR: {tmp_path / 'nowhere'} is not a directory."


def test_a_failure_does_not_leak_into_the_next_command(tmp_path: Path) -> None:
    run(make_runtime(tmp_path), "env", "show", "--nonsense", "-o", "json")
    ran = run(make_runtime(tmp_path, stderr=Stream()), "env", "show")
    assert ran.stdout == ""


@pytest.mark.parametrize(
    "words", [["jump", "exec", "spoke", "id", "-u"], ["lab", "shell", "web", "id", "-u"]]
)
def test_options_of_another_program_need_two_dashes(tmp_path: Path, words: list[str]) -> None:
    ran = run(make_runtime(tmp_path), *words)
    assert ran.code == 2
    assert "Put `--` before a command that has options of its own" in ran.stderr


# -- output that cannot be written

TAKEN_AWAY = {"stdout": ">&-", "full": ">/dev/full", "stderr": "2>&-", "all": "<&- >&- 2>&-"}


def redirected(words: str, how: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The program with its streams as a shell was told to set them."""
    return subprocess.run(
        ["sh", "-c", f'"{sys.executable}" -m fwdctl {words} {TAKEN_AWAY[how]}'],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


posix = pytest.mark.skipif(
    sys.platform == "win32" or not Path("/dev/full").exists(), reason="needs /dev/full and a POSIX shell"
)


@posix
@pytest.mark.parametrize(
    "words", ["env show", "env show -o json", "--help", "--version", "jump --help", "env check -o json"]
)
@pytest.mark.parametrize(
    ("how", "why"), [("stdout", "Bad file descriptor"), ("full", "No space left on device")]
)
def test_output_that_cannot_be_written_is_one_line(tmp_path: Path, words: str, how: str, why: str) -> None:
    project(tmp_path, "LONG=" + "x" * 70000)
    done = redirected(words, how, tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == f"ERROR: Cannot write the output: {why}."
    assert "Traceback" not in done.stderr


@posix
def test_a_failure_stays_what_it_is_without_stdout(tmp_path: Path) -> None:
    done = redirected("env show", "stdout", tmp_path)
    assert done.returncode == 3
    assert done.stderr.startswith("ERROR: No azd project")


@posix
def test_without_stderr_commands_work_as_usual(tmp_path: Path) -> None:
    project(tmp_path)
    done = redirected("env show", "stderr", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "AZURE_ENV_NAME" in done.stdout
    assert redirected("env shwo", "stderr", tmp_path).returncode == 2


@posix
def test_without_any_stream_the_exit_code_tells(tmp_path: Path) -> None:
    assert redirected("env show", "all", tmp_path).returncode == 3
    assert redirected("jump shell hub", "all", tmp_path).returncode == 2
