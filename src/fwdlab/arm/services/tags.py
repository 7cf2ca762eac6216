"""`Microsoft.Resources/tags`: the tags of any resource or group as a resource of their own."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fwdlab.arm.errors import ArmError
from fwdlab.arm.operations import Outcome
from fwdlab.arm.services.base import Provider
from fwdlab.arm.store import not_found
from fwdlab.model import Resource

if TYPE_CHECKING:
    from fwdlab.arm.ids import ResourceId

TAGS = "Microsoft.Resources/tags"


class Tags(Provider):
    """`SCOPE/providers/Microsoft.Resources/tags/default`; nothing of its own is stored."""

    type = TAGS
    tracked = False

    def put(self, resource_id: ResourceId, body: dict[str, Any]) -> Resource:
        """Replace the scope's tags."""
        return self._write(resource_id, _tags(body))

    def patch(self, resource_id: ResourceId, body: dict[str, Any]) -> Resource:
        """Merge into, replace or delete from the scope's tags, as `operation` says."""
        now, given = dict(self._scope(resource_id).document.get("tags") or {}), _tags(body)
        operation = str(body.get("operation", "")).lower()
        if operation == "merge":
            now |= given
        elif operation == "replace":
            now = given
        elif operation == "delete":
            now = {k: v for k, v in now.items() if given.get(k) != v}
        else:
            raise ArmError(400, "InvalidRequestContent", "The operation must be Merge, Replace or Delete.")
        return self._write(resource_id, now)

    def get(self, resource_id: ResourceId) -> dict[str, Any]:
        """The scope's tags."""
        return self._document(resource_id, self._scope(resource_id))

    def delete(self, resource_id: ResourceId) -> Outcome:
        """Remove all of the scope's tags."""
        self._write(resource_id, {})
        return Outcome(200)

    def _scope(self, resource_id: ResourceId) -> Resource:
        scope = self.store.get(resource_id.scope)
        if scope is None:
            raise not_found(resource_id.scope)
        return scope

    def _write(self, resource_id: ResourceId, tags: dict[str, str]) -> Resource:
        scope = self._scope(resource_id)
        changed = replace(scope, document={**copy.deepcopy(scope.document), "tags": tags})
        self.store.put(changed)
        document = self._document(resource_id, changed)
        return Resource(document["id"], TAGS, document)

    def _document(self, resource_id: ResourceId, scope: Resource) -> dict[str, Any]:
        tags = dict(scope.document.get("tags") or {})
        return {"id": resource_id.text, "name": "default", "type": TAGS, "properties": {"tags": tags}}


def _tags(body: dict[str, Any]) -> dict[str, str]:
    tags = (body.get("properties") or {}).get("tags") or {}
    if not isinstance(tags, dict):
        raise ArmError(400, "InvalidRequestContent", "'properties.tags' must be an object.")
    return {str(name): str(value) for name, value in tags.items()}
