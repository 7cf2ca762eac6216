"""Requests as azd makes them for a deployment."""

from __future__ import annotations

from typing import Any

from support.deployment_target import (
    AT_SUBSCRIPTION,
    SUBSCRIPTION_SCHEMA,
    Client,
    MemoryTarget,
    deployment_id,
    request_body,
    template,
    until,
)

NET = "Microsoft.Network/virtualNetworks"

TAGS = {"azd-env-name": "t1", "azd-layer-name": "", "azd-project-name": "lab-check"}

MAIN = deployment_id(AT_SUBSCRIPTION, "t1-1795242741")


def client(**options: Any) -> Client:
    target = MemoryTarget()
    target.seed_group()
    return Client(target, **options)


def net(name: str, **more: Any) -> dict[str, Any]:
    return {"type": NET, "apiVersion": "2024-05-01", "name": name, **more}


def azd_template() -> dict[str, Any]:
    """A group and a module in it, compiled the way Bicep does for azd's projects."""
    nested_parameters = {"location": {"value": "[parameters('location')]"}}
    inner = template(
        [net("vnet1", location="[parameters('location')]")], parameters={"location": {"type": "string"}}
    )
    return template(
        [
            {
                "type": "Microsoft.Resources/resourceGroups",
                "apiVersion": "2024-03-01",
                "name": "[variables('rgName')]",
                "location": "[parameters('location')]",
                "tags": {"azd-env-name": "[parameters('environmentName')]"},
            },
            {
                "type": "Microsoft.Resources/deployments",
                "apiVersion": "2022-09-01",
                "name": "main-nested",
                "resourceGroup": "[variables('rgName')]",
                "properties": {
                    "expressionEvaluationOptions": {"scope": "inner"},
                    "mode": "Incremental",
                    "parameters": nested_parameters,
                    "template": inner,
                },
                "dependsOn": [
                    "[subscriptionResourceId('Microsoft.Resources/resourceGroups', variables('rgName'))]"
                ],
            },
        ],
        schema=SUBSCRIPTION_SCHEMA,
        parameters={
            "environmentName": {"type": "string", "minLength": 1},
            "location": {"type": "string"},
            "forwards": {"type": "array", "defaultValue": []},
            "secret": {"type": "securestring", "defaultValue": ""},
        },
        variables={"rgName": "[format('rg-{0}', parameters('environmentName'))]"},
        outputs={
            "RESOURCE_GROUP": {"type": "string", "value": "[parameters('environmentName')]"},
            "BIGINT": {"type": "int", "value": 1500000},
            "OBJ": {"type": "object", "value": {"b": 1, "a": "x"}},
            "fwd": {"type": "array", "value": "[parameters('forwards')]"},
        },
    )


def azd_body(**values: Any) -> dict[str, Any]:
    values = {"environmentName": "t1", "location": "westeurope", "secret": "s3cret"} | values
    return request_body(AT_SUBSCRIPTION, azd_template(), values) | {"tags": TAGS}


async def finish(one: Client, deployment: str = MAIN) -> None:
    await until(lambda: not one.routes.records.get(deployment).active)
