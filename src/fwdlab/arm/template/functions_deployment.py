"""Deployment, scope and resource id functions: those that look at the environment but ask nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fwdlab.arm.template.registry import a_string
from fwdlab.arm.template.scopes import join_id, plain_group_id, resource_id, subscription_resource_id
from fwdlab.arm.template.values import ExpressionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fwdlab.arm.template.environment import Environment

# The identity of the lab's tokens has no directory object; any constant serves role assignments.
_DEPLOYER_OBJECT = "33333333-3333-3333-3333-333333333333"

PUBLIC_CLOUD: dict[str, Any] = {
    "name": "AzureCloud",
    "gallery": "https://gallery.azure.com/",
    "graph": "https://graph.windows.net/",
    "portal": "https://portal.azure.com",
    "graphAudience": "https://graph.windows.net/",
    "activeDirectoryDataLake": "https://datalake.azure.net/",
    "batch": "https://batch.core.windows.net/",
    "media": "https://rest.media.azure.net",
    "sqlManagement": "https://management.core.windows.net:8443/",
    "vmImageAliasDoc": (
        "https://raw.githubusercontent.com/Azure/azure-rest-api-specs/master/arm-compute/quickstart-templates/"
        "aliases.json"
    ),
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


def _strings(name: str, arguments: list[Any]) -> list[str]:
    return [a_string(name, argument) for argument in arguments]


def _id(name: str, arguments: list[Any], build: Callable[[list[str]], str]) -> str:
    try:
        return build(_strings(name, arguments))
    except ExpressionError as error:
        raise ExpressionError(
            f"Unable to evaluate template language function '{name}': {error}. "
            f"Please see https://aka.ms/arm-resource-functions/#resourceid for usage details."
        ) from error


def _resource_id(environment: Environment, arguments: list[Any]) -> str:
    return _id("resourceId", arguments, lambda given: resource_id(environment.scope, given))


def _subscription_resource_id(environment: Environment, arguments: list[Any]) -> str:
    return _id(
        "subscriptionResourceId", arguments, lambda given: subscription_resource_id(environment.scope, given)
    )


def _extension_resource_id(_: Environment, arguments: list[Any]) -> str:
    def build(given: list[str]) -> str:
        if len(given) < 3:  # noqa: PLR2004 - base, type, name
            raise ExpressionError("a resource id, a type and a name are expected")
        return join_id(plain_group_id(given[0].rstrip("/")), given[1], given[2:])

    return _id("extensionResourceId", arguments, build)


def _tenant_resource_id(_: Environment, arguments: list[Any]) -> str:
    def build(given: list[str]) -> str:
        if not given:
            raise ExpressionError("a type and a name are expected")
        return join_id("", given[0], given[1:])

    return _id("tenantResourceId", arguments, build)


def _subscription(environment: Environment, _: list[Any]) -> dict[str, Any]:
    subscription = environment.scope.subscription_id
    return {
        "id": f"/subscriptions/{subscription}",
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "subscriptionId": subscription,
        "tenantId": environment.tenant_id,
        "displayName": "fwdlab",
        "state": "Enabled",
    }


def _resource_group(environment: Environment, _: list[Any]) -> dict[str, Any]:
    if not environment.scope.resource_group:
        raise not_here("resourceGroup")
    document = environment.group or {}
    return {
        "id": environment.scope.id,
        "name": environment.scope.resource_group,
        "type": "Microsoft.Resources/resourceGroups",
        "location": document.get("location", ""),
        "tags": document.get("tags") or {},
        "properties": {"provisioningState": "Succeeded"},
    }


def _tenant(environment: Environment, _: list[Any]) -> dict[str, Any]:
    return {
        "id": f"/tenants/{environment.tenant_id}",
        "tenantId": environment.tenant_id,
        "countryCode": "",
        "displayName": "fwdlab",
    }


def _deployer(environment: Environment, _: list[Any]) -> dict[str, Any]:
    return {
        "objectId": _DEPLOYER_OBJECT,
        "tenantId": environment.tenant_id,
        "userPrincipalName": "",
    }


def _not_supported(name: str) -> Callable[[Environment, list[Any]], Any]:
    def refuse(_: Environment, __: list[Any]) -> Any:
        raise ExpressionError(f"The template function '{name}' is not supported by the lab.")

    return refuse


def not_here(name: str) -> ExpressionError:
    """The error for a function that is not allowed where it stands."""
    return ExpressionError(
        f"The template function '{name}' is not expected at this location. "
        f"Please see https://aka.ms/arm-functions for usage details."
    )


TABLE: dict[str, Callable[[Environment, list[Any]], Any]] = {
    "resourceid": _resource_id,
    "subscriptionresourceid": _subscription_resource_id,
    "extensionresourceid": _extension_resource_id,
    "tenantresourceid": _tenant_resource_id,
    "subscription": _subscription,
    "resourcegroup": _resource_group,
    "tenant": _tenant,
    "deployer": _deployer,
    "environment": lambda _, __: PUBLIC_CLOUD,
    "deployment": lambda environment, _: environment.deployment,
    "providers": _not_supported("providers"),
    "roledefinitions": _not_supported("roleDefinitions"),
    "managementgroup": _not_supported("managementGroup"),
    "managementgroupresourceid": _not_supported("managementGroupResourceId"),
}
