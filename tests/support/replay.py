"""Asks of a lab what azd asked when it was recorded, in azd's order and with azd's patience."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

import aiohttp

from conftest import ROOT
from support.controlplane import Endpoint
from support.main_template import main_template, values

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from fwdlab.arm.api import ArmApi

ARM = "https://management.azure.com"
RECORDINGS = {
    file.stem: json.loads(file.read_text())
    for file in sorted((ROOT / "tests" / "contract" / "recordings" / "azd").glob("*.json"))
}
UNDER_WAY = {"Accepted", "Running", "InProgress"}
_SCHEMA = "https://schema.management.azure.com/schemas/2018-05-01/subscriptionDeploymentTemplate.json#"
_EMPTY = {"$schema": _SCHEMA, "contentVersion": "1.0.0.0", "resources": []}
_NESTED = "Microsoft.Resources/deployments"
_ACCEPTED = 202
_PATIENCE = 1500

Recording = dict[str, Any]
Request = dict[str, Any]


@dataclass(frozen=True)
class Answered:
    """A recorded request and what the lab says to it now."""

    request: Request
    status: int
    body: Any
    headers: dict[str, str]

    @property
    def state(self) -> str:
        """Of a deployment or of an operation; empty for anything else."""
        body = self.body if isinstance(self.body, dict) else {}
        properties = body.get("properties")
        found = properties.get("provisioningState") if isinstance(properties, dict) else None
        return str(found or body.get("status", ""))

    def __str__(self) -> str:
        return (
            f"{self.request['method']} {self.request['path']}: {self.status} {json.dumps(self.body)[:2000]}"
        )


class Held:
    """A control plane on which only resource groups come to their end, so that a deployment stays under way."""

    def __init__(self, api: ArmApi) -> None:
        self._api = api

    def __getattr__(self, name: str) -> Any:
        return getattr(self._api, name)

    async def put(self, resource_id: str, body: dict[str, Any]) -> dict[str, Any]:
        if "/providers/" in resource_id:
            await asyncio.Event().wait()
        return await self._api.put(resource_id, body)


class Azd:
    """Speaks as azd does: through the name of the public cloud, with a token of the external endpoint for each call.

    Args:
        endpoint: the lab.
        session: with trust in it.
        check: told every answer.
    """

    def __init__(
        self, endpoint: Endpoint, session: aiohttp.ClientSession, check: Callable[[Answered], None]
    ) -> None:
        self.endpoint = endpoint
        self._session = session
        self._check = check
        self._names: dict[str, str] = {}
        self._nested: dict[str, str] = {}
        self._polls: list[str] = []
        self._token = ""

    async def play(self, name: str) -> list[Answered]:
        """Ask everything of a recording; the answers."""
        recording = RECORDINGS[name]
        self._names[name] = f"dev-{1795000000 + len(self._names)}"
        if recording["fault"]:
            self.endpoint.deployments.engine.target = Held(self.endpoint.api)
        answers = []
        for request in recording["requests"]:
            answers.append(await self._answer(recording, request))
            self._check(answers[-1])
        return answers

    async def _answer(self, recording: Recording, request: Request) -> Answered:
        path = await self._path(recording, request["path"])
        address = f"{path}?{urlencode(parse_qsl(request['query']))}"
        if "{operation}" not in path:
            answered = await self._ask(request, address, _body(recording, request))
        else:
            answered = await self._poll(request, path)
        if request["method"] == "PUT":
            self._nested.clear()
        for header in ("Azure-AsyncOperation", "Location"):
            if header in answered.headers:
                self._polls.append(answered.headers[header])
        if found := re.search(r'"log-([a-z0-9]{13})"', json.dumps(answered.body)):
            self._token = found[1]
        return answered

    async def _path(self, recording: Recording, path: str) -> str:
        path = path.replace("{subscription}", self.endpoint.api.subscription_id)
        path = path.replace("{token}", self._token)
        for name, deployment in self._names.items():
            path = path.replace(f"{{deployment {name}}}", deployment)
        if found := re.search(r"\{nested ([^}]+)\}", path):
            path = path.replace(found[0], await self._nested_name(recording, found[1]))
        return path

    async def _nested_name(self, recording: Recording, stem: str) -> str:
        """The full name of a nested deployment, found as azd finds it: in the operations of those around it."""
        top = next(one["path"] for one in recording["requests"] if one["method"] == "PUT")
        for _ in range(_PATIENCE):
            if stem in self._nested:
                return self._nested[stem]
            await self._walk(await self._path(recording, top))
            await asyncio.sleep(0.02)
        raise AssertionError(f"no nested deployment begins with '{stem}': {self._nested}")

    async def _walk(self, deployment: str) -> None:
        request = {"method": "GET", "path": f"{deployment}/operations"}
        answered = await self._ask(request, f"{deployment}/operations?api-version=2021-04-01")
        # An operation names its nested deployment a moment before there is one.
        for operation in answered.body["value"] if answered.status == 200 else ():
            target = operation["properties"].get("targetResource")  # the evaluation of outputs has none
            if target and target["resourceType"] == _NESTED:
                self._nested[target["resourceName"].rpartition("-")[0]] = target["resourceName"]
                await self._walk(target["id"])

    async def _poll(self, request: Request, path: str) -> Answered:
        """Ask the address that an earlier answer named: to the end, or once where azd stopped asking."""
        pattern = re.escape(path).replace(re.escape("{operation}"), "[^/?]+")
        [address] = [one for one in self._polls if re.fullmatch(f"{ARM}{pattern}\\?{request['query']}", one)]
        for _ in range(_PATIENCE):
            answered = await self._ask(request, address.removeprefix(ARM))
            pending = answered.status == _ACCEPTED or answered.state in UNDER_WAY
            # Without it, azd asks again after 5 to 30 s.
            assert not pending or int(answered.headers["Retry-After"]) == 1, str(answered)
            if pending != request["ends"]:
                return answered
            assert request["ends"], f"it has ended already: {answered}"
            await asyncio.sleep(0.02)
        raise AssertionError(f"{address} never ended")

    async def _ask(self, request: Request, address: str, body: Any = None) -> Answered:
        headers = {"Authorization": f"Bearer {await self._bearer()}", "Host": "management.azure.com"}
        url = self.endpoint.server.base_url + address
        async with self._session.request(request["method"], url, json=body, headers=headers) as reply:
            raw = await reply.read()
            return Answered(request, reply.status, json.loads(raw) if raw else None, dict(reply.headers))

    async def _bearer(self) -> str:
        url = f"{self.endpoint.server.base_url}/azd/token?api-version=2023-07-12-preview"
        headers = {"Authorization": f"Bearer {self.endpoint.credentials.azd_key}"}
        async with self._session.post(url, json={"scopes": [f"{ARM}//.default"]}, headers=headers) as reply:
            answer = await reply.json()
        assert answer["status"] == "success"
        assert answer["expiresOn"]
        return str(answer["token"])


@contextlib.asynccontextmanager
async def azd(home: Path, check: Callable[[Answered], None]) -> AsyncIterator[Azd]:
    """azd before an empty lab of its own."""
    endpoint = await Endpoint.start(home)
    tls = ssl.create_default_context(cafile=str(endpoint.certificates.bundle))
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as session:
            yield Azd(endpoint, session, check)
    finally:
        await endpoint.stop()


def _body(recording: Recording, request: Request) -> dict[str, Any] | None:
    """What azd sends along with a request."""
    if request["path"].endswith("/calculateTemplateHash"):
        return _template(recording)
    verb = request["path"].rpartition("/")[2]
    if request["method"] != "PUT" and verb not in {"validate", "whatIf"}:
        return None
    down = recording["command"].startswith("azd down")
    given = {} if down else values(**recording["parameters"])
    properties: dict[str, Any] = {
        "mode": "Incremental",
        "parameters": {name: {"value": value, "reference": None} for name, value in given.items()},
        "template": _EMPTY if down else _template(recording),
    }
    body: dict[str, Any] = {"location": "westeurope", "properties": properties}
    if verb == "whatIf":
        properties["whatIfSettings"] = {}
        return body
    tags = {"azd-env-name": "dev", "azd-layer-name": "", "azd-project-name": "fwdctl"}
    more = {"azd-deploy-reason": "down"} if down else {"azd-provision-param-hash": "0123456789abcdef"}
    return {**body, "tags": tags | more}


def _template(recording: Recording) -> dict[str, Any]:
    template = main_template()
    if recording["template"] == "vault":
        template["resources"]["vault"] = _vault_module()
    return template


def _vault_module() -> dict[str, Any]:
    """A key vault in a module, as Bicep compiles it."""
    vault = {
        "type": "Microsoft.KeyVault/vaults",
        "apiVersion": "2025-05-01",
        "name": "[parameters('name')]",
        "location": "westeurope",
        "properties": {
            "sku": {"family": "A", "name": "standard"},
            "tenantId": "[tenant().tenantId]",
            "enableRbacAuthorization": True,
            "softDeleteRetentionInDays": 7,
        },
    }
    inner = {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "parameters": {"name": {"type": "string"}},
        "resources": [vault],
    }
    return {
        "type": _NESTED,
        "apiVersion": "2025-04-01",
        "name": "[format('vault-{0}', uniqueString('vault', deployment().name))]",
        "resourceGroup": "[format('rg-{0}', parameters('environmentName'))]",
        "dependsOn": ["resourceGroup"],
        "properties": {
            "mode": "Incremental",
            "expressionEvaluationOptions": {"scope": "inner"},
            "parameters": {"name": {"value": "[format('kv-{0}', variables('resourceToken'))]"}},
            "template": inner,
        },
    }
