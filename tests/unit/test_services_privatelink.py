from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support.controlplane import (
    ABROAD,
    NETWORK,
    PROVIDERS,
    SECOND,
    SUBSCRIPTION,
    balancer_body,
    endpoint_body,
    refused,
)

if TYPE_CHECKING:
    from fwdlab.arm.api import ArmApi

PLS = f"{NETWORK}/privateLinkServices/pls"
PE = f"{NETWORK}/privateEndpoints/pe"


async def connections(api: ArmApi) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await api.get(PLS))["properties"]["privateEndpointConnections"]
    return found


async def endpoint_status(api: ArmApi, endpoint: str = PE) -> str:
    properties = (await api.get(endpoint))["properties"]
    listed = properties["privateLinkServiceConnections"] + properties["manualPrivateLinkServiceConnections"]
    status: str = listed[0]["properties"]["privateLinkServiceConnectionState"]["status"]
    return status


def decide(status: str) -> dict[str, Any]:
    return {"properties": {"privateLinkServiceConnectionState": {"status": status, "description": "d"}}}


async def test_an_endpoint_is_approved_when_its_owner_may_approve(api: ArmApi) -> None:
    entry = (await connections(api))[0]
    assert entry["properties"]["privateEndpoint"]["id"] == PE
    assert entry["properties"]["privateLinkServiceConnectionState"]["status"] == "Approved"
    assert await endpoint_status(api) == "Approved"
    nic = (await api.get(PE))["properties"]["networkInterfaces"][0]["id"]
    configuration = (await api.get(nic))["properties"]["ipConfigurations"][0]["properties"]
    assert configuration["privateIPAddress"] == "10.1.17.4"


@pytest.mark.parametrize(
    ("automatic", "expected"),
    [([], "Pending"), (["*"], "Approved"), ([SUBSCRIPTION.upper()], "Approved"), (["other"], "Pending")],
)
async def test_manual_connections_wait_unless_the_subscription_is_approved(
    api: ArmApi, automatic: list[str], expected: str
) -> None:
    await api.patch(PLS, {"properties": {"autoApproval": {"subscriptions": automatic}}})
    await api.put(f"{PE}2", endpoint_body(NETWORK, manual=True))
    assert await endpoint_status(api, f"{PE}2") == expected
    entry = (await connections(api))[1]["properties"]["privateLinkServiceConnectionState"]
    assert entry["status"] == expected
    assert entry["description"] == ("please" if expected == "Pending" else "Auto Approved")


async def test_an_alias_finds_the_service(api: ArmApi) -> None:
    alias = (await api.get(PLS))["properties"]["alias"]
    assert alias.startswith("pls.")
    assert alias.endswith(".westeurope.azure.privatelinkservice")
    body = endpoint_body(NETWORK, manual=True)
    entry = body["properties"]["manualPrivateLinkServiceConnections"][0]
    entry["properties"]["privateLinkServiceId"] = alias
    await api.put(f"{PE}2", body)
    assert len(await connections(api)) == 2
    entry["properties"]["privateLinkServiceId"] = "no.such.alias"
    assert (await refused(api.put(f"{PE}3", body))).code == "InvalidResourceReference"


async def test_both_sides_show_a_decision(api: ArmApi) -> None:
    connection = (await connections(api))[0]["id"]
    revision = api.store.revision
    await api.put(connection, decide("Pending"))
    assert api.store.revision == revision + 1
    assert await endpoint_status(api) == "Pending"
    await api.put(connection, decide("Approved"))
    assert await endpoint_status(api) == "Approved"
    assert (await refused(api.put(connection, decide("Maybe")))).code == "InvalidRequestFormat"


async def test_a_rejection_is_final(api: ArmApi) -> None:
    connection = (await connections(api))[0]["id"]
    await api.put(connection, decide("Rejected"))
    assert await endpoint_status(api) == "Rejected"
    for state in ("Approved", "Pending"):
        assert (await refused(api.put(connection, decide(state)))).code == "LabConnectionIsFinal"
    await api.put(connection, decide("Rejected"))
    await api.delete(PE)
    await api.put(PE, endpoint_body(NETWORK))
    assert await endpoint_status(api) == "Approved"


FAR = f"/subscriptions/{SECOND}/resourceGroups/rg-far"


async def far_endpoint(api: ArmApi, subscription: str = SECOND, *, manual: bool = True) -> str:
    """An endpoint of another subscription that names the service by its alias."""
    group = f"/subscriptions/{subscription}/resourceGroups/rg-far"
    await api.put(group, {"location": "westeurope"})
    own = f"{group}/providers/Microsoft.Network"
    subnet = {"name": "s", "properties": {"addressPrefix": "10.9.0.0/24"}}
    space = {"addressSpace": {"addressPrefixes": ["10.9.0.0/16"]}, "subnets": [subnet]}
    await api.put(f"{own}/virtualNetworks/far", {"location": "westeurope", "properties": space})
    body = endpoint_body(NETWORK, manual=manual)
    body["properties"]["subnet"] = {"id": f"{own}/virtualNetworks/far/subnets/s"}
    kind = "manualPrivateLinkServiceConnections" if manual else "privateLinkServiceConnections"
    alias = (await api.get(PLS))["properties"]["alias"]
    body["properties"][kind][0]["properties"]["privateLinkServiceId"] = alias
    await api.put(f"{own}/privateEndpoints/far", body)
    return f"{own}/privateEndpoints/far"


@pytest.mark.parametrize(("automatic", "state"), [([SUBSCRIPTION], "Pending"), ([SECOND], "Approved")])
async def test_an_endpoint_of_another_subscription_asks_by_alias(
    api: ArmApi, automatic: list[str], state: str
) -> None:
    await api.patch(PLS, {"properties": {"autoApproval": {"subscriptions": automatic}}})
    endpoint = await far_endpoint(api)
    assert await endpoint_status(api, endpoint) == state
    asking = (await connections(api))[1]
    assert asking["properties"]["privateEndpoint"]["id"] == endpoint
    assert [one["id"] for one in await api.list("/subscriptions/" + SECOND + "/resourceGroups")] == [FAR]
    await api.put(asking["id"], decide("Approved"))
    assert await endpoint_status(api, endpoint) == "Approved"


HIDDEN = "LabPrivateLinkServiceNotVisible"


@pytest.mark.parametrize(
    ("asking", "visible", "code"),
    [
        (SECOND, [SUBSCRIPTION], HIDDEN),
        (SECOND, [SECOND], ""),
        (SECOND, ["*"], ""),
        (SECOND, [], ""),
        (ABROAD, [], HIDDEN),
        (ABROAD, [SECOND], HIDDEN),
        (ABROAD, [ABROAD], ""),
        (ABROAD, ["*"], ""),
    ],
)
async def test_who_sees_a_service(api: ArmApi, asking: str, visible: list[str], code: str) -> None:
    await api.patch(PLS, {"properties": {"visibility": {"subscriptions": visible}}})
    if code:
        assert (await refused(far_endpoint(api, asking))).code == code
    else:
        assert await endpoint_status(api, await far_endpoint(api, asking)) == "Pending"


async def test_another_tenant_has_to_ask(api: ArmApi) -> None:
    await api.patch(PLS, {"properties": {"visibility": {"subscriptions": ["*"]}}})
    assert (await refused(far_endpoint(api, ABROAD, manual=False))).code == "LinkedAuthorizationFailed"
    assert await endpoint_status(api, await far_endpoint(api, SECOND, manual=False)) == "Approved"


async def test_a_removed_connection_leaves_the_endpoint_disconnected_for_good(api: ArmApi) -> None:
    connection = (await connections(api))[0]["id"]
    await api.delete(connection)
    assert await connections(api) == []
    assert await endpoint_status(api) == "Disconnected"
    await api.put(PE, endpoint_body(NETWORK, "10.1.17.4"))
    assert await endpoint_status(api) == "Disconnected"
    assert (await api.delete(connection)).status == 204


async def test_putting_both_again_changes_nothing(api: ArmApi) -> None:
    await api.put((await connections(api))[0]["id"], decide("Rejected"))
    before = api.store.revision
    await api.put(PE, endpoint_body(NETWORK, "10.1.17.4"))
    service = await api.get(PLS)
    service["properties"]["privateEndpointConnections"] = []  # read-only for clients
    await api.put(PLS, service)
    assert api.store.revision == before
    assert await endpoint_status(api) == "Rejected"


async def test_deleting_an_endpoint_takes_connection_and_interface_along(api: ArmApi) -> None:
    nic = (await api.get(PE))["properties"]["networkInterfaces"][0]["id"]
    assert (await refused(api.delete(nic))).code == "NicInUse"
    assert (await refused(api.delete(PLS))).code == "LabPrivateLinkServiceInUse"
    await api.delete(PE)
    assert await connections(api) == []
    assert not api.found(nic)
    await api.delete(PLS)
    kinds = {r.type for r in api.store.list()}
    assert "Microsoft.Network/networkInterfaces" not in kinds


async def test_an_ip_based_pool_carries_no_link_service(api: ArmApi) -> None:
    own = f"{NETWORK}/loadBalancers/ip"
    body = balancer_body(own, {"id": f"{NETWORK}/virtualNetworks/hub/subnets/shared"})
    address = {"name": "s65", "properties": {"ipAddress": "192.168.42.65"}}
    body["properties"]["backendAddressPools"][0]["properties"] = {"loadBalancerBackendAddresses": [address]}
    await api.put(own, body)
    service = await api.get(PLS)
    service["properties"]["loadBalancerFrontendIpConfigurations"] = [
        {"id": f"{own}/frontendIPConfigurations/fe"}
    ]
    error = await refused(api.put(f"{PLS}2", service))
    assert error.code == "PrivateLinkServiceIsNotSupportedForIPBasedLoadBalancer"


async def test_a_basic_load_balancer_carries_no_link_service(api: ArmApi) -> None:
    own = f"{NETWORK}/loadBalancers/basic"
    body = balancer_body(own, {"id": f"{NETWORK}/virtualNetworks/hub/subnets/shared"})
    await api.put(own, {**body, "sku": {"name": "Basic"}})
    service = await api.get(PLS)
    service["properties"]["loadBalancerFrontendIpConfigurations"] = [
        {"id": f"{own}/frontendIPConfigurations/fe"}
    ]
    error = await refused(api.put(f"{PLS}2", service))
    assert error.code == "LabPrivateLinkServiceNeedsStandardLoadBalancer"


async def test_the_subnets_policies_must_be_off(api: ArmApi) -> None:
    service = await api.get(PLS)
    subnet = {"id": f"{NETWORK}/virtualNetworks/spoke/subnets/linked"}
    service["properties"]["ipConfigurations"] = [{"name": "n", "properties": {"subnet": subnet}}]
    error = await refused(api.put(f"{PLS}2", service))
    assert error.code == "PrivateLinkServiceCannotBeCreatedInSubnetThatHasNetworkPoliciesEnabled"


async def test_several_nat_addresses_are_different(api: ArmApi) -> None:
    service = await api.get(PLS)
    first = service["properties"]["ipConfigurations"][0]
    subnet = {"subnet": first["properties"]["subnet"]}
    service["properties"]["ipConfigurations"] = [
        first,
        *({"name": f"n{i}", "properties": dict(subnet)} for i in (1, 2)),
    ]
    made = await api.put(PLS, service)
    assert not [e for e in made["properties"]["ipConfigurations"] if "privateIPAddress" in e["properties"]]
    interface = await api.get(made["properties"]["networkInterfaces"][0]["id"])
    taken = [e["properties"]["privateIPAddress"] for e in interface["properties"]["ipConfigurations"]]
    assert taken == ["10.0.1.8", "10.0.1.9", "10.0.1.10"]
    await api.patch(PLS, {"tags": {"a": "b"}})
    interface = await api.get(interface["id"])
    assert taken == [e["properties"]["privateIPAddress"] for e in interface["properties"]["ipConfigurations"]]


async def test_a_static_nat_address_is_shown(api: ArmApi) -> None:
    service = await api.get(PLS)
    entry = service["properties"]["ipConfigurations"][0]["properties"]
    entry |= {"privateIPAllocationMethod": "Static", "privateIPAddress": "10.0.1.20"}
    made = await api.put(PLS, service)
    assert made["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"] == "10.0.1.20"


async def test_interfaces_of_endpoints_are_read_only(api: ArmApi) -> None:
    for owner in (PE, PLS):
        interface = (await api.get(owner))["properties"]["networkInterfaces"][0]["id"]
        error = await refused(api.put(interface, await api.get(interface)))
        assert error.code == "LabNetworkInterfaceIsReadOnly"


async def test_an_endpoints_address_stays(api: ArmApi) -> None:
    assert (await refused(api.put(PE, endpoint_body(NETWORK, "10.1.17.9")))).code == (
        "LabPrivateEndpointAddressCannotChange"
    )
    await api.put(PE, endpoint_body(NETWORK, "10.1.17.4"))
    await api.put(PE, endpoint_body(NETWORK))


async def test_a_zone_group_fills_the_zone_of_a_key_vault(api: ArmApi) -> None:
    vault = f"{PROVIDERS}/Microsoft.KeyVault/vaults/kv1"
    await api.put(vault, {"location": "westeurope"})
    zone = f"{NETWORK}/privateDnsZones/privatelink.vaultcore.azure.net"
    await api.put(zone, {"location": "global"})
    body = endpoint_body(NETWORK)
    entry = body["properties"]["privateLinkServiceConnections"][0]["properties"]
    entry |= {"privateLinkServiceId": vault, "groupIds": ["vault"]}
    await api.put(f"{PE}-kv", body)
    config = {"name": "c", "properties": {"privateDnsZoneId": zone}}
    group = f"{PE}-kv/privateDnsZoneGroups/default"
    await api.put(group, {"properties": {"privateDnsZoneConfigs": [config]}})
    record = await api.get(f"{zone}/A/kv1")
    assert record["properties"]["aRecords"] == [{"ipv4Address": "10.1.17.5"}]
    await api.delete(group)
    assert not api.found(f"{zone}/A/kv1")


async def test_a_group_that_goes_takes_its_endpoints_connections_along(api: ArmApi) -> None:
    other = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-other"
    await api.put(other, {"location": "westeurope"})
    gone: list[str] = []
    api.group_deleted.append(gone.append)
    await api.put(f"{other}/providers/Microsoft.Network/privateEndpoints/far", endpoint_body(NETWORK))
    assert len(await connections(api)) == 2
    await api.delete(other)
    assert len(await connections(api)) == 1
    assert gone == [other]
    await api.put(other, {"location": "westeurope"})
    await api.put(f"{other}/providers/Microsoft.Network/privateEndpoints/far", endpoint_body(NETWORK))
