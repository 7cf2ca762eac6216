"""Workloads in a spoke that never stop asking, and what they noticed."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from fwdctl.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Mapping

    from support.programs import RunningLab

SETTLED_SECONDS = 6.0
"""After this time a connection has failed or has not: it has 5 s."""
# `rate` new connections a second, whatever becomes of those before, and `kept` ones that are used every 2 s and
# made again when they break, from ports of their own: NAT would take a new one from the port of one that broke for
# that one, for a while. A file holds the counts, and an entry for each that failed: begin, what, server.
PROGRAM = """
import asyncio, itertools, json, os, resource, sys, time
host, (port, kept, rate), file = sys.argv[1], map(int, sys.argv[2:5]), sys.argv[5]
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
state = {"made": 0, "failed": [], "kept": 0, "broken": [], "servers": {}, "late": 0.0}
running = {}

async def ask(streams, how):
    reader, writer = streams
    writer.write(b"GET / HTTP/1.1\\r\\nHost: x\\r\\nConnection: " + how + b"\\r\\n\\r\\n")
    head = (await reader.readuntil(b"\\r\\n\\r\\n")).lower()
    if b" 200 " not in head:
        raise OSError(head.decode())
    await reader.readexactly(int(head.partition(b"content-length: ")[2].split()[0]))
    if how == b"close" and await reader.read(1):
        raise OSError("more than was said")
    return head.partition(b"x-fwdctl-server: ")[2].partition(b"\\r")[0].decode()

async def once(began):
    writer = None
    try:
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection(address, port)
            state["servers"][await ask((reader, writer), b"close")] = began
    except Exception as error:
        state["failed"].append([began, repr(error), ""])
    if writer:
        writer.close()

async def keep(number):
    for attempt in itertools.count():
        own, server = 1024 + (int(time.time()) % 100 * 300 + attempt * 7000 + number) % 31000, ""
        try:
            async with asyncio.timeout(5):
                streams = await asyncio.open_connection(address, port, local_addr=("0.0.0.0", own))
                server = await ask(streams, b"keep-alive")
            state["kept"] += 1
            while True:
                await asyncio.sleep(2)
                async with asyncio.timeout(10):
                    await ask(streams, b"keep-alive")
        except Exception as error:
            if server:
                state["broken"].append([time.time(), repr(error), server])
                state["kept"] -= 1
        await asyncio.sleep(1)

async def tell():
    while True:
        now = time.time()
        state.update(cpu=time.process_time(), oldest=min(running.values(), default=now), now=now)
        with open(file + ".new", "w") as out:
            json.dump(state, out)
        os.replace(file + ".new", file)
        await asyncio.sleep(0.25)

async def main():
    global address
    address = (await asyncio.get_running_loop().getaddrinfo(host, port))[0][4][0]
    others = [asyncio.create_task(tell())]
    for number in range(kept):
        others.append(asyncio.create_task(keep(number)))
        await asyncio.sleep(0.005)
    state["began"], begin = time.time(), time.monotonic()
    while True:
        due = begin + state["made"] / rate
        wait = due - time.monotonic()
        state["late"] = max(state["late"], -wait)
        await asyncio.sleep(max(0.0, wait))
        began = time.time()
        task = asyncio.create_task(once(began))
        running[task] = began
        task.add_done_callback(running.pop)
        state["made"] += 1

asyncio.run(main())
"""


class Traffic:
    """Asks a forward from a container of its own in the first spoke, from now on.

    Args:
        lab: where the network is.
        topology: of the deployment (`FWD_TOPOLOGY`).
        port: of the forward.
        kept: connections that stay open.
        rate: new connections a second.
        name: of the container group.
    """

    def __init__(
        self,
        lab: RunningLab,
        topology: Mapping[str, Any],
        port: int,
        kept: int,
        *,
        rate: int = 50,
        name: str = "ci-workload",
    ) -> None:
        self._lab, self._name = lab, name
        spoke = topology["spokes"][0]
        numbers = [str(number) for number in (port, kept, rate)]
        command = ["python3", "-c", PROGRAM, spoke["hostName"], *numbers, "/opt/traffic"]
        subscription = lab.environ["AZURE_SUBSCRIPTION_ID"]
        group = f"/subscriptions/{subscription}/resourceGroups/{topology['resourceGroup']}"
        self._groups = f"{group}/providers/Microsoft.ContainerInstance/containerGroups"
        # Like the spoke's jump box, without its tags.
        box = lab.arm("GET", f"{self._groups}/{spoke['jump']}")
        [container] = box["properties"]["containers"]
        image = {key: container["properties"][key] for key in ("image", "resources")}
        properties = {
            **{key: box["properties"][key] for key in ("osType", "restartPolicy", "subnetIds", "sku")},
            "containers": [{"name": "load", "properties": {**image, "command": command}}],
        }
        lab.arm("PUT", f"{self._groups}/{name}", {"location": box["location"], "properties": properties})
        self.until(lambda state: state["made"] > 0 and state["kept"] == kept, "the workload has begun")

    def state(self) -> dict[str, Any]:
        """Counts since the start, and an entry for each connection that failed or broke."""
        found: dict[str, Any] = json.loads(run_in(self._lab, self._name, "cat", "/opt/traffic") or "{}")
        return found

    def until(self, true: Any, what: str, seconds: float = 30) -> dict[str, Any]:
        """The state for which it holds."""
        deadline = time.monotonic() + seconds
        while not ((state := self.state()) and true(state)):
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}: {str(state)[:2000]}"
            time.sleep(0.1)
        return state

    def settled(self) -> dict[str, Any]:
        """The state once every connection that has begun by now has ended well or not."""
        now = time.time()
        return self.until(lambda state: state["oldest"] > now, "connections end", SETTLED_SECONDS + 4)

    def end(self) -> None:
        self._lab.arm("DELETE", f"{self._groups}/{self._name}")


def run_in(lab: RunningLab, node: str, *argv: str) -> str:
    """What a program printed in a node of the lab; nothing where it failed."""
    from fwdlab.cli.labs import client_of

    client = client_of(lab.name, Runtime(environ=lab.base))
    done = client.control("POST", "/lab/run", {"node": node, "argv": argv}, seconds=60)
    return str(done["stdout"]) if done["returncode"] == 0 else ""
