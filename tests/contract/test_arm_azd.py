"""The requests of azd's life of an environment, in its order, each answer checked for what azd needs of it.

Order and needs were recorded from the real azd: log-in, `azd up`, an unchanged `azd up`, `azd down`.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import TYPE_CHECKING, Any

import aiohttp

from support.controlplane import Endpoint

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

ARM = "https://management.azure.com"
SCHEMA = "https://schema.management.azure.com/schemas/2018-05-01/subscriptionDeploymentTemplate.json#"
NESTED = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
GROUP_NAME = "format('rg-{0}', parameters('environmentName'))"
GROUP_ID = f"[subscriptionResourceId('Microsoft.Resources/resourceGroups', {GROUP_NAME})]"
TEMPLATE = {
    "$schema": SCHEMA,
    "contentVersion": "1.0.0.0",
    "parameters": {"environmentName": {"type": "string"}, "location": {"type": "string"}},
    "resources": [
        {
            "type": "Microsoft.Resources/resourceGroups",
            "apiVersion": "2024-03-01",
            "name": "[format('rg-{0}', parameters('environmentName'))]",
            "location": "[parameters('location')]",
            "tags": {"azd-env-name": "[parameters('environmentName')]"},
        },
        {
            "type": "Microsoft.Resources/deployments",
            "apiVersion": "2022-09-01",
            "name": "inner",
            "resourceGroup": "[format('rg-{0}', parameters('environmentName'))]",
            "dependsOn": [GROUP_ID],
            "properties": {
                "mode": "Incremental",
                "expressionEvaluationOptions": {"scope": "inner"},
                "parameters": {"location": {"value": "[parameters('location')]"}},
                "template": {
                    "$schema": NESTED,
                    "contentVersion": "1.0.0.0",
                    "parameters": {"location": {"type": "string"}},
                    "resources": [
                        {
                            "type": "Microsoft.Network/virtualNetworks",
                            "apiVersion": "2025-05-01",
                            "name": "vnet",
                            "location": "[parameters('location')]",
                            "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/24"]}},
                        },
                        {
                            "type": "Microsoft.OperationalInsights/workspaces",
                            "apiVersion": "2025-02-01",
                            "name": "log",
                            "location": "[parameters('location')]",
                        },
                    ],
                },
            },
        },
    ],
    "outputs": {
        "RESOURCE_GROUP_NAME": {
            "type": "string",
            "value": "[format('rg-{0}', parameters('environmentName'))]",
        }
    },
}
TAGS = {"azd-env-name": "t1", "azd-layer-name": "", "azd-project-name": "p", "azd-provision-param-hash": "h"}


class Azd:
    """Speaks as azd does: through the name of the public cloud, with tokens of the external endpoint."""

    def __init__(self, endpoint: Endpoint, session: aiohttp.ClientSession) -> None:
        self.endpoint = endpoint
        self.session = session
        self.base = f"/subscriptions/{endpoint.api.subscription_id}"

    async def token(self) -> str:
        url = f"{self.endpoint.server.base_url}/azd/token?api-version=2023-07-12-preview"
        headers = {"Authorization": f"Bearer {self.endpoint.credentials.azd_key}"}
        async with self.session.post(url, json={"scopes": [f"{ARM}//.default"]}, headers=headers) as reply:
            body = await reply.json()
        assert body["status"] == "success"
        token: str = body["token"]
        return token

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any, dict[str, str]]:
        headers = {"Authorization": f"Bearer {await self.token()}", "Host": "management.azure.com"}
        url = self.endpoint.server.base_url + path.removeprefix(ARM)
        async with self.session.request(method, url, json=body, headers=headers) as reply:
            raw = await reply.read()
            return reply.status, json.loads(raw) if raw else None, dict(reply.headers)

    async def get(self, path: str) -> Any:
        status, body, _ = await self.ask("GET", path)
        assert status == 200, (path, status, body)
        return body

    async def poll(self, address: str) -> Any:
        """As azd's client library: until the status is final."""
        assert address.startswith(ARM)
        for _ in range(200):
            status, body, _ = await self.ask("GET", address)
            assert status in {200, 202}
            if status == 200 and (body is None or body.get("status", "Succeeded") != "Running"):
                return body
            await asyncio.sleep(0.02)
        raise AssertionError(f"{address} never ended")

    def request(self) -> dict[str, Any]:
        values = {"environmentName": "t1", "location": "westeurope"}
        parameters = {k: {"value": v, "reference": None} for k, v in values.items()}
        properties = {"mode": "Incremental", "template": TEMPLATE, "parameters": parameters}
        return {"location": "westeurope", "tags": TAGS, "properties": properties}


def with_azd(home: Path, scene: Callable[[Azd], Awaitable[None]]) -> None:
    async def main() -> None:
        endpoint = await Endpoint.start(home)
        tls = ssl.create_default_context(cafile=str(endpoint.certificates.bundle))
        try:
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as session:
                await scene(Azd(endpoint, session))
        finally:
            await endpoint.stop()

    asyncio.run(main())


async def provision(azd: Azd, name: str) -> dict[str, Any]:
    deployments = f"{azd.base}/providers/Microsoft.Resources/deployments"
    status, checked, _ = await azd.ask("POST", f"{deployments}/{name}/validate", azd.request())
    assert (status, checked["properties"]["provisioningState"]) == (200, "Succeeded")
    status, made, headers = await azd.ask("PUT", f"{deployments}/{name}", azd.request())
    assert status in {200, 201}
    assert made["properties"]["provisioningState"] == "Accepted"
    assert (await azd.poll(headers["Azure-AsyncOperation"]))["status"] == "Succeeded"
    done: dict[str, Any] = await azd.get(f"{deployments}/{name}")
    return done


def test_up_and_up_again(tmp_path: Path) -> None:
    async def scene(azd: Azd) -> None:
        assert (await azd.get("/tenants?api-version=2022-12-01"))["value"][0]["tenantId"]
        assert (await azd.get("/subscriptions?api-version=2022-12-01"))["value"][0]["subscriptionId"]
        deployments = f"{azd.base}/providers/Microsoft.Resources/deployments"
        assert (await azd.get(f"{deployments}/"))["value"] == []
        done = await provision(azd, "t1-1")
        assert done["properties"]["outputs"]["RESOURCE_GROUP_NAME"]["value"] == "rg-t1"
        assert {r["id"] for r in done["properties"]["outputResources"]} >= {
            f"{azd.base}/resourceGroups/rg-t1"
        }
        operations = (await azd.get(f"{deployments}/t1-1/operations"))["value"]
        assert {o["properties"]["targetResource"]["resourceName"] for o in operations} >= {"rg-t1", "inner"}
        nested = f"{azd.base}/resourceGroups/rg-t1/deployments/inner/operations"
        names = {
            o["properties"]["targetResource"]["resourceName"]
            for o in (await azd.get(nested))["value"]
            if "targetResource" in o["properties"]
        }
        assert {"vnet", "log"} <= names
        found = (await azd.get(f"{deployments}/"))["value"]
        assert all(d["properties"]["provisioningState"] and d["properties"]["timestamp"] for d in found)
        assert found[0]["tags"] == TAGS
        status, hashed, _ = await azd.ask(
            "POST", "/providers/Microsoft.Resources/calculateTemplateHash", TEMPLATE
        )
        assert status == 200
        assert hashed["templateHash"] == done["properties"]["templateHash"]
        status, _, _ = await azd.ask("HEAD", f"{azd.base}/resourcegroups/rg-t1?api-version=2025-03-01")
        assert status == 204

    with_azd(tmp_path, scene)


def test_down_and_down_again(tmp_path: Path) -> None:
    async def scene(azd: Azd) -> None:
        done = await provision(azd, "t1-1")
        group = next(r["id"] for r in done["properties"]["outputResources"] if r["id"].endswith("/rg-t1"))
        listed = (await azd.get(f"{group}/resources?api-version=2021-04-01"))["value"]
        assert all(r["id"] and r["name"] and r["type"] and r["location"] for r in listed)
        workspace = next(r["id"] for r in listed if r["type"] == "Microsoft.OperationalInsights/workspaces")
        status, _, _ = await azd.ask("DELETE", f"{workspace}?force=true&api-version=2021-06-01")
        assert status == 200
        status, _, headers = await azd.ask(
            "DELETE", f"{group.replace('resourceGroups', 'resourcegroups')}?api-version=2021-04-01"
        )
        assert status == 202
        await azd.poll(headers["Location"])
        status, body, _ = await azd.ask("GET", group)
        assert (status, body["error"]["code"]) == (404, "ResourceGroupNotFound")
        status, body, _ = await azd.ask("GET", f"{group}/resources")
        assert (status, body["error"]["code"]) == (404, "ResourceGroupNotFound")
        assert azd.endpoint.api.store.list() == []

    with_azd(tmp_path, scene)


def test_preview(tmp_path: Path) -> None:
    async def scene(azd: Azd) -> None:
        path = f"{azd.base}/providers/Microsoft.Resources/deployments/t1-1/whatIf"
        properties = {**azd.request()["properties"], "whatIfSettings": {}}
        status, _, headers = await azd.ask("POST", path, {"location": "westeurope", "properties": properties})
        assert status == 202
        answer = await azd.poll(headers["Location"])
        assert answer["status"] == "Succeeded"
        changes = answer["properties"]["changes"]
        assert {c["changeType"] for c in changes} == {"Create"}
        assert all(c["resourceId"] and c["after"]["type"] and c["after"]["name"] for c in changes)
        assert azd.endpoint.api.store.list() == []

    with_azd(tmp_path, scene)


def test_a_refused_resource_is_told_by_its_innermost_code(tmp_path: Path) -> None:
    async def scene(azd: Azd) -> None:
        body = json.loads(json.dumps(azd.request()))
        inner = body["properties"]["template"]["resources"][1]["properties"]["template"]
        inner["resources"][0]["properties"]["subnets"] = [
            {"name": "s", "properties": {"addressPrefix": "10.9.0.0/24"}}
        ]
        path = f"{azd.base}/providers/Microsoft.Resources/deployments/t1-1"
        status, made, headers = await azd.ask("PUT", path, body)
        text = json.dumps(made)
        if status in {200, 201}:
            ended = await azd.poll(headers["Azure-AsyncOperation"])
            assert ended["status"] == "Failed"
            text = json.dumps(ended)
        assert "NetcfgInvalidSubnet" in text

    with_azd(tmp_path, scene)
