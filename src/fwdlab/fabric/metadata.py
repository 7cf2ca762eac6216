"""The instance metadata service at 169.254.169.254 (virtual-machines/instance-metadata-service).

As with DNS, each network's questions go to a port of its own; network and source address tell who asks.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp import web

from fwdlab.arm.ids import ResourceId, reference_id
from fwdlab.model import METADATA_ADDRESS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fwdlab.fabric.wanted import Interface
    from fwdlab.model import NodeSpec, Snapshot
    from fwdlab.nodes.node import Node

Document = dict[str, Any]
Machines = dict[tuple[int, str], Document]
"""What a machine is told, by the number of its network and its address."""

MOST_A_SECOND = 5
"""Requests of one machine; more are answered 429 (instance-metadata-service, rate limiting)."""
NEWEST = ("2021-12-13", "2021-11-15", "2021-11-01")
_OLDEST = "2017-03-01"
_SINCE = {"userData": "2021-01-01"}


class RefusedError(Exception):
    """What the service answers instead: HTTP status and document."""

    def __init__(self, status: int, error: str, **more: Any) -> None:
        super().__init__(error)
        self.status, self.document = status, {"error": error, **more}


def machines(snapshot: Snapshot, interfaces: Iterable[Interface]) -> Machines:
    """The documents of all machines, as `/metadata/instance` answers them."""
    specs = {spec.name: spec for spec in snapshot.nodes if spec.kind == "machine"}
    of_machines = [one for one in interfaces if one.node in specs]
    return {
        (interface.network, interface.address): {
            "compute": _compute(specs[interface.node], snapshot.documents),
            "network": {"interface": [_network(one) for one in of_machines if one.node == interface.node]},
        }
        for interface in of_machines
    }


def _compute(spec: NodeSpec, documents: Mapping[str, Document]) -> Document:
    document = documents.get(spec.resource_id.lower(), {})
    known, properties = ResourceId.parse(spec.resource_id), document.get("properties", {})
    size = document.get("sku", {}).get("name") or properties.get("hardwareProfile", {}).get("vmSize", "")
    tags = document.get("tags") or {}
    scale_set = reference_id(properties.get("virtualMachineScaleSet")).rpartition("/")[2]
    return {
        "azEnvironment": "AzurePublicCloud",
        "location": document.get("location", ""),
        "name": document.get("name", spec.name),
        "osType": "Linux",
        "resourceGroupName": known.group,
        "resourceId": spec.resource_id,
        "subscriptionId": known.subscription,
        "tags": ";".join(f"{name}:{value}" for name, value in sorted(tags.items())),
        "tagsList": [{"name": name, "value": value} for name, value in sorted(tags.items())],
        "userData": spec.user_data,
        "vmId": properties.get("vmId", ""),
        "vmScaleSetName": known.parent.name if known.parent is not None else scale_set,
        "vmSize": size,
        "zone": next(iter(document.get("zones") or []), ""),
    }


def _network(interface: Interface) -> Document:
    subnet = ipaddress.ip_network(f"{interface.address}/{interface.prefix_length}", strict=False)
    address = {"privateIpAddress": interface.address, "publicIpAddress": ""}
    prefix = {"address": str(subnet.network_address), "prefix": str(subnet.prefixlen)}
    return {
        "ipv4": {"ipAddress": [address], "subnet": [prefix]},
        "ipv6": {"ipAddress": []},
        "macAddress": interface.mac.replace(":", "").upper(),
    }


def answer(document: Document | None, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Any:
    """A text, or what is written as JSON, for the machine of that document; None is no machine.

    Raises:
        RefusedError: as the service refuses.
    """
    if headers.get("Metadata", "").lower() != "true":
        raise RefusedError(400, "Bad request. Required metadata header not specified")
    if "X-Forwarded-For" in headers:
        raise RefusedError(400, "Bad request. Request must not contain X-Forwarded-For header")
    words = path.strip("/").split("/")
    if document is None or words[:2] != ["metadata", "instance"]:
        raise RefusedError(404, "Not found")
    version = query.get("api-version", "")
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", version) or not _OLDEST <= version <= NEWEST[0]:
        refusal = "Bad request. api-version is invalid or was not specified in the request."
        raise RefusedError(400, refusal, **{"newest-versions": list(NEWEST)})
    found: Any = document
    for word in words[2:]:
        found = _child(found, word, version)
    if query.get("format", "json") == "text":
        return _as_text(found)
    if isinstance(found, str):
        # A leaf is answered as text only (instance-metadata-service, data format); the words are the lab's.
        raise RefusedError(400, "Bad request. A value has no format but text: add format=text")
    return found


def _child(value: Any, word: str, version: str) -> Any:
    """What is called so below a value, compared without case; the items of a list are called by number."""
    items = dict(enumerate(value)) if isinstance(value, list) else value if isinstance(value, dict) else {}
    for name, child in items.items():
        if str(name).lower() == word.lower() and version >= _SINCE.get(str(name), ""):
            return child
    raise RefusedError(404, "Not found")


def _as_text(value: Any) -> str:
    """A leaf as it is; of anything else the names below it, a line each."""
    if isinstance(value, str):
        return value
    names = range(len(value)) if isinstance(value, list) else value
    return "\n".join(str(name) for name in names)


class Limit:
    """How often each machine may ask: so many requests within any second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._answered: dict[tuple[int, str], deque[float]] = {}

    def admits(self, machine: tuple[int, str]) -> bool:
        """Whether a request of now is answered; one that is not does not count."""
        now, answered = self._clock(), self._answered.setdefault(machine, deque(maxlen=MOST_A_SECOND))
        if len(answered) == MOST_A_SECOND and now - answered[0] < 1:
            return False
        answered.append(now)
        return True


class MetadataServer:
    """One listener for each network, in the fabric's namespace."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._limit = Limit()
        self._machines: Machines = {}
        self._open: dict[int, asyncio.Server] = {}

    async def follow(self, networks: Iterable[int], known: Machines) -> None:
        """Answer for these machines from now on.

        Raises:
            OSError: when a socket cannot be made.
        """
        self._machines = known
        wanted = set(networks)
        for number in self._open.keys() - wanted:
            self._open.pop(number).close()
        for number in wanted - self._open.keys():
            listener = await self._node.socket(
                socket.SOCK_STREAM, METADATA_ADDRESS, number, mark=number, listen=True
            )
            server = web.Server(partial(self._serve, number), access_log=None)
            self._open[number] = await asyncio.get_running_loop().create_server(server, sock=listener)

    async def _serve(self, number: int, request: web.BaseRequest) -> web.StreamResponse:
        if request.method != "GET":
            return web.json_response({"error": "Method not allowed"}, status=405)
        machine = (number, request.remote or "")
        if not self._limit.admits(machine):
            return web.json_response({"error": "Too many requests"}, status=429, headers={"Retry-After": "1"})
        document = self._machines.get(machine)
        try:
            found = answer(document, request.path, request.query, request.headers)
        except RefusedError as refusal:
            return web.json_response(refusal.document, status=refusal.status)
        return web.Response(text=found) if isinstance(found, str) else web.json_response(found)

    def close(self) -> None:
        for server in self._open.values():
            server.close()
        self._open.clear()
