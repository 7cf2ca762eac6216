"""What a command hands back, and the one place that prints it: table, JSON or JUnit.

Data goes to stdout and everything else to stderr, in every format.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, TextIO

from fwdctl.errors import ExitCode, FwdctlError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from xml.etree.ElementTree import Element

    from rich.console import Console

    from fwdctl.runtime import Runtime

SCHEMA = "fwdctl/v1"
STATUS: Mapping[int, str] = {ExitCode.OK: "succeeded", ExitCode.INCONCLUSIVE: "inconclusive"}
"""What an exit code means, in a word; any other is failed."""
GAP = 3
"""Blanks between the columns of a table."""
TEXT_WIDTH = 16
"""What a column of several words keeps next to others, if it can."""

# C0 but tab and line feed, DEL, C1; soft hyphen, marks of direction, zero widths, line separators, tags.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\U000e0000-\U000e007f]"
)


class OutputFormat(StrEnum):
    """How a result is written to stdout."""

    table = "table"
    json = "json"
    junit = "junit"


@dataclass(frozen=True)
class Result:
    """What a command found out, before anybody decides how to print it.

    Attributes:
        data: JSON-able; the `data` of the envelope.
        exit_code: an ExitCode, or the remote command's own code for `jump exec`.
        status: succeeded, failed or inconclusive; by default what the exit code means.
        table: draws the form for people on the console that it is given (stdout).
        junit: returns a JUnit XML document; None where the command has no such form.
        errors: failures that did not keep the command from giving its data.
    """

    data: Any
    exit_code: int = ExitCode.OK
    table: Callable[[Console], None] | None = None
    junit: Callable[[], str] | None = None
    errors: tuple[FwdctlError, ...] = ()
    status: str = ""

    def __post_init__(self) -> None:
        meant = STATUS.get(self.exit_code, "failed")
        object.__setattr__(self, "status", self.status or meant)  # frozen


def render(runtime: Runtime, command: str, result: Result, fmt: OutputFormat) -> int:
    """Print a result and return the exit code, which no format changes."""
    if fmt is OutputFormat.json:
        _print_envelope(runtime, command, result)
    elif fmt is OutputFormat.junit:
        if result.junit is None:
            raise UsageError(
                "format_not_available",
                f"`fwdctl {command}` has no JUnit form.",
                "Use `-o table` or `-o json`.",
            )
        runtime.stdout.write(result.junit())
    elif result.table is not None:
        result.table(console(runtime, runtime.stdout))
    runtime.stdout.flush()  # on a terminal the data stands above the errors
    for error in result.errors:
        _print_error(runtime, error)
    return result.exit_code


def render_error(runtime: Runtime, command: str, error: FwdctlError, fmt: OutputFormat) -> int:
    """Print a failure: `ERROR:` and the suggestion on stderr; for JSON and JUnit the document too."""
    _print_error(runtime, error)
    if fmt is OutputFormat.json:
        _print_envelope(runtime, command, Result(None, error.exit_code, errors=(error,)))
    elif fmt is OutputFormat.junit:
        runtime.stdout.write(_junit_error(command, error))
    return error.exit_code


def _print_error(runtime: Runtime, error: FwdctlError) -> None:
    red, plain = ("\x1b[31m", "\x1b[0m") if runtime.colour(runtime.stderr) else ("", "")
    runtime.stderr.write(f"{red}ERROR: {printable(error.message, runtime.stderr)}{plain}\n")
    if error.suggestion:
        runtime.stderr.write(f"Suggestion: {printable(error.suggestion, runtime.stderr)}\n")
    runtime.stderr.flush()


def _print_envelope(runtime: Runtime, command: str, result: Result) -> None:
    errors = [{"code": e.code, "message": e.message, "suggestion": e.suggestion} for e in result.errors]
    envelope = {
        "schema": SCHEMA,
        "command": command,
        "status": result.status,
        "exitCode": int(result.exit_code),
        "data": result.data,
        "errors": errors,
    }
    # ASCII, so that no terminal or pipe encoding can refuse it; of the control characters JSON leaves DEL.
    runtime.stdout.write(json.dumps(envelope, indent=2).replace("\x7f", "\\u007f") + "\n")


def _junit_error(command: str, error: FwdctlError) -> str:
    from xml.etree import ElementTree as ET

    name = f"fwdctl {command}".strip()
    text = " ".join(part for part in (error.message, error.suggestion) if part)
    root = ET.Element("testsuites", errors="1")
    suite = ET.SubElement(root, "testsuite", name=name, tests="1", errors="1")
    case = ET.SubElement(suite, "testcase", name=name)
    ET.SubElement(case, "error", type=error.code, message=xml_text(text))
    return xml_document(root)


def xml_document(root: Element) -> str:
    """ASCII, as the JSON is; characters beyond it become references."""
    from xml.etree import ElementTree as ET

    text: str = ET.tostring(root, encoding="us-ascii").decode()
    return text + "\n"


def xml_text(text: str) -> str:
    """Without characters that XML cannot hold, or a terminal obeys."""
    return re.sub("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", visible(text))


def encodable(text: str, stream: TextIO) -> str:
    """Replace what the stream's encoding cannot express, so that printing never fails."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def visible(text: str) -> str:
    r"""Text from anywhere without what a terminal obeys.

    Control characters and those that change the direction of writing become visible, such as `\x1b`; line
    ends and tabs stay.
    """
    return _INVISIBLE.sub(lambda found: ascii(found[0])[1:-1], text)


def printable(text: str, stream: TextIO) -> str:
    """Text from anywhere, as a line of ours may show it; JSON is ASCII, and JUnit goes through `xml_text`."""
    return encodable(visible(text), stream)


def tell(runtime: Runtime, text: str) -> None:
    """Write to stderr, as it is, what is neither progress nor an error."""
    runtime.stderr.write(printable(text, runtime.stderr))
    runtime.stderr.flush()


def console(runtime: Runtime, stream: TextIO) -> Console:
    """A rich console that follows the runtime: colour, the terminal's width, no markup surprises.

    Away from a terminal lines are as long as their text (or COLUMNS, if set): `grep` sees whole lines.
    """
    from rich.console import Console

    colour = runtime.colour(stream)
    width = None
    if not stream.isatty() and not runtime.environ.get("COLUMNS", "").isdigit():
        width = 1000
    return Console(
        file=stream,
        no_color=not colour,
        force_terminal=colour,
        width=width,
        markup=False,
        highlight=False,
        emoji=False,
        legacy_windows=False,
        _environ=runtime.environ,
    )


def say(console: Console, text: str) -> None:
    """Print a line as it is: text is never markup, never wrapped, and no encoding refuses it."""
    console.print(printable(text, console.file), soft_wrap=True)  # type: ignore[arg-type]


def grid(
    console: Console,
    headings: Sequence[str],
    rows: Iterable[Sequence[object]],
    colours: Mapping[str, str] | None = None,
) -> None:
    """Print columns as azd does: capital headings, three blanks between, no boxes, `-` for nothing.

    Values are text, never markup. On a narrow terminal columns of several words wrap, names stay whole; where
    names leave the last column too little, it stands below them. `colours` are codes of SGR (ECMA-48) by the
    text of a cell.
    """
    from rich.cells import cell_len
    from rich.text import Text

    # Not rich's Table: at 80 columns it breaks words that could have moved, and cuts what must not wrap.
    stream = console.file
    table = [[heading.upper() for heading in headings]]
    for row in rows:
        cells = ("-" if cell is None or cell == "" else str(cell) for cell in row)
        table.append([printable(cell, stream) for cell in cells])  # type: ignore[arg-type]
    widths, below = _column_widths(table, console.width)
    for row in table:
        wrapped = [
            [line.plain.rstrip() for line in Text(cell).wrap(console, width, overflow="fold")]
            for cell, width in zip(row, widths, strict=True)
        ]
        under = wrapped.pop() if below else []
        for parts in zip_longest(*wrapped, fillvalue=""):
            padded = [
                _coloured(part, colours or {}) + " " * (width - cell_len(part))
                for part, width in zip(parts, widths, strict=False)
            ]
            stream.write((" " * GAP).join(padded).rstrip() + "\n")
        for line in under:
            stream.write(f"  {line}\n")


def _coloured(text: str, colours: Mapping[str, str]) -> str:
    return f"\x1b[{colours[text]}m{text}\x1b[0m" if text in colours else text


def _column_widths(table: Sequence[Sequence[str]], width: int) -> tuple[list[int], bool]:
    """How wide each column may be, and whether the last one stands below the others."""
    from rich.cells import cell_len

    columns = list(zip(*table, strict=True))
    natural = [max(map(cell_len, column)) for column in columns]
    words = [max(cell_len(word) for cell in column for word in cell.split()) for column in columns]
    room = width - GAP * (len(columns) - 1)
    comfortable = [min(n, max(w, TEXT_WIDTH)) for w, n in zip(words, natural, strict=True)]
    for floor in (comfortable, words):
        if sum(floor) <= room:
            return _shrink(natural, floor, room), False
    if words[-1] < natural[-1] and len(columns) > 1 and sum(words[:-1]) <= room + GAP:
        return [*_shrink(natural[:-1], words[:-1], room + GAP), max(1, width - 2)], True
    return _shrink(natural, [1] * len(columns), room), False


def _shrink(widths: Sequence[int], floor: Sequence[int], room: int) -> list[int]:
    """Take from the widest column that may lose something until all fit."""
    widths = list(widths)
    while sum(widths) > room:
        able = [number for number, width in enumerate(widths) if width > floor[number]]
        if not able:
            break
        widths[max(able, key=lambda number: widths[number])] -= 1
    return widths
