"""One row of the matrix: a fault, or two, caused in a lab, what a probe says, and what its commands mend."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from lab.matrix.codes import SEGMENTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.matrix.fault import Fault
    from lab.matrix.world import World

PATIENCE = 45.0
"""Seconds until agents and health probes have found out, on a loaded machine too."""
BY_PROVISION = "azd provision"


@dataclass(frozen=True)
class Said:
    """What a probe says: exit code, and (segment, code) of what it names, the broken hop first."""

    exit_code: int
    causes: tuple[tuple[str, str], ...] = ()
    evidence: str = ""
    suggestion: str = ""

    @property
    def codes(self) -> list[str]:
        return [code for _, code in self.causes]


@dataclass
class Row:
    """One line of the table.

    Attributes:
        name: of the fault, or of both.
        code, hop, exit_code: what the probe said.
        heals: yes, or why not.
        at_first: what it said while the fault was spreading, where that was something else.
        wrong: how that differs from what it must say; empty where it does not.
    """

    name: str
    code: str = ""
    hop: str = ""
    exit_code: int = 0
    heals: str = ""
    at_first: list[str] = field(default_factory=list)
    wrong: str = ""
    seconds: float = 0.0

    def data(self) -> dict[str, Any]:
        return asdict(self)


def single(world: World, fault: Fault) -> Row:
    """Cause a fault, probe until it says what it must, type what it prints, probe until all is well."""
    row, begin = Row(fault.name), time.monotonic()
    try:
        _cause(world, fault)
        said = _probe_until(world, fault, row, [fault.code, *fault.also], fault.exit_code)
        row.exit_code = said.exit_code
        row.hop, row.code = said.causes[0] if said.causes else ("", "")
        if not row.wrong and row.hop != SEGMENTS.get(row.code, ""):
            row.wrong = f"hop {row.hop}, expected {SEGMENTS[row.code]}"
        if not row.wrong and fault.says not in said.evidence:
            row.wrong = f"evidence: {said.evidence}"
        if not row.wrong:
            row.heals = _healed(world, fault, row, said)
    finally:
        _take_back(world, fault)
        row.seconds = round(time.monotonic() - begin, 1)
    return row


def pair(world: World, first: Fault, second: Fault) -> Row:
    """Cause two faults: the first hop is named first, and the other one when the first is mended."""
    row, begin = Row(f"{first.name} + {second.name}"), time.monotonic()
    try:
        _cause(world, second)
        before = world.documents()
        _cause(world, first)
        said = _probe_until(world, first, row, [first.code, *first.also], first.exit_code)
        row.exit_code = said.exit_code
        row.hop, row.code = said.causes[0] if said.causes else ("", "")
        if not row.wrong:
            _mend(world, first, said, before)
            left = _probe_until(world, second, row, [second.code, *second.also], second.exit_code)
            row.heals = f"then {' '.join(left.codes)}"
    finally:
        _take_back(world, first, second)
        row.seconds = round(time.monotonic() - begin, 1)
    return row


def _cause(world: World, fault: Fault) -> None:
    for line in fault.cause:
        done = world.type(line)
        assert done is not None, line
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


def _probe_until(world: World, fault: Fault, row: Row, codes: list[str], exit_code: int) -> Said:
    """Probe until it says what it must; else the row is wrong."""
    wanted = [code for code in codes if code]
    deadline = time.monotonic() + PATIENCE
    while True:
        said = probe(world, fault)
        if (
            said.exit_code == exit_code
            and sorted(set(said.codes)) == sorted(wanted)
            and said.codes[:1] == wanted[:1]
        ):
            return said
        row.at_first.append(f"{said.exit_code} {' '.join(said.codes)}".strip())
        if time.monotonic() > deadline:
            row.wrong = (
                f"exit {said.exit_code}, {said.causes}: {said.evidence}; expected {exit_code} {wanted}"
            )
            return said


def probe(world: World, fault: Fault) -> Said:
    variables = {"$RG": world.lab.environ["RESOURCE_GROUP_NAME"]}
    words = [variables.get(word, word) for word in fault.probe]
    done = world.lab.fwdctl("probe", *words, "--timeout", "2", "--retries", "0", "-o", "json", expect=None)
    envelope = done.json
    found = (envelope["data"] or {}).get("causes") or ()
    causes = [(each["segment"], each["code"]) for each in found]
    causes += [("", error["code"]) for error in envelope["errors"]]
    return Said(
        done.returncode,
        tuple(causes),
        "; ".join(each["evidence"] for each in found),
        "\n".join(dict.fromkeys(each["next"] for each in found if each["code"] not in fault.also)),
    )


def _healed(world: World, fault: Fault, row: Row, said: Said) -> str:
    """Whether what is printed mends it: yes, or why not."""
    if fault.instead:
        return fault.instead
    _type(world, said.suggestion)
    at_first, row.at_first = row.at_first, []
    _probe_until(world, fault, row, list(fault.also), 0)
    row.at_first = at_first
    return "no" if row.wrong else "yes"


def _type(world: World, suggestion: str) -> None:
    for line in suggestion.splitlines():
        done = world.type(line)
        assert done is not None, f"not typed: {line}"
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


def _mend(world: World, fault: Fault, said: Said, before: dict[str, Any]) -> None:
    """Mend the first of two faults, and not the other one, as a provision would."""
    if fault.is_lab_fault:
        world.heal(fault.cause[-1].split()[3])
    elif fault.undo:
        for line in fault.undo:
            world.type(line)
    elif fault.instead or BY_PROVISION in said.suggestion:
        own = (
            []
            if fault.instead
            else [line for line in said.suggestion.splitlines() if BY_PROVISION not in line]
        )
        _type(world, "\n".join(own))
        world.back_to(before)
    else:
        _type(world, said.suggestion)


def _take_back(world: World, *faults: Fault) -> None:
    world.heal()
    for line in (line for fault in faults for line in fault.undo):
        world.type(line)
    world.restore()


HEAD = "| fault | code | hop | exit | healed by what is printed |\n|---|---|---|---|---|\n"


def as_markdown(rows: Sequence[Row], names: Sequence[str], before: str) -> str:
    """The table for docs/codes.md in the order of names; rows that were not tried now stay as they were."""
    known = {line.split("|")[1].strip(): line for line in before.splitlines()[2:]}
    for row in rows:
        code = f"`{row.code}`" if row.code else "-"
        heals = "WRONG" if row.wrong else row.heals
        known[row.name] = f"| {row.name} | {code} | {row.hop or '-'} | {row.exit_code} | {heals} |"
    return HEAD + "".join(f"{known[name]}\n" for name in names if name in known)
