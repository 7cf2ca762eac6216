"""The real az in the lab."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from support.programs import Done, run

if TYPE_CHECKING:
    from support.programs import RunningLab


_ANSWER = re.compile(
    r"""^DEBUG:\ \S+:\ Request\ URL:\ '[^?']*/(?P<last>[^/?']+)(?:\?[^']*)?'$
        (?:(?!Request\ URL:).)*?
        ^DEBUG:\ \S+:\ Response\ content:\nDEBUG:\ \S+:\ (?P<body>\{[^\n]*\})$""",
    re.MULTILINE | re.DOTALL | re.VERBOSE,
)
_GENERIC = {"resources"}  # such a list has a form of its own for every type


class Az:
    """az in the lab's environment; `-g` is added.

    `answers` collects the documents of resources that az was answered: what it prints with `--debug`, which
    is taken out of `stderr`.
    """

    def __init__(self, lab: RunningLab, answers: list[dict[str, Any]]) -> None:
        self.lab = lab
        self.answers = answers
        self.topology = lab.topology
        self.group = lab.topology["resourceGroup"]

    def __call__(self, *arguments: str, expect: int | None = 0, group: bool = True) -> Done:
        tail = ["-g", self.group] if group else []
        argv = ["az", *arguments, *tail, "--debug"]
        done = run(argv, environ=self.lab.environ, cwd=self.lab.home, seconds=120, expect=expect)
        self.answers += documents(done.stderr)
        return replace(done, stderr=re.sub(r"^DEBUG: .*\n", "", done.stderr, flags=re.MULTILINE))

    def json(self, *arguments: str, group: bool = True) -> Any:
        return json.loads(self(*arguments, "-o", "json", group=group).stdout)

    def tsv(self, *arguments: str, group: bool = True) -> str:
        return self(*arguments, "-o", "tsv", group=group).stdout.strip()


def documents(debug: str) -> list[dict[str, Any]]:
    """The resources in all answers that az printed."""
    bodies = [json.loads(one["body"]) for one in _ANSWER.finditer(debug) if one["last"] not in _GENERIC]
    found = [one for body in bodies for one in body.get("value", [body])]
    return [one for one in found if isinstance(one, dict) and {"id", "type"} <= one.keys()]
