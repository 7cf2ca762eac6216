"""Deployments and their operations as they are kept and shown."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fwdlab.arm.template.failures import deployment_not_found
from fwdlab.arm.template.hashing import template_hash
from fwdlab.arm.template.scopes import DEPLOYMENTS

if TYPE_CHECKING:
    from fwdlab.arm.errors import ArmError
    from fwdlab.arm.template.plan import Plan, Planned
    from fwdlab.arm.template.request import DeploymentRequest
    from fwdlab.arm.template.runner import Run

TERMINAL_STATES = frozenset({"Succeeded", "Failed", "Canceled"})
_STATUS_WORDS = {
    200: "OK",
    201: "Created",
    400: "BadRequest",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    429: "TooManyRequests",
    500: "InternalServerError",
}


def now() -> datetime:
    """The moment, in UTC."""
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    """A moment as ARM writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def duration(start: datetime, end: datetime) -> str:
    """A span as ISO 8601 seconds, e.g. `PT1.25S`."""
    return f"PT{max(0.0, (end - start).total_seconds()):.7f}".rstrip("0").rstrip(".") + "S"


@dataclass
class Operation:
    """What was done to one resource of a deployment.

    Attributes:
        target: id of the resource.
        kind: its full type.
        name: its name.
        state: Running, then Succeeded, Failed or Canceled.
        error: why it failed.
    """

    target: str
    kind: str
    name: str
    state: str = "Running"
    error: ArmError | None = None
    started: datetime = field(default_factory=now)
    ended: datetime | None = None
    tracking_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def id(self) -> str:
        """Stable for a resource, as ARM's."""
        return hashlib.sha256(self.target.lower().encode()).hexdigest()[:16].upper()

    def end(self, state: str, error: ArmError | None = None) -> None:
        """Note how it ended."""
        self.state, self.error, self.ended = state, error, now()

    def document(self, deployment_id: str) -> dict[str, Any]:
        """As `deployments/operations` shows it; no member is null, which azd could not take."""
        last = self.ended or now()
        properties: dict[str, Any] = {
            "provisioningOperation": "Create",
            "provisioningState": self.state,
            "timestamp": stamp(last),
            "duration": duration(self.started, last),
            "trackingId": self.tracking_id,
            "targetResource": {"id": self.target, "resourceType": self.kind, "resourceName": self.name},
        }
        if self.state == "Succeeded":
            properties |= {"serviceRequestId": self.tracking_id, "statusCode": "OK"}
        if self.error is not None:
            status = self.error.status
            properties |= {
                "statusCode": _STATUS_WORDS.get(status, str(status)),
                "statusMessage": self.error.body(),
            }
        return {
            "id": f"{deployment_id}/operations/{self.id}",
            "operationId": self.id,
            "properties": properties,
        }


@dataclass
class Record:
    """A deployment.

    Attributes:
        request: what was asked.
        correlation_id: shared with the nested ones.
        state: Accepted, Running, then one of `TERMINAL_STATES`.
        parameters: as shown.
        dependencies: as shown.
        types: full types of its resources.
        outputs: as shown, after success.
        secure_outputs: values that `outputs` leaves out.
        output_resources: ids of what it deployed, those of nested ones included.
        error: after failure.
        operations: by key of the planned resource.
        run: the execution, while it runs.
    """

    request: DeploymentRequest
    correlation_id: str
    state: str = "Accepted"
    parameters: dict[str, Any] = field(default_factory=dict)
    dependencies: list[dict[str, Any]] = field(default_factory=list)
    types: list[str] = field(default_factory=list)
    outputs: dict[str, Any] | None = None
    secure_outputs: dict[str, Any] = field(default_factory=dict)
    output_resources: list[str] = field(default_factory=list)
    error: dict[str, Any] | None = None
    operations: dict[str, Operation] = field(default_factory=dict)
    started: datetime = field(default_factory=now)
    changed: datetime = field(default_factory=now)
    run: Run | None = None
    operation_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def id(self) -> str:
        """The deployment's id."""
        return self.request.id

    @cached_property
    def template_hash(self) -> str:
        """Hash of the template."""
        return template_hash(self.request.template)

    @property
    def active(self) -> bool:
        """Whether it is under way."""
        return self.state not in TERMINAL_STATES

    def move(self, state: str, error: dict[str, Any] | None = None) -> None:
        """Enter a state."""
        self.state, self.error, self.changed = state, error, now()

    def document(self) -> dict[str, Any]:
        """As GET answers it."""
        document: dict[str, Any] = {"id": self.id, "name": self.request.name, "type": DEPLOYMENTS}
        if self.request.location:
            document["location"] = self.request.location
        document["tags"] = self.request.tags
        document["properties"] = self._properties()
        return document

    def _properties(self) -> dict[str, Any]:
        properties: dict[str, Any] = {
            "templateHash": self.template_hash,
            "parameters": self.parameters,
            "mode": self.request.mode,
            "provisioningState": self.state,
            "timestamp": stamp(self.changed),
            "duration": duration(self.started, self.changed),
            "correlationId": self.correlation_id,
            "providers": _providers(self.types),
            "dependencies": self.dependencies,
        }
        if self.outputs is not None:
            properties["outputs"] = self.outputs
        if self.state == "Succeeded":  # otherwise ARM leaves it out
            properties["outputResources"] = [{"id": one} for one in self.output_resources]
        if self.error is not None:
            properties["error"] = self.error
        return properties


def new_record(plan: Plan, correlation_id: str) -> Record:
    """The record of a plan that is about to run."""
    written = [one for one in plan.resources.values() if one.active and not one.existing]
    return Record(
        plan.request,
        correlation_id,
        parameters=plan.parameters,
        dependencies=_dependencies(plan, written),
        types=[one.type for one in written],
    )


def _dependencies(plan: Plan, written: list[Planned]) -> list[dict[str, Any]]:
    def named(planned: Planned) -> dict[str, Any]:
        return {"id": planned.id, "resourceType": planned.type, "resourceName": planned.name}

    found: list[dict[str, Any]] = []
    for planned in written:
        waits = [plan.resources[key] for key in sorted(planned.depends_on)]
        shown = [named(one) for one in waits if one.active and not one.existing]
        if shown:
            found.append({"dependsOn": shown, **named(planned)})
    return found


def _providers(types: list[str]) -> list[dict[str, Any]]:
    by_namespace: dict[str, list[str]] = {}
    for kind in types:
        namespace, _, rest = kind.partition("/")
        known = by_namespace.setdefault(namespace, [])
        if rest not in known:
            known.append(rest)
    return [
        {
            "namespace": namespace,
            "resourceTypes": [{"resourceType": kind, "locations": []} for kind in kinds],
        }
        for namespace, kinds in by_namespace.items()
    ]


class Records:
    """All deployments by id, without case."""

    def __init__(self) -> None:
        self._by_id: dict[str, Record] = {}

    def add(self, record: Record) -> None:
        """Keep a deployment in place of an earlier one of that id."""
        self._by_id.pop(record.id.lower(), None)
        self._by_id[record.id.lower()] = record

    def find(self, deployment_id: str) -> Record | None:
        """The deployment of an id."""
        return self._by_id.get(deployment_id.lower())

    def get(self, deployment_id: str) -> Record:
        """The deployment of an id.

        Raises:
            ArmError: DeploymentNotFound.
        """
        record = self.find(deployment_id)
        if record is None:
            raise deployment_not_found(deployment_id.rsplit("/", 1)[-1])
        return record

    def within(self, scope_id: str) -> list[Record]:
        """The deployments of a subscription or group, not of the groups in a subscription; newest first."""
        prefix = f"{scope_id}/providers/{DEPLOYMENTS}/".lower()
        found = [record for key, record in self._by_id.items() if key.startswith(prefix)]
        return sorted(found, key=lambda record: record.started, reverse=True)

    def remove(self, record: Record) -> None:
        """Forget a deployment; what it deployed stays."""
        self._by_id.pop(record.id.lower(), None)

    def active(self) -> list[Record]:
        """Those under way."""
        return [record for record in self._by_id.values() if record.active]
