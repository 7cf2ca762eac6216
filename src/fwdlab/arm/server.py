"""The HTTPS listener: tokens, log, interceptors, and the way from a request to the control plane."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import os
import socket
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl, quote

from aiohttp import web

from fwdlab.arm import jsonc
from fwdlab.arm.auth import Authority
from fwdlab.arm.directory import Directory
from fwdlab.arm.errors import ArmError
from fwdlab.arm.exec import ExecSessions
from fwdlab.arm.http import Answer, ArmRequest
from fwdlab.arm.ids import parse_path
from fwdlab.arm.operations import Operation, Outcome, status_document
from fwdlab.arm.writes import Writes
from fwdlab.errors import LabError

if TYPE_CHECKING:
    from fwdlab.arm.api import ArmApi
    from fwdlab.arm.log import RequestLog
    from fwdlab.clients.certs import Certificates
    from fwdlab.clients.credentials import Credentials

Interceptor = Callable[[ArmRequest], Awaitable["Answer | None"]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
ControlHandler = Callable[[ArmRequest], Awaitable[Answer]]
_LOGGER = logging.getLogger(__name__)
_BODY_LIMIT = 16 * 1024 * 1024
_CHANGES = {"PUT", "PATCH", "POST", "DELETE"}
_LOOK_SECONDS = 0.5
_QUICK = 256 * 1024
"""Bytes of a body that is read at once; what is no strict JSON takes up to a second for each megabyte."""
_OPERATION_VERSION = "2018-06-01"


class Routes(Protocol):
    async def handle(self, request: ArmRequest) -> Answer | None: ...


class Server:
    """The lab's endpoint.

    Args:
        api: the control plane.
        credentials: whose tokens are valid.
        certificates: of the listener.
        log: told every request.

    Attributes:
        interceptors: asked in order before anything else answers an authenticated ARM request; the first
            answer counts. Faults live here.
        routes: asked next, in order; deployments live here.
        authority: issues and checks tokens.
        sessions: exec sessions and their faults.
    """

    authority: Authority
    sessions: ExecSessions

    def __init__(
        self, api: ArmApi, credentials: Credentials, certificates: Certificates, log: RequestLog
    ) -> None:
        self.api = api
        self.credentials = credentials
        self.log = log
        self.interceptors: list[Interceptor] = []
        self.routes: list[Routes] = []
        self.port = 0
        self._certificates = certificates
        self.writes = Writes(api)
        self._directory = Directory(api)
        self._control: dict[tuple[str, str], ControlHandler] = {}
        self._runner: web.AppRunner | None = None

    @property
    def base_url(self) -> str:
        """Where it listens, e.g. `https://127.0.0.1:41873`."""
        return f"https://127.0.0.1:{self.port}"

    def add_control_route(self, method: str, path: str, handler: ControlHandler) -> None:
        """Add a private route, e.g. `GET /lab/status`; callers need the control token."""
        if not path.startswith("/lab/"):
            raise ValueError(f"control routes start with /lab/, not {path}")
        self._control[(method.upper(), path)] = handler

    async def start(self, port: int = 0) -> None:
        """Listen on 127.0.0.1.

        Raises:
            LabError: `lab_port_taken`.
        """
        try:
            listener = socket.create_server(("127.0.0.1", port))
        except OSError as error:
            raise LabError(
                "lab_port_taken",
                f"Port {port} of 127.0.0.1 is not free: {os.strerror(error.errno or 0)}.",
                "Choose another with `--port`.",
            ) from error
        self.port = int(listener.getsockname()[1])
        self.authority = Authority(self.credentials, self.base_url)
        self.sessions = ExecSessions(self.api, self.base_url.replace("https", "wss", 1))
        self._runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.SockSite(self._runner, listener, ssl_context=self._certificates.server_context()).start()

    async def stop(self) -> None:
        if self._runner is None:
            return
        served = self._runner.server
        transports = [connection.transport for connection in served.connections] if served is not None else []
        await self._runner.cleanup()
        for transport in transports:  # do not wait for a client to say goodbye in TLS
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()
        await asyncio.sleep(0)

    def _application(self) -> web.Application:
        app = web.Application(client_max_size=_BODY_LIMIT, middlewares=[self._observe])
        app.router.add_get("/metadata/endpoints", self._metadata)
        app.router.add_get("/adfs/.well-known/openid-configuration", self._openid)
        app.router.add_post("/adfs/oauth2/token", _answering_errors(self._client_token))
        app.router.add_post("/azd/token", _answering_errors(self._azd_token))
        app.router.add_get("/exec/{session}", self.sessions.serve)
        app.router.add_route("*", "/lab/{rest:.*}", _answering_errors(self._private))
        app.router.add_route("*", "/{rest:.*}", _answering_errors(self._arm))
        return app

    @web.middleware
    async def _observe(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Log every request and give ARM's correlation headers."""
        started = time.perf_counter()
        status = 500
        try:
            response = await handler(request)
            status = response.status
            if not response.prepared:
                _correlate(request, response)
        except web.HTTPException as error:
            status = error.status
            raise
        finally:
            self.log.request(
                method=request.method,
                path=request.path,
                query=request.query_string,
                status=status,
                seconds=time.perf_counter() - started,
            )
        return response

    async def _metadata(self, request: web.Request) -> web.Response:
        document = self.authority.cloud_metadata()
        old = request.query.get("api-version", "9999") < "2022"
        return web.json_response([document] if old else document)

    async def _openid(self, _request: web.Request) -> web.Response:
        return web.json_response(self.authority.openid_configuration())

    async def _client_token(self, request: web.Request) -> web.Response:
        form = dict(parse_qsl((await _content(request)).decode(errors="replace")))
        status, body = self.authority.client_token(form)
        return web.json_response(body, status=status)

    async def _azd_token(self, request: web.Request) -> web.Response:
        body = None
        with contextlib.suppress(ValueError):
            body = json.loads(await _content(request))
        status, answer = self.authority.azd_token(request.headers.get("Authorization"), body)
        return web.json_response(answer, status=status)

    async def _private(self, request: web.Request) -> web.Response:
        if not self.authority.is_control(request.headers.get("Authorization")):
            raise ArmError(401, "Unauthorized", "The control token is missing or wrong.")
        handler = self._control.get((request.method, request.path))
        if handler is None:
            raise ArmError(404, "NotFound", f"{request.method} {request.path}")
        try:
            return _response(await _while_connected(request, handler(await _read(request))))
        except LabError as error:
            text = {"code": error.code, "message": error.message, "suggestion": error.suggestion}
            return _response(Answer(409, {"error": text}))

    async def _arm(self, request: web.Request) -> web.Response:
        tenant = self.authority.check(request.headers.get("Authorization"))
        read = await _read(request)
        path = self.api.world.spelling.of(read.path)
        self._check_tenant(path, tenant)
        return _response(await self._answer(replace(read, path=path, tenant=tenant)))

    def _check_tenant(self, path: str, tenant: str) -> None:
        """A token is good for the subscriptions of its own tenant only."""
        parts = path.split("/")
        owner = self.api.world.tenant_of(parts[2]) if parts[1:2] == ["subscriptions"] and parts[2:] else None
        if owner is not None and owner.tenant_id != tenant:
            raise self.authority.wrong_tenant(tenant, owner.tenant_id)

    async def _answer(self, request: ArmRequest) -> Answer:
        for answering in (*self.interceptors, *(route.handle for route in self.routes)):
            answer = await answering(request)
            if answer is not None:
                return answer
        polled = self.api.operations.find(request.path)
        if polled is not None:
            return _poll_answer(polled, request)
        found = self._directory.handle(request)
        if found is not None:
            return found
        answer = await self._resource(request)
        if request.method in _CHANGES:
            await self.api.settle()
        return answer

    async def _resource(self, request: ArmRequest) -> Answer:
        method, path = request.method, request.path.rstrip("/")
        named = parse_path(path)
        if method in {"GET", "HEAD"}:
            body = self.writes.deleting(path) or await self.api.read(path, request.query.get("$expand", ""))
            return _with_etag(200, self.writes.shown(body)) if method == "GET" else Answer(204)
        if named is None:
            raise ArmError(404, "NotFound", f"The path '{path}' was not found.")
        if method == "POST" and named.kind == "below":
            if named.word.lower() == "exec":
                return Answer(200, self.sessions.open(named.resource, request.body))
            outcome = await self.writes.post(request, named.resource.text, named.word)
            return _outcome_answer(outcome, request)
        if named.kind == "resource":
            writes = {"PUT": self.writes.put, "PATCH": self.writes.patch, "DELETE": self.writes.delete}
            if method in writes:
                return _outcome_answer(await writes[method](request), request)
        raise ArmError(405, "MethodNotAllowed", f"The lab has no {method} on '{path}'.")


def _answering_errors(handler: Handler) -> Handler:
    """Turn what a handler raises into ARM's answer; aiohttp's own errors, e.g. 413, stay what they are."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPRequestEntityTooLarge:
            refusal = f"The request content is larger than the maximum of {_BODY_LIMIT} bytes."
            return _response(_answer(ArmError(413, "RequestContentTooLarge", refusal)))
        except web.HTTPException:
            raise
        except ArmError as error:
            return _response(_answer(error))
        except Exception:
            _LOGGER.exception("%s %s", request.method, request.path)
            failed = ArmError(500, "InternalServerError", "The lab failed; its log says why.")
            return _response(_answer(failed))

    return answer


async def _while_connected(request: web.Request, work: Awaitable[Answer]) -> Answer:
    """Do the work of a private route, and give up when the command that asked has gone."""
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait({task}, timeout=_LOOK_SECONDS))[0]:
            if request.transport is None:
                break
    finally:
        task.cancel()  # no effect on what is done
    return await task


async def _content(request: web.Request) -> bytes:
    try:
        return await request.read()
    except web.RequestPayloadError as error:  # not compressed as its header says
        raise _unreadable(error) from None


def _unreadable(error: Exception) -> ArmError:
    refusal = f"The request content was invalid and could not be deserialized: {error}"
    return ArmError(400, "InvalidRequestContent", refusal)


async def _read(request: web.Request) -> ArmRequest:
    raw = await _content(request)
    try:
        text = raw.decode()
        quick = len(raw) <= _QUICK
        body = None
        if text.strip():
            body = jsonc.loads(text) if quick else await asyncio.to_thread(jsonc.loads, text)
    except ValueError as error:
        raise _unreadable(error) from None
    return ArmRequest(
        method=request.method,
        path=request.path,
        query={name.lower(): value for name, value in request.query.items()},
        body=body,
        base_url=f"https://{request.host}",
        headers={name.lower(): value for name, value in request.headers.items()},
    )


def _outcome_answer(outcome: Outcome, request: ArmRequest) -> Answer:
    operation, answer = outcome.operation, _with_etag(outcome.status, outcome.body)
    if operation is None:
        return answer
    return replace(answer, headers={**answer.headers, **_polling(operation, request)})


def _polling(operation: Operation, request: ArmRequest) -> dict[str, str]:
    """Where to ask how an operation goes, and when."""
    name = "Azure-AsyncOperation" if operation.kind == "async" else "Location"
    headers = {name: _poll_url(operation.path, request), **_retry(operation)}
    if operation.results:
        headers["Location"] = _poll_url(operation.results, request)
    return headers


def _with_etag(status: int, body: Any) -> Answer:
    etag = body.get("etag") if isinstance(body, dict) else None
    return Answer(status, body, {"ETag": etag} if isinstance(etag, str) else {})


def _poll_answer(operation: Operation, request: ArmRequest) -> Answer:
    goes_on = {} if operation.done else _polling(operation, request)
    if operation.kind == "async" and request.path.rstrip("/").lower() == operation.path.lower():
        # With an address for its result, an operation that goes on is 202 here too, as recorded by az.
        if operation.results:
            return Answer(202 if goes_on else 200, status_document(operation), goes_on)
        return Answer(200, status_document(operation), _retry(operation))
    if not operation.done:
        return Answer(202, None, goes_on)
    if operation.error is not None:
        return _answer(operation.error)
    return Answer(200, operation.result)


def _poll_url(path: str, request: ArmRequest) -> str:
    version = quote(request.query.get("api-version", _OPERATION_VERSION), safe="")
    return f"{request.base_url}{path}?api-version={version}"


def _retry(operation: Operation) -> dict[str, str]:
    """`Retry-After` only while there is something to wait for: clients ask for a finished one at once."""
    seconds = operation.retry_after
    if operation.done or seconds is None:
        return {}
    if seconds < 1:  # the header has whole seconds only; Azure's clients know this one too
        return {"x-ms-retry-after-ms": str(math.ceil(seconds * 1000))}
    return {"Retry-After": str(math.ceil(seconds))}


def _answer(error: ArmError) -> Answer:
    return Answer(error.status, error.body(), error.headers)


def _response(answer: Answer) -> web.Response:
    if answer.body is None:
        return web.Response(status=answer.status, headers=dict(answer.headers))
    return web.Response(
        status=answer.status,
        text=json.dumps(answer.body, ensure_ascii=False),
        content_type="application/json",
        headers=dict(answer.headers),
    )


def _correlate(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["x-ms-request-id"] = str(uuid.uuid4())
    for name in ("x-ms-client-request-id", "x-ms-correlation-request-id"):
        if name in request.headers:
            response.headers[name] = request.headers[name]
    response.headers.setdefault("x-ms-correlation-request-id", response.headers["x-ms-request-id"])
