"""`Microsoft.Resources/tags`: the tags of any resource or group as a resource of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fwdlab.arm.operations import Outcome
from fwdlab.arm.services.base import Provider, bad_request
from fwdlab.arm.services.shapes import Place, body, normal, texts
from fwdlab.model import Resource

if TYPE_CHECKING:
    from fwdlab.arm.ids import ResourceId


class Tags(Provider):
    """`SCOPE/providers/Microsoft.Resources/tags/default`; nothing of its own is stored."""

    type = "Microsoft.Resources/tags"
    tracked = False
    shape = body(tags=texts({}))

    def put(self, resource_id: ResourceId, sent: dict[str, Any]) -> Resource:
        """Replace the scope's tags."""
        return self._write(resource_id, self._given(resource_id, sent))

    def patch(self, resource_id: ResourceId, change: dict[str, Any]) -> Resource:
        """Merge into, replace or delete from the scope's tags, as `operation` says."""
        now, given = self._of_scope(resource_id), self._given(resource_id, change)
        operation = str(change.get("operation", "")).lower()
        if operation == "merge":
            now |= given
        elif operation == "replace":
            now = given
        elif operation == "delete":
            now = {k: v for k, v in now.items() if given.get(k) != v}
        else:
            raise bad_request("InvalidRequestContent", "The operation must be Merge, Replace or Delete.")
        return self._write(resource_id, now)

    def get(self, resource_id: ResourceId) -> dict[str, Any]:
        tags = self._of_scope(resource_id)
        return {"id": resource_id.text, "name": "default", "type": self.type, "properties": {"tags": tags}}

    def delete(self, resource_id: ResourceId) -> Outcome:
        """Remove all of the scope's tags."""
        self._write(resource_id, {})
        return Outcome(200)

    def _of_scope(self, resource_id: ResourceId) -> dict[str, str]:
        return dict(self.store.require(resource_id.scope).document.get("tags") or {})

    def _given(self, resource_id: ResourceId, sent: dict[str, Any]) -> dict[str, str]:
        shaped = normal(self.shape, sent, Place(resource_id.text, self.type))
        return {name: str(value) for name, value in shaped["properties"]["tags"].items()}

    def _write(self, resource_id: ResourceId, tags: dict[str, str]) -> Resource:
        scope = self.store.require(resource_id.scope)
        self.store.put(replace(scope, document={**scope.document, "tags": tags}))
        return Resource(resource_id.text, self.type, self.get(resource_id))


PROVIDERS = (Tags,)
