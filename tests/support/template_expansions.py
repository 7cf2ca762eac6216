"""Expansions of templates for a resource group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fwdlab.arm.errors import ArmError
from fwdlab.arm.template.expand import Host, expand
from fwdlab.arm.template.request import read_request
from fwdlab.arm.template.scopes import Scope
from support.deployment_target import SUBSCRIPTION, SUBSCRIPTION_SCHEMA, template

if TYPE_CHECKING:
    from fwdlab.arm.template.expansion import Expansion


NET = "Microsoft.Network/virtualNetworks"

IN_GROUP = Scope(SUBSCRIPTION, "rg")


def expanded(
    resources: Any, scope: Scope = IN_GROUP, values: dict[str, Any] | None = None, **sections: Any
) -> Expansion:
    if not scope.resource_group:
        sections["schema"] = SUBSCRIPTION_SCHEMA
    parameters = {name: {"value": value} for name, value in (values or {}).items()}
    body = {"properties": {"template": template(resources, **sections), "parameters": parameters}}
    host = Host("tenant", {"location": "westeurope"}, lambda: "a-guid")
    return expand(read_request("main", scope, body), host)


def net(name: str, **more: Any) -> dict[str, Any]:
    return {"type": NET, "apiVersion": "2024-05-01", "name": name, **more}


def refused(resources: Any, **more: Any) -> str:
    with pytest.raises(ArmError) as caught:
        expanded(resources, **more)
    assert caught.value.status == 400
    assert caught.value.code == "InvalidTemplate"
    return caught.value.message
