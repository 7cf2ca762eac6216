from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fwdlab.model import ProbeHealth
from support.controlplane import NETWORK, balancer_body, refused, vnet

if TYPE_CHECKING:
    from fwdlab.arm.api import ArmApi

PLACE = {"location": "westeurope"}
HUB = f"{NETWORK}/virtualNetworks/hub"
SHARED = {"id": f"{HUB}/subnets/shared"}


def nic(address: str | None = None, *, count: int = 1) -> dict[str, Any]:
    entries: list[dict[str, Any]] = [
        {"name": f"ip{i}", "properties": {"subnet": SHARED}} for i in range(count)
    ]
    if address is not None:
        entries[0]["properties"] |= {"privateIPAllocationMethod": "Static", "privateIPAddress": address}
    return {**PLACE, "properties": {"ipConfigurations": entries}}


def addresses(document: dict[str, Any]) -> list[str]:
    return [e["properties"]["privateIPAddress"] for e in document["properties"]["ipConfigurations"]]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"properties": {}}, "InvalidRequestFormat"),
        (vnet({"a": "10.0.1.0/26"}, "10.0.1.1/24")["properties"], "InvalidCIDRNotation"),
        (vnet({"a": "10.2.0.0/26"}, "10.0.1.0/24")["properties"], "NetcfgInvalidSubnet"),
        (
            vnet({"a": "10.0.1.0/25", "b": "10.0.1.64/26"}, "10.0.1.0/24")["properties"],
            "NetcfgSubnetRangesOverlap",
        ),
        (vnet({"a": "fd00::/64"}, "fd00::/48")["properties"], "LabAddressFamilyNotSupported"),
    ],
)
async def test_bad_networks_are_refused(empty_api: ArmApi, body: dict[str, Any], code: str) -> None:
    wrapped = body if "properties" in body else {"properties": body}
    error = await refused(empty_api.put(HUB, {**PLACE, **wrapped}))
    assert (error.status, error.code) == (400, code)
    assert (await refused(empty_api.check(HUB, {**PLACE, **wrapped}))).code == code


async def test_a_network_without_subnets_in_the_body_keeps_them(api: ArmApi) -> None:
    document = await api.put(
        HUB, {**PLACE, "properties": {"addressSpace": {"addressPrefixes": ["10.0.1.0/24"]}}}
    )
    assert [s["name"] for s in document["properties"]["subnets"]] == ["shared"]


async def test_a_subnet_is_a_resource_of_its_own_and_part_of_its_network(api: ArmApi) -> None:
    made = await api.put(f"{HUB}/subnets/extra", {"properties": {"addressPrefix": "10.0.1.192/26"}})
    assert made["id"] == f"{HUB}/subnets/extra"
    assert made["properties"]["provisioningState"] == "Succeeded"
    listed = await api.list(f"{HUB}/subnets")
    assert [s["name"] for s in listed] == ["shared", "extra"]
    assert f"{HUB}/subnets/extra".lower() not in api.store.snapshot().documents
    assert (await api.delete(f"{HUB}/subnets/EXTRA")).status == 200
    assert (await api.delete(f"{HUB}/subnets/extra")).status == 204


async def test_a_subnet_in_use_stays(api: ArmApi) -> None:
    for work in (
        api.delete(f"{HUB}/subnets/shared"),
        api.delete(HUB),
        api.put(HUB, vnet({}, "10.0.1.0/24")),
    ):
        error = await refused(work)
        assert error.code == "InUseSubnetCannotBeDeleted"
    moved = vnet({"shared": "10.0.1.128/26"}, "10.0.1.0/24")
    assert (await refused(api.put(HUB, moved))).code == "InUsePrefixCannotBeDeleted"
    assert (await api.get(HUB))["properties"]["subnets"][0]["properties"]["addressPrefix"] == "10.0.1.0/26"


@pytest.mark.parametrize("end", ["subnets/none", "virtualNetworkPeerings/shared", ""])
async def test_an_address_needs_a_subnet(api: ArmApi, end: str) -> None:
    await api.put(f"{NETWORK}/networkInterfaces/n", nic())
    body = nic()
    body["properties"]["ipConfigurations"][0]["properties"]["subnet"] = {"id": f"{HUB}/{end}"}
    assert (await refused(api.put(f"{NETWORK}/networkInterfaces/m", body))).code == "InvalidResourceReference"
    body["properties"]["ipConfigurations"][0]["properties"]["subnet"] = {"id": SHARED["id"].lower()}
    assert addresses(await api.put(f"{NETWORK}/networkInterfaces/m", body)) == ["10.0.1.10"]


async def test_a_subnet_refers_to_what_exists(api: ArmApi) -> None:
    missing = {"id": f"{NETWORK}/networkSecurityGroups/none"}
    body = {"properties": {"addressPrefix": "10.0.1.192/26", "networkSecurityGroup": missing}}
    assert (await refused(api.put(f"{HUB}/subnets/x", body))).code == "InvalidResourceReference"


async def test_peerings_follow_each_other(api: ArmApi) -> None:
    corp = f"{NETWORK}/virtualNetworks/corp"
    await api.put(corp, vnet({"s": "192.168.42.0/24"}, "192.168.42.0/24"))
    there, back = f"{HUB}/virtualNetworkPeerings/c", f"{corp}/virtualNetworkPeerings/h"
    revision = api.store.revision
    first = await api.put(there, {"properties": {"remoteVirtualNetwork": {"id": corp}}})
    assert api.store.revision == revision + 1
    assert first["properties"]["peeringState"] == "Initiated"
    second = await api.put(back, {"properties": {"remoteVirtualNetwork": {"id": HUB}}})
    assert second["properties"]["peeringState"] == "Connected"
    assert (await api.get(there))["properties"]["peeringState"] == "Connected"
    await api.delete(back)
    assert (await api.get(there))["properties"]["peeringState"] == "Disconnected"


async def test_networks_that_overlap_are_not_peered(api: ArmApi) -> None:
    twin = f"{NETWORK}/virtualNetworks/twin"
    await api.put(twin, vnet({"s": "10.0.1.0/26"}, "10.0.1.0/24"))
    body = {"properties": {"remoteVirtualNetwork": {"id": twin}}}
    assert (
        await refused(api.put(f"{HUB}/virtualNetworkPeerings/x", body))
    ).code == "VnetAddressSpacesOverlap"


async def test_addresses_are_the_lowest_free_ones(api: ArmApi) -> None:
    taken = addresses(await api.put(f"{NETWORK}/networkInterfaces/n1", nic(count=3)))
    assert taken == ["10.0.1.9", "10.0.1.10", "10.0.1.11"]
    again = addresses(await api.put(f"{NETWORK}/networkInterfaces/n1", nic(count=3)))
    assert again == taken
    await api.delete(f"{NETWORK}/networkInterfaces/n1")
    assert addresses(await api.put(f"{NETWORK}/networkInterfaces/n2", nic())) == ["10.0.1.9"]


async def test_a_static_address_beside_dynamic_ones_is_not_given_twice(api: ArmApi) -> None:
    body = nic(count=2)
    body["properties"]["ipConfigurations"][1]["properties"] |= {
        "privateIPAllocationMethod": "Static",
        "privateIPAddress": "10.0.1.9",
    }
    assert addresses(await api.put(f"{NETWORK}/networkInterfaces/n", body)) == ["10.0.1.10", "10.0.1.9"]


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("10.0.1.4", "PrivateIPAddressIsAllocated"),
        ("10.0.1.3", "PrivateIPAddressInReservedRange"),
        ("10.0.1.63", "PrivateIPAddressInReservedRange"),
        ("10.0.1.64", "PrivateIPAddressNotInSubnet"),
        ("ten", "InvalidIPAddressFormat"),
    ],
)
async def test_static_addresses_that_cannot_be(api: ArmApi, address: str, code: str) -> None:
    error = await refused(api.put(f"{NETWORK}/networkInterfaces/n", nic(address)))
    assert (error.status, error.code) == (400, code)
    assert not api.found(f"{NETWORK}/networkInterfaces/n")


async def test_a_full_subnet_is_full(api: ArmApi) -> None:
    await api.put(f"{HUB}/subnets/tiny", {"properties": {"addressPrefix": "10.0.1.192/29"}})
    body = nic(count=4)
    for entry in body["properties"]["ipConfigurations"]:
        entry["properties"]["subnet"] = {"id": f"{HUB}/subnets/tiny"}
    assert (await refused(api.put(f"{NETWORK}/networkInterfaces/n", body))).code == "SubnetIsFull"
    del body["properties"]["ipConfigurations"][3]
    made = await api.put(f"{NETWORK}/networkInterfaces/n", body)
    assert addresses(made) == ["10.0.1.196", "10.0.1.197", "10.0.1.198"]


async def test_a_load_balancer_shows_who_refers_to_what(api: ArmApi) -> None:
    shown = (await api.get(f"{NETWORK}/loadBalancers/lb"))["properties"]
    assert shown["frontendIPConfigurations"][0]["properties"]["privateIPAddress"] == "10.0.1.4"
    assert len(shown["backendAddressPools"][0]["properties"]["backendIPConfigurations"]) == 3
    rule = f"{NETWORK}/loadBalancers/lb/loadBalancingRules/web"
    assert shown["probes"][0]["properties"]["loadBalancingRules"] == [{"id": rule}]
    assert (await api.get(rule))["properties"]["idleTimeoutInMinutes"] == 4


@pytest.mark.parametrize("sent", ["backendAddressPool", "backendAddressPools"])
async def test_a_rule_names_its_pool_twice_however_it_was_sent(
    api: ArmApi, sent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = f"{NETWORK}/loadBalancers/lb/loadBalancingRules/web"
    pool = {"id": f"{NETWORK}/loadBalancers/lb/backendAddressPools/forwarders"}
    document = await api.get(rule)
    for name in ("backendAddressPool", "backendAddressPools"):
        document["properties"].pop(name)
    document["properties"][sent] = pool if sent == "backendAddressPool" else [pool]
    made = (await api.put(rule, document))["properties"]
    assert (made["backendAddressPool"], made["backendAddressPools"]) == (pool, [pool])
    shown = (await api.get(f"{NETWORK}/loadBalancers/lb"))["properties"]["backendAddressPools"][0]
    assert shown["properties"]["loadBalancingRules"] == [{"id": rule}]
    verdict = ProbeHealth(f"{NETWORK}/loadBalancers/lb", "web", "10.0.1.5", "Up", "")
    monkeypatch.setattr(api.world.data_plane, "verdicts", (verdict,))
    health = (await api.post(rule, "health")).operation
    assert health is not None
    assert health.result["up"] == 1
    document["properties"][sent] = {"id": "none"} if sent == "backendAddressPool" else [{"id": "none"}]
    assert (await refused(api.put(rule, document))).code == "InvalidResourceReference"


async def test_load_balancers_that_cannot_be(api: ArmApi) -> None:
    own = f"{NETWORK}/loadBalancers/x"
    dangling = balancer_body(own, SHARED)
    dangling["properties"]["loadBalancingRules"][0]["properties"]["probe"] = {"id": f"{own}/probes/none"}
    assert (await refused(api.put(own, dangling))).code == "InvalidResourceReference"
    twice = balancer_body(own, SHARED)
    rule = twice["properties"]["loadBalancingRules"][0]
    twice["properties"]["loadBalancingRules"].append({**rule, "name": "again"})
    error = await refused(api.put(own, twice))
    assert error.code == "RulesUseSameFrontendPortProtocolAndIPConfig"
    high = balancer_body(own, SHARED)
    high["properties"]["loadBalancingRules"][0]["properties"] |= {"frontendPort": 65535, "backendPort": 65535}
    assert (await refused(api.put(own, high))).code == "InvalidRequestFormat"
    pathless = balancer_body(own, SHARED)
    del pathless["properties"]["probes"][0]["properties"]["requestPath"]
    assert (await refused(api.put(own, pathless))).code == "ProbeRequestPathIsMissing"


async def test_security_rules_are_checked_and_azures_own_are_added(api: ArmApi) -> None:
    group = f"{NETWORK}/networkSecurityGroups/nsg"
    made = await api.put(group, PLACE)
    assert len(made["properties"]["defaultSecurityRules"]) == 6
    rule = {"priority": 100, "direction": "Inbound", "access": "Deny", "protocol": "Tcp"}
    await api.put(f"{group}/securityRules/a", {"properties": rule})
    error = await refused(api.put(f"{group}/securityRules/b", {"properties": rule}))
    assert error.code == "SecurityRuleConflict"
    bad = {"properties": {**rule, "priority": 99}}
    assert (await refused(api.put(f"{group}/securityRules/c", bad))).code == "SecurityRuleInvalidPriority"
    await api.put(
        f"{HUB}/subnets/shared",
        {
            "properties": {
                "addressPrefix": "10.0.1.0/26",
                "privateLinkServiceNetworkPolicies": "Disabled",
                "networkSecurityGroup": {"id": group},
            }
        },
    )
    assert (await refused(api.delete(group))).code == "InUseNetworkSecurityGroupCannotBeDeleted"


@pytest.mark.parametrize(
    ("kind", "code", "user", "told"),
    [
        ("routeTables", "InUseRouteTableCannotBeDeleted", "routeTable", False),
        ("networkSecurityGroups", "InUseNetworkSecurityGroupCannotBeDeleted", "networkSecurityGroup", True),
        ("natGateways", "InUseNatGatewayCannotBeDeleted", "natGateway", True),
        ("networkSecurityGroups", "InUseNetworkSecurityGroupCannotBeDeleted", "interface", True),
        ("publicIPAddresses", "PublicIPAddressCannotBeDeleted", "gateway", True),
        ("publicIPAddresses", "PublicIPAddressCannotBeDeleted", "configuration", True),
        ("publicIPAddresses", "PublicIPAddressCannotBeDeleted", "frontend", True),
    ],
)
async def test_what_others_refer_to_is_not_deleted(
    api: ArmApi, kind: str, code: str, user: str, *, told: bool
) -> None:
    used = f"{NETWORK}/{kind}/used"
    await api.put(used, PLACE)
    reference, subnet = {"id": used}, {"id": f"{HUB}/subnets/s"}
    users = {
        "interface": ("networkInterfaces", [{"subnet": subnet}], {"networkSecurityGroup": reference}),
        "configuration": ("networkInterfaces", [{"subnet": subnet, "publicIPAddress": reference}], {}),
        "gateway": ("natGateways", [], {"publicIpAddresses": [reference]}),
        "frontend": ("loadBalancers", [], {}),
    }
    await api.put(subnet["id"], {"properties": {"addressPrefix": "10.0.1.192/26"}})
    if user in users:
        holder, configurations, properties = users[user]
        who = f"{NETWORK}/{holder}/user"
        entries = [{"name": "c", "properties": each} for each in configurations]
        if user == "frontend":
            frontend = {"name": "f", "properties": {"publicIPAddress": reference}}
            properties = {"frontendIPConfigurations": [frontend]}
        more = {"ipConfigurations": entries} if entries else {}
        await api.put(who, {**PLACE, "properties": {**properties, **more}})
    else:
        who = subnet["id"]
        await api.put(who, {"properties": {"addressPrefix": "10.0.1.192/26", user: reference}})
    error = await refused(api.delete(used))
    assert (error.status, error.code) == (400, code)
    assert (who in error.message) is told
    if user in users:
        await api.delete(who)
    else:
        await api.put(who, {"properties": {"addressPrefix": "10.0.1.192/26"}})
    await api.delete(used)
    assert api.found(used) is None


async def test_public_addresses_are_documentation_addresses_and_stay(api: ArmApi) -> None:
    one = await api.put(f"{NETWORK}/publicIPAddresses/one", PLACE)
    two = await api.put(f"{NETWORK}/publicIPAddresses/two", PLACE)
    assert one["properties"]["ipAddress"] == "203.0.113.1"
    assert two["properties"]["ipAddress"] == "203.0.113.2"
    again = await api.put(f"{NETWORK}/publicIPAddresses/two", {**PLACE, "tags": {"a": "b"}})
    assert again["properties"]["ipAddress"] == "203.0.113.2"


async def test_zones_count_their_records_and_links(api: ArmApi) -> None:
    zone = f"{NETWORK}/privateDnsZones/corp.internal"
    link = f"{zone}/virtualNetworkLinks/l"
    spoke = {"id": f"{NETWORK}/virtualNetworks/spoke"}
    made = await api.put(link, {"location": "global", "properties": {"virtualNetwork": spoke}})
    assert made["properties"]["virtualNetworkLinkState"] == "Completed"
    shown = (await api.get(zone))["properties"]
    assert (shown["numberOfRecordSets"], shown["numberOfVirtualNetworkLinks"]) == (2, 1)
    assert (await refused(api.delete(zone))).code == "CannotDeleteResource"
    body = {"location": "global", "properties": {"virtualNetwork": spoke}}
    assert (await refused(api.put(f"{zone}/virtualNetworkLinks/m", body))).status == 409
    names = [r["name"] for r in (await api.read(f"{zone}/ALL"))["value"]]
    assert names == ["onprem-server", "@"]
    await api.delete(link)
    assert (await api.delete(zone)).status == 200
    assert not api.found(f"{zone}/A/onprem-server")


async def test_records_are_checked(api: ArmApi) -> None:
    zone = f"{NETWORK}/privateDnsZones/corp.internal"
    made = await api.put(f"{zone}/A/x", {"properties": {"ttl": 5, "aRecords": [{"ipv4Address": "10.0.0.1"}]}})
    assert made["properties"]["fqdn"] == "x.corp.internal."
    bad = {"properties": {"aRecords": [{"ipv4Address": "10.0.0.256"}]}}
    assert (await refused(api.put(f"{zone}/A/x", bad))).code == "BadRequest"
    lost = f"{NETWORK}/privateDnsZones/other.internal/A/x"
    assert (await refused(api.put(lost, {"properties": {}}))).code == "ParentResourceNotFound"


async def test_what_is_derived_is_not_stored_when_it_comes_back(api: ArmApi) -> None:
    balancer = f"{NETWORK}/loadBalancers/lb"
    revision = api.store.revision
    await api.put(balancer, await api.get(balancer))
    assert api.store.revision == revision
    gateway = f"{NETWORK}/natGateways/nat"
    await api.put(gateway, PLACE)
    prefix = {"addressPrefix": "10.0.1.192/26", "natGateway": {"id": gateway}}
    await api.put(f"{HUB}/subnets/out", {"properties": prefix})
    shown = await api.get(gateway)
    assert shown["properties"]["subnets"] == [{"id": f"{HUB}/subnets/out"}]
    await api.put(gateway, shown)
    await api.delete(f"{HUB}/subnets/out")
    assert "subnets" not in (await api.get(gateway))["properties"]


async def test_a_label_gives_a_public_address_a_name(empty_api: ArmApi) -> None:
    path = f"{NETWORK}/publicIPAddresses/p"
    body = {**PLACE, "properties": {"dnsSettings": {"domainNameLabel": "web"}}}
    made = await empty_api.put(path, body)
    assert made["properties"]["dnsSettings"]["fqdn"] == "web.westeurope.cloudapp.azure.com"
    assert (await refused(empty_api.put(f"{path}2", body))).code == "DnsRecordInUse"
    assert await empty_api.put(path, body)


@pytest.mark.parametrize(("first", "second"), [("A", "CNAME"), ("CNAME", "A"), ("TXT", "CNAME")])
async def test_an_alias_stands_alone(api: ArmApi, first: str, second: str) -> None:
    values: dict[str, dict[str, Any]] = {
        "A": {"aRecords": [{"ipv4Address": "10.0.0.1"}]},
        "CNAME": {"cnameRecord": {"cname": "other.corp.internal"}},
        "TXT": {"txtRecords": [{"value": ["x"]}]},
    }
    zone = f"{NETWORK}/privateDnsZones/corp.internal"
    await api.put(f"{zone}/{first}/www", {"properties": values[first]})
    error = await refused(api.put(f"{zone}/{second}/www", {"properties": values[second]}))
    assert (error.status, error.code) == (409, "Conflict")
    await api.put(f"{zone}/{first}/www", {"properties": values[first]})


@pytest.mark.parametrize("ports", ["http", "1-2-3", "70000", "-1", "", "1 - 2"])
async def test_ports_of_rules_are_numbers(empty_api: ArmApi, ports: str) -> None:
    rule = {"access": "Allow", "direction": "Inbound", "protocol": "*", "priority": 100}
    for name, value in (("destinationPortRange", ports), ("sourcePortRanges", ["80", ports])):
        body = {"name": "r", "properties": {**rule, name: value}}
        put = empty_api.put(
            f"{NETWORK}/networkSecurityGroups/g", {**PLACE, "properties": {"securityRules": [body]}}
        )
        assert (await refused(put)).code == "SecurityRuleInvalidPortRange"


async def test_what_is_referred_to_is_shown_whole_when_asked_for(api: ArmApi) -> None:
    address, interface = f"{NETWORK}/publicIPAddresses/p", f"{NETWORK}/networkInterfaces/n"
    group = f"{NETWORK}/networkSecurityGroups/g"
    await api.put(address, {**PLACE, "properties": {}})
    await api.put(group, {**PLACE, "properties": {}})
    body = nic()
    body["properties"]["networkSecurityGroup"] = {"id": group}
    body["properties"]["ipConfigurations"][0]["properties"]["publicIPAddress"] = {"id": address}
    await api.put(interface, body)
    plain, whole = await api.get(interface), await api.get(interface, "networkSecurityGroup")
    assert plain["properties"]["networkSecurityGroup"] == {"id": group}
    assert "defaultSecurityRules" in whole["properties"]["networkSecurityGroup"]["properties"]
    shown = await api.get(group, "NetworkInterfaces,subnets/ipConfigurations")
    assert shown["properties"]["networkInterfaces"][0]["name"] == "n"
    assert "subnets" not in shown["properties"]
    assert (await api.get(address))["properties"]["ipConfiguration"][
        "id"
    ] == f"{interface}/ipConfigurations/ip0"
    user = (await api.get(address, "ipConfiguration"))["properties"]["ipConfiguration"]
    assert user["properties"]["publicIPAddress"] == {"id": address}
