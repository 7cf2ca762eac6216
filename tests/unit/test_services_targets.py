"""Services that private endpoints lead to, and what is only a record for diagnostics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support.controlplane import NETWORK, PROVIDERS, endpoint_body, refused

if TYPE_CHECKING:
    from fwdlab.arm.api import ArmApi

PLACE = {"location": "westeurope"}
STORE = f"{PROVIDERS}/Microsoft.Storage/storageAccounts/logs01"
HUBS = f"{PROVIDERS}/Microsoft.EventHub/namespaces/evh-logs"
VAULT = f"{PROVIDERS}/Microsoft.KeyVault/vaults/kv-one"
ENDPOINT = f"{NETWORK}/privateEndpoints/pe-target"
TARGETS = (
    (STORE, {**PLACE, "kind": "StorageV2", "sku": {"name": "Standard_ZRS"}}),
    (HUBS, PLACE),
    (VAULT, {**PLACE, "properties": {"enableRbacAuthorization": True}}),
)

GROUPS = {STORE: "blob", HUBS: "namespace", VAULT: "vault"}


async def connect(api: ArmApi, target: str, body: dict[str, Any], *, manual: bool) -> str:
    """Path of the connection's collection."""
    await api.put(target, body)
    endpoint = endpoint_body(NETWORK, manual=manual)
    collection = "manualPrivateLinkServiceConnections" if manual else "privateLinkServiceConnections"
    endpoint["properties"][collection][0]["properties"] |= {
        "privateLinkServiceId": target,
        "groupIds": [GROUPS[target]],
    }
    await api.put(ENDPOINT, endpoint)
    return f"{target}/privateEndpointConnections"


async def consumer_status(api: ArmApi) -> str:
    properties = (await api.get(ENDPOINT))["properties"]
    (entry,) = [
        *properties["privateLinkServiceConnections"],
        *properties["manualPrivateLinkServiceConnections"],
    ]
    status: str = entry["properties"]["privateLinkServiceConnectionState"]["status"]
    return status


def state_of(connection: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = connection["properties"]["privateLinkServiceConnectionState"]
    return found


@pytest.mark.parametrize(("target", "body"), TARGETS)
async def test_a_connection_is_approved_rejected_and_removed(
    api: ArmApi, target: str, body: dict[str, Any]
) -> None:
    collection = await connect(api, target, body, manual=True)
    (pending,) = await api.list(collection)
    assert (state_of(pending)["status"], state_of(pending)["description"]) == ("Pending", "please")
    assert await consumer_status(api) == "Pending"
    (shown,) = (await api.get(target))["properties"]["privateEndpointConnections"]
    left_out = {"name", "type"} if "/vaults/" in target else set()
    assert shown == {key: value for key, value in pending.items() if key not in left_out}
    assert pending["type"] == (await api.get(target))["type"] + "/privateEndpointConnections"
    # as az sends it: what it has got, with another state
    state_of(pending).update(status="Approved", description="yes")
    assert state_of(await api.put(pending["id"], pending))["status"] == "Approved"
    assert await consumer_status(api) == "Approved"
    loud = {"PROPERTIES": {"privatelinkserviceconnectionstate": {"STATUS": "rejected"}}}
    assert state_of(await api.put(pending["id"], loud)) == {**state_of(pending), "status": "Rejected"}
    assert await consumer_status(api) == "Rejected"
    state_of(pending)["status"] = "Approved"
    assert (await refused(api.put(pending["id"], pending))).code == "LabConnectionIsFinal"
    assert (await api.delete(pending["id"])).status == 200
    assert (await api.delete(pending["id"])).status == 204
    assert await api.list(collection) == []
    assert await consumer_status(api) == "Disconnected"
    assert (await refused(api.get(pending["id"]))).code == "NotFound"


async def test_who_may_write_the_service_is_approved_at_once(api: ArmApi) -> None:
    target, body = TARGETS[0]
    (connection,) = await api.list(await connect(api, target, body, manual=False))
    assert state_of(connection)["status"] == "Approved"
    await api.delete(ENDPOINT)
    assert "privateEndpointConnections" not in (await api.get(target))["properties"]


async def test_diagnostics_go_to_a_storage_account_and_an_event_hub(api: ArmApi) -> None:
    for target, body in TARGETS[:2]:
        await api.put(target, body)
    account = (await api.get(STORE))["properties"]
    assert account["primaryEndpoints"]["blob"] == "https://logs01.blob.core.windows.net/"
    await api.put(STORE, TARGETS[0][1] | {"tags": {"a": "b"}})
    assert (await api.get(STORE))["properties"]["creationTime"] == account["creationTime"]
    assert [one["keyName"] for one in (await api.action(STORE, "listKeys"))["keys"]] == ["key1", "key2"]
    rule = f"{HUBS}/authorizationRules/send"
    await api.put(rule, {"properties": {"rights": ["Send"]}})
    keys = await api.action(rule, "listKeys")
    assert keys["primaryConnectionString"].startswith("Endpoint=sb://evh-logs.servicebus.windows.net/;")
    setting = f"{NETWORK}/networkSecurityGroups/g/providers/Microsoft.Insights/diagnosticSettings/all"
    await api.put(f"{NETWORK}/networkSecurityGroups/g", PLACE)
    sent = {"storageAccountId": STORE, "eventHubAuthorizationRuleId": rule, "logs": [{"enabled": True}]}
    assert (await api.put(setting, {"properties": sent}))["properties"] == sent
    assert len(await api.list(setting.rpartition("/")[0])) == 1


@pytest.mark.parametrize(
    ("target", "code"),
    [(f"{STORE}-Bad", "AccountNameInvalid"), (f"{HUBS[:-8]}x", "BadRequest")],
)
async def test_names_that_the_services_refuse(api: ArmApi, target: str, code: str) -> None:
    assert (await refused(api.put(target, PLACE))).code == code


async def test_network_profiles_are_refused_with_what_to_do(api: ArmApi) -> None:
    profiles = f"{NETWORK}/networkProfiles"
    error = await refused(api.put(f"{profiles}/p", PLACE))
    assert (error.code, "`subnetIds`" in error.message) == ("LabResourceTypeNotSupported", True)
    assert await api.list(profiles) == []


async def test_an_endpoint_says_the_names_of_its_group_unless_a_zone_group_does(api: ArmApi) -> None:
    await connect(api, STORE, TARGETS[0][1], manual=False)
    made = await api.get(ENDPOINT)
    (entry,) = made["properties"]["customDnsConfigs"]
    assert entry["fqdn"] == "logs01.blob.core.windows.net"
    zone = await api.put(
        f"{NETWORK}/privateDnsZones/privatelink.blob.core.windows.net", {"location": "global"}
    )
    config = {"name": "c", "properties": {"privateDnsZoneId": zone["id"]}}
    await api.put(
        f"{ENDPOINT}/privateDnsZoneGroups/default", {"properties": {"privateDnsZoneConfigs": [config]}}
    )
    assert (await api.get(ENDPOINT))["properties"]["customDnsConfigs"] == []
    made["properties"]["privateLinkServiceConnections"][0]["properties"]["groupIds"] = ["vault"]
    error = await refused(api.put(ENDPOINT, made))
    assert (error.code, "blob" in error.message) == ("LabPrivateLinkGroupNotValid", True)
