"""Resources by id: what HTTP and the template engine call to reach the providers."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

from fwdlab.arm import services
from fwdlab.arm.errors import ArmError
from fwdlab.arm.ids import GROUP_TYPE, SUBSCRIPTION_TYPE, ResourceId, parse_path
from fwdlab.arm.jsonc import without_nulls
from fwdlab.arm.locations import regions
from fwdlab.arm.locks import check_locks
from fwdlab.arm.services.base import World, normal_location
from fwdlab.arm.services.container_instance.container_groups import GROUP as CONTAINER_GROUP
from fwdlab.arm.services.container_instance.container_groups import ContainerGroups
from fwdlab.arm.store import group_not_found, not_found, subscription_not_found
from fwdlab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from fwdlab.arm.ids import ArmPath
    from fwdlab.arm.operations import Operations, Outcome
    from fwdlab.arm.ports import DataPlane
    from fwdlab.arm.services.base import Provider
    from fwdlab.arm.store import Store
    from fwdlab.clients.credentials import Tenant
    from fwdlab.model import ContainerSpec

Documents: TypeAlias = "list[dict[str, Any]]"
_SETTLE_SECONDS = 65.0  # past the data plane's own limit, whose message says more
_WITH_NODES = ("microsoft.compute/", "microsoft.containerinstance/")


class ArmApi:
    """Resources by id, without HTTP; all methods raise `ArmError` as the service would answer.

    Every change is one revision of the store. What starts or stops machines returns only when the data plane
    has followed; `settle` waits for it after any other change.
    """

    def __init__(
        self,
        store: Store,
        data_plane: DataPlane,
        *,
        subscription_id: str,
        tenant_id: str,
        tenants: Sequence[Tenant] = (),
    ) -> None:
        self.store = store
        self.subscription_id = subscription_id
        self.tenant_id = tenant_id
        self.world = World(store, data_plane, subscription_id, tenant_id, tuple(tenants))
        self.settings = self.world.settings
        services.register(self.world)

    def tenant_id_of(self, subscription_id: str) -> str | None:
        tenant = self.world.tenant_of(subscription_id)
        return tenant.tenant_id if tenant is not None else None

    @property
    def warnings(self) -> Sequence[str]:
        """What was accepted and is not honoured: `ID: what`; the data plane has its own."""
        return tuple(
            text
            for resource in self.store.list()
            for text in self.world.provider(resource.type).not_honoured(resource.document)
        )

    @property
    def group_deleted(self) -> list[Callable[[str], None]]:
        """Told the id of every resource group that goes away."""
        return self.world.group_deleted

    @property
    def operations(self) -> Operations:
        return self.world.operations

    @property
    def resource_types(self) -> tuple[str, ...]:
        """Full types that the lab knows, in Azure's casing."""
        return tuple(provider.type for provider in self.world.providers.values())

    async def put(self, resource_id: str, body: Any) -> dict[str, Any]:
        """Create or replace a resource and return its document."""
        parsed, provider = self._addressed(resource_id)
        content = without_nulls(self._sent(provider, body))
        self._check_scope(parsed)
        check_locks(self.store, parsed, "write")
        self._check_location(parsed, provider, content)
        self._check_unmoved(parsed, content)
        with self.store.batch():
            provider.put(parsed, content)
        await self._settle_nodes(parsed)
        return provider.get(parsed)

    async def check(self, resource_id: str, body: Any) -> None:
        """Refuse what `put` would refuse whatever else exists; change nothing."""
        parsed, provider = self._addressed(resource_id)
        content = without_nulls(self._sent(provider, body))
        self._check_location(parsed, provider, content)
        provider.check(parsed, content)

    def found(self, resource_id: str) -> dict[str, Any] | None:
        """A resource's document, those of embedded ones included; None when there is none."""
        parsed, provider = self._addressed(resource_id)
        try:
            return provider.get(parsed)
        except ArmError:
            return None

    def provider_of(self, resource_id: str) -> Provider:
        return self._addressed(resource_id)[1]

    async def patch(self, resource_id: str, body: Any) -> dict[str, Any]:
        """Merge a change into a resource and return its document."""
        parsed, provider = self._addressed(resource_id)
        check_locks(self.store, parsed, "write")
        with self.store.batch():
            provider.patch(parsed, self._sent(provider, body))
        await self._settle_nodes(parsed)
        return provider.get(parsed)

    async def get(self, resource_id: str, expand: str = "") -> dict[str, Any]:
        parsed = self._resource_id(resource_id)
        if parsed.is_type(SUBSCRIPTION_TYPE):
            raise not_found(resource_id)
        provider = self.world.provider(parsed.type)
        self._check_group(parsed)
        return provider.expanded(provider.get(parsed), expand.lower().split(","))

    async def list(self, path: str) -> Documents:
        return self._list(self._path(path))

    async def read(self, path: str, expand: str = "") -> Any:
        """What GET answers: a resource, a collection as `{"value": […]}`, or a view of a resource."""
        found = self._path(path)
        if found.kind == "resource":
            return await self.get(path, expand)
        self._check_group(found.resource)
        owner = self.world.providers.get(found.resource.type.lower())
        view = owner.views.get(found.word.lower()) if owner is not None else None
        if view is None:
            return {"value": self._list(found, expand)}
        shown = view(found.resource)
        return await shown if inspect.isawaitable(shown) else shown

    async def delete(self, resource_id: str) -> Outcome:
        """Remove a resource; 204 when there was none, an operation for a resource group."""
        parsed, provider = self._addressed(resource_id)
        if not parsed.is_type(GROUP_TYPE):
            self._check_group(parsed)
        check_locks(self.store, parsed, "delete")
        with self.store.batch():
            outcome = provider.delete(parsed)
        return await self._finish(parsed, outcome)

    async def post(self, resource_id: str, action: str, body: Any = None) -> Outcome:
        """POST on a word below a resource, e.g. `start`."""
        parsed, provider = self._addressed(resource_id)
        known = provider.actions.get(action.lower())
        if known is None:
            raise ArmError(
                400, "LabOperationNotSupported", f"The lab has no operation '{action}' on '{provider.type}'."
            )
        self._check_group(parsed)
        check_locks(self.store, parsed, "write")
        with self.store.batch():
            outcome = known(parsed, body)
        return await self._finish(parsed, outcome)

    async def action(self, resource_id: str, action: str, body: Any = None) -> Any:
        """As `post`, for callers that need the answer's body only, e.g. of `listKeys`."""
        return (await self.post(resource_id, action, body)).body

    async def settle(self) -> None:
        """Wait until the data plane reflects everything up to now; 500 when it does not."""
        try:
            await asyncio.wait_for(self.world.data_plane.settled(self.store.revision), _SETTLE_SECONDS)
        except TimeoutError:
            raise ArmError(
                500,
                "LabDataPlaneTimeout",
                f"The lab's network did not follow the change within {_SETTLE_SECONDS:.0f} s; see its log.",
            ) from None
        except LabError as error:
            raise ArmError(500, "LabDataPlaneFailed", f"{error.code}: {error.message}") from error

    def container_ended(self, node: str, boot_id: str, container: ContainerSpec, exit_code: int) -> None:
        """The data plane reports that a container's own process has ended; old news is ignored."""
        provider = self.world.provider(CONTAINER_GROUP)
        assert isinstance(provider, ContainerGroups)  # noqa: S101 - the registry says so
        with self.store.batch():
            provider.ended(node, boot_id, container, exit_code)

    async def close(self) -> None:
        tasks = list(self.world.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _finish(self, parsed: ResourceId, outcome: Outcome) -> Outcome:
        if outcome.operation is not None:
            self.operations.add(outcome.operation)
        if parsed.is_type(GROUP_TYPE):
            await self.settle()
        await self._settle_nodes(parsed)
        return outcome

    async def _settle_nodes(self, parsed: ResourceId) -> None:
        if parsed.type.lower().startswith(_WITH_NODES):
            await self.settle()

    def _list(self, path: ArmPath, expand: str = "") -> Documents:
        self._check_group(path.resource)
        provider = self.world.provider(path.type)
        if path.resource.is_type(provider.type.rpartition("/")[0]):
            self.store.require(path.resource.text)
        words = expand.lower().split(",")
        return [provider.expanded(document, words) for document in provider.list(path.resource)]

    def _path(self, text: str) -> ArmPath:
        found = parse_path(self.world.spelling.of(text))
        if found is None:
            raise ArmError(404, "NotFound", f"The path '{text}' was not found.")
        self._check_subscription(found.resource)
        return found

    def _resource_id(self, text: str) -> ResourceId:
        found = self._path(text)
        if found.kind != "resource":
            raise ArmError(400, "InvalidResourceId", f"'{text}' is not the id of a resource.")
        return found.resource

    def _addressed(self, text: str) -> tuple[ResourceId, Provider]:
        parsed = self._resource_id(text)
        return parsed, self.world.provider(parsed.type)

    def _sent(self, provider: Provider, body: Any) -> dict[str, Any]:
        """A body with names and ids as Azure writes them: everything behind this door compares exactly."""
        content: dict[str, Any] = provider.spelled(provider.sent_shape, _object(body))
        for name, kind in (("location", str), ("properties", dict)):
            if not isinstance(content.get(name), (kind, type(None))):
                wanted = "a string" if kind is str else "an object"
                refusal = f"Cannot parse the request. {name} must be {wanted}."
                raise ArmError(400, "InvalidRequestFormat", refusal, target=name)
        return content

    def _check_subscription(self, parsed: ResourceId) -> None:
        if parsed.subscription and self.world.tenant_of(parsed.subscription) is None:
            raise subscription_not_found(parsed.subscription)

    def _check_group(self, parsed: ResourceId) -> None:
        if parsed.group and self.store.get(parsed.group_id) is None:
            raise group_not_found(parsed.group)

    def _check_scope(self, parsed: ResourceId) -> None:
        if parsed.is_type(GROUP_TYPE):
            return
        self._check_group(parsed)
        if "/providers/" in parsed.scope:  # an extension of another resource
            scope = ResourceId.parse(parsed.scope)
            self.world.provider(scope.type).get(scope)

    def _check_location(self, parsed: ResourceId, provider: Provider, body: dict[str, Any]) -> None:
        location = normal_location(body.get("location"))
        if location is None and provider.tracked:
            raise ArmError(400, "LocationRequired", "The location property is required for this definition.")
        if location in (None, "global") or location in regions():
            return
        kind = "ResourceGroup" if parsed.is_type(GROUP_TYPE) else "ResourceType"
        raise ArmError(
            400,
            f"LocationNotAvailableFor{kind}",
            f"The provided location '{body['location']}' is not available for resource type "
            f"'{provider.type}'. List of available regions for the resource type is '{','.join(regions())}'.",
        )

    def _check_unmoved(self, parsed: ResourceId, body: dict[str, Any]) -> None:
        old = self.store.get(parsed.text)
        if old is None or "location" not in body:
            return
        before, now = old.document.get("location"), normal_location(body["location"])
        if before not in (None, now):
            code = "InvalidResourceGroupLocation" if parsed.is_type(GROUP_TYPE) else "InvalidResourceLocation"
            raise ArmError(
                409,
                code,
                f"The resource '{parsed.name}' already exists in location '{before}' in resource group "
                f"'{parsed.group}'. A resource with the same name cannot be created in location '{now}'. "
                "Please select a new resource name.",
            )


def _object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise ArmError(
            400, "InvalidRequestContent", "The request content was invalid: a JSON object is expected."
        )
    return body
