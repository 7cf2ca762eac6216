"""Waiting until what is deployed into a lab is healthy."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fwdctl.runtime import Runtime
    from fwdlab.cli.client import LabClient

UP = "Up_Probe_Success"


def wait_until_healthy(runtime: Runtime, client: LabClient, seconds: float = 20) -> bool:
    """Wait until every backend's probe says Up and every forwarder has its targets; False when that lasts.

    A verdict that a probe has just contradicted does not count: probes that began while a fault was in force
    end after it, and change the verdict then.
    """
    deadline = runtime.clock() + seconds
    while not _healthy(client):
        if runtime.clock() > deadline:
            return False
        runtime.sleep(0.1)
    return True


def _healthy(client: LabClient) -> bool:
    status = client.control("GET", "/lab/status")
    health = status["health"]
    return (
        bool(health)
        and all(backend["reason"] == UP for backend in health)
        and _targets_up(client, status["nodes"], {backend["address"] for backend in health})
    )


def _targets_up(client: LabClient, nodes: list[dict[str, Any]], backends: set[str]) -> bool:
    """What the forwarders' agents say of their targets; true where the template has none."""
    topology = json.loads(client.state.outputs.get("FWD_TOPOLOGY", "{}"))
    port = topology.get("hub", {}).get("healthPort")
    if port is None:
        return True
    argv = ["curl", "-sS", "--max-time", "2", f"http://127.0.0.1:{port}/status"]
    for node in nodes:
        if node["address"] not in backends:
            continue
        done = client.control("POST", "/lab/run", {"node": node["name"], "argv": argv})
        if done["returncode"]:
            return False
        forwards = json.loads(done["stdout"])["forwards"]
        targets = [target for forward in forwards for target in forward["targets"]]
        if any(target["state"] != "up" or target.get("against") for target in targets):
            return False
    return True
