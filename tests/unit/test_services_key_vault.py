from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from support.controlplane import (
    GROUP,
    NETWORK,
    PROVIDERS,
    SUBSCRIPTION,
    TENANT,
    endpoint_body,
    refused,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fwdlab.arm.api import ArmApi

PLACE = {"location": "West Europe"}
VAULT = f"{PROVIDERS}/Microsoft.KeyVault/vaults/kv-one"
KEY_VAULT = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.KeyVault"
DELETED = f"{KEY_VAULT}/locations/westeurope/deletedVaults/kv-one"


def body(**properties: Any) -> dict[str, Any]:
    own = {"sku": {"family": "A", "name": "standard"}, "tenantId": TENANT, "accessPolicies": []}
    return {**PLACE, "tags": {"a": "1"}, "properties": {**own, **properties}}


async def test_a_vault_has_the_services_defaults(empty_api: ArmApi) -> None:
    made = await empty_api.put(VAULT, body(createMode="default"))
    assert made == await empty_api.get(VAULT)
    assert made["properties"] == {
        "sku": {"family": "A", "name": "standard"},
        "tenantId": TENANT,
        "accessPolicies": [],
        "enabledForDeployment": False,
        "enableSoftDelete": True,
        "softDeleteRetentionInDays": 90,
        "vaultUri": "https://kv-one.vault.azure.net/",
        "publicNetworkAccess": "Enabled",
        "provisioningState": "Succeeded",
    }
    assert await empty_api.list(f"{PROVIDERS}/Microsoft.KeyVault/vaults") == [made]
    assert await empty_api.list(f"{KEY_VAULT}/vaults") == [made]
    assert await empty_api.list(f"{KEY_VAULT}/managedHSMs") == []


async def test_a_patch_merges(empty_api: ArmApi) -> None:
    await empty_api.put(VAULT, body(softDeleteRetentionInDays=7))
    patched = await empty_api.patch(
        VAULT, {"properties": {"enableRbacAuthorization": True}, "tags": {"b": "2"}}
    )
    assert patched["properties"]["enableRbacAuthorization"] is True
    assert patched["properties"]["softDeleteRetentionInDays"] == 7
    assert patched["tags"] == {"b": "2"}


@pytest.mark.parametrize(
    "name", ["kv", "1vault", "ends-with-", "double--hyphen", "under_score", "a-name-of-twenty-5-signs-"]
)
async def test_names_that_the_service_refuses(empty_api: ArmApi, name: str) -> None:
    error = await refused(empty_api.put(f"{PROVIDERS}/Microsoft.KeyVault/vaults/{name}", body()))
    assert (error.status, error.code) == (400, "VaultNameNotValid")
    assert name in error.message


@pytest.mark.parametrize(
    ("first", "then", "said"),
    [
        ({}, {"enableSoftDelete": False}, '"enableSoftDelete" can be set to false only'),
        ({"enablePurgeProtection": True}, {"enablePurgeProtection": False}, "irreversible"),
        ({}, {"enablePurgeProtection": False}, "irreversible"),
        ({"softDeleteRetentionInDays": 7}, {"softDeleteRetentionInDays": 8}, "can't be modified"),
        ({}, {"softDeleteRetentionInDays": 6}, "from 7 to 90"),
        ({}, {"softDeleteRetentionInDays": 91}, "from 7 to 90"),
    ],
)
async def test_what_cannot_be_taken_back(
    empty_api: ArmApi, first: dict[str, Any], then: dict[str, Any], said: str
) -> None:
    await empty_api.put(VAULT, body(**first))
    before = await empty_api.get(VAULT)
    error = await refused(empty_api.put(VAULT, body(**then)))
    assert (error.status, error.code) == (400, "BadRequest")
    assert said in error.message
    assert await empty_api.get(VAULT) == before


async def test_what_was_set_stays_when_a_put_leaves_it_out(empty_api: ArmApi) -> None:
    await empty_api.put(VAULT, body(enablePurgeProtection=True, softDeleteRetentionInDays=7))
    again = await empty_api.put(VAULT, body())
    assert again["properties"]["enablePurgeProtection"] is True
    assert again["properties"]["softDeleteRetentionInDays"] == 7


async def delete_vault(api: ArmApi) -> None:
    assert (await api.delete(VAULT)).status == 200


async def delete_group(api: ArmApi) -> None:
    await api.delete(GROUP)
    await api.put(GROUP, PLACE)


@pytest.mark.parametrize("delete", [delete_vault, delete_group])
async def test_a_deleted_vault_waits_for_its_purge(
    empty_api: ArmApi, delete: Callable[[ArmApi], Awaitable[None]]
) -> None:
    await empty_api.put(VAULT, body(softDeleteRetentionInDays=7))
    await delete(empty_api)
    assert not empty_api.found(VAULT)
    deleted = await empty_api.get(DELETED)
    assert deleted["type"] == "Microsoft.KeyVault/deletedVaults"
    properties = deleted["properties"]
    assert properties["vaultId"] == VAULT
    assert properties["location"] == "westeurope"
    assert properties["tags"] == {"a": "1"}
    assert "purgeProtectionEnabled" not in properties
    deletion, purge = (
        datetime.strptime(properties[name], "%Y-%m-%dT%H:%M:%S%z")
        for name in ("deletionDate", "scheduledPurgeDate")
    )
    assert (purge - deletion).days == 7
    assert await empty_api.list(f"{KEY_VAULT}/deletedVaults") == [deleted]

    taken = await refused(empty_api.put(VAULT, body()))
    assert (taken.status, taken.code) == (409, "ConflictError")
    assert "already exists in deleted state" in taken.message

    outcome = await empty_api.post(DELETED, "purge")
    assert outcome.status == 202
    assert outcome.operation is not None
    assert outcome.operation.path.startswith(f"{KEY_VAULT}/locations/westeurope/operationResults/")
    assert outcome.operation.result["status"] == "Succeeded"
    assert await empty_api.list(f"{KEY_VAULT}/deletedVaults") == []
    assert (await refused(empty_api.get(DELETED))).code == "DeletedVaultNotFound"
    assert (await refused(empty_api.post(DELETED, "purge"))).status == 404
    await empty_api.put(VAULT, body())


async def test_purge_protection_holds(empty_api: ArmApi) -> None:
    await empty_api.put(VAULT, body(enablePurgeProtection=True))
    await empty_api.delete(VAULT)
    assert (await empty_api.get(DELETED))["properties"]["purgeProtectionEnabled"] is True
    error = await refused(empty_api.post(DELETED, "purge"))
    assert (error.status, error.code) == (405, "MethodNotAllowed")
    assert error.message == "Operation 'DeletedVaultPurge' is not allowed."
    assert (await refused(empty_api.delete(DELETED))).code == "MethodNotAllowed"


async def test_a_deleted_vault_is_recovered_with_its_secrets(empty_api: ArmApi) -> None:
    made = await empty_api.put(VAULT, body(softDeleteRetentionInDays=7))
    await empty_api.put(f"{VAULT}/secrets/s", {"properties": {"value": "hidden"}})
    await empty_api.delete(VAULT)
    assert not empty_api.found(f"{VAULT}/secrets/s")
    assert await empty_api.put(VAULT, body(createMode="recover")) == made
    assert empty_api.store.require(f"{VAULT}/secrets/s").secrets == {"value": "hidden"}
    assert await empty_api.list(f"{KEY_VAULT}/deletedVaults") == []
    error = await refused(empty_api.put(VAULT, body(createMode="recover")))
    assert (error.status, error.code) == (400, "SoftDeletedVaultDoesNotExist")


async def test_a_name_is_taken_everywhere(empty_api: ArmApi) -> None:
    other = GROUP.replace("rg-test", "rg-other")
    await empty_api.put(other, PLACE)
    elsewhere = VAULT.replace("rg-test", "rg-other")
    await empty_api.put(VAULT, body())
    error = await refused(empty_api.put(elsewhere, body()))
    assert (error.status, error.code) == (409, "VaultAlreadyExists")
    await empty_api.delete(VAULT)
    assert (await refused(empty_api.put(elsewhere, body()))).code == "ConflictError"
    north = {**body(), "location": "northeurope"}
    assert (await refused(empty_api.put(VAULT, north))).code == "VaultAlreadyExists"


def policy(who: str, *secrets: str) -> dict[str, Any]:
    return {"tenantId": TENANT, "objectId": who, "permissions": {"secrets": list(secrets)}}


async def test_access_policies_change_the_vaults_list(empty_api: ArmApi) -> None:
    await empty_api.put(VAULT, body(accessPolicies=[policy("a", "get")]))

    async def change(verb: str, *policies: dict[str, Any]) -> list[dict[str, Any]]:
        sent = {"properties": {"accessPolicies": list(policies)}}
        answer = await empty_api.put(f"{VAULT}/accessPolicies/{verb}", sent)
        listed: list[dict[str, Any]] = (await empty_api.get(VAULT))["properties"]["accessPolicies"]
        assert answer["properties"]["accessPolicies"] == listed
        return listed

    assert await change("add", policy("a", "list"), policy("b", "get")) == [
        policy("a", "get", "list"),
        policy("b", "get"),
    ]
    assert await change("replace", policy("a", "set")) == [policy("a", "set"), policy("b", "get")]
    assert await change("remove", policy("b")) == [policy("a", "set")]
    assert (await refused(change("paint"))).code == "BadRequest"
    for nobodys in ({"tenantId": TENANT, "objectId": "a"}, {**policy("a"), "permissions": None}):
        for verb in ("add", "replace"):
            error = await refused(change(verb, nobodys))
            assert (error.status, error.code) == (400, "LabInvalidAccessPolicy")
            assert "permissions" in str(error)
        assert (await refused(empty_api.put(VAULT, body(accessPolicies=[nobodys])))).status == 400
    assert await change("remove", {"tenantId": TENANT, "objectId": "a"}) == []


async def test_a_secret_is_write_only(empty_api: ArmApi) -> None:
    await empty_api.put(VAULT, body())
    secret = f"{VAULT}/secrets/s"
    made = await empty_api.put(secret, {"properties": {"value": "hidden"}})
    assert "hidden" not in str(made)
    assert made["properties"]["secretUri"] == "https://kv-one.vault.azure.net/secrets/s"
    assert empty_api.store.require(secret).secrets == {"value": "hidden"}


async def test_private_endpoints_are_shown_while_they_exist(api: ArmApi) -> None:
    await api.put(VAULT, body())
    endpoint = endpoint_body(NETWORK)
    entry = endpoint["properties"]["privateLinkServiceConnections"][0]["properties"]
    entry |= {"privateLinkServiceId": VAULT, "groupIds": ["vault"]}
    await api.put(f"{NETWORK}/privateEndpoints/pe-kv", endpoint)
    (connection,) = (await api.get(VAULT))["properties"]["privateEndpointConnections"]
    assert connection["properties"]["privateEndpoint"]["id"] == f"{NETWORK}/privateEndpoints/pe-kv"
    assert connection["properties"]["privateLinkServiceConnectionState"]["status"] == "Approved"
    await api.patch(VAULT, {"tags": {"b": "2"}})
    await api.delete(f"{NETWORK}/privateEndpoints/pe-kv")
    assert "privateEndpointConnections" not in (await api.get(VAULT))["properties"]


async def test_managed_hsms_are_refused_by_name(empty_api: ArmApi) -> None:
    error = await refused(empty_api.put(f"{PROVIDERS}/Microsoft.KeyVault/managedHSMs/hsm", PLACE))
    assert error.code == "LabResourceTypeNotSupported"
    assert "Microsoft.KeyVault/managedHSMs" in error.message
    assert await empty_api.list(f"{KEY_VAULT}/deletedManagedHSMs") == []
