"""A template as other people write them: our own small one, with the features of published ones."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from conftest import ROOT
from fwdlab.arm.template.request import read_request
from fwdlab.arm.template.routes import DeploymentRoutes
from fwdlab.arm.template.scopes import Scope
from support.controlplane import GROUP, SUBSCRIPTION, new_api

NETWORK = "Microsoft.Network"
TEMPLATE = json.loads((ROOT / "tests" / "e2e" / "foreign" / "published.json").read_text("utf-8"))


async def deployed() -> dict[str, dict[str, Any]]:
    """Outputs, as `outputs`, and the documents by name."""
    api = new_api()
    await api.put(GROUP, {"location": "West Europe"})
    routes = DeploymentRoutes(api, locations=("westeurope",))
    request = read_request("main", Scope(SUBSCRIPTION, "rg-test"), {"properties": {"template": TEMPLATE}})
    record = routes.engine.start(await routes.engine.prepare(request))
    await asyncio.gather(*routes.engine._tops)
    assert record.state == "Succeeded", record.error
    found = {one.name: await api.get(one.id) for one in api.store.list()}
    await routes.close()
    return {"outputs": record.outputs or {}, **found}


def test_a_template_in_other_casings_deploys_and_loses_nothing() -> None:
    found = asyncio.run(deployed())
    assert found["outputs"]["host"]["value"] == "web.brazilsouth.cloudapp.azure.com"
    assert found["outputs"]["rules"]["value"] == 1
    (rule,) = found["guard"]["properties"]["securityRules"]
    shown = rule["properties"]
    assert (shown["priority"], shown["access"], shown["destinationPortRange"]) == (100, "Allow", "443")
    (subnet,) = found["net"]["properties"]["subnets"]
    group = f"{GROUP}/providers/{NETWORK}/networkSecurityGroups/guard"
    assert subnet["properties"]["networkSecurityGroup"] == {"id": group}
    assert found["guard"]["properties"]["subnets"] == [{"id": subnet["id"]}]
    (balancing,) = found["lb"]["properties"]["loadBalancingRules"]
    own = f"{GROUP}/providers/{NETWORK}/loadBalancers/lb"
    assert balancing["properties"]["frontendIPConfiguration"]["id"] == f"{own}/frontendIPConfigurations/fe"
    assert balancing["properties"]["backendAddressPools"] == [{"id": f"{own}/backendAddressPools/pool"}]
    assert (balancing["properties"]["frontendPort"], balancing["properties"]["protocol"]) == (443, "Tcp")
