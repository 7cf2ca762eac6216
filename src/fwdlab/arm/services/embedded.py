"""Types whose resources ARM keeps in their parent's document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fwdlab.arm.errors import ArmError
from fwdlab.arm.ids import ResourceId
from fwdlab.arm.operations import Outcome
from fwdlab.arm.services.base import Provider, index_of, with_properties
from fwdlab.model import Resource

if TYPE_CHECKING:
    from fwdlab.arm.services.base import Entries, World
    from fwdlab.arm.services.shapes import Shape


class Embedded(Provider):
    """A child type that ARM keeps in its parent's document, e.g. a subnet.

    The last word of the type is the parent's property that lists them.
    """

    tracked = False
    transition = "Updating"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.parent_type, _, self.collection = self.type.rpartition("/")

    @property
    def sent_shape(self) -> Shape:
        """That of the parent's list."""
        properties = self.world.provider(self.parent_type).shape.fields["properties"]
        found = properties.fields.get(self.collection)
        return found.each or self.shape if found is not None else self.shape

    def check(self, resource_id: ResourceId, sent: dict[str, Any]) -> None:
        """Nothing: it is checked as part of its parent."""

    def put(self, resource_id: ResourceId, sent: dict[str, Any]) -> Resource:
        """Replace one entry of the parent's list, through the parent's own provider."""
        entries = self._entries(resource_id)
        entry = {**sent, "name": resource_id.name}
        position = index_of(entries, resource_id.name)
        if position is None:
            entries.append(entry)
        else:
            entries[position] = entry
        self._put_parent(resource_id, entries)
        shown = self.get(resource_id)
        return Resource(shown["id"], self.type, shown)

    def get(self, resource_id: ResourceId) -> dict[str, Any]:
        """The entry as the parent shows it."""
        shown = self.world.provider(self.parent_type).rendered(self.parent(resource_id))
        entries: list[dict[str, Any]] = shown["properties"].get(self.collection, [])
        position = index_of(entries, resource_id.name)
        if position is None:
            raise ArmError(404, "NotFound", f"Resource {resource_id} not found.")
        return entries[position]

    def list(self, scope: ResourceId) -> list[dict[str, Any]]:
        """All entries of one parent."""
        shown = self.world.provider(self.parent_type).get(scope)
        return list(shown["properties"].get(self.collection, []))

    def delete(self, resource_id: ResourceId) -> Outcome:
        """Take one entry out of the parent's list."""
        entries = self._entries(resource_id)
        position = index_of(entries, resource_id.name)
        if position is None:
            return Outcome(204)
        del entries[position]
        self._put_parent(resource_id, entries)
        return Outcome(200)

    def _entries(self, resource_id: ResourceId) -> Entries:
        return [*self.parent(resource_id).properties.get(self.collection, [])]

    def _put_parent(self, resource_id: ResourceId, entries: Entries) -> None:
        document = with_properties(self.parent(resource_id), **{self.collection: entries}).document
        self.world.provider(self.parent_type).put(ResourceId.parse(document["id"]), document)
