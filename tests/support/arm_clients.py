"""Clients of a served control plane: plain HTTPS, and Azure's own libraries."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
from azure.core.credentials import AccessToken

from .controlplane import Endpoint, seed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from pathlib import Path


@dataclass
class Reply:
    status: int
    body: Any
    headers: Mapping[str, str]


@dataclass
class Client:
    """Speaks to the endpoint as ARM's clients do."""

    endpoint: Endpoint
    session: aiohttp.ClientSession

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        host: str = "",
        data: Any = None,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        bearer = (
            token
            if token is not None
            else self.endpoint.server.authority.issue(self.endpoint.server.base_url)[0]
        )
        headers = {**(headers or {}), **({"Authorization": f"Bearer {bearer}"} if bearer else {})}
        if host:
            headers["Host"] = host
        url = path if path.startswith("https:") else self.endpoint.server.base_url + path
        options = {"data": data} if data is not None else {"json": body} if body is not None else {}
        async with self.session.request(method, url, headers=headers, **options) as response:
            raw = await response.read()
            is_json = response.content_type == "application/json"
            return Reply(response.status, json.loads(raw) if raw and is_json else raw, response.headers)


@contextlib.asynccontextmanager
async def serving(home: Path) -> AsyncIterator[Client]:
    endpoint = await Endpoint.start(home)
    tls = ssl.create_default_context(cafile=str(endpoint.certificates.bundle))
    try:
        await seed(endpoint.api, endpoint.group)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as session:
            yield Client(endpoint, session)
    finally:
        await endpoint.stop()


def served(home: Path, scene: Callable[[Client], Awaitable[None]]) -> None:
    async def main() -> None:
        async with serving(home) as client:
            await scene(client)

    asyncio.run(main())


class Identity:
    """A credential that az's log-in would give."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        token, ends = self.endpoint.server.authority.issue(self.endpoint.server.base_url)
        return AccessToken(token, ends)


def with_client(home: Path, kind: Any, scene: Callable[[Any, Endpoint], None]) -> None:
    async def main() -> None:
        endpoint = await Endpoint.start(home)
        try:
            await seed(endpoint.api, endpoint.group)
            base = endpoint.server.base_url
            client = kind(
                Identity(endpoint),
                endpoint.api.subscription_id,
                base_url=base,
                credential_scopes=[f"{base}/.default"],
                connection_verify=str(endpoint.certificates.bundle),
                polling_interval=0.05,
            )
            try:
                await asyncio.to_thread(scene, client, endpoint)
            finally:
                client.close()
        finally:
            await endpoint.stop()

    asyncio.run(main())
