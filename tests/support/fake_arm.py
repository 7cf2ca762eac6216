"""A small ARM endpoint on plain HTTP that knows what it was told and rejects everything else."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from fwdctl.azure.clients import Clients
from fwdctl.azure.credential import Login
from fwdctl.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SUBSCRIPTION = "11111111-1111-1111-1111-111111111111"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-dev"
CONTAINERS = f"{GROUP}/providers/Microsoft.ContainerInstance/containerGroups"
NETWORK = f"{GROUP}/providers/Microsoft.Network"

Reply = tuple[int, Any, dict[str, str]]


@dataclass
class FakeArm:
    """Routes by (method, path): a list of replies, the last of which stays; or a function of the body."""

    url: str = ""
    routes: dict[tuple[str, str], list[Reply] | Callable[[Any], Reply]] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    agents: list[str] = field(default_factory=list)
    unexpected: list[tuple[str, str]] = field(default_factory=list)
    any_call: bool = False
    token: Callable[[str | None], tuple[str, float]] = lambda _: ("secret-token", 9e9)

    def on(self, method: str, path: str, *replies: Reply | Any) -> None:
        """Answer with documents, or with (status, body, headers)."""
        full = [reply if isinstance(reply, tuple) else (200, reply, {}) for reply in replies]
        self.routes[method, path.lower()] = full

    def fail(
        self, method: str, path: str, status: int, code: str, message: str = "words", **headers: str
    ) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.on(method, path, (status, {"error": {"code": code, "message": message}}, named))

    def login(self) -> Login:
        return Login(SUBSCRIPTION, self.url, self.token, active=SUBSCRIPTION)

    def client(self, **options: Any) -> Clients:
        options.setdefault("sleep", lambda _: None)
        return Clients(self.login(), Runtime(environ={}, **options))

    def reply(self, method: str, path: str, body: Any) -> Reply:
        self.calls.append((method, path))
        route = self.routes.get((method, path.lower()))
        if route is None:
            self.unexpected.append((method, path))
            return 404, {"error": {"code": "UnexpectedCall", "message": f"{method} {path}"}}, {}
        if callable(route):
            return route(body)
        return route.pop(0) if len(route) > 1 else route[0]


class _Handler(BaseHTTPRequestHandler):
    fake: FakeArm

    def _answer(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else None
        self.fake.tokens.append(self.headers.get("Authorization", ""))
        self.fake.agents.append(self.headers.get("User-Agent", ""))
        status, document, headers = self.fake.reply(self.command, self.path.partition("?")[0], body)
        data = b"" if document is None else json.dumps(document).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(data)))
        with suppress(ConnectionError):  # whoever asked does not wait any more
            self.end_headers()
            self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 - the base class's names

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@contextmanager
def fake_arm(name: str = "127.0.0.1") -> Iterator[FakeArm]:
    """Run it under a name of this machine; at the end no unexpected call may have been made."""
    fake = FakeArm()
    fake.on("GET", f"{GROUP}/resources", {"value": []})
    fake.on(
        "GET", f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Network/privateDnsZones", {"value": []}
    )
    handler = type("Handler", (_Handler,), {"fake": fake})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    fake.url = f"http://{name}:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
    assert fake.any_call or fake.unexpected == []


def container_group(name: str, state: str = "Running", **properties: Any) -> dict[str, Any]:
    """A container group's document; `state` empty leaves the instance view out, as a list does."""
    view = {"instanceView": {"state": state, "events": []}} if state else {}
    return {
        "id": f"{CONTAINERS}/{name}",
        "name": name,
        "properties": {
            "provisioningState": "Succeeded",
            "containers": [{"name": "jump", "properties": {"image": "image:1"}}],
            "ipAddress": {"ip": "10.0.1.70"},
            **view,
            **properties,
        },
    }
