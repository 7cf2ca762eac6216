"""What a workload notices while its forward changes, fails or is flooded, in a lab of the benchmark's own.

From the spoke's subnet new connections and long-lived ones go through the private endpoint while one case
happens; the table says what failed. `bench.py forwarder --write` puts it into docs/forwarder.md.
tests/lab/test_forwarder_load.py has a shorter run of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fwdctl.template import cloudinit
from fwdctl.template.files import Template

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))
from support.forwarders import Forwarders, until  # noqa: E402
from support.programs import FWDCTL, RunningLab, run  # noqa: E402
from support.traffic import Traffic, run_in  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

RATE, KEPT = 200, 200
FLOOD, FLOOD_RATE = 30_000, 500
GONE_SECONDS = 20
DRAIN_SECONDS = 5
HANGING_SECONDS = 12
"""After this time a long-lived connection that gets no answer counts as broken."""
PART_FULL = 0.95
MOST_TRACKED = 600_000
"""Where the kernel of this machine tracks more connections, filling it would take too long."""
PAGE = HERE.parent / "docs" / "forwarder.md"
BEGIN, END = "<!-- scripts/bench forwarder --write -->\n", "<!-- end of the table -->\n"


class Scene:
    """The lab, its workload and its forwarders."""

    traffic: Traffic

    def __init__(self, lab: RunningLab) -> None:
        self.lab = lab
        self.forwarders = Forwarders(lab)
        [self.web] = self.forwarders.parameters["forwards"]
        first = self.forwarders.parameters["corp"]["servers"][0]
        self.server, self.target = first["name"], f"{first['address']}:{first['port']}"

    def load(self, name: str, kept: int, rate: int) -> Traffic:
        return Traffic(self.lab, self.lab.topology, self.web["port"], kept, rate=rate, name=name)

    def compute(self, *words: str) -> str:
        group = f"/subscriptions/{self.lab.environ['AZURE_SUBSCRIPTION_ID']}/resourceGroups/rg-lab"
        return "/".join((group, "providers/Microsoft.Compute", *words))

    def change(self, *forwards: dict[str, Any]) -> float:
        """Deploy other forwards; seconds from the deployment's end until every agent has rules for them."""
        ended = self.forwarders.forward(forwards=[*forwards])
        return until(self.forwarders.in_force, "the agents forward what was deployed") - ended

    def to_one_target(self) -> float:
        return self.change({**self.web, "targets": self.web["targets"][1:]})

    def agents_are_back(self) -> float:
        return until(self.forwarders.in_force, "the agents are back")

    def until_target(self, state: str) -> float:
        return until(
            lambda: self.forwarders.states(self.target) == {state}, f"the agents see that it is {state}"
        )


def add(scene: Scene) -> float:
    return scene.change(scene.web, {**scene.web, "name": "second", "port": 8001})


def move(scene: Scene) -> float:
    return scene.change(scene.web, {**scene.web, "name": "second", "port": 8002})


def remove(scene: Scene) -> float:
    return scene.change(scene.web)


def exchange(scene: Scene) -> float:
    return max(scene.to_one_target(), scene.change(scene.web))


def restart(scene: Scene) -> float:
    began = time.time()
    scene.forwarders.everywhere("systemctl", "restart", "fwdctl-agent")
    return scene.agents_are_back() - began


def kill(scene: Scene) -> float:
    began = time.time()
    find = "systemctl status fwdctl-agent | sed -n 's/.*Main PID: //p'"
    scene.forwarders.everywhere("sh", "-c", f"kill -9 $({find})")
    until(lambda: not scene.forwarders.in_force(), "the agents are gone")
    return scene.agents_are_back() - began


def roll_out(scene: Scene) -> float:
    """A new agent: by a new cloud-init."""
    with tempfile.TemporaryDirectory() as name:
        shutil.copytree(HERE.parent / "infra" / "cloud-init", Path(name) / "cloud-init")
        with (Path(name) / "cloud-init" / "forwarder" / "agent.py").open("a") as program:
            program.write("NEW = True\n")
        rendered = cloudinit.render(Template(Path(name))).forwarder
    scene.forwarders.forward(cloudInitForwarder=rendered.encoded)
    began = time.time()
    argv = [*FWDCTL, "forwarder", "rollout", "--drain", str(DRAIN_SECONDS)]
    run(argv, environ=scene.lab.environ, cwd=scene.lab.home, seconds=600)
    return time.time() - began


def flush(scene: Scene) -> None:
    scene.forwarders.everywhere("sh", "-c", "iptables -t nat -F; iptables -F")
    scene.agents_are_back()


def lose_instance(scene: Scene) -> None:
    """By its cable: the lab boots machines in no time, and its load balancer knows of a switch at once."""
    run_in(scene.lab, scene.forwarders.names[0], "ip", "link", "set", "eth0", "down")
    time.sleep(GONE_SECONDS)
    name = scene.lab.topology["hub"]["scaleSet"]
    scene.lab.arm("POST", scene.compute("virtualMachineScaleSets", name, "virtualMachines", "0", "restart"))
    time.sleep(1)
    scene.agents_are_back()


def switch(scene: Scene, action: str) -> None:
    machines = scene.lab.arm("GET", scene.compute("virtualMachines"))["value"]
    [found] = [
        each["id"] for each in machines if each["properties"]["osProfile"]["computerName"] == scene.server
    ]
    scene.lab.arm("POST", f"{found}/{action}")


def die(scene: Scene) -> None:
    switch(scene, "deallocate")
    scene.until_target("down")


def come_back(scene: Scene) -> float:
    began = time.time()
    switch(scene, "start")
    return scene.until_target("up") - began


def unwell(how: str) -> Callable[[Scene], None]:
    program = (HERE / "unwell_server.py").read_text("utf-8")

    def act(scene: Scene) -> None:
        serve = 'systemctl stop fwdctl-server; setsid python3 -c "$0" "$1" >/dev/null 2>&1 & echo $!'
        pid = run_in(scene.lab, scene.server, "bash", "-c", serve, program, how).strip()
        scene.until_target("down")
        scene.traffic.settled()
        run_in(scene.lab, scene.server, "bash", "-c", f"kill -9 {pid} -{pid}; systemctl start fwdctl-server")
        scene.until_target("up")

    return act


def fill(scene: Scene) -> float | None:
    """One forwarder, nearly, until its agent says so and ten seconds more."""

    def told() -> dict[str, Any]:
        return scene.forwarders.statuses()[0]

    def fill_conntrack(word: str) -> None:
        program = (HERE / "fill_conntrack.py").read_text("utf-8")
        run_in(scene.lab, scene.forwarders.names[0], "python3", "-c", program, number, word)

    tracked, began = told()["conntrack"], time.time()
    if tracked["max"] > MOST_TRACKED:
        return None
    number = str(int(PART_FULL * tracked["max"]) - tracked["count"])
    fill_conntrack("new")
    noticed = until(lambda: "FWD_CONNTRACK_FULL" in told().get("codes", ()), "the agent says so") - began
    time.sleep(10)
    fill_conntrack("delete")
    until(lambda: told().get("codes") == [], "there is room again")
    return noticed


def flood(scene: Scene) -> dict[str, Any]:
    """So many connections to one target, beside the others."""
    scene.to_one_target()
    burst = scene.load("ci-flood", 0, FLOOD_RATE)
    burst.until(lambda state: state["made"] >= FLOOD, "the connections are made", 300)
    found = burst.settled()
    burst.end()
    scene.change(scene.web)
    return found


@dataclass(frozen=True)
class Case:
    """What happens. The action tells after how many seconds it was in force, None to take the last failure.

    Attributes:
        planned: no new connection may fail.
        keeps: and no open one may break.
    """

    name: str
    act: Callable[[Scene], Any]
    planned: bool = False
    keeps: bool = True


CASES = (
    Case("another forward is added", add, planned=True),
    Case("the port of another forward changes", move, planned=True),
    Case("another forward is removed", remove, planned=True),
    Case("the list of targets changes, and back", exchange, planned=True),
    Case("all agents are restarted", restart, planned=True),
    Case(
        f"a new agent is rolled out; {DRAIN_SECONDS} s for open connections to end",
        roll_out,
        planned=True,
        keeps=False,
    ),
    Case("all agents are killed (`kill -9`)", kill),
    Case("all rules are flushed by hand, on all forwarders", flush),
    Case(f"one of three instances is gone for {GONE_SECONDS} s, then boots", lose_instance),
    Case("one of two targets dies: its machine is off", die),
    Case("it returns", come_back),
    Case("one of two targets resets connections", unwell("reset")),
    Case("one of two targets is silent after it has accepted", unwell("silent")),
    Case("one of two targets dribbles: a byte a second", unwell("dribble")),
    Case(f"connection tracking of one forwarder is {PART_FULL:.0%} full", fill),
    Case(f"{FLOOD:,} connections more, all to one target", flood),
)


def measure(scene: Scene, case: Case) -> dict[str, Any]:
    """One row, with a workload of its own, so that its open connections are spread evenly."""
    scene.traffic = scene.load("ci-workload", KEPT, RATE)
    began = time.time()
    told = case.act(scene)
    if not case.planned:
        time.sleep(HANGING_SECONDS)
    found = scene.traffic.settled()
    scene.traffic.end()
    made, failed, spent = found["made"], found["failed"], found["now"] - found["began"]
    if isinstance(told, dict):
        made, failed, told = made + told["made"], failed + told["failed"], None
    elif told is None and failed:
        told = max(begin for begin, *_ in failed) - began
    return {
        "name": case.name,
        "planned": case.planned,
        "made": made,
        "failed": len(failed),
        "broken": len(found["broken"]),
        "seconds": None if told is None else round(told, 1),
        "met": not case.planned or not (failed or (case.keeps and found["broken"])),
        "errors": dict(Counter(f"{begin - began:.0f} s {what[:60]}" for begin, what, _ in failed)),
        "rate": found["made"] / spent,
        "cpu": found["cpu"] / spent,
        "late": found["late"],
    }


def run_cases(names: list[str]) -> list[dict[str, Any]]:
    """The rows of the cases whose names contain one of these, of all by default."""
    with tempfile.TemporaryDirectory() as home:
        lab = RunningLab.up(Path(home), "bench-forwarder")
        try:
            scene, rows = Scene(lab), []
            for case in CASES:
                if not names or any(name in case.name for name in names):
                    rows.append(measure(scene, case))
                    print(line(rows[-1]), file=sys.stderr, flush=True)
        finally:
            lab.down()
    return rows


def conditions(rows: list[dict[str, Any]]) -> str:
    """Under what load the rows were measured."""
    rate, cpu, late = (statistics.median(row[key] for row in rows) for key in ("rate", "cpu", "late"))
    return (
        f"Medians of all rows: {rate:.0f} new connections a second beside {KEPT} open ones; the load\n"
        f"generator took {cpu:.0%} of a core and began connections at most {late * 1000:.0f} ms late. "
        f"{os.cpu_count()} cores, load average {os.getloadavg()[2]:.1f}."
    )


def line(row: dict[str, Any]) -> str:
    """One of the table."""
    counts = [f"{row[key]:,}" for key in ("failed", "broken")]
    failed, broken = counts if row["met"] else [f"**{count}**" for count in counts]
    seconds = "" if row["seconds"] is None else row["seconds"]
    return f"| {row['name']} | {row['made']:,} | {failed} | {broken} | {seconds} |"


def table(rows: list[dict[str, Any]]) -> str:
    head = (
        "| what happens | new connections | failed | open ones broken | seconds |\n|---|---:|---:|---:|---:|"
    )
    return "\n".join([head, *map(line, rows), "", conditions(rows), ""])


def write(text: str) -> None:
    """Put the table into its place."""
    page = PAGE.read_text("utf-8")
    before, _, rest = page.partition(BEGIN)
    PAGE.write_text(before + BEGIN + text + END + rest.partition(END)[2], "utf-8")


def main(arguments: list[str]) -> None:
    """`[--write] [-o json] [PART OF A NAME …]`."""
    options = {word for word in arguments if word in {"--write", "-o", "json"}}
    rows = run_cases([word for word in arguments if word not in options])
    print(json.dumps(rows, indent=1) if "json" in options else table(rows))
    if "--write" in options:
        write(table(rows))
    for row in rows:
        if not row["met"]:
            sys.exit(f"{row['name']}: {row['failed']} failed, {row['broken']} broken: {row['errors']}")
