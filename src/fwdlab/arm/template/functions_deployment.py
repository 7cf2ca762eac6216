"""Deployment, scope and resource id functions: those that need the deployment's environment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fwdlab.arm.ids import API_VERSION, GROUP_TYPE
from fwdlab.arm.locations import regions
from fwdlab.arm.template.environment import not_here
from fwdlab.arm.template.registry import Function
from fwdlab.arm.template.scopes import join_id, plain_group_id, resource_id, subscription_resource_id
from fwdlab.arm.template.values import ExpressionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fwdlab.arm.template.environment import Environment
    from fwdlab.arm.template.scopes import Scope

# The identity of the lab's tokens has no directory object; any constant serves role assignments.
_DEPLOYER_OBJECT = "33333333-3333-3333-3333-333333333333"

_PUBLIC_CLOUD: dict[str, Any] = {
    "name": "AzureCloud",
    "portal": "https://portal.azure.com",
    "sqlManagement": "https://management.core.windows.net:8443/",
    "resourceManager": "https://management.azure.com/",
    "authentication": {
        "loginEndpoint": "https://login.microsoftonline.com/",
        "audiences": ["https://management.core.windows.net/", "https://management.azure.com/"],
        "tenant": "common",
        "identityProvider": "AAD",
    },
    "suffixes": {
        "acrLoginServer": ".azurecr.io",
        "azureDatalakeAnalyticsCatalogAndJob": "azuredatalakeanalytics.net",
        "azureDatalakeStoreFileSystem": "azuredatalakestore.net",
        "azureFrontDoorEndpointSuffix": "azurefd.net",
        "keyvaultDns": ".vault.azure.net",
        "sqlServerHostname": ".database.windows.net",
        "storage": "core.windows.net",
    },
}


def _id(name: str, build: Callable[[Scope, list[str]], str]) -> Function:
    def apply(environment: Environment, *arguments: str) -> str:
        try:
            return build(environment.scope, list(arguments))
        except ExpressionError as error:
            raise ExpressionError(
                f"Unable to evaluate template language function '{name}': {error}. "
                f"Please see https://aka.ms/arm-resource-functions/#resourceid for usage details."
            ) from error

    return Function(name, "string string*", apply)


def _extension_resource_id(_: Scope, given: list[str]) -> str:
    if len(given) < 3:  # noqa: PLR2004 - base, type, name
        raise ExpressionError("a resource id, a type and a name are expected")
    return join_id(plain_group_id(given[0].rstrip("/")), given[1], given[2:])


def _subscription(environment: Environment) -> dict[str, Any]:
    subscription = environment.scope.subscription_id
    return {
        "id": f"/subscriptions/{subscription}",
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "subscriptionId": subscription,
        "tenantId": environment.tenant_id,
        "displayName": "fwdctl lab",
        "state": "Enabled",
    }


def _resource_group(environment: Environment) -> dict[str, Any]:
    if not environment.scope.resource_group:
        raise not_here("resourceGroup")
    document = environment.group or {}
    return {
        "id": environment.scope.id,
        "name": environment.scope.resource_group,
        "type": GROUP_TYPE,
        "location": document.get("location", ""),
        "tags": document.get("tags") or {},
        "properties": {"provisioningState": "Succeeded"},
    }


def _tenant(environment: Environment) -> dict[str, Any]:
    tenant = environment.tenant_id
    return {"id": f"/tenants/{tenant}", "tenantId": tenant, "countryCode": "", "displayName": "fwdlab"}


def _deployer(environment: Environment) -> dict[str, Any]:
    return {"objectId": _DEPLOYER_OBJECT, "tenantId": environment.tenant_id, "userPrincipalName": ""}


def _providers(_: Environment, namespace: str, kind: str) -> dict[str, Any]:
    places = [row["displayName"] for row in regions().values()]
    return {"resourceType": f"{namespace}/{kind}", "locations": places, "apiVersions": [API_VERSION]}


FUNCTIONS = (
    Function("providers", "string string", _providers),
    _id("resourceId", resource_id),
    _id("subscriptionResourceId", subscription_resource_id),
    _id("extensionResourceId", _extension_resource_id),
    _id("tenantResourceId", lambda _, given: join_id("", given[0], given[1:])),
    Function("subscription", "", _subscription),
    Function("resourceGroup", "", _resource_group),
    Function("tenant", "", _tenant),
    Function("deployer", "", _deployer),
    Function("environment", "", lambda _: _PUBLIC_CLOUD),
    Function("deployment", "", lambda environment: environment.deployment),
)
TABLE = {function.name.lower(): function for function in FUNCTIONS}
