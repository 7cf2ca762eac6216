"""How the lab grows with its spokes: seconds, memory and processes; what `scripts/bench scale` prints."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from support.lab_processes import memory_of, processes_of  # noqa: E402
from support.programs import RunningLab, clean_environ  # noqa: E402

NAME = "bench-scale"
SPOKES = (1, 5, 20, 50, 100)
BUDGETS = {1: "[memory < 100 MB]", 100: "[up < 10 s, start + probe + stop < 20 s, memory < 200 MB]"}


def parameters(spokes: int) -> dict[str, Any]:
    """The template's own parameters with so many spokes and two forwards."""
    document: dict[str, Any] = json.loads((HERE.parent / "infra/main.parameters.json").read_text())
    values = document["parameters"]
    (web,) = values["forwards"]["value"]
    values["forwards"]["value"] = [web, {**web, "name": "other", "port": 8001}]
    values["spokes"]["value"] = [
        {
            "name": f"app{number}",
            "addressPrefix": f"10.{number}.0.0/19",
            "cpSubnetPrefix": f"10.{number}.0.0/21",
            "appsSubnetPrefix": f"10.{number}.8.0/21",
            "jumpSubnetPrefix": f"10.{number}.16.0/24",
            "linkedSubnetPrefix": f"10.{number}.17.0/24",
            "endpointAddress": f"10.{number}.17.4",
            "dnsZoneName": f"app{number}.internal",
        }
        for number in range(1, spokes + 1)
    ]
    return document


def measure(spokes: int) -> dict[str, object]:
    """One lab of so many spokes: `up`, then start all boxes, probe all paths and stop all boxes."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "scale.json").write_text(json.dumps(parameters(spokes)))
        environ = clean_environ(home)
        lab = RunningLab(NAME, home, environ, {**environ})
        try:
            up = _seconds(lab, "lab", "up", "--name", NAME, "--parameters", "scale.json")
            lab.environ |= lab.lab("env", "-o", "json").json["data"]["variables"]
            state = json.loads((home / "state/fwdctl/labs" / NAME / "lab.json").read_text())
            pids = processes_of(NAME, state["pid"])
            memory = memory_of(pids)
            work = _seconds(lab, "probe", "all")
        finally:
            lab.down()
    return {
        "spokes": spokes,
        "up_s": round(up, 1),
        "work_s": round(work, 1),
        "memory_mb": round(memory / 1e6),
        "processes": len(pids),
        "budget": BUDGETS.get(spokes, ""),
    }


def _seconds(lab: RunningLab, *command: str) -> float:
    begin = time.perf_counter()
    lab.fwdctl(*command)
    return time.perf_counter() - begin


def main(arguments: list[str]) -> None:
    """Print a line for each number of spokes, those of the command line or all."""
    parser = argparse.ArgumentParser(prog="bench scale", description=__doc__)
    parser.add_argument("spokes", nargs="*", type=int, help=f"instead of {', '.join(map(str, SPOKES))}")
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table")
    asked = parser.parse_args(arguments)
    rows = []
    if asked.output == "table":
        print("spokes     up s   start + probe + stop s   memory MB   processes")
    for spokes in asked.spokes or SPOKES:
        row = measure(spokes)
        rows.append(row)
        if asked.output == "table":
            print(
                f"{row['spokes']:>6} {row['up_s']:>8} {row['work_s']:>24} {row['memory_mb']:>11}"
                f" {row['processes']:>11}   {row['budget']}".rstrip(),
                flush=True,
            )
    if asked.output == "json":
        print(json.dumps(rows, indent=1))
