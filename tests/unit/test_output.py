from __future__ import annotations

import io
import json
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from fwdctl.errors import ExitCode, FwdctlError
from fwdctl.output import OutputFormat, Result, console, grid, printable, render, render_error, say
from fwdctl.progress import Progress
from support.frame import Stream, make_runtime

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

ERROR = FwdctlError("a_code", "It is <broken>.", "Repair it.", exit_code=ExitCode.BROKEN)


def rows(console: Console) -> None:
    grid(console, ("Name", "State"), [("hub", "Running"), ("spoke-two", None), ("[bold]x[/]", "")])


def test_grid_has_capital_headings_three_blanks_and_no_markup(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path)
    assert render(runtime, "x", Result(None, table=rows), OutputFormat.table) == 0
    assert runtime.stdout.getvalue().splitlines() == [
        "NAME         STATE",
        "hub          Running",
        "spoke-two    -",
        "[bold]x[/]   -",
    ]
    assert runtime.stderr.getvalue() == ""


def test_grid_folds_in_80_columns_and_loses_nothing(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path, {"COLUMNS": "80"})
    grid(console(runtime, runtime.stdout), ("A", "B"), [("x" * 70, "y" * 70)])
    text = runtime.stdout.getvalue()
    assert max(len(line) for line in text.splitlines()) <= 80
    assert (text.count("x"), text.count("y")) == (70, 70)


def test_grid_away_from_a_terminal_keeps_rows_on_one_line(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path)
    grid(console(runtime, runtime.stdout), ("A", "B"), [("x" * 70, "y" * 70)])
    assert len(runtime.stdout.getvalue().splitlines()) == 2


HEADINGS = ("Path", "To", "Why")
NAMES = ("hub/web/192.168.42.65:8000", "onprem-server.corp.internal:8000")
WHY = "the connection is refused (curl: (7) Failed to connect to onprem-server.corp.internal port 8000)"
SHORT = "2 of 2 servers answered: server65 x3, server66 x1"


@pytest.mark.parametrize("width", [75, 80, 100, 140])
def test_names_stay_whole_where_another_column_can_wrap(tmp_path: Path, width: int) -> None:
    runtime = make_runtime(tmp_path, {"COLUMNS": str(width)})
    grid(console(runtime, runtime.stdout), HEADINGS, [(*NAMES, SHORT)])
    lines = runtime.stdout.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert lines[1].startswith("   ".join(NAMES) + "   ")
    assert lines[0].split() == ["PATH", "TO", "WHY"]
    why = [line.removeprefix("   ".join(NAMES)) for line in lines[1:]]
    assert " ".join(" ".join(why).split()) == SHORT


def test_a_text_that_names_leave_no_room_stands_below_them(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path, {"COLUMNS": "72"})
    grid(console(runtime, runtime.stdout), HEADINGS, [(*NAMES, WHY), ("hub/web", "", "")])
    assert runtime.stdout.getvalue().splitlines() == [
        "PATH                         TO",
        "  WHY",
        "   ".join(NAMES),
        "  the connection is refused (curl: (7) Failed to connect to",
        "  onprem-server.corp.internal port 8000)",
        "hub/web                      -",
        "  -",
    ]


def test_wide_characters_count_as_two(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path)
    grid(console(runtime, runtime.stdout), ("A", "B"), [("漢字", "x"), ("abcd", "y z")])
    assert runtime.stdout.getvalue().splitlines() == ["A      B", "漢字   x", "abcd   y z"]


def test_json_envelope(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path)
    result = Result({"é": 1}, status="failed", exit_code=ExitCode.BROKEN, errors=(ERROR,))
    assert render(runtime, "probe spoke", result, OutputFormat.json) == 4
    assert runtime.stdout.getvalue().isascii()
    assert json.loads(runtime.stdout.getvalue()) == {
        "schema": "fwdctl/v1",
        "command": "probe spoke",
        "status": "failed",
        "exitCode": 4,
        "data": {"é": 1},
        "errors": [{"code": "a_code", "message": "It is <broken>.", "suggestion": "Repair it."}],
    }
    assert runtime.stderr.getvalue() == "ERROR: It is <broken>.\nSuggestion: Repair it.\n"


@pytest.mark.parametrize("fmt", list(OutputFormat))
def test_an_error_has_the_same_exit_code_and_lines_in_every_format(tmp_path: Path, fmt: OutputFormat) -> None:
    runtime = make_runtime(tmp_path)
    assert render_error(runtime, "probe", ERROR, fmt) == ExitCode.BROKEN
    assert runtime.stderr.getvalue() == "ERROR: It is <broken>.\nSuggestion: Repair it.\n"


def test_an_error_as_junit_is_xml_with_code_and_suggestion(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path)
    render_error(runtime, "probe spoke", ERROR, OutputFormat.junit)
    error = ET.fromstring(runtime.stdout.getvalue()).find(".//error")  # noqa: S314 - our own text
    assert error is not None
    assert error.attrib == {"type": "a_code", "message": "It is <broken>. Repair it."}


def test_an_error_as_junit_is_xml_in_every_encoding(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path)
    render_error(runtime, "probe", FwdctlError("c", "10 \u2013 20 漢\x01", "Repair it."), OutputFormat.junit)
    text = runtime.stdout.getvalue()
    assert text.isascii()
    error = ET.fromstring(text.encode()).find(".//error")  # noqa: S314 - our own text
    assert error is not None
    assert error.get("message") == "10 \u2013 20 漢\\x01 Repair it."


def test_a_line_is_whole_and_never_fails(tmp_path: Path) -> None:
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="cp1252", newline="\n")
    runtime = make_runtime(tmp_path, {"COLUMNS": "20"}, stdout=stdout)
    say(console(runtime, stdout), "[b]" + "x" * 30 + " 漢")
    stdout.seek(0)
    assert stdout.read() == "[b]" + "x" * 30 + " \\u6f22\n"


HOSTILE = {
    "escape": ("\x1b", "\\x1b"),
    "colour": ("\x1b[31m", "\\x1b[31m"),
    "one-byte-control-sequence": ("\x9b2J", "\\x9b2J"),
    "title": ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
    "one-byte-title": ("\x9d0;title\x9c", "\\x9d0;title\\x9c"),
    "bell": ("\x07", "\\x07"),
    "backspace": ("\x08", "\\x08"),
    "carriage-return": ("\r", "\\r"),
    "null": ("\x00", "\\x00"),
    "delete": ("\x7f", "\\x7f"),
    "right-to-left-override": ("\u202e", "\\u202e"),
    "isolate": ("\u2066", "\\u2066"),
    "arabic-letter-mark": ("\u061c", "\\u061c"),
    "zero-width-space": ("\u200b", "\\u200b"),
    "line-separator": ("\u2028", "\\u2028"),
    "tag": ("\U000e0041", "\\U000e0041"),
}


@pytest.mark.parametrize(("text", "shown"), HOSTILE.values(), ids=HOSTILE)
def test_a_terminal_obeys_nothing_that_came_from_outside(tmp_path: Path, text: str, shown: str) -> None:
    value = f"ok{text}漢"
    runtime = make_runtime(tmp_path)
    stdout = console(runtime, runtime.stdout)
    grid(stdout, ("Name", "State"), [("box", value)])
    say(stdout, value)
    render_error(runtime, "x", FwdctlError("c", value, value), OutputFormat.table)
    with Progress(runtime) as progress:
        progress.step(value)
        progress.failed(value)
    safe = f"ok{shown}漢"
    assert runtime.stdout.getvalue() == f"NAME   STATE\nbox    {safe}\n{safe}\n"
    assert runtime.stderr.getvalue() == (
        f"ERROR: {safe}\nSuggestion: {safe}\n{safe} ...\n  (x) Failed: {safe}\n"
    )


def test_a_spinner_obeys_neither_markup_nor_what_came_from_outside(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path, {"TERM": "xterm"}, terminal=True)
    with Progress(runtime) as progress:
        progress.step("[bold]box[/] \x1b]0;title\x07")
        progress.step("[red]box[/] \x1b]0;title\x07", 1.0)
        progress.done("[x] \x1b]0;title\x07")
    text = runtime.stderr.getvalue()
    assert "[red]box[/] \\x1b]0;title\\x07, 1 s" in text
    assert "[x] \\x1b]0;title\\x07" in text
    assert "\x1b]" not in text
    assert "\x07" not in text


def test_line_ends_and_tabs_stay(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path)
    say(console(runtime, runtime.stdout), "a\nb")
    assert runtime.stdout.getvalue() == "a\nb\n"
    assert printable("a\tb", runtime.stdout) == "a\tb"


def test_junit_is_refused_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(FwdctlError, match="no JUnit form") as caught:
        render(make_runtime(tmp_path), "env show", Result(None), OutputFormat.junit)
    assert caught.value.exit_code == ExitCode.USAGE


def test_progress_away_from_a_terminal_is_plain_lines(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path, {"NO_COLOR": ""})
    with Progress(runtime) as progress:
        progress.step("Starting", 0.0)
        progress.step("Stopping")
        progress.step("Starting", 1.4)
        progress.done("a")
        progress.failed("b")
        progress.warning("c")
        progress.skipped("d")
    assert runtime.stderr.getvalue().splitlines() == [
        "Starting ...",
        "Stopping ...",
        "  (✓) Done: a",
        "  (x) Failed: b",
        "  (!) Warning: c",
        "  (-) Skipped: d",
    ]
    assert runtime.stdout.getvalue() == ""


def test_progress_survives_a_stream_without_the_sign(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path, stderr=Stream(encoding="cp1252"))
    with Progress(runtime) as progress:
        progress.done("漢")
    assert runtime.stderr.getvalue() == "  (+) Done: \\u6f22\n"


def test_a_terminal_without_the_spinner_s_signs_gets_lines(tmp_path: Path) -> None:
    stderr = Stream(terminal=True, encoding="iso-8859-1")
    with Progress(make_runtime(tmp_path, {"TERM": "xterm"}, stderr=stderr)) as progress:
        progress.step("one")
        progress.done("first")
    assert stderr.getvalue() == "one ...\n  (+) Done: first\n"


def test_progress_on_a_terminal_colours_and_cleans_up(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    runtime = make_runtime(tmp_path, {"TERM": "xterm"}, terminal=True)
    with Progress(runtime) as progress:
        progress.step("one")
        progress.done("first")
        progress.step("two")
    text = runtime.stderr.getvalue()
    assert "\x1b[32m(✓) Done:\x1b[0m first" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l"), "the cursor is shown again"
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()


def test_a_step_counts_its_seconds_on_a_terminal(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path, {"TERM": "xterm"}, terminal=True)
    stderr = runtime.stderr
    with Progress(runtime) as progress:
        progress.step("Testing [b]web[/]")
        deadline = time.monotonic() + 10
        while "Testing [b]web[/], 1 s" not in stderr.getvalue():
            assert time.monotonic() < deadline, stderr.getvalue()
            time.sleep(0.05)
    assert "Testing [b]web[/], 0 s" in stderr.getvalue()


@pytest.mark.parametrize("environ", [{"NO_COLOR": ""}, {"CI": "1"}, {"TERM": "dumb"}])
def test_no_colour_where_the_user_says_so(tmp_path: Path, environ: dict[str, str]) -> None:
    runtime = make_runtime(tmp_path, environ, terminal=True)
    with Progress(runtime) as progress:
        progress.step("one")
        progress.done("first")
    render_error(runtime, "x", ERROR, OutputFormat.table)
    assert "\x1b" not in runtime.stderr.getvalue()


def test_several_threads_share_one_spinner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    runtime = make_runtime(tmp_path, {"TERM": "xterm"}, terminal=True)
    both, make = threading.Barrier(2), Console.status

    def slow(self: Console, text: str) -> Any:
        with suppress(threading.BrokenBarrierError):
            both.wait(0.2)  # where nothing keeps them apart, both threads are here now
        return make(self, text)

    monkeypatch.setattr(Console, "status", slow)
    with Progress(runtime) as progress:
        threads = [threading.Thread(target=progress.step, args=(name,)) for name in ("hub", "spoke")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    text = runtime.stderr.getvalue()
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1
