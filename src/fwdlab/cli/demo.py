"""`fwdctl lab demo`: the main job, step by step with the real commands."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from fwdctl.cli.command import Call
from fwdctl.errors import ExitCode, FwdctlError
from fwdctl.output import Result, console, grid
from fwdctl.progress import Progress
from fwdlab.cli.group import NameOption, lab_command
from fwdlab.cli.health import wait_until_healthy
from fwdlab.cli.up import bring_up, variables_of

if TYPE_CHECKING:
    from fwdctl.runtime import Runtime
    from fwdlab.cli.client import LabClient

COMMAND_SECONDS = 60.0


@lab_command("demo", examples="fwdctl lab demo")
def demo(call: Call, *, name: NameOption = "demo") -> Result:
    """Show it all: up, probe hub and spoke, a packet's way, break a target, probe, heal, down."""
    from fwdlab.cli import setup
    from fwdlab.process import start
    from fwdlab.process.state import LabDirectory

    runtime, begin = call.runtime, call.runtime.clock()
    story = Story(runtime)
    story.chapter("Deploy the template into a lab of its own, as `azd up` would into Azure")
    plan = setup.prepare(runtime, None, None)
    client = bring_up(runtime, name, 0, plan, keep_failed=False)  # leaves a lab that runs already alone
    try:
        story.environ = {**runtime.environ, **variables_of(client.state)}
        _run(story, client)
    finally:
        directory = LabDirectory(name, runtime.environ)
        if directory.running():
            start.stop(directory)
    Progress(runtime).done(f"The lab is gone; all of this took {runtime.clock() - begin:.0f} s")
    return Result(None)


def _run(story: Story, client: LabClient) -> None:
    story.chapter("The jump boxes are stopped: they cost nothing until they are needed")
    story.fwdctl("jump", "status")
    story.chapter("Probe from the hub: each server directly, then through the load balancer")
    story.fwdctl("jump", "start", "all")
    story.fwdctl("probe", "hub")
    story.chapter("Probe from the isolated spoke: by name, through the private link")
    story.fwdctl("probe", "spoke")
    story.chapter("A packet's way: what each hop counted while the spoke asked ten times")
    _packets_way(story, client, asks=10)
    story.chapter("Switch one server off: the path holds, and the probe says who is missing")
    story.fault(client, "target-down", target="")
    story.fwdctl("probe", "spoke", "--timeout", "2")
    story.chapter("Switch all servers off: the path is broken, and the probe says where")
    client.control("POST", "/lab/heal", {}, seconds=60)
    story.fault(client, "target-down", target="all")
    story.fwdctl("probe", "spoke", "--timeout", "2", expect=ExitCode.BROKEN)
    story.chapter("Heal, and look again")
    client.control("POST", "/lab/heal", {}, seconds=60)
    with Progress(story.runtime) as progress:
        progress.step("Waiting until the forwarders have found their targets again")
        wait_until_healthy(story.runtime, client)
    story.fwdctl("probe", "spoke")
    story.fwdctl("jump", "stop", "all")


def _packets_way(story: Story, client: LabClient, *, asks: int) -> None:
    topology = json.loads(client.state.outputs["FWD_TOPOLOGY"])
    url = f"http://{topology['spokes'][0]['hostName']}:{topology['forwards'][0]['port']}/"
    before = _counters(client)
    loop = f"for i in $(seq {asks}); do curl -sS -o /dev/null {url}; done"
    story.fwdctl("jump", "exec", "spoke", "--", "sh", "-c", loop)
    rows = [[hop, counted - before.get(hop, 0)] for hop, counted in _counters(client).items() if counted > 0]
    grid(console(story.runtime, story.runtime.stdout), ["hop", "connections"], rows)


def _counters(client: LabClient) -> dict[str, int]:
    hops: list[dict[str, Any]] = client.control("GET", "/lab/way")["hops"]
    return {hop["hop"]: hop["connections"] for hop in hops}


class Story:
    """Prints numbered headings and runs the real commands between them."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.environ: dict[str, str] = dict(runtime.environ)
        self._chapter = 0

    def chapter(self, title: str) -> None:
        self._chapter += 1
        bold, plain = ("\x1b[1m", "\x1b[0m") if self.runtime.colour(self.runtime.stdout) else ("", "")
        self.runtime.stdout.write(f"\n{bold}{self._chapter}  {title}{plain}\n")
        self.runtime.stdout.flush()

    def fault(self, client: LabClient, name: str, *, target: str) -> None:
        shown = f" --target {target}" if target else ""
        self._show(f"fwdctl lab break {name}{shown}")
        client.control("POST", "/lab/break", {"name": name, "target": target}, seconds=60)

    def fwdctl(self, *arguments: str, expect: ExitCode = ExitCode.OK) -> None:
        """Run a command as the user would; one that ends otherwise than expected ends the demo."""
        self._show(f"fwdctl {' '.join(arguments)}")
        done = subprocess.run(
            [sys.executable, "-m", "fwdctl", *arguments],
            env=self.environ,
            cwd=self.runtime.cwd,
            stdin=subprocess.DEVNULL,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        if done.returncode != expect:
            raise FwdctlError(
                "demo_failed",
                f"`fwdctl {' '.join(arguments)}` ended with {done.returncode}, not with {int(expect)}.",
                "Run it yourself in a lab: `fwdctl lab up`.",
            )

    def _show(self, command: str) -> None:
        self.runtime.stdout.write(f"\n$ {command}\n")
        self.runtime.stdout.flush()
