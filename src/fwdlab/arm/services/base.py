"""What every resource provider shares.

A provider is synchronous: it checks a body, works out the read-only properties and puts resources into the
store, all without awaiting, so that its change is one revision. Waiting for the data plane is `ArmApi`'s
part.
"""

from __future__ import annotations

import asyncio
import copy
import uuid
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypeVar

from fwdlab.arm.errors import ArmError
from fwdlab.arm.ids import ResourceId, Spelling, same
from fwdlab.arm.jsonc import merge
from fwdlab.arm.operations import Operation, Operations, Outcome
from fwdlab.arm.services.expand import expand
from fwdlab.arm.services.identities import with_principals
from fwdlab.arm.services.published import published
from fwdlab.arm.services.references import check_references, missing_reference
from fwdlab.arm.services.shapes import Place, body, mark_parts, normal, spelled, without_effect
from fwdlab.model import Resource

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from fwdlab.arm.ports import DataPlane
    from fwdlab.arm.services.shapes import Shape
    from fwdlab.arm.store import Store
    from fwdlab.clients.credentials import Tenant

Entries: TypeAlias = "list[dict[str, Any]]"
Actions: TypeAlias = "Mapping[str, Callable[[ResourceId, Any], Outcome]]"
Views: TypeAlias = "Mapping[str, Callable[[ResourceId], Any]]"
_READ_ONLY = frozenset({"id", "name", "type", "etag", "systemData"})


@dataclass
class LabSettings:
    """What a lab may be told to do differently, at any time.

    Attributes:
        start_seconds: how long a container group takes to start.
        start_error: code and message with which starting fails; None lets it succeed.
        retry_after: most seconds of `Retry-After` on long-running answers.
        change_seconds: how long a resource shows its transition after a client has written or deleted it.
        delete_seconds: how long the deletion of a resource group takes.
        newest_image: the version of every image that `latest` means; the lab has no catalogue of images.
    """

    start_seconds: float = 0.0
    start_error: tuple[str, str] | None = None
    retry_after: int = 1
    change_seconds: float = 0.02
    delete_seconds: float = 0.0
    newest_image: str = "1.0.0"


@dataclass
class World:
    """What providers may reach."""

    store: Store
    data_plane: DataPlane
    subscription_id: str
    tenant_id: str
    tenants: tuple[Tenant, ...] = ()
    operations: Operations = field(default_factory=Operations)
    settings: LabSettings = field(default_factory=LabSettings)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    providers: dict[str, Provider] = field(default_factory=dict)
    group_deleted: list[Callable[[str], None]] = field(default_factory=list)

    def tenant_of(self, subscription: str) -> Tenant | None:
        """The tenant that a subscription is in; None where there is no such subscription."""
        wanted = subscription.lower()
        return next((one for one in self.tenants if wanted in map(str.lower, one.subscriptions)), None)

    @cached_property
    def spelling(self) -> Spelling:
        """The words of all types and of their parts; deployments are no provider's."""
        types = ["Microsoft.Resources/deployments", *(one.type for one in self.providers.values())]
        parts = [word for one in self.providers.values() for word in one.shape.collections()]
        return Spelling([*parts, *(word for kind in types for word in kind.split("/"))])

    def perform(self, work: Callable[[], None], operation: Operation, seconds: float) -> None:
        """Do what an operation is about, at once or in the background after some seconds."""
        if seconds <= 0:
            work()
            _end(operation)
            return
        task = asyncio.get_running_loop().create_task(self._perform_later(work, operation, seconds))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _perform_later(self, work: Callable[[], None], operation: Operation, seconds: float) -> None:
        await asyncio.sleep(seconds)
        with self.store.batch():
            work()
        await self.data_plane.settled(self.store.revision)
        _end(operation)

    def provider(self, kind: str) -> Provider:
        """The provider of a type.

        Raises:
            ArmError: `LabResourceTypeNotSupported`, the lab's own code, naming the type.
        """
        found = self.providers.get(kind.lower())
        if found is None:
            raise bad_request(
                "LabResourceTypeNotSupported",
                f"The lab has no resource type '{kind}'. Supported types are listed in docs/lab.md.",
                target=kind,
            )
        return found


def _end(operation: Operation) -> None:
    if not operation.done:
        operation.succeed()


class Provider:
    """One resource type.

    Attributes:
        type: full type in Azure's casing.
        tracked: whether it has a location and tags of its own.
        shape: what its body must be, with its defaults.
        carry: properties that stay from the resource as it is when a PUT leaves them out.
        derived: properties that are worked out when they are read; what a client sends is dropped.
        transition: the provisioning state after a write, empty where the service answers when all is done.
        operations: of a type whose writes answer 202 without a document: what clients poll, less `Statuses`.
        etag: how the type's etag is written, empty where it has none.
        has_guid: whether it has a `resourceGuid`.
        has_state: whether it has a `provisioningState`.
        created: status of the answer to a PUT that makes one.
    """

    type: ClassVar[str] = ""
    tracked: ClassVar[bool] = True
    shape: ClassVar[Shape] = body()
    carry: ClassVar[tuple[str, ...]] = ()
    derived: ClassVar[tuple[str, ...]] = ()
    transition: ClassVar[str] = ""
    operations: ClassVar[str] = ""
    etag: ClassVar[str] = ""
    has_guid: ClassVar[bool] = False
    has_state: ClassVar[bool] = True
    created: ClassVar[int] = 201

    def __init__(self, world: World) -> None:
        self.world = world
        self.store = world.store

    @cached_property
    def actions(self) -> Actions:
        """What POST on a word below the resource does."""
        return {}

    @cached_property
    def views(self) -> Views:
        """What GET on a word below the resource answers."""
        return {}

    @property
    def sent_shape(self) -> Shape:
        """What the bodies that clients send are read by."""
        return self.shape

    def spelled(self, shape: Shape, value: Any) -> Any:
        """A value that a client sends, with names and ids as Azure writes them."""
        return spelled(shape, value, self.world.spelling.of, published(self.type))

    def asked(self, resource_id: ResourceId, shape: Shape, sent: Any) -> Any:
        """The body of an action, which may be left out."""
        return normal(shape, self.spelled(shape, sent or {}), Place(resource_id.text, self.type))

    def check(self, resource_id: ResourceId, sent: dict[str, Any]) -> None:
        """Refuse what is wrong whatever else exists."""
        self.validate(resource_id, normal(self.shape, sent, Place(resource_id.text, self.type)))

    def validate(self, resource_id: ResourceId, document: dict[str, Any]) -> None:
        """Refuse what a shape cannot tell, whatever else exists."""

    def complete(self, document: dict[str, Any], old: Resource | None) -> None:
        """Work out read-only properties, in place; refuse what does not fit to what exists."""

    def build(self, document: dict[str, Any], old: Resource | None) -> Resource:
        """The resource to store; it keeps secrets and node of the one it replaces."""
        self.complete(document, old)
        made = Resource(document["id"], self.type, document)
        return made if old is None else replace(made, secrets=dict(old.secrets), node=old.node)

    def put(self, resource_id: ResourceId, sent: dict[str, Any]) -> Resource:
        """Create or replace."""
        old = self.store.get(resource_id.text)
        document = self.draft(resource_id, sent, old)
        self.validate(resource_id, document)
        if resource_id.parent is not None:
            self.parent(resource_id)
        check_references(self.store, self.shape, document)
        resource = self.build(document, old)
        self.store.put(resource)
        return resource

    def patch(self, resource_id: ResourceId, change: dict[str, Any]) -> Resource:
        """Merge into what is there, then replace."""
        merged = merge(self.get(resource_id), change)
        if "tags" in change:
            merged["tags"] = change["tags"]
        return self.put(resource_id, merged)

    def get(self, resource_id: ResourceId) -> dict[str, Any]:
        """The document as GET answers it."""
        return self.rendered(self.store.require(resource_id.text))

    def expanded(self, document: dict[str, Any], words: Collection[str]) -> dict[str, Any]:
        """The document with the whole of what it refers to, so far as `$expand` asks.

        Args:
            document: as `get` answers it; changed in place.
            words: names of properties, or paths of them as `subnets/ipConfigurations`, in lower case.
        """
        for word in filter(None, words):
            expand(self._document, document, word.split("/"))
        return document

    def _document(self, target: ResourceId) -> dict[str, Any] | None:
        provider = self.world.providers.get(target.type.lower())
        return provider.get(target) if provider is not None else None

    def rendered(self, resource: Resource) -> dict[str, Any]:
        """A copy of the document with what is derived at reading time."""
        document = copy.deepcopy(resource.document)
        if self.etag:
            etag = self.etag.format(self.store.etag(resource.id))
            document["etag"] = etag
            mark_parts(self.shape, document, "etag", etag)
        return document

    def below(self, key: str, kind: str | None = None) -> list[Resource]:
        """What stands below an id, of one type or of all."""
        prefix = key.lower() + "/"
        return [one for one in self.store.list(type=kind) if one.id.lower().startswith(prefix)]

    def list(self, scope: ResourceId) -> list[dict[str, Any]]:
        """All of this type below a scope or parent."""
        return [self.rendered(one) for one in self.below(scope.key, self.type)]

    def delete(self, resource_id: ResourceId) -> Outcome:
        """Remove; 204 when there was nothing, as ARM answers."""
        if self.store.get(resource_id.text) is None:
            return Outcome(204)
        self.before_delete(resource_id)
        self.store.delete(resource_id.text)
        return Outcome(200)

    def before_delete(self, resource_id: ResourceId) -> None:
        """Refuse to remove what is in use; let go of what it holds."""

    def release(self, resource_id: ResourceId) -> None:
        """Let go of what it holds of other groups, when its own group goes with all in it."""

    def not_honoured(self, document: dict[str, Any]) -> Iterable[str]:
        """What of a stored document has no effect in the lab, `ID: what`; the data plane has its own."""
        return without_effect(self.shape, document, document["id"])

    def parent(self, resource_id: ResourceId) -> Resource:
        """The resource that a child stands under.

        Raises:
            ArmError: 404 `ParentResourceNotFound`.
        """
        found = self.store.get(str(resource_id.parent))
        if found is None:
            raise ArmError(
                404,
                "ParentResourceNotFound",
                "Failed to perform operation on nested resource. "
                f"The parent resource '{resource_id.parent}' is not found.",
            )
        return found

    def draft(self, resource_id: ResourceId, sent: dict[str, Any], old: Resource | None) -> dict[str, Any]:
        """The document as sent, in the type's shape, with id, name and type as ARM answers them."""
        known = ResourceId.parse(old.id) if old is not None else resource_id
        kept = {k: v for k, v in old.properties.items() if k in self.carry} if old is not None else {}
        document: dict[str, Any] = {k: v for k, v in sent.items() if k not in _READ_ONLY}
        if isinstance(document.setdefault("properties", {}), dict):
            own = {k: v for k, v in document["properties"].items() if k not in self.derived}
            document["properties"] = {**kept, **own}
        document = normal(self.shape, document, Place(known.text, self.type))
        if "location" in document:
            document["location"] = normal_location(document["location"])
        if self.has_state:
            document["properties"]["provisioningState"] = "Succeeded"
        if self.has_guid:
            former = old.properties if old is not None else {}
            document["properties"]["resourceGuid"] = former.get("resourceGuid") or str(uuid.uuid4())
        if "identity" in document:
            tenant = self.world.tenant_id
            document["identity"] = with_principals(self.store, tenant, document["identity"], known, old)
        return {"id": known.text, "name": known.name, "type": self.type, **document}


class ReadOnly(Provider):
    """A type whose resources come and go with others.

    Attributes:
        refusal: status, code and text (`{id}` is filled in) of the answer to PUT.
    """

    tracked = False
    refusal: ClassVar[tuple[int, str, str]] = (405, "MethodNotAllowed", "{id} cannot be written.")

    def put(self, resource_id: ResourceId, _sent: dict[str, Any]) -> Resource:
        status, code, message = self.refusal
        raise ArmError(status, code, message.format(id=resource_id))


Kind = TypeVar("Kind", bound=Provider)


def of_type(base: type[Kind], kind: str, **attributes: Any) -> type[Kind]:
    """A provider class for one more type, which differs from `base` in its name alone or in `attributes`."""
    return type(base.__name__, (base,), {"type": kind, **attributes})


def absent(kind: str, why: str = "") -> type[ReadOnly]:
    """A type of which there are none, which is what clients that list all kinds want to hear."""
    message = f"The lab has no resource type '{kind}'. {why}".strip()
    return of_type(ReadOnly, kind, refusal=(400, "LabResourceTypeNotSupported", message))


def with_properties(resource: Resource, **changes: Any) -> Resource:
    """A resource with other properties; None removes one."""
    properties = {k: v for k, v in {**resource.properties, **changes}.items() if v is not None}
    return replace(resource, document={**resource.document, "properties": properties})


def index_of(entries: list[dict[str, Any]], name: str) -> int | None:
    """Position of the entry of that name, compared without case."""
    wanted = name.lower()
    return next((i for i, entry in enumerate(entries) if str(entry.get("name", "")).lower() == wanted), None)


def normal_location(location: Any) -> Any:
    """`West Europe` and `westeurope` are the same place."""
    return location.replace(" ", "").lower() if isinstance(location, str) else location


def bad_request(code: str, message: str, *, target: str | None = None) -> ArmError:
    return ArmError(400, code, message, target=target)


def part_of(store: Store, collection: str, part_id: str, user: str) -> tuple[Resource, dict[str, Any]]:
    """A resource and its part of that id, e.g. a network and one of its `subnets`.

    Raises:
        ArmError: 400 `InvalidResourceReference`, for a user's reference to what is not there.
    """
    owner_id, _, given = part_id.rpartition("/")[0].rpartition("/")
    owner = store.get(owner_id)
    entries = owner.properties.get(collection, []) if owner is not None and same(given, collection) else []
    position = index_of(entries, part_id.rpartition("/")[2])
    if owner is None or position is None:
        raise missing_reference(part_id, user)
    return owner, entries[position]
