"""Faults of the service itself: the ARM interface, starting containers, the exec socket."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from fwdlab.arm import clock
from fwdlab.arm.http import Answer

if TYPE_CHECKING:
    from fwdlab.arm.http import ArmRequest
    from fwdlab.arm.server import Interceptor
    from fwdlab.faults.context import Context, Undo

Apply = Callable[["Context"], Awaitable["Undo"]]
SLOW_SECONDS = 1.0
EVERY = 3
"""One request in so many is hit."""


def switch(part: str, **values: Any) -> Apply:
    """Set attributes of `settings`, `deployments` or `exec_faults`, and put them back when healed."""

    async def apply(context: Context) -> Undo:
        owner: object = {
            "settings": context.api.settings,
            "deployments": context.deployments,
            "exec_faults": context.server.sessions.faults,
        }[part]
        before = {name: getattr(owner, name) for name in values}
        for name, value in values.items():
            setattr(owner, name, value)

        async def undo() -> None:
            for name, value in before.items():
                setattr(owner, name, value)

        return undo

    return apply


def _intercept(make: Callable[[], Interceptor]) -> Apply:
    async def apply(context: Context) -> Undo:
        interceptor = make()
        context.server.interceptors.append(interceptor)

        async def undo() -> None:
            context.server.interceptors.remove(interceptor)

        return undo

    return apply


def every_third(status: int, code: str, message: str, **headers: str) -> Apply:
    """Answer one request in three with an error of ARM's own."""

    def make() -> Interceptor:
        numbers = itertools.count(1)

        async def intercept(_request: ArmRequest) -> Answer | None:
            if next(numbers) % EVERY:
                return None
            fields = {name.replace("_", "-"): value for name, value in headers.items()}
            return Answer(status, {"error": {"code": code, "message": message}}, fields)

        return intercept

    return _intercept(make)


async def tokens_expire(context: Context) -> Undo:
    """Every token that is out already counts as expired; clients must ask for a new one."""
    authority = context.server.authority
    # Tokens carry whole seconds: what is issued within this one would be neither old nor new.
    authority.valid_from = int(clock.seconds()) + 1
    await asyncio.sleep(1.1)

    async def undo() -> None:
        authority.valid_from = 0

    return undo


async def _refuse_changes(request: ArmRequest) -> Answer | None:
    if request.method in {"GET", "HEAD"}:
        return None
    message = (
        "The client does not have authorization to perform the action over scope "
        f"'{request.path}' or the scope is invalid."
    )
    return Answer(403, {"error": {"code": "AuthorizationFailed", "message": message}})


async def _delay(_request: ArmRequest) -> Answer | None:
    await asyncio.sleep(SLOW_SECONDS)
    return None


forbidden = _intercept(lambda: _refuse_changes)
slow = _intercept(lambda: _delay)
