"""What a container group and its containers say of their state."""

from __future__ import annotations

import copy
from typing import Any

from fwdlab.arm.operations import timestamp

Document = dict[str, Any]


def in_state(document: Document, state: str) -> Document:
    """A copy of a group's document in another state; a container that has ended by itself stays ended."""
    document = copy.deepcopy(document)
    document["properties"].setdefault("instanceView", {"events": []})["state"] = state
    for container in document["properties"]["containers"]:
        view = container["properties"].setdefault("instanceView", {"restartCount": 0, "events": []})
        if state == "Pending":
            _follow(view, {"state": "Waiting", "detailStatus": "CreatingContainer"})
        elif state == "Running":
            _begin(container)
        elif view.get("currentState", {}).get("state") != "Terminated":
            # Text of a stopped one seen in the service, 2026.
            stopped = state == "Stopped"
            text = "Container stopped per client request" if stopped else "Error"
            _terminate(view, detailStatus=text)
            if stopped:
                add_event(container, "Killing", "Normal", "Killing container")
    return document


def end(container: Document, exit_code: int) -> None:
    """A container has ended by itself."""
    text = "Error" if exit_code else "Completed"
    _terminate(container["properties"]["instanceView"], detailStatus=text, exitCode=exit_code)


def restarted(container: Document) -> None:
    """A container runs again after its end."""
    container["properties"]["instanceView"]["restartCount"] += 1
    _begin(container)


def is_running(container: Document) -> bool:
    state: str = container["properties"]["instanceView"]["currentState"]["state"]
    return state == "Running"


def add_event(container: Document, name: str, kind: str, message: str) -> None:
    now = timestamp()
    event = {
        "count": 1,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "name": name,
        "message": message,
        "type": kind,
    }
    view = container["properties"]["instanceView"]
    view["events"] = [*view["events"], event][-20:]


def _begin(container: Document) -> None:
    running = {"state": "Running", "startTime": timestamp(), "detailStatus": ""}
    _follow(container["properties"]["instanceView"], running)
    add_event(container, "Started", "Normal", "Started container")


def _terminate(view: Document, **ending: Any) -> None:
    began = {k: v for k, v in view.get("currentState", {}).items() if k == "startTime"}
    _follow(view, {"state": "Terminated", **began, "finishTime": timestamp(), **ending})


def _follow(view: Document, state: Document) -> None:
    before = view.get("currentState", {})
    if before.get("state") in {"Running", "Terminated"}:
        view["previousState"] = before
    view["currentState"] = state
