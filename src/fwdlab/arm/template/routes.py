"""The REST interface of deployments."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from fwdlab.arm.errors import ArmError
from fwdlab.arm.http import Answer, ArmRequest
from fwdlab.arm.locations import plain_location
from fwdlab.arm.template import failures
from fwdlab.arm.template.hashing import minified, template_hash
from fwdlab.arm.template.preview import preflight
from fwdlab.arm.template.records import Record, new_record
from fwdlab.arm.template.request import DeploymentRequest, check_content, read_request
from fwdlab.arm.template.runner import Engine
from fwdlab.arm.template.scopes import DEPLOYMENTS, Scope
from fwdlab.arm.template.shape import spelled
from fwdlab.arm.template.whatif import what_if

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from fwdlab.arm.template.expansion import Expansion
    from fwdlab.arm.template.target import Target

# azd asks for nested operations without the provider's segments.
_PATH = re.compile(
    r"/subscriptions/(?P<subscription>[^/]+)(?:/resourcegroups/(?P<group>[^/]+))?"
    r"(?:/providers/microsoft\.resources)?/deployments"
    r"(?:/(?P<name>[^/]+)(?:/(?P<verb>[^/]+)(?:/(?P<item>[^/]+))?)?)?/?",
    re.IGNORECASE,
)
_HASH_PATH = re.compile(r"/providers/microsoft\.resources/calculatetemplatehash/?", re.IGNORECASE)
_FILTER = re.compile(r"\s*provisioningState\s+eq\s+'([^']*)'\s*", re.IGNORECASE)
_DEFAULT_VERSION = "2021-04-01"
_KEPT_WHAT_IFS = 20
_TEMPLATE_FAULTS = ("InvalidTemplate", "Lab")


@dataclass(frozen=True)
class _Ask:
    request: ArmRequest
    scope: Scope
    name: str
    item: str

    @property
    def id(self) -> str:
        return f"{self.scope.id}/providers/{DEPLOYMENTS}/{self.name}"

    @property
    def body(self) -> Any:
        return spelled(self.request.body, "deployment")

    def address(self, tail: str) -> str:
        version = quote(self.request.query.get("api-version", _DEFAULT_VERSION), safe="")
        return f"{self.request.base_url}{self.id}/{tail}?api-version={version}"


class DeploymentRoutes:
    """Answers requests about deployments.

    Args:
        target: the control plane that resources are put through.
        locations: names, e.g. `westeurope`.
        retry_after: seconds for clients to wait between polls; None sends no header.
    """

    def __init__(self, target: Target, *, locations: Collection[str], retry_after: str | None = "1") -> None:
        self.engine = Engine(target)
        self.records = self.engine.records
        self._locations = list(locations)
        self._retry = {"Retry-After": retry_after} if retry_after else {}
        self._what_ifs: dict[str, dict[str, Any]] = {}
        self._answers: dict[tuple[str, str | None], Callable[[_Ask], Awaitable[Answer]]] = {
            ("GET", None): self._list,
            ("PUT", ""): self._put,
            ("GET", ""): self._get,
            ("HEAD", ""): self._head,
            ("DELETE", ""): self._delete,
            ("POST", "validate"): self._validate,
            ("POST", "whatif"): self._what_if,
            ("GET", "whatifresults"): self._what_if_result,
            ("POST", "cancel"): self._cancel,
            ("POST", "exporttemplate"): self._export,
            ("GET", "operations"): self._operations,
            ("GET", "operationstatuses"): self._status,
        }

    async def close(self) -> None:
        await self.engine.close()

    def forget(self, group_id: str) -> None:
        """Drop the deployments of a resource group that was deleted; those under way start nothing more."""
        for record in self.records.within(group_id):
            self.engine.cancel(record)
            self.records.remove(record)

    async def handle(self, request: ArmRequest) -> Answer | None:
        """Answer a request; None when its path is none of deployments."""
        if _HASH_PATH.fullmatch(request.path):
            return _calculate_hash(request)
        match = _PATH.fullmatch(unquote(request.path))
        if match is None:
            return None
        scope = Scope(match["subscription"], match["group"] or "")
        await self._check_scope(scope)
        verb = (match["verb"] or "").lower() if match["name"] else None
        answer = self._answers.get((request.method, verb))
        if answer is None:
            raise ArmError(
                405,
                "MethodNotAllowed",
                f"The operation '{request.method} {match['verb'] or ''}' is not allowed on deployments.",
            )
        return await answer(_Ask(request, scope, match["name"] or "", match["item"] or ""))

    async def _check_scope(self, scope: Scope) -> None:
        try:
            await self.engine.scope(scope)
        except ArmError:
            self.forget(scope.id)
            raise

    def _read(self, ask: _Ask) -> DeploymentRequest:
        check_content(ask.request.body)
        request = read_request(ask.name, ask.scope, ask.body)
        if not ask.scope.resource_group:
            self._check_location(request)
        return request

    def _check_location(self, request: DeploymentRequest) -> None:
        if not request.location:
            raise ArmError(
                400, "LocationRequired", "The 'location' property must be specified for this deployment."
            )
        plain = plain_location(request.location)
        if plain not in map(plain_location, self._locations):
            raise ArmError(
                400,
                "LocationNotAvailableForDeployment",
                f"The provided location '{request.location}' is not available for deployment. "
                f"List of available regions is '{','.join(self._locations)}'.",
            )
        earlier = self.records.find(request.id)
        if earlier is not None and plain_location(earlier.request.location) != plain:
            raise ArmError(
                409,
                "InvalidDeploymentLocation",
                f"Invalid deployment location '{request.location}'. The deployment '{request.name}' already "
                f"exists in location '{earlier.request.location}'.",
            )

    async def _checked(self, ask: _Ask) -> tuple[Expansion, list[str]]:
        expansion = await self.engine.prepare(self._read(ask))
        ids, details = await preflight(self.engine, expansion)
        if details:
            raise failures.invalid_deployment(ask.name, details)
        return expansion, ids

    async def _put(self, ask: _Ask) -> Answer:
        earlier = self.records.find(ask.id)
        if earlier is not None and earlier.active:
            raise failures.deployment_active(ask.name)
        expansion, _ = await self._checked(ask)
        record = self.engine.start(expansion)
        address = ask.address(f"operationStatuses/{record.operation_id}")
        # Without Retry-After the first poll comes at once, when an empty deployment has already ended.
        return Answer(201 if earlier is None else 200, record.document(), {"Azure-AsyncOperation": address})

    async def _get(self, ask: _Ask) -> Answer:
        return Answer(200, self.records.get(ask.id).document())

    async def _head(self, ask: _Ask) -> Answer:
        return Answer(204 if self.records.find(ask.id) else 404)

    async def _delete(self, ask: _Ask) -> Answer:
        record = self.records.find(ask.id)
        if record is None:
            return Answer(204)
        if record.active:
            raise failures.deployment_active(ask.name)
        self.records.remove(record)
        return Answer(204)

    async def _list(self, ask: _Ask) -> Answer:
        found = self.records.within(ask.scope.id)
        wanted = ask.request.query.get("$filter")
        if wanted:
            match = _FILTER.fullmatch(wanted)
            if match is None:
                raise ArmError(
                    400,
                    "InvalidFilterInQueryString",
                    f"Invalid $filter '{wanted}' specified in the query string.",
                )
            found = [record for record in found if record.state.lower() == match[1].lower()]
        top = ask.request.query.get("$top", "")
        if top.isdigit():
            found = found[: int(top)]
        return Answer(200, {"value": [record.document() for record in found]})

    async def _validate(self, ask: _Ask) -> Answer:
        expansion, ids = await self._checked(ask)
        document = new_record(expansion, str(uuid.uuid4())).document()
        properties = document["properties"]
        properties |= {"provisioningState": "Succeeded", "duration": "PT0S"}
        properties["validatedResources"] = [{"id": one} for one in ids]
        return Answer(200, document)

    async def _what_if(self, ask: _Ask) -> Answer:
        key = str(uuid.uuid4())
        try:
            changes = await self._changes(ask)
            result = {"properties": {"correlationId": str(uuid.uuid4()), "changes": changes}}
            self._what_ifs[key] = {"status": "Succeeded", **result}
        except ArmError as error:
            # A fault of the template is the result of an operation that went well.
            if not error.code.startswith(_TEMPLATE_FAULTS):
                raise
            self._what_ifs[key] = {"status": "Failed", **error.body()}
        for old in list(self._what_ifs)[:-_KEPT_WHAT_IFS]:
            del self._what_ifs[old]
        return Answer(202, None, {"Location": ask.address(f"whatIfResults/{key}")})

    async def _changes(self, ask: _Ask) -> list[dict[str, Any]]:
        expansion, _ = await self._checked(ask)
        settings = ask.body["properties"].get("whatIfSettings")
        wanted = settings.get("resultFormat") if isinstance(settings, dict) else ""
        return await what_if(self.engine, expansion, ids_only=str(wanted).lower() == "resourceidonly")

    async def _what_if_result(self, ask: _Ask) -> Answer:
        result = self._what_ifs.get(ask.item)
        if result is None:
            raise failures.deployment_not_found(ask.name)
        return Answer(200, result)

    async def _cancel(self, ask: _Ask) -> Answer:
        record = self.records.get(ask.id)
        if not record.active:
            raise failures.cannot_cancel(ask.name, record.state)
        self.engine.cancel(record)
        return Answer(204)

    async def _export(self, ask: _Ask) -> Answer:
        return Answer(200, {"template": self.records.get(ask.id).request.template})

    async def _operations(self, ask: _Ask) -> Answer:
        record = self.records.get(ask.id)
        documents = [operation.document(record.id) for operation in record.operations.values()]
        if not ask.item:
            return Answer(200, {"value": documents})
        found = next((one for one in documents if one["operationId"] == ask.item.upper()), None)
        if found is None:
            raise ArmError(
                404, "DeploymentOperationNotFound", f"Deployment operation '{ask.item}' could not be found."
            )
        return Answer(200, found)

    async def _status(self, ask: _Ask) -> Answer:
        record = self.records.find(ask.id)
        if record is None or record.operation_id != ask.item:
            raise failures.deployment_not_found(ask.name)
        return Answer(200, _status_body(record), self._retry if record.active else {})


def _status_body(record: Record) -> dict[str, Any]:
    body: dict[str, Any] = {"status": record.state}
    return body | ({"error": record.error} if record.error is not None else {})


def _calculate_hash(request: ArmRequest) -> Answer:
    if request.method != "POST":
        raise ArmError(405, "MethodNotAllowed", "calculateTemplateHash is a POST.")
    if not isinstance(request.body, dict):
        raise failures.invalid_content("The body must be a template.")
    return Answer(
        200, {"minifiedTemplate": minified(request.body), "templateHash": template_hash(request.body)}
    )
