"""Bodies for deployments, and a lab's engine to run them."""

from __future__ import annotations

import asyncio
from typing import Any

from support.deployment_target import (
    GROUP,
    Client,
    MemoryTarget,
)

NET = "Microsoft.Network/virtualNetworks"


def net(name: str, **more: Any) -> dict[str, Any]:
    return {"type": NET, "apiVersion": "2024-05-01", "name": name, **more}


def nested(name: str, inner: dict[str, Any], *, scope: str = "inner", **more: Any) -> dict[str, Any]:
    properties = {"mode": "Incremental", "expressionEvaluationOptions": {"scope": scope}, "template": inner}
    properties |= {"parameters": more.pop("parameters")} if "parameters" in more else {}
    kind = {"type": "Microsoft.Resources/deployments", "apiVersion": "2022-09-01"}
    return {**kind, "name": name, "properties": properties, **more}


def client() -> Client:
    target = MemoryTarget()
    target.seed_group()
    return Client(target)


def deploy(one: Client, body: dict[str, Any], scope: str = GROUP, **values: Any) -> dict[str, Any]:
    return asyncio.run(one.deploy(scope, "main", body, **values))
