"""Long-running operations and their polling answers.

A provider answers with an `Outcome`; one that goes on after the answer carries an `Operation`. The HTTP layer
turns that into the polling address the service is known to use.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from fwdlab.arm import clock

if TYPE_CHECKING:
    from datetime import datetime

    from fwdlab.arm.errors import ArmError

_KEPT = 500


@dataclass
class Operation:
    """Something under way.

    Attributes:
        kind: `async`: the address in `Azure-AsyncOperation` answers 200 with a status document; `location`:
            the one in `Location` answers 202 until the end, then `result` (or 204).
        path: polling path, without scheme and host; the operation's id is its last segment.
        retry_after: seconds to ask again after; None sends no header, and clients fall back on 30 s.
        document: fields of the status document besides `status`, `startTime` and `error`.
        result: final body of a `location` operation.
        results: where an `async` one has a `Location` too, of the same kind as `location`'s: its path.
    """

    kind: Literal["async", "location"]
    path: str
    retry_after: float | None = None
    status: str = "InProgress"
    error: ArmError | None = None
    document: dict[str, Any] = field(default_factory=dict)
    result: Any = None
    results: str = ""
    started: str = field(default_factory=lambda: timestamp())  # noqa: PLW0108 - defined below
    ended: str = ""
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def __post_init__(self) -> None:
        self.path = f"{self.path}/{self.id}"
        self.results = self.results and f"{self.results}/{self.id}"

    @property
    def done(self) -> bool:
        return self.status in {"Succeeded", "Failed", "Canceled"}

    def succeed(self, result: Any = None) -> None:
        self.status, self.result, self.ended = "Succeeded", result, timestamp()

    def fail(self, error: ArmError) -> None:
        self.status, self.error, self.ended = "Failed", error, timestamp()


@dataclass(frozen=True)
class Outcome:
    """What an action answers: status, body, and the operation that goes on, if any."""

    status: int = 200
    body: Any = None
    operation: Operation | None = None


class Operations:
    """Operations by id; the oldest finished ones are forgotten."""

    def __init__(self) -> None:
        self._by_id: dict[str, Operation] = {}

    def add(self, operation: Operation) -> None:
        self._by_id[operation.id] = operation
        for key in [k for k, o in self._by_id.items() if o.done][: max(0, len(self._by_id) - _KEPT)]:
            del self._by_id[key]

    def find(self, path: str) -> Operation | None:
        asked = path.rstrip("/").lower()
        found = self._by_id.get(asked.rpartition("/")[2])
        return found if found is not None and asked in {found.path.lower(), found.results.lower()} else None


def status_document(operation: Operation) -> dict[str, Any]:
    """Body of an `Azure-AsyncOperation` address."""
    document: dict[str, Any] = {
        "name": operation.id,
        **operation.document,
        "status": operation.status,
        "startTime": operation.started,
    }
    if operation.done:
        document["endTime"] = operation.ended
    if operation.error is not None:
        document["error"] = operation.error.body()["error"]
    return document


def timestamp(moment: datetime | None = None) -> str:
    """A moment in UTC, or now, as ARM writes it."""
    return (moment or clock.now()).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
