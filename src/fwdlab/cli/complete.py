"""What the shell may offer for `fwdctl lab`: nothing where it cannot be known at once, and never an error."""

from __future__ import annotations

from typing import Any

import typer

from fwdctl.errors import FwdctlError
from fwdctl.runtime import Runtime
from fwdlab.cli import labs

ANSWER_SECONDS = 1.0


def complete_lab() -> list[str]:
    """Names of the labs whose state is there."""
    try:
        from fwdlab.process.state import labs_root

        return sorted(path.parent.name for path in labs_root(Runtime().environ).glob("*/lab.json"))
    except (ImportError, OSError):  # the lab needs Linux
        return []


def complete_fault() -> list[str]:
    """Names in the fault table."""
    try:
        from fwdlab.faults import FAULTS
    except ImportError:
        return []
    return list(FAULTS)


def complete_fault_in_force(ctx: typer.Context) -> list[str]:
    """Names of the faults that can be healed."""
    return list(_status(ctx).get("faults", ()))


def complete_node(ctx: typer.Context) -> list[str]:
    """Names of the running lab's nodes."""
    return [str(node["name"]) for node in _status(ctx).get("nodes", ())]


def _status(ctx: typer.Context) -> dict[str, Any]:
    """What the lab says of itself, in one request; empty where it does not."""
    try:
        with labs.lab_errors():
            runtime = Runtime()
            client = labs.client_of(str(ctx.params.get("name") or labs.name_in(runtime)), runtime)
            answer = client.control("GET", "/lab/status", seconds=ANSWER_SECONDS)
    except (FwdctlError, OSError, ValueError, TypeError):  # the last two: a state file of another version
        return {}
    return answer if isinstance(answer, dict) else {}
