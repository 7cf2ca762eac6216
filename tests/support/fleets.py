"""Forwarders as they might be found, for plans and comparisons without any Azure."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

from fwdctl.forwarders.fleet import Fleet, Instance
from fwdctl.forwarders.setup import Setup


def user_data(name: str = "new", **more: Any) -> str:
    return base64.b64encode(json.dumps({"hash": name, **more}).encode()).decode()


SETUP = Setup(user_data(), "programs2", "new", "canonical:ubuntu:server:1.0.0", "Standard_B2ats_v2")


def report(**more: Any) -> dict[str, Any]:
    forward = {"name": "web", "rulesInPlace": True, "targets": [{"address": "a:1", "state": "up"}]}
    return {
        "hash": "new",
        "programs": "programs2",
        "forwarding": True,
        "draining": False,
        "conntrack": {"count": 10, "max": 100, "established": 2},
        "forwards": [forward],
        **more,
    }


def instance(number: str = "0", **more: Any) -> Instance:
    """A forwarder that is as deployed, but for what is named."""
    whole = Instance(number, f"10.0.1.{number}", "1", "running", setup=SETUP, health={"web": "Up"})
    return replace(whole, **{"report": report(), **more})


def outdated(number: str, **more: Any) -> Instance:
    """A forwarder with an earlier agent."""
    setup = replace(SETUP, programs="programs1")
    old = {"latest": False, "setup": setup, "report": report(programs="programs1")}
    return instance(number, **{**old, **more})


def fleet(*instances: Instance, **more: Any) -> Fleet:
    return replace(Fleet("rg", "vmss", SETUP, instances), **more)
