"""A template as other people write them: our own small one, with the features of published ones."""

from __future__ import annotations

import asyncio
from typing import Any

from fwdlab.arm.template.request import read_request
from fwdlab.arm.template.routes import DeploymentRoutes
from fwdlab.arm.template.scopes import Scope
from support.controlplane import GROUP, SUBSCRIPTION, new_api

SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
NETWORK = "Microsoft.Network"
TEMPLATE: dict[str, Any] = {
    "$schema": SCHEMA,
    "languageVersion": "2.0",
    "ContentVersion": "1.0.0.0",
    "Parameters": {
        "workspaceId": {"Type": "String", "nullable": True},
        "place": {"type": "string", "DefaultValue": "[resourceGroup().Location]"},
    },
    "Resources": {
        "workspace": {
            "existing": True,
            "condition": "[not(empty(parameters('workspaceId')))]",
            "type": "Microsoft.OperationalInsights/workspaces",
            "apiVersion": "2023-09-01",
            "name": "[last(split(parameters('workspaceId'), '/'))]",
            "resourceGroup": "[split(parameters('workspaceId'), '/')[4]]",
        },
        "guard": {
            "Type": f"{NETWORK}/NetworkSecurityGroups",
            "ApiVersion": "2024-05-01",
            "Name": "guard",
            "Location": "[parameters('place')]",
            "Properties": {
                "SecurityRules": [
                    {
                        "Name": "web",
                        "Properties": {
                            "Priority": "100",
                            "Direction": "inbound",
                            "Access": "allow",
                            "Protocol": "tcp",
                            "SourcePortRange": "*",
                            "DestinationPortRange": 443,
                            "SourceAddressPrefix": "*",
                            "DestinationAddressPrefix": "*",
                        },
                    }
                ]
            },
        },
        "address": {
            "type": f"{NETWORK}/publicIPAddresses",
            "apiVersion": "2024-05-01",
            "name": "address",
            "location": "Brazil South",
            "sku": {"Name": "standard"},
            "properties": {"publicIPAllocationMethod": "static", "dnsSettings": {"domainNameLabel": "web"}},
        },
        "network": {
            "type": f"{NETWORK}/virtualNetworks",
            "apiVersion": "2024-05-01",
            "name": "net",
            "location": "[parameters('place')]",
            "properties": {
                "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
                "subnets": [
                    {
                        "name": "one",
                        "properties": {
                            "addressPrefix": "10.0.0.0/24",
                            "networkSecurityGroup": {
                                "id": "[resourceId('microsoft.network/NETWORKSECURITYGROUPS', 'guard')]"
                            },
                        },
                    }
                ],
            },
            "dependsOn": ["guard"],
        },
        "balancer": {
            "type": f"{NETWORK}/loadBalancers",
            "apiVersion": "2024-05-01",
            "name": "lb",
            "location": "[parameters('place')]",
            "sku": {"name": "Standard"},
            "properties": {
                "frontendIpConfigurations": [
                    {
                        "name": "fe",
                        "properties": {
                            "subnet": {
                                "id": f"[resourceId('{NETWORK}/virtualNetworks/subnets', 'net', 'one')]"
                            }
                        },
                    }
                ],
                "backendAddressPools": [{"name": "pool"}],
                "loadBalancingRules": [
                    {
                        "name": "web",
                        "properties": {
                            "frontendIpConfiguration": {
                                "id": f"[concat(resourceId('{NETWORK}/loadBalancers', 'lb'), "
                                "'/frontendIpConfigurations/fe')]"
                            },
                            "backendAddressPool": {
                                "id": f"[concat(resourceId('{NETWORK}/loadBalancers', 'lb'), "
                                "'/BackendAddressPools/pool')]"
                            },
                            "protocol": "TCP",
                            "frontendPort": "443",
                            "backendPort": "443",
                        },
                    }
                ],
            },
            "dependsOn": ["network"],
        },
    },
    "Outputs": {
        "host": {"type": "string", "value": "[reference('address').DnsSettings.Fqdn]"},
        "rules": {"type": "int", "value": "[length(reference('guard').securityRules)]"},
    },
}


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
