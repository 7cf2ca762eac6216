"""The control plane's documents by id, with one revision counter.

Everything runs in one event loop, so a change is atomic as long as it awaits nothing. A stored `Resource` is
never changed in place: whoever changes one puts a new one. Snapshots may therefore share the documents.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from typing import TYPE_CHECKING

from fwdlab.arm import clock
from fwdlab.arm.errors import ArmError
from fwdlab.arm.ids import ResourceId
from fwdlab.model import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwdlab.model import Resource


class Store:
    def __init__(self) -> None:
        self._resources: dict[str, Resource] = {}
        self._of_type: dict[str, dict[str, Resource]] = {}
        """The same by lower-case type."""
        self._etags: dict[str, str] = {}
        self._created: dict[str, str] = {}
        self._revision = 0
        self._in_batch = False
        self._dirty = False
        self._changed = asyncio.Event()

    @property
    def revision(self) -> int:
        """Grows by one with every change, or with every batch of changes."""
        return self._revision

    def get(self, resource_id: str) -> Resource | None:
        return self._resources.get(resource_id.rstrip("/").lower())

    def require(self, resource_id: str) -> Resource:
        found = self.get(resource_id)
        if found is None:
            raise not_found(resource_id)
        return found

    def put(self, resource: Resource) -> None:
        """Add or replace; a replaced one keeps its place in listings and the casing of its id."""
        key = resource.id.lower()
        self._etags[key] = str(uuid.uuid4())
        self._created.setdefault(key, clock.now().isoformat())
        if self._resources.get(key) != resource:
            self._keep(key, resource)
            self._touch()

    def _keep(self, key: str, resource: Resource) -> None:
        self._resources[key] = resource
        self._of_type.setdefault(resource.type.lower(), {})[key] = resource

    def etag(self, resource_id: str) -> str:
        """Another one after each write."""
        return self._etags[resource_id.lower()]

    def created(self, resource_id: str) -> str:
        """When a resource came into being."""
        return self._created[resource_id.lower()]

    def delete(self, resource_id: str) -> bool:
        """Remove a resource and all below it; False when there was none."""
        key = resource_id.rstrip("/").lower()
        below = key + "/"
        doomed = [k for k in self._resources if k == key or k.startswith(below)]
        for k in doomed:
            del self._of_type[self._resources[k].type.lower()][k]
            del self._resources[k]
            self._created.pop(k, None)
        if doomed:
            self._touch()
        return bool(doomed)

    def list(
        self,
        *,
        type: str | None = None,  # noqa: A002 - ARM's word
        within: str | None = None,
    ) -> list[Resource]:
        """Resources of a type and below a group's or subscription's id, both without case, oldest first."""
        found = self._resources if type is None else self._of_type.get(type.lower(), {})
        if within is None:
            return list(found.values())
        prefix = f"{within.lower()}/"
        return [resource for key, resource in found.items() if key.startswith(prefix)]

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """Make several changes one revision; an exception undoes them all. Batches nest."""
        if self._in_batch:
            yield
            return
        before = dict(self._resources)
        self._in_batch, self._dirty = True, False
        try:
            yield
        except BaseException:
            self._resources, self._of_type = {}, {}
            for key, resource in before.items():
                self._keep(key, resource)
            self._dirty = False
            raise
        finally:
            self._in_batch = False
            if self._dirty:
                self._touch()

    def snapshot(self) -> Snapshot:
        """The whole state at this revision; documents are shared and must not be changed."""
        resources = self._resources
        return Snapshot(
            revision=self._revision,
            documents={key: resource.document for key, resource in resources.items()},
            nodes=tuple(r.node for r in resources.values() if r.node is not None),
        )

    async def wait(self, after: int) -> int:
        while self._revision <= after:
            await self._changed.wait()
        return self._revision

    def _touch(self) -> None:
        if self._in_batch:
            self._dirty = True
            return
        self._revision += 1
        self._changed.set()
        self._changed = asyncio.Event()


def not_found(resource_id: str) -> ArmError:
    try:
        parsed = ResourceId.parse(resource_id)
    except ValueError:
        return ArmError(404, "NotFound", f"The path '{resource_id}' was not found.")
    if parsed.is_type("Microsoft.Resources/resourceGroups"):
        return group_not_found(parsed.name)
    kind = "/".join(
        part for pair in zip(parsed.type.split("/")[1:], parsed.names, strict=False) for part in pair
    )
    group = parsed.group or "<null>"
    return ArmError(
        404,
        "ResourceNotFound",
        f"The Resource '{parsed.type.split('/')[0]}/{kind}' under resource group '{group}' was not found. "
        "For more details please go to https://aka.ms/ARMResourceNotFoundFix",
    )


def group_not_found(name: str) -> ArmError:
    return ArmError(404, "ResourceGroupNotFound", f"Resource group '{name}' could not be found.")


def subscription_not_found(subscription: str) -> ArmError:
    return ArmError(404, "SubscriptionNotFound", f"The subscription '{subscription}' could not be found.")
