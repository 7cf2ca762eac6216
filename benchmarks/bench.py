"""Times whole commands as users type them and prints medians and ratios; no verdict enters a test.

Usage: bench.py [help|probe|explain|jump|lab-up|azd|demo] [-o json]
       bench.py forwarder …, bench.py scale …: other measurements, by forwarder.py and scale.py
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HERE = Path(__file__).resolve().parent
FWDCTL = [str(Path(sys.executable).parent / "fwdctl")]
LAB = ["--name", "bench"]
Row = dict[str, object]


def seconds(argv: Sequence[str], environ: dict[str, str] | None = None, expect: int = 0) -> float:
    """Wall seconds of one run, which must end with the expected exit code."""
    begin = time.perf_counter()
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=300, check=False)
    taken = time.perf_counter() - begin
    if done.returncode != expect:
        sys.exit(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return taken


def pairs(a: Callable[[], float], b: Callable[[], float], runs: int) -> tuple[list[float], list[float]]:
    """A B A B …, so that a drift of the machine's speed touches both; one warm-up each."""
    a(), b()
    both = [(a(), b()) for _ in range(runs)]
    return [x for x, _ in both], [y for _, y in both]


def row(name: str, mine: list[float], against: str, other: list[float], budget: str) -> Row:
    """One line of the report: medians in milliseconds and the median of the ratios pair by pair."""
    ratio = statistics.median(x / y for x, y in zip(mine, other, strict=True))
    return {
        "name": name,
        "ms": round(statistics.median(mine) * 1000),
        "against": against,
        "against_ms": round(statistics.median(other) * 1000),
        "ratio": round(ratio, 2),
        "budget": budget,
    }


def lone(name: str, runs: list[float], budget: str) -> Row:
    """A line without a counterpart."""
    return {"name": name, "ms": round(statistics.median(runs) * 1000), "budget": budget}


class Lab:
    """A lab of the benchmark's own, taken down again in any case."""

    def __enter__(self) -> dict[str, str]:
        """Start it; the environment in which fwdctl and az reach it."""
        seconds([*FWDCTL, "lab", "up", *LAB])
        printed = subprocess.run(
            [*FWDCTL, "lab", "env", *LAB, "-o", "json"],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return {**os.environ, **json.loads(printed.stdout)["data"]["variables"]}

    def __exit__(self, *_: object) -> None:
        """Take it down."""
        subprocess.run([*FWDCTL, "lab", "down", *LAB], capture_output=True, timeout=60, check=False)


def bench_help() -> list[Row]:
    """Start-up time, and that it imports nothing of azure."""
    argv = [
        sys.executable,
        "-X",
        "importtime",
        "-c",
        "import sys; sys.argv=['fwdctl','--help']; import fwdctl.main as m; m.main()",
    ]
    imported = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False).stderr
    if " azure" in imported:
        sys.exit("fwdctl --help imports azure")
    mine, bare = pairs(
        lambda: seconds([*FWDCTL, "--help"]), lambda: seconds([sys.executable, "-c", "pass"]), 9
    )
    rows = [row("fwdctl --help", mine, "python -c pass", bare, "<= 150 ms")]
    if shutil.which("az"):
        mine, az = pairs(lambda: seconds([*FWDCTL, "--help"]), lambda: seconds(["az", "--version"]), 5)
        rows.append(row("fwdctl --help", mine, "az --version", az, ""))
    return rows


def bench_probe() -> list[Row]:
    """A warm probe against the least that a program with the same library must do, and against az."""
    with Lab() as environ:
        seconds([*FWDCTL, "jump", "start", "spoke"], environ)
        topology = json.loads(environ["FWD_TOPOLOGY"])
        spoke = topology["spokes"][0]
        group = topology["resourceGroup"]
        probe = [*FWDCTL, "probe", "spoke"]
        rows = []
        for how, budget in (("sdk", "ratio <= 1.3"), ("lean", "")):
            bare = [sys.executable, str(HERE / "bare_exec.py"), how, group, spoke["jump"], spoke["container"]]
            mine, other = pairs(lambda: seconds(probe, environ), lambda argv=bare: seconds(argv, environ), 9)
            rows.append(
                row("fwdctl probe spoke (box runs)", mine, f"bare token + exec, {how}", other, budget)
            )
        if shutil.which("az"):
            az = ["az", "container", "exec", "-g", group, "-n", spoke["jump"], "--exec-command", "echo hi"]
            mine, other = pairs(lambda: seconds(probe, environ), lambda: seconds(az, environ), 5)
            rows.append(
                row("fwdctl probe spoke (box runs)", mine, "az container exec", other, "ratio <= 1.0")
            )
    return rows


def bench_explain() -> list[Row]:
    """What an explanation costs on top of the tests, where no box has to start."""
    probe = [*FWDCTL, "probe", "spoke", "--timeout", "2", "--retries", "0"]
    rows = []
    with Lab() as environ:
        seconds([*FWDCTL, "jump", "start", "all"], environ)
        for fault in ("link-rejected", "nsg-deny", "rules-missing", "no-forwarding", "target-down"):
            every = ["--target", "all"] if fault == "target-down" else []
            seconds([*FWDCTL, "lab", "break", fault, *every, *LAB], environ)
            told, bare = pairs(
                lambda: seconds(probe, environ, 4), lambda: seconds([*probe, "--no-explain"], environ, 4), 3
            )
            spent = [x - y for x, y in zip(told, bare, strict=True)]
            rows.append(lone(f"explain {fault}", spent, "< 3000 ms"))
            seconds([*FWDCTL, "lab", "heal", *LAB], environ)
    return rows


def bench_jump() -> list[Row]:
    """Starting a stopped box; az polls every 30 s where the service sends no Retry-After."""
    if not shutil.which("az"):
        return []
    with Lab() as environ:
        topology = json.loads(environ["FWD_TOPOLOGY"])
        group, name = topology["resourceGroup"], topology["spokes"][0]["jump"]

        def start(argv: Sequence[str]) -> float:
            taken = seconds(argv, environ)
            seconds([*FWDCTL, "jump", "stop", "spoke"], environ)
            return taken

        seconds([*FWDCTL, "lab", "break", "jump-slow", *LAB], environ)  # a start of 3 s
        mine = start([*FWDCTL, "jump", "start", "spoke"])
        az = start(["az", "container", "start", "-g", group, "-n", name])
        return [row("fwdctl jump start spoke (3 s)", [mine], "az container start", [az], "")]


def bench_lab_up() -> list[Row]:
    """From nothing to the first green probe."""

    def once() -> float:
        begin = time.perf_counter()
        with Lab() as environ:
            seconds([*FWDCTL, "probe", "spoke"], environ)
            return time.perf_counter() - begin

    return [lone("lab up + probe spoke", [once() for _ in range(3)], "< 5000 ms")]


def bench_azd() -> list[Row]:
    """The life of an environment with the real azd: all of it, and the shares of the lab and of the hooks."""
    if not (shutil.which("azd") and shutil.which("az")):
        print("azd and az are not both on PATH: nothing to time", file=sys.stderr)
        return []
    sys.path.insert(0, str(HERE.parent / "tests"))
    from support.azd_project import copy_template, new_project

    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        with new_project(copy_template(home / "template"), home, "bench-azd") as project:

            def taken(*words: str) -> tuple[float, float]:
                """Seconds of a command, and those in which the lab worked on its requests."""
                known = len(project.lab.lab("log", "-o", "json").json["data"]["requests"])
                begin = time.perf_counter()
                project.azd(*words, "--no-prompt")
                spent = time.perf_counter() - begin
                lines = project.lab.lab("log", "-o", "json").json["data"]["requests"][known:]
                return spent, sum(line.get("ms", 0) for line in lines) / 1000

            up, answering = taken("up")
            share = answering + _deploying(project.environ)
            again, _ = taken("up")
            hooks = [taken("hooks", "run", hook)[0] for hook in ("preprovision", "postprovision")]
            down, _ = taken("down", "--force", "--purge")
    return [
        lone("azd up, fresh environment", [up], "< 15000 ms"),
        lone("  the lab's share of it", [share], "< 5000 ms"),
        lone("azd up, unchanged", [again], "< 5000 ms"),
        lone("azd hooks run, pre + postprovision", [sum(hooks)], "<= 5000 ms"),
        lone("azd down", [down], "< 5000 ms"),
    ]


def _deploying(environ: dict[str, str]) -> float:
    """Seconds that the only deployment took, as it says itself."""
    query = ["--query", "[0].properties.duration", "-o", "tsv"]
    listed = ["az", "deployment", "sub", "list", *query]
    printed = subprocess.run(listed, env=environ, capture_output=True, text=True, check=True, timeout=60)
    return float(printed.stdout.strip().removeprefix("PT").removesuffix("S"))


def bench_demo() -> list[Row]:
    """The whole demonstration: 15 s are time limits of what is broken, 5 to 12 s two probes that heal."""
    return [lone("lab demo", [seconds([*FWDCTL, "lab", "demo", *LAB])], "< 45000 ms")]


BENCHMARKS = {
    "help": bench_help,
    "probe": bench_probe,
    "explain": bench_explain,
    "jump": bench_jump,
    "lab-up": bench_lab_up,
    "azd": bench_azd,
    "demo": bench_demo,
}


def main() -> None:
    """Run what was asked for and print it."""
    if sys.argv[1:2] in (["forwarder"], ["scale"]):
        import_module(sys.argv[1]).main(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(
        description="Times whole commands; prints medians and ratios.",
        epilog="`forwarder` and `scale` in place of a name are other measurements; see their --help.",
    )
    parser.add_argument("name", nargs="?", choices=BENCHMARKS)
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table")
    arguments = parser.parse_args()
    chosen = [arguments.name] if arguments.name else list(BENCHMARKS)
    # Everybody runs installed programs from byte code; the warm-up writes what is missing of it.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    rows = [line for name in chosen for line in BENCHMARKS[name]()]
    if arguments.output == "json":
        print(json.dumps(rows, indent=1))
        return
    for line in rows:
        against = (
            f"{line['against']} {line['against_ms']} ms, ratio {line['ratio']}" if "against" in line else ""
        )
        budget = f"[{line['budget']}]" if line["budget"] else ""
        print(f"{line['name']!s:<32} {line['ms']!s:>7} ms   {against}   {budget}".rstrip())


if __name__ == "__main__":
    main()
