"""Writes as clients of ARM see them: conditions, etags, and an end that comes after the answer.

The control plane changes a resource at once. The service first answers that it will, and clients poll: so a
resource shows its state of transition for a while after the write (`LabSettings.change_seconds`).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fwdlab.arm.errors import ArmError
from fwdlab.arm.operations import Operation, Outcome

if TYPE_CHECKING:
    from fwdlab.arm.api import ArmApi
    from fwdlab.arm.http import ArmRequest


@dataclass(frozen=True)
class _Transition:
    operation: Operation
    state: str
    deleted: dict[str, Any] | None = None


class Writes:
    def __init__(self, api: ArmApi) -> None:
        self._api = api
        self._under_way: dict[str, _Transition] = {}

    async def put(self, request: ArmRequest) -> Outcome:
        """Create or replace: 201 or 200, and what goes on."""
        before = self._checked(request)
        document = await self._api.put(request.path, request.body)
        operation = self._going_on(request.path, document, "Updating")
        status = self._api.provider_of(request.path).created if before is None else 200
        return self._answered(status, document, operation)

    async def patch(self, request: ArmRequest) -> Outcome:
        self._checked(request)
        document = await self._api.patch(request.path, request.body)
        goes_on = self._api.provider_of(request.path).operations
        operation = self._going_on(request.path, document, "Updating") if goes_on else None
        return self._answered(200, document, operation)

    def _answered(self, status: int, document: dict[str, Any], operation: Operation | None) -> Outcome:
        """The document, or nothing where the service gives none before the end."""
        if operation is None or not operation.results:
            return Outcome(status, self.shown(document), operation)
        operation.result = document
        return Outcome(202, {}, operation)

    async def delete(self, request: ArmRequest) -> Outcome:
        """Remove: 202 and what goes on where the service does so, else what the provider says."""
        before = self._checked(request)
        outcome = await self._api.delete(request.path)
        if before is None or outcome.body is not None or outcome.operation is not None:
            return outcome
        operation = self._going_on(request.path, before, "Deleting")
        return Outcome(202, None, operation) if operation is not None else outcome

    async def post(self, request: ArmRequest, resource: str, action: str) -> Outcome:
        """Do something with a resource: 202 and what goes on where the provider has nothing to answer."""
        outcome = await self._api.post(resource, action, request.body)
        if (outcome.status, outcome.body, outcome.operation) != (200, None, None):
            return outcome
        operation = self._going_on(resource, self._api.found(resource) or {}, "Updating")
        return Outcome(202, None, operation) if operation is not None else outcome

    def deleting(self, path: str) -> dict[str, Any] | None:
        """The document of a resource whose deletion has not ended."""
        found = self._under_way.get(path.rstrip("/").lower())
        return found.deleted if found is not None else None

    def shown(self, body: Any) -> Any:
        """A document or a list of them, with the state of what is under way; changed in place."""
        if not self._under_way or not isinstance(body, dict):
            return body
        for document in body["value"] if isinstance(body.get("value"), list) else [body]:
            found = (
                self._under_way.get(str(document.get("id")).lower()) if isinstance(document, dict) else None
            )
            if found is not None:
                document["properties"]["provisioningState"] = found.state
        return body

    def _checked(self, request: ArmRequest) -> dict[str, Any] | None:
        """The resource as it is, None when there is none.

        Raises:
            ArmError: 412, for `If-Match` and `If-None-Match`.
        """
        before = self._api.found(request.path)
        wanted, unwanted = request.headers.get("if-match", ""), request.headers.get("if-none-match", "")
        etag = before.get("etag", "") if before is not None else ""
        if unwanted == "*" and before is not None:
            raise _failed(f"The resource {request.path} exists already and hence cannot be created again.")
        if wanted and (before is None or not _fits(wanted, etag)):
            raise _failed(
                f"The condition '{wanted}' in the If-Match header was not satisfied. The current was "
                f"'{etag}'."
            )
        return before

    def _going_on(self, path: str, document: dict[str, Any], state: str) -> Operation | None:
        """The operation that the client can poll; None where the service answers when all is done."""
        provider, settings = self._api.provider_of(path), self._api.settings
        if not provider.transition or settings.change_seconds <= 0:
            return None
        place, namespace = path.partition("/providers/")[0], provider.type.split("/")[0]
        location = f"/subscriptions/{path.split('/')[2]}/providers/{namespace}/locations"
        own = f"{place}/providers/{namespace}/{provider.operations}" if provider.operations else ""
        operation = Operation(
            "async",
            f"{own}Statuses" if own else f"{location}/{document.get('location', 'global')}/operations",
            retry_after=min(settings.change_seconds, settings.retry_after),
            results=own and f"{own}Results",
        )
        key = path.rstrip("/").lower()
        deleting = state == "Deleting"
        self._under_way[key] = _Transition(
            operation, state if deleting else provider.transition, document if deleting else None
        )
        if not operation.results:
            self.shown(document)
        self._api.operations.add(operation)
        asyncio.get_running_loop().call_later(settings.change_seconds, self._end, key, operation)
        return operation

    def _end(self, key: str, operation: Operation) -> None:
        operation.succeed(operation.result)
        if key in self._under_way and self._under_way[key].operation is operation:
            del self._under_way[key]


def _fits(wanted: str, etag: str) -> bool:
    """Whether an etag is among those of `If-Match`; types without etags do not look at it."""
    return wanted == "*" or not etag or _plain(etag) in map(_plain, wanted.split(","))


def _plain(etag: str) -> str:
    return etag.strip().removeprefix("W/").strip('"')


def _failed(message: str) -> ArmError:
    return ArmError(412, "PreconditionFailed", message)
