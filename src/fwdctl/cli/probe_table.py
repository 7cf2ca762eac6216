"""The table and the causes that `fwdctl probe` prints."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fwdctl.output import encodable, grid, printable, say

if TYPE_CHECKING:
    from rich.console import Console

    from fwdctl.probe.model import Cause, Path, PathResult
    from fwdctl.runtime import Runtime

NEXT = "  Next: "

SIGNS = {
    "pass": ("\u2713", "+"),
    "warn": ("!", "!"),
    "fail": ("\u2717", "x"),
    "skip": ("-", "-"),
    "untested": ("?", "?"),
}
"""By a path's word: the sign, and what stands for it where the terminal does not know it."""
COLOURS = {"pass": "32", "warn": "33", "fail": "31", "skip": "90", "untested": "33"}
LEAST_FOR_OTHERS = 42
"""What the columns besides path and address need: the verdict, gaps, and enough for the reason."""
_BEHIND = ("load balancer", "forwarder", "target")
WAYS = {
    "spoke": ("box", "name", "endpoint", "link service", *_BEHIND),
    "service": ("box", "name", "endpoint", "target"),
    "balancer": ("box", *_BEHIND),
    "target": ("box", "target"),
}
"""The segments of a path by its origin, the longest first; `service` is a spoke's to a service of Azure."""


def print_results(runtime: Runtime, console: Console, results: Sequence[PathResult]) -> None:
    """A row for each path, then what breaks them, each cause said once."""
    from fwdctl.probe.model import causes

    colours = COLOURS if runtime.colour(runtime.stdout) else {}
    rows = [(r.path.label, _to(r.path), _marked(console, r.word), _summary(r)) for r in results]
    headings = ["path", "to", "verdict", "why"]
    if max(len(label) + len(to) for label, to, _, _ in rows) + LEAST_FOR_OTHERS > console.width:
        headings.remove("to")
        rows = [(label, verdict, why) for label, _, verdict, why in rows]  # type: ignore[misc]
    grid(console, headings, rows, {_marked(console, word): code for word, code in colours.items()})
    for cause in causes(results):
        _explain(console, cause, colours)
    runtime.stdout.flush()


def _marked(console: Console, word: str) -> str:
    """A verdict as the table shows it: with a sign where somebody looks at it."""
    return f"{_sign(console, *SIGNS[word])} {word.upper()}" if console.file.isatty() else word.upper()


def _sign(console: Console, sign: str, plain: str) -> str:
    return sign if encodable(sign, console.file) == sign else plain  # type: ignore[arg-type]


def _to(path: Path) -> str:
    return f"{path.host}:{path.port}" if path.host else ""


def _summary(result: PathResult) -> str:
    """Why a path has its verdict, with what was not asked."""
    last = result.findings[-1]
    if result.verdict == "pass" and last.verdict == "skip":
        return f"{result.reason}; {last.reason}"
    if result.verdict == "pass" and result.servers:
        counts = ", ".join(f"{name} x{count}" for name, count in result.servers.items())
        said, _, lost = result.reason.partition(";")
        head = f"{said.partition(':')[0]}: " if ":" in said else ""
        return f"{head}{counts}{';' if lost else ''}{lost}"
    return result.reason


def _explain(console: Console, cause: Cause, colours: Mapping[str, str]) -> None:
    from fwdctl.probe.hops.commands import COMMANDS

    broken = cause.broken
    word, colour = "WARNING", "warn"
    if any(result.verdict == "fail" and not result.is_evidence for result in cause.results):
        word, colour = "BROKEN", "fail"
    elif any(result.verdict == "inconclusive" for result in cause.results):
        word = "UNTESTED"
    place = "a segment that is not known" if broken.segment == "unknown" else f"the {broken.segment}"
    several = len(cause.paths) > 1
    what = f"{len(cause.paths)} paths" if several else cause.paths[0]
    text = f"{word}: {what} at {place} ({broken.code})"
    lines = [_drawn(console, cause), *(f"  {line}" for line in cause.evidence)]
    if several:
        lines.append(f"  Paths: {', '.join(cause.paths)}")
    say(console, "")
    for part in _fitted(console, text):
        _say_in_colour(console, part, colours.get(colour))
    for line in filter(None, lines):
        for part in _fitted(console, line):
            say(console, part)
    for number, advice in enumerate(broken.suggestion.split("\n")):
        line = f"{' ' * len(NEXT) if number else NEXT}{advice}"
        for part in _fitted(console, line, command=advice.startswith(COMMANDS)):
            say(console, part)


def _say_in_colour(console: Console, text: str, code: str | None) -> None:
    if code is None:
        say(console, text)
    else:
        console.file.write(f"\x1b[{code}m{printable(text, console.file)}\x1b[0m\n")  # type: ignore[arg-type]


def _drawn(console: Console, cause: Cause) -> str:
    """The way of the longest path with a mark before the segment; empty where that is not known."""
    segment = cause.broken.segment
    origins = {"service" if r.path.is_to_service else r.path.origin for r in cause.results}
    way = list(next(WAYS[origin] for origin in WAYS if origin in origins))
    if segment == "route":
        # Security rules stand before the forwarders, other routes behind them.
        before = "forwarder" if cause.broken.code.startswith("NSG") else "target"
        way.insert(way.index(before if before in way else "target"), segment)
    if segment not in way:
        return ""
    line, cross = _sign(console, "\u2500", "-"), _sign(console, *SIGNS["fail"])
    marked = (f"{cross} {each}" if each == segment else each for each in way)
    return "  " + f" {line} ".join(marked).replace("load balancer", "balancer")


def _fitted(console: Console, line: str, *, command: bool = False) -> list[str]:
    """A line wrapped at words to the terminal's width; whole where there is no terminal.

    A command's lines end in a backslash, so that it can be copied; not on Windows, whose shells know others.
    """
    import re
    from textwrap import wrap

    if not console.file.isatty() or (command and os.name == "nt"):
        return [line]
    margin = "    " if line.startswith(" ") else "  "
    if command:  # no blank between quotes is a place to wrap
        line = re.sub("'[^']*'", lambda found: found[0].replace(" ", "\0"), line)
    lines = wrap(
        line,
        max(20, console.width - (2 if command else 0)),
        subsequent_indent=margin,
        break_long_words=False,
        break_on_hyphens=False,
    )
    lines = [part.replace("\0", " ") for part in lines]
    return [f"{part} \\" for part in lines[:-1]] + lines[-1:] if command else lines
