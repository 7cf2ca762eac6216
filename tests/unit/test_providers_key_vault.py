from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from fwdlab.arm.errors import ArmError
from support.controlplane import (
    GROUP,
    NETWORK,
    PROVIDERS,
    SUBSCRIPTION,
    TENANT,
    endpoint_body,
    new_api,
    seed,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from fwdlab.arm.api import ArmApi

PLACE = {"location": "West Europe"}
VAULT = f"{PROVIDERS}/Microsoft.KeyVault/vaults/kv-one"
KEY_VAULT = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.KeyVault"
DELETED = f"{KEY_VAULT}/locations/westeurope/deletedVaults/kv-one"


def body(**properties: Any) -> dict[str, Any]:
    own = {"sku": {"family": "A", "name": "standard"}, "tenantId": TENANT, "accessPolicies": []}
    return {**PLACE, "tags": {"a": "1"}, "properties": {**own, **properties}}


async def refused(work: Coroutine[Any, Any, Any]) -> ArmError:
    with pytest.raises(ArmError) as caught:
        await work
    return caught.value


def scene(play: Callable[[ArmApi], Awaitable[None]]) -> None:
    async def run() -> None:
        api = new_api()
        await api.put(GROUP, PLACE)
        await play(api)

    asyncio.run(run())


def test_a_vault_has_the_services_defaults() -> None:
    async def play(api: ArmApi) -> None:
        made = await api.put(VAULT, body(createMode="default"))
        assert made == await api.get(VAULT)
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
        assert await api.list(f"{PROVIDERS}/Microsoft.KeyVault/vaults") == [made]
        assert await api.list(f"{KEY_VAULT}/vaults") == [made]
        assert await api.list(f"{KEY_VAULT}/managedHSMs") == []

    scene(play)


def test_a_patch_merges() -> None:
    async def play(api: ArmApi) -> None:
        await api.put(VAULT, body(softDeleteRetentionInDays=7))
        patched = await api.patch(
            VAULT, {"properties": {"enableRbacAuthorization": True}, "tags": {"b": "2"}}
        )
        assert patched["properties"]["enableRbacAuthorization"] is True
        assert patched["properties"]["softDeleteRetentionInDays"] == 7
        assert patched["tags"] == {"b": "2"}

    scene(play)


@pytest.mark.parametrize(
    "name", ["kv", "1vault", "ends-with-", "double--hyphen", "under_score", "a-name-of-twenty-5-signs-"]
)
def test_names_that_the_service_refuses(name: str) -> None:
    async def play(api: ArmApi) -> None:
        error = await refused(api.put(f"{PROVIDERS}/Microsoft.KeyVault/vaults/{name}", body()))
        assert (error.status, error.code) == (400, "VaultNameNotValid")
        assert name in error.message

    scene(play)


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
def test_what_cannot_be_taken_back(first: dict[str, Any], then: dict[str, Any], said: str) -> None:
    async def play(api: ArmApi) -> None:
        await api.put(VAULT, body(**first))
        before = await api.get(VAULT)
        error = await refused(api.put(VAULT, body(**then)))
        assert (error.status, error.code) == (400, "BadRequest")
        assert said in error.message
        assert await api.get(VAULT) == before

    scene(play)


def test_what_was_set_stays_when_a_put_leaves_it_out() -> None:
    async def play(api: ArmApi) -> None:
        await api.put(VAULT, body(enablePurgeProtection=True, softDeleteRetentionInDays=7))
        again = await api.put(VAULT, body())
        assert again["properties"]["enablePurgeProtection"] is True
        assert again["properties"]["softDeleteRetentionInDays"] == 7

    scene(play)


async def delete_vault(api: ArmApi) -> None:
    assert (await api.delete(VAULT)).status == 200


async def delete_group(api: ArmApi) -> None:
    await api.delete(GROUP)
    await api.put(GROUP, PLACE)


@pytest.mark.parametrize("delete", [delete_vault, delete_group])
def test_a_deleted_vault_waits_for_its_purge(delete: Callable[[ArmApi], Awaitable[None]]) -> None:
    async def play(api: ArmApi) -> None:
        await api.put(VAULT, body(softDeleteRetentionInDays=7))
        await delete(api)
        assert not api.exists(VAULT)
        deleted = await api.get(DELETED)
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
        assert await api.list(f"{KEY_VAULT}/deletedVaults") == [deleted]

        taken = await refused(api.put(VAULT, body()))
        assert (taken.status, taken.code) == (409, "ConflictError")
        assert "already exists in deleted state" in taken.message

        outcome = await api.post(DELETED, "purge")
        assert outcome.status == 202
        assert outcome.operation is not None
        assert outcome.operation.path.startswith(f"{KEY_VAULT}/locations/westeurope/operationResults/")
        assert outcome.operation.result["status"] == "Succeeded"
        assert await api.list(f"{KEY_VAULT}/deletedVaults") == []
        assert (await refused(api.get(DELETED))).code == "DeletedVaultNotFound"
        assert (await refused(api.post(DELETED, "purge"))).status == 404
        await api.put(VAULT, body())

    scene(play)


def test_purge_protection_holds() -> None:
    async def play(api: ArmApi) -> None:
        await api.put(VAULT, body(enablePurgeProtection=True))
        await api.delete(VAULT)
        assert (await api.get(DELETED))["properties"]["purgeProtectionEnabled"] is True
        error = await refused(api.post(DELETED, "purge"))
        assert (error.status, error.code) == (405, "MethodNotAllowed")
        assert error.message == "Operation 'DeletedVaultPurge' is not allowed."
        assert (await refused(api.delete(DELETED))).code == "MethodNotAllowed"

    scene(play)


def test_a_deleted_vault_is_recovered_with_its_secrets() -> None:
    async def play(api: ArmApi) -> None:
        made = await api.put(VAULT, body(softDeleteRetentionInDays=7))
        await api.put(f"{VAULT}/secrets/s", {"properties": {"value": "hidden"}})
        await api.delete(VAULT)
        assert not api.exists(f"{VAULT}/secrets/s")
        assert await api.put(VAULT, body(createMode="recover")) == made
        assert api.store.require(f"{VAULT}/secrets/s").secrets == {"value": "hidden"}
        assert await api.list(f"{KEY_VAULT}/deletedVaults") == []
        error = await refused(api.put(VAULT, body(createMode="recover")))
        assert (error.status, error.code) == (400, "SoftDeletedVaultDoesNotExist")

    scene(play)


def test_a_name_is_taken_everywhere() -> None:
    async def play(api: ArmApi) -> None:
        other = GROUP.replace("rg-test", "rg-other")
        await api.put(other, PLACE)
        elsewhere = VAULT.replace("rg-test", "rg-other")
        await api.put(VAULT, body())
        error = await refused(api.put(elsewhere, body()))
        assert (error.status, error.code) == (409, "VaultAlreadyExists")
        await api.delete(VAULT)
        assert (await refused(api.put(elsewhere, body()))).code == "ConflictError"
        north = {**body(), "location": "northeurope"}
        assert (await refused(api.put(VAULT, north))).code == "VaultAlreadyExists"

    scene(play)


def policy(who: str, *secrets: str) -> dict[str, Any]:
    return {"tenantId": TENANT, "objectId": who, "permissions": {"secrets": list(secrets)}}


def test_access_policies_change_the_vaults_list() -> None:
    async def play(api: ArmApi) -> None:
        await api.put(VAULT, body(accessPolicies=[policy("a", "get")]))

        async def change(verb: str, *policies: dict[str, Any]) -> list[dict[str, Any]]:
            sent = {"properties": {"accessPolicies": list(policies)}}
            answer = await api.put(f"{VAULT}/accessPolicies/{verb}", sent)
            listed: list[dict[str, Any]] = (await api.get(VAULT))["properties"]["accessPolicies"]
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
            assert (await refused(api.put(VAULT, body(accessPolicies=[nobodys])))).status == 400
        assert await change("remove", {"tenantId": TENANT, "objectId": "a"}) == []

    scene(play)


def test_a_secret_is_write_only() -> None:
    async def play(api: ArmApi) -> None:
        await api.put(VAULT, body())
        secret = f"{VAULT}/secrets/s"
        made = await api.put(secret, {"properties": {"value": "hidden"}})
        assert "hidden" not in str(made)
        assert made["properties"]["secretUri"] == "https://kv-one.vault.azure.net/secrets/s"
        assert api.store.require(secret).secrets == {"value": "hidden"}

    scene(play)


def test_private_endpoints_are_shown_while_they_exist() -> None:
    async def play(api: ArmApi) -> None:
        await seed(api, GROUP)
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

    scene(play)


def test_managed_hsms_are_refused_by_name() -> None:
    async def play(api: ArmApi) -> None:
        error = await refused(api.put(f"{PROVIDERS}/Microsoft.KeyVault/managedHSMs/hsm", PLACE))
        assert error.code == "LabResourceTypeNotSupported"
        assert "Microsoft.KeyVault/managedHSMs" in error.message
        assert await api.list(f"{KEY_VAULT}/deletedManagedHSMs") == []

    scene(play)
