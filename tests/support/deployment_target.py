"""An in-memory control plane for the template engine, and a client of its REST interface."""

from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from fwdlab.arm.errors import ArmError
from fwdlab.arm.http import Answer, ArmRequest
from fwdlab.arm.template.routes import DeploymentRoutes

if TYPE_CHECKING:
    from collections.abc import Callable

SUBSCRIPTION = "11111111-1111-1111-1111-111111111111"
TENANT = "22222222-2222-2222-2222-222222222222"
SECOND = "11111111-1111-1111-1111-222222222222"
"""Another subscription of the same tenant."""
ABROAD = "33333333-3333-3333-3333-333333333333"
"""A subscription of another tenant."""
BASE = "https://management.azure.com"
AT_SUBSCRIPTION = f"/subscriptions/{SUBSCRIPTION}"
GROUP = f"{AT_SUBSCRIPTION}/resourceGroups/rg"
SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
SUBSCRIPTION_SCHEMA = (
    "https://schema.management.azure.com/schemas/2018-05-01/subscriptionDeploymentTemplate.json#"
)


_PATIENCE = 100_000


async def until(reached: Callable[[], bool]) -> None:
    """Let other tasks run until a condition holds."""
    for _ in range(_PATIENCE):
        if reached():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to that")


class MemoryTarget:
    """Keeps what is put; a resource's parent and group must be there first, as in ARM.

    Attributes:
        documents: by lower-case id.
        order: ids in the order in which their PUT ended.
        fails: last name segment -> error to raise at PUT.
        refuses: last name segment -> error to raise at preflight.
        held: last name segment -> event that its PUT waits for.
        running: ids whose PUT is under way.
        most: the most PUTs under way at one time.
        seconds: how long a PUT takes.
    """

    def __init__(self) -> None:
        self.documents: dict[str, dict[str, Any]] = {}
        self.order: list[str] = []
        self.fails: dict[str, ArmError] = {}
        self.refuses: dict[str, ArmError] = {}
        self.held: dict[str, asyncio.Event] = {}
        self.running: set[str] = set()
        self.most = 0
        self.seconds = 0.0
        self.actions: list[tuple[str, str, Any]] = []
        self.checked: list[str] = []

    def tenant_id_of(self, subscription_id: str) -> str | None:
        known = {SUBSCRIPTION: TENANT, SECOND: TENANT, ABROAD: "another-tenant"}
        return known.get(subscription_id.lower())

    def seed_group(self, name: str = "rg", location: str = "westeurope") -> None:
        key = f"{AT_SUBSCRIPTION}/resourceGroups/{name}"
        self.documents[key.lower()] = {"id": key, "name": name, "location": location, "properties": {}}

    async def put(self, resource_id: str, body: dict[str, Any]) -> dict[str, Any]:
        name = resource_id.rsplit("/", 1)[-1]
        self.running.add(resource_id)
        self.most = max(self.most, len(self.running))
        try:
            await asyncio.sleep(self.seconds)
            self._check_parent(resource_id)
            if name in self.held:
                await self.held[name].wait()
            if name in self.fails:
                raise self.fails[name]
        finally:
            self.running.discard(resource_id)
        document = {**_with_child_ids(copy.deepcopy(body), resource_id), "id": resource_id, "name": name}
        document.setdefault("properties", {})["provisioningState"] = "Succeeded"
        document["properties"].setdefault("principalId", f"principal-of-{name}")
        if "/privateLinkServices/" in resource_id:
            document["properties"]["alias"] = f"{name}.guid.westeurope.azure.privatelinkservice"
        self.documents[resource_id.lower()] = document
        self.order.append(resource_id)
        return document

    def _check_parent(self, resource_id: str) -> None:
        head, _, tail = resource_id.rpartition("/providers/")
        above = resource_id.rsplit("/", 2)[0] if tail.count("/") > 2 else head
        if above.count("/") > 2 and above.lower() not in self.documents:
            raise ArmError(
                404, "ParentResourceNotFound", f"Can not perform requested operation on '{above}'."
            )

    async def get(self, resource_id: str) -> dict[str, Any]:
        if resource_id.lower() not in self.documents:
            raise ArmError(404, "ResourceNotFound", f"The Resource '{resource_id}' was not found.")
        return self.documents[resource_id.lower()]

    async def action(self, resource_id: str, action: str, body: Any) -> Any:
        await self.get(resource_id)
        self.actions.append((resource_id, action, body))
        return {"keys": [{"value": f"key-of-{resource_id.rsplit('/', 1)[-1]}"}]}

    async def check(self, resource_id: str, body: dict[str, Any]) -> None:
        self.checked.append(resource_id)
        name = resource_id.rsplit("/", 1)[-1]
        if name in self.refuses:
            raise self.refuses[name]

    def names(self) -> list[str]:
        """Last segments in the order of deployment."""
        return [one.rsplit("/", 1)[-1] for one in self.order]


def _with_child_ids(body: dict[str, Any], resource_id: str) -> dict[str, Any]:
    for kind, value in body.get("properties", {}).items():
        for child in value if isinstance(value, list) else []:
            if isinstance(child, dict) and "name" in child:
                child["id"] = f"{resource_id}/{kind}/{child['name']}"
                address = child.get("properties", {})
                if address.get("privateIPAllocationMethod") == "Dynamic":
                    address["privateIPAddress"] = "10.0.0.4"
    return body


class Client:
    """Sends requests and polls as a client of ARM does."""

    def __init__(self, target: MemoryTarget, **options: Any) -> None:
        self.target = target
        self.routes = DeploymentRoutes(target, locations=["westeurope", "northeurope"], **options)

    async def send(self, method: str, address: str, body: Any = None) -> Answer:
        parts = urlsplit(address)
        query = {key.lower(): value for key, value in parse_qsl(parts.query)} or {"api-version": "2021-04-01"}
        try:
            answer = await self.routes.handle(ArmRequest(method, parts.path, query, body, BASE))
        except ArmError as error:
            return Answer(error.status, error.body(), error.headers)
        assert answer is not None, f"not a path of deployments: {parts.path}"
        return answer

    async def put(self, scope: str, name: str, template: dict[str, Any], **values: Any) -> Answer:
        return await self.send("PUT", deployment_id(scope, name), request_body(scope, template, values))

    async def deploy(self, scope: str, name: str, template: dict[str, Any], **values: Any) -> dict[str, Any]:
        """PUT, wait for the end as the answer says, and return the deployment's properties."""
        answer = await self.put(scope, name, template, **values)
        assert answer.status in {200, 201}, answer.body
        address = answer.headers["Azure-AsyncOperation"]
        for _ in range(_PATIENCE):
            if (await self.send("GET", address)).body["status"] not in {"Accepted", "Running"}:
                break
            await asyncio.sleep(0)
        properties: dict[str, Any] = (await self.send("GET", deployment_id(scope, name))).body["properties"]
        return properties

    async def operations(self, deployment: str) -> dict[str, dict[str, Any]]:
        """Properties of the operations by resource name."""
        entries = (await self.send("GET", f"{deployment}/operations")).body["value"]
        return {one["properties"]["targetResource"]["resourceName"]: one["properties"] for one in entries}


def deployment_id(scope: str, name: str) -> str:
    return f"{scope}/providers/Microsoft.Resources/deployments/{name}"


def request_body(scope: str, template: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    parameters = {name: {"value": value, "reference": None} for name, value in values.items()}
    body: dict[str, Any] = {
        "properties": {"mode": "Incremental", "template": template, "parameters": parameters}
    }
    if scope == AT_SUBSCRIPTION:
        body["location"] = "westeurope"
    return body


def template(resources: Any, *, schema: str = SCHEMA, **sections: Any) -> dict[str, Any]:
    """A template of those resources; an object of resources is language version 2.0."""
    symbolic = {"languageVersion": "2.0"} if isinstance(resources, dict) else {}
    return {"$schema": schema, "contentVersion": "1.0.0.0", **symbolic, "resources": resources, **sections}
