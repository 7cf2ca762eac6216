"""What every resource provider shares.

A provider is synchronous: it checks a body, works out the read-only properties and puts resources into the
store, all without awaiting, so that its change is one revision. Waiting for the data plane is `ArmApi`'s
part.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from fwdlab.arm import ids
from fwdlab.arm.errors import ArmError
from fwdlab.arm.ids import ResourceId, same
from fwdlab.arm.operations import Operations, Outcome
from fwdlab.model import Resource

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine, Iterator, Mapping

    from fwdlab.arm.ports import DataPlane
    from fwdlab.arm.store import Store

reference_id = ids.reference_id
_READ_ONLY = frozenset({"id", "name", "type", "etag", "systemData"})


@dataclass
class LabSettings:
    """What a lab may be told to do differently, at any time.

    Attributes:
        start_seconds: how long a container group takes to start.
        start_error: code and message with which starting fails; None lets it succeed.
        retry_after: seconds of `Retry-After` on long-running answers of ARM itself (deployments, groups).
        delete_seconds: how long the deletion of a resource group takes.
    """

    start_seconds: float = 0.0
    start_error: tuple[str, str] | None = None
    retry_after: int = 1
    delete_seconds: float = 0.0


@dataclass
class World:
    """What providers may reach."""

    store: Store
    data_plane: DataPlane
    subscription_id: str
    tenant_id: str
    operations: Operations = field(default_factory=Operations)
    settings: LabSettings = field(default_factory=LabSettings)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    providers: dict[str, Provider] = field(default_factory=dict)
    group_deleted: list[Callable[[str], None]] = field(default_factory=list)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something in the background until `ArmApi.close`."""
        import asyncio

        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def provider(self, kind: str) -> Provider:
        """The provider of a type.

        Raises:
            ArmError: `LabResourceTypeNotSupported`, the lab's own code, naming the type.
        """
        found = self.providers.get(kind.lower())
        if found is None:
            raise ArmError(
                400,
                "LabResourceTypeNotSupported",
                f"The lab has no resource type '{kind}'. Supported types are listed in docs/lab.md.",
                target=kind,
            )
        return found


class Provider:
    """One resource type.

    Attributes:
        type: full type in Azure's casing.
        tracked: whether it has a location and tags of its own.
        carry: properties that stay from the resource as it is when a PUT leaves them out.
        actions: what POST on a word below the resource does.
        views: what GET on a word below the resource answers.
    """

    type: ClassVar[str] = ""
    tracked: ClassVar[bool] = True
    carry: ClassVar[tuple[str, ...]] = ()

    def __init__(self, world: World) -> None:
        self.world = world
        self.store = world.store
        self.actions: Mapping[str, Callable[[ResourceId, Any], Outcome]] = {}
        self.views: Mapping[str, Callable[[ResourceId], Any]] = {}

    def check(self, resource_id: ResourceId, body: dict[str, Any]) -> None:
        """Refuse what is wrong whatever else exists."""

    def build(self, document: dict[str, Any], old: Resource | None) -> Resource:
        """Work out read-only properties; `document` is a fresh copy that may be changed and kept."""
        return self.resource(document, old)

    def put(self, resource_id: ResourceId, body: dict[str, Any]) -> Resource:
        """Create or replace."""
        self.check(resource_id, body)
        old = self.store.get(resource_id.text)
        resource = self.build(self.draft(resource_id, body, old), old)
        self.store.put(resource)
        return resource

    def patch(self, resource_id: ResourceId, body: dict[str, Any]) -> Resource:
        """Merge into what is there, then replace."""
        old = self.store.require(resource_id.text)
        merged = merge(self.rendered(old), body)
        if "tags" in body:
            merged["tags"] = body["tags"]
        return self.put(resource_id, merged)

    def get(self, resource_id: ResourceId) -> dict[str, Any]:
        """The document as GET answers it."""
        return self.rendered(self.store.require(resource_id.text))

    def rendered(self, resource: Resource) -> dict[str, Any]:
        """A copy of the document with what is derived at reading time."""
        return copy.deepcopy(resource.document)

    def list(self, scope: ResourceId) -> list[dict[str, Any]]:
        """All of this type below a scope or parent."""
        prefix = scope.key + "/"
        return [self.rendered(r) for r in self.store.list(type=self.type) if r.id.lower().startswith(prefix)]

    def delete(self, resource_id: ResourceId) -> Outcome:
        """Remove; 204 when there was nothing, as ARM answers."""
        if self.store.get(resource_id.text) is None:
            return Outcome(204)
        self.before_delete(resource_id)
        self.store.delete(resource_id.text)
        return Outcome(200)

    def not_honoured(self, document: dict[str, Any]) -> Iterator[str]:
        """What of a stored document has no effect in the lab, `ID: what`; the data plane has its own."""
        del document
        yield from ()

    def before_delete(self, resource_id: ResourceId) -> None:
        """Refuse to remove what is in use; let go of what it holds."""

    def draft(self, resource_id: ResourceId, body: dict[str, Any], old: Resource | None) -> dict[str, Any]:
        """The document as sent, with id, name and type as ARM answers them."""
        known = ResourceId.parse(old.id) if old is not None else resource_id
        document: dict[str, Any] = {"id": known.text, "name": known.name, "type": self.type}
        document.update({k: copy.deepcopy(v) for k, v in body.items() if k not in _READ_ONLY})
        if "location" in document:
            document["location"] = normal_location(document["location"])
        properties = document.setdefault("properties", {})
        for name in self.carry:
            if old is not None and name not in properties and name in old.properties:
                properties[name] = copy.deepcopy(old.properties[name])
        properties["provisioningState"] = "Succeeded"
        return document

    def resource(self, document: dict[str, Any], old: Resource | None) -> Resource:
        """A resource of this type that keeps secrets and node of the one it replaces."""
        return Resource(
            id=document["id"],
            type=self.type,
            document=document,
            secrets=dict(old.secrets) if old is not None else {},
            node=old.node if old is not None else None,
        )


class Embedded(Provider):
    """A child type that ARM keeps in its parent's document, e.g. a subnet.

    Attributes:
        collection: the parent's property that lists them.
        parent_type: the parent's full type.
    """

    tracked = False
    collection: ClassVar[str] = ""
    parent_type: ClassVar[str] = ""

    def put(self, resource_id: ResourceId, body: dict[str, Any]) -> Resource:
        """Replace one entry of the parent's list, through the parent's own provider."""
        self.check(resource_id, body)
        parent_id, parent = self._parent(resource_id)
        document = copy.deepcopy(parent.document)
        entries = document["properties"].setdefault(self.collection, [])
        entry = {**copy.deepcopy(body), "name": resource_id.name}
        position = index_of(entries, resource_id.name)
        if position is None:
            entries.append(entry)
        else:
            entries[position] = entry
        self.world.provider(self.parent_type).put(parent_id, document)
        return self._entry(resource_id)

    def get(self, resource_id: ResourceId) -> dict[str, Any]:
        """The entry as the parent shows it."""
        parent_id, _ = self._parent(resource_id)
        shown = self.world.provider(self.parent_type).get(parent_id)
        return self._find(shown, resource_id)

    def list(self, scope: ResourceId) -> list[dict[str, Any]]:
        """All entries of one parent."""
        shown = self.world.provider(self.parent_type).get(scope)
        return list(shown["properties"].get(self.collection, []))

    def delete(self, resource_id: ResourceId) -> Outcome:
        """Take one entry out of the parent's list."""
        parent_id, parent = self._parent(resource_id)
        document = copy.deepcopy(parent.document)
        entries = document["properties"].get(self.collection, [])
        position = index_of(entries, resource_id.name)
        if position is None:
            return Outcome(204)
        self.before_delete(resource_id)
        del entries[position]
        self.world.provider(self.parent_type).put(parent_id, document)
        return Outcome(200)

    def patch(self, resource_id: ResourceId, body: dict[str, Any]) -> Resource:
        """Merge into the entry, then replace it."""
        return self.put(resource_id, merge(self.get(resource_id), body))

    def _parent(self, resource_id: ResourceId) -> tuple[ResourceId, Resource]:
        parent_id = resource_id.parent
        if parent_id is None:
            raise ArmError(404, "NotFound", f"'{resource_id}' has no parent.")
        parent = self.store.get(parent_id.text)
        if parent is None:
            raise ArmError(
                404,
                "ParentResourceNotFound",
                "Failed to perform operation on nested resource. "
                f"The parent resource '{parent_id.text}' is not found.",
            )
        return parent_id, parent

    def _find(self, shown: dict[str, Any], resource_id: ResourceId) -> dict[str, Any]:
        entries = shown["properties"].get(self.collection, [])
        position = index_of(entries, resource_id.name)
        if position is None:
            raise ArmError(404, "NotFound", f"Resource {resource_id} not found.")
        found: dict[str, Any] = entries[position]
        return found

    def _entry(self, resource_id: ResourceId) -> Resource:
        found = self.get(resource_id)
        return Resource(found["id"], self.type, found)


def embed(
    document: dict[str, Any],
    collection: str,
    kind: str,
    old: Resource | None = None,
    keep: tuple[str, ...] = (),
) -> list[dict[str, Any]]:
    """Give the entries of a list in a document their ids, types and state, in place.

    Args:
        document: the parent's, with its id.
        collection: the property that lists them; added when absent.
        kind: full type of an entry.
        old: the parent as it was.
        keep: read-only properties of an entry that stay from the entry of that name before.
    """
    entries: list[dict[str, Any]] = document["properties"].setdefault(collection, [])
    before = old.properties.get(collection, []) if old is not None else []
    for entry in entries:
        name = entry.get("name")
        if not isinstance(name, str) or not name:
            raise ArmError(400, "InvalidRequestFormat", f"An entry of '{collection}' has no name.")
        entry["id"] = f"{document['id']}/{kind.rsplit('/', 1)[-1]}/{name}"
        entry["type"] = kind
        properties = entry.setdefault("properties", {})
        properties["provisioningState"] = "Succeeded"
        position = index_of(before, name)
        if position is not None:
            earlier = before[position].get("properties", {})
            for key in keep:
                if key not in properties and key in earlier:
                    properties[key] = copy.deepcopy(earlier[key])
    return entries


def index_of(entries: list[dict[str, Any]], name: str) -> int | None:
    """Position of the entry of that name, compared without case."""
    wanted = name.lower()
    return next((i for i, entry in enumerate(entries) if str(entry.get("name", "")).lower() == wanted), None)


def merge(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """JSON merge (RFC 7396): null removes, objects merge, everything else replaces."""
    merged = dict(base)
    for key, value in change.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def normal_location(location: Any) -> Any:
    """`West Europe` and `westeurope` are the same place."""
    return location.replace(" ", "").lower() if isinstance(location, str) else location


def references(document: dict[str, Any], wanted: str) -> bool:
    """Whether a document mentions that id, or anything below it, as a value."""
    below = wanted.lower() + "/"

    def search(value: Any) -> bool:
        if isinstance(value, str):
            return same(value, wanted) or value.lower().startswith(below)
        if isinstance(value, dict):
            return any(search(v) for v in value.values())
        return isinstance(value, list) and any(search(v) for v in value)

    return search(document.get("properties", {}))
