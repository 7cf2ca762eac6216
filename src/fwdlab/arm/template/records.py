"""Deployments and their operations as they are kept and shown."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fwdlab.arm.clock import now
from fwdlab.arm.operations import timestamp
from fwdlab.arm.template.failures import deployment_not_found
from fwdlab.arm.template.hashing import template_hash
from fwdlab.arm.template.request import MODE
from fwdlab.arm.template.scopes import DEPLOYMENTS

if TYPE_CHECKING:
    from datetime import datetime

    from fwdlab.arm.errors import ArmError
    from fwdlab.arm.template.expansion import ExpandedResource, Expansion
    from fwdlab.arm.template.request import DeploymentRequest

TERMINAL_STATES = frozenset({"Succeeded", "Failed", "Canceled"})


def duration(start: datetime, end: datetime) -> str:
    """A span as ISO 8601 seconds, e.g. `PT1.25S`."""
    return f"PT{max(0.0, (end - start).total_seconds()):.7f}".rstrip("0").rstrip(".") + "S"


@dataclass
class Operation:
    """What was done to one resource; `state` is Running, then Succeeded, Failed or Canceled."""

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
        return hashlib.sha256(self.target.lower().encode()).hexdigest()[:16].upper()

    def end(self, state: str, error: ArmError | None = None) -> None:
        self.state, self.error, self.ended = state, error, now()

    def document(self, deployment_id: str) -> dict[str, Any]:
        """As `deployments/operations` shows it; no member is null, which azd could not take."""
        last = self.ended or now()
        properties: dict[str, Any] = {
            "provisioningOperation": "Create",
            "provisioningState": self.state,
            "timestamp": timestamp(last),
            "duration": duration(self.started, last),
            "trackingId": self.tracking_id,
            "targetResource": {"id": self.target, "resourceType": self.kind, "resourceName": self.name},
        }
        if self.state == "Succeeded":
            properties |= {"serviceRequestId": self.tracking_id, "statusCode": "OK"}
        if self.error is not None:
            properties |= {
                "statusCode": HTTPStatus(self.error.status).phrase.replace(" ", ""),
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
        correlation_id: shared with the nested ones.
        state: Accepted, Running, then one of `TERMINAL_STATES`.
        parameters: as shown.
        dependencies: as shown.
        types: full types of its resources.
        outputs: as shown, after success.
        secure_outputs: values that `outputs` leaves out.
        output_resources: ids of what it deployed, those of nested ones included.
        operations: by key of the expanded resource.
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
    operation_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def id(self) -> str:
        return self.request.id

    @cached_property
    def template_hash(self) -> str:
        return template_hash(self.request.template)

    @property
    def active(self) -> bool:
        return self.state not in TERMINAL_STATES

    def move(self, state: str, error: dict[str, Any] | None = None) -> None:
        self.state, self.error, self.changed = state, error, now()

    def document(self) -> dict[str, Any]:
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
            "mode": MODE,
            "provisioningState": self.state,
            "timestamp": timestamp(self.changed),
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


def new_record(expansion: Expansion, correlation_id: str) -> Record:
    written = [one for one in expansion.resources.values() if one.written]
    return Record(
        expansion.request,
        correlation_id,
        parameters=expansion.parameters,
        dependencies=_dependencies(expansion, written),
        types=[one.type for one in written],
    )


def _dependencies(expansion: Expansion, written: list[ExpandedResource]) -> list[dict[str, Any]]:
    def named(resource: ExpandedResource) -> dict[str, Any]:
        return {"id": resource.id, "resourceType": resource.type, "resourceName": resource.name}

    found: list[dict[str, Any]] = []
    for resource in written:
        waits = [expansion.resources[key] for key in sorted(expansion.depends_on[resource.key])]
        shown = [named(one) for one in waits if one.written]
        if shown:
            found.append({"dependsOn": shown, **named(resource)})
    return found


def _providers(types: list[str]) -> list[dict[str, Any]]:
    by_namespace: dict[str, dict[str, None]] = {}
    for kind in types:
        namespace, _, rest = kind.partition("/")
        by_namespace.setdefault(namespace, {})[rest] = None
    return [
        {
            "namespace": namespace,
            "resourceTypes": [{"resourceType": kind, "locations": []} for kind in kinds],
        }
        for namespace, kinds in by_namespace.items()
    ]


class Records:
    """Deployments by id, without case."""

    def __init__(self) -> None:
        self._by_id: dict[str, Record] = {}

    def add(self, record: Record) -> None:
        self._by_id.pop(record.id.lower(), None)
        self._by_id[record.id.lower()] = record

    def find(self, deployment_id: str) -> Record | None:
        return self._by_id.get(deployment_id.lower())

    def get(self, deployment_id: str) -> Record:
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
        self._by_id.pop(record.id.lower(), None)
