"""A workload in a spoke that never stops asking, and what it noticed."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

from support.programs import run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from support.programs import RunningLab

# One new connection after the other, and connections that stay open and are used every half second.
PROGRAM = """
import http.client, json, sys, threading, time
host, port, kept = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
state = {"made": 0, "failed": [], "kept": kept, "broken": [], "servers": {}}
def ask(connection):
    connection.request("GET", "/")
    answer = connection.getresponse()
    answer.read()
    return answer.getheader("X-Fwdctl-Server")
def keep():
    connection = http.client.HTTPConnection(host, port, timeout=10)
    connection.connect()
    connection.auto_open = 0
    while True:
        try:
            ask(connection)
        except Exception as error:
            state["broken"].append(f"{time.time():.1f} {error!r}")
            return
        time.sleep(0.5)
for _ in range(kept):
    threading.Thread(target=keep, daemon=True).start()
told = 0
while True:
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        server = ask(connection)
        state["servers"][server] = time.time()
    except Exception as error:
        state["failed"].append(f"{time.time():.1f} {error!r}")
    connection.close()
    state["made"] += 1
    if time.time() - told > 0.2:
        told = time.time()
        with open("/opt/traffic.new", "w") as file:
            json.dump(state, file)
        import os
        os.replace("/opt/traffic.new", "/opt/traffic")
    time.sleep(0.01)
"""
# Through ARM, as fwdctl itself asks it: a container group like the spoke's jump box, without its tags.
_CREATE = """
import json, os, sys
from fwdctl.azure.clients import Clients
from fwdctl.azure.credential import log_in
from fwdctl.runtime import Runtime
runtime = Runtime(environ=os.environ)
clients = Clients(log_in(runtime), runtime)
group, box, command = json.loads(sys.stdin.read())
base = f"/subscriptions/{clients.subscription_id}/resourceGroups/{group}"
base += "/providers/Microsoft.ContainerInstance/containerGroups/"
document = clients.request("GET", base + box, "2025-09-01")
properties = document["properties"]
[container] = properties["containers"]
container["properties"] = {k: v for k, v in container["properties"].items() if k != "instanceView"}
container["properties"]["command"] = command
for name in ("instanceView", "provisioningState", "ipAddress"):
    properties.pop(name, None)
clients.request("PUT", base + "ci-workload", "2025-09-01", {"location": document["location"], "properties": properties})
"""


class Traffic:
    """Asks a forward from its own container in the first spoke, from now on."""

    def __init__(
        self, lab: RunningLab, environ: Mapping[str, str], topology: Mapping[str, Any], port: int, kept: int
    ) -> None:
        self._lab = lab
        spoke = topology["spokes"][0]
        command = ["python3", "-c", PROGRAM, spoke["hostName"], str(port), str(kept)]
        text = json.dumps([topology["resourceGroup"], spoke["jump"], command])
        run([sys.executable, "-c", _CREATE], environ=dict(environ), stdin=text)
        deadline = time.monotonic() + 20
        while not self.state().get("made"):
            assert time.monotonic() < deadline, "the workload asks nothing"
            time.sleep(0.2)

    def state(self) -> dict[str, Any]:
        """Counts since the start, and a line for each connection that failed or broke."""
        done = self._lab.lab("shell", "ci-workload", "--", "cat", "/opt/traffic", expect=None)
        found: dict[str, Any] = json.loads(done.stdout or "{}")
        return found
