"""Key vaults as networks see them: their names in public DNS, and TLS at their private endpoints."""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp import web

from fwdlab.fabric.wanted import Record, VaultEndpoint, numbered
from fwdlab.model import METADATA_ADDRESS

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable

    from fwdlab.fabric.wanted import Network
    from fwdlab.nodes.node import Node

Document = dict[str, Any]
TYPE = "microsoft.keyvault/vaults"
ADDRESS = METADATA_ADDRESS
"""Of the fabric's own namespace, where each endpoint is answered on a port of its own."""
PUBLIC_ADDRESS = "203.0.113.10"
"""What public DNS gives for every vault; nothing answers there, as there is no internet (RFC 5737)."""
_TTL = 60
_STRANGE = {"error": {"code": "LabNotThisVault", "message": "This endpoint leads to another vault."}}
_UNAUTHORIZED = {"error": {"code": "Unauthorized", "message": "Request is missing a Bearer or PoP token."}}


def endpoints(seen: Iterable[tuple[str, Network, str, Document]]) -> tuple[VaultEndpoint, ...]:
    """From key of the endpoint, network that reaches it, its address, and the vault behind it."""
    found = {f"{key}@{network.id}": (network, address, vault) for key, network, address, vault in seen}
    ports = numbered(found, first=32768, last=65535)
    return tuple(
        VaultEndpoint(network.number, address, _name(vault), _tenant(vault), ports[key])
        for key, (network, address, vault) in sorted(found.items())
    )


def _name(vault: Document) -> str:
    return str(vault["name"]).lower()


def _tenant(vault: Document) -> str:
    return str(vault.get("properties", {}).get("tenantId", ""))


def public_names(vaults: Iterable[Document], connected: Iterable[VaultEndpoint]) -> tuple[Record, ...]:
    """What public DNS says of vaults; of those that are connected, by way of their private zone's name.

    The alias is there as long as a private endpoint is approved (key-vault/general/private-link-diagnostics);
    those of Azure's regions behind it are left out.
    """
    aliased, found = {each.vault for each in connected}, []
    for vault in map(_name, vaults):
        name, private = f"{vault}.vault.azure.net", f"{vault}.privatelink.vaultcore.azure.net"
        if vault in aliased:
            found.append(Record(name, "CNAME", _TTL, (private,)))
        found.append(Record(private if vault in aliased else name, "A", _TTL, (PUBLIC_ADDRESS,)))
    return tuple(found)


class VaultServer:
    """Answers HTTPS for each endpoint as a vault does whose client has no token; there are no secrets."""

    def __init__(self, node: Node, tls: ssl.SSLContext) -> None:
        self._node, self._tls = node, tls
        self._open: dict[VaultEndpoint, asyncio.Server] = {}

    async def follow(self, endpoints: Iterable[VaultEndpoint]) -> None:
        """Answer for these from now on.

        Raises:
            OSError: when a socket cannot be made.
        """
        wanted = set(endpoints)
        for endpoint in self._open.keys() - wanted:
            self._open.pop(endpoint).close()
        for endpoint in wanted - self._open.keys():
            listener = await self._node.socket(
                socket.SOCK_STREAM, ADDRESS, endpoint.port, mark=endpoint.network, listen=True
            )
            server = web.Server(partial(self._serve, endpoint), access_log=None)
            loop = asyncio.get_running_loop()
            self._open[endpoint] = await loop.create_server(server, sock=listener, ssl=self._tls)

    async def _serve(self, endpoint: VaultEndpoint, request: web.BaseRequest) -> web.StreamResponse:
        """As recorded from the service (azure-sdk-for-js, keyvault); the health: private-link-diagnostics."""
        headers = {"x-ms-keyvault-network-info": f"addr={request.remote};act_addr_fam=InterNetworkV6;"}
        if request.path == "/healthstatus":
            return _json(200, None, headers)
        if request.host.partition(":")[0].lower() != f"{endpoint.vault}.vault.azure.net":
            return _json(404, _STRANGE, headers)
        issuer = f"https://login.microsoftonline.com/{endpoint.tenant}"
        demand = f'Bearer authorization="{issuer}", resource="https://vault.azure.net"'
        return _json(401, _UNAUTHORIZED, {**headers, "WWW-Authenticate": demand})

    def close(self) -> None:
        for server in self._open.values():
            server.close()
        self._open.clear()


def _json(status: int, body: Any, headers: dict[str, str]) -> web.Response:
    return web.json_response(body, status=status, headers=headers)
