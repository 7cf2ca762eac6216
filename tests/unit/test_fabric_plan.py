"""ARM documents to the wanted network."""

from __future__ import annotations

import copy
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from fwdlab.fabric.plan import plan
from fwdlab.fabric.ruleset import compile_rules
from fwdlab.fabric.wanted import Fabric, Side, numbered
from fwdlab.model import ProbeHealth, Snapshot
from support.seed_topology import CORP, HUB, LB, NETWORK, POOL, SERVICE, documents, node, snapshot


def up(*addresses: str) -> dict[tuple[str, str, str], ProbeHealth]:
    return {
        (LB.lower(), "probe", address): ProbeHealth(LB, "probe", address, "Up", "Up_Probe_Success")
        for address in addresses
    }


def with_change(change: Any) -> Fabric:
    first = snapshot()
    changed = copy.deepcopy(first.documents)
    change(changed)
    return plan(replace(first, documents=changed), up("10.0.1.6"))


def by_id(fabric: Fabric) -> dict[str, Any]:
    return {network.id.rsplit("/", 1)[-1]: network for network in fabric.networks}


def test_networks_reach_only_their_peers() -> None:
    networks = by_id(plan(snapshot((1, 1)), {}))
    assert networks["vnet-hub"].reaches == (networks["vnet-corp"].number,)
    assert networks["vnet-corp"].reaches == (networks["vnet-hub"].number,)
    assert networks["vnet-spoke1"].reaches == networks["vnet-spoke2"].reaches == ()
    assert networks["vnet-hub"].space == ("10.0.1.0/24", "192.168.42.0/24")


@pytest.mark.parametrize("state", ["Initiated", "Disconnected"])
def test_half_a_peering_connects_nothing(state: str) -> None:
    def change(changed: dict[str, Any]) -> None:
        peering = changed[HUB.lower()]["properties"]["virtualNetworkPeerings"][0]
        peering["properties"]["peeringState"] = state

    networks = by_id(with_change(change))
    assert networks["vnet-hub"].reaches == networks["vnet-corp"].reaches == ()


def test_numbers_stay_when_something_is_added() -> None:
    few, many = plan(snapshot((1,)), {}), plan(snapshot((1, 2, 3, 4)), {})
    assert set(few.networks) <= set(many.networks)
    assert set(few.interfaces) <= set(many.interfaces)
    assert set(few.connections) <= set(many.connections)


def test_numbers_never_collide() -> None:
    numbers = numbered([f"key{n}" for n in range(200)], first=1, last=200)
    assert sorted(numbers.values()) == list(range(1, 201))


def test_interface_of_a_node() -> None:
    (interface,) = (i for i in plan(snapshot(), {}).interfaces if i.node == "fwd000000")
    assert (interface.address, interface.prefix_length, interface.gateway) == ("10.0.1.6", 26, "10.0.1.1")
    assert len(interface.device) <= 15
    assert interface.forwards is False


def test_node_without_subnet_is_named() -> None:
    lost = node("lost", f"{HUB}/subnets/none", "10.0.1.7")
    fabric = plan(Snapshot(1, documents(), (lost,)), {})
    assert fabric.interfaces == ()
    assert any("lost" in warning and "subnets/none" in warning for warning in fabric.warnings)


def test_only_healthy_members_get_flows() -> None:
    (balance,) = plan(snapshot(), up("10.0.1.6", "10.0.1.8")).balances
    assert balance.members == ("10.0.1.6", "10.0.1.7", "10.0.1.8")
    assert balance.healthy == ("10.0.1.6", "10.0.1.8")
    (none,) = plan(snapshot(), {}).balances
    assert none.healthy == ()


def test_rule_without_probe_uses_every_member() -> None:
    def change(changed: dict[str, Any]) -> None:
        del changed[LB.lower()]["properties"]["loadBalancingRules"][0]["properties"]["probe"]

    (balance,) = with_change(change).balances
    assert balance.healthy == balance.members
    assert with_change(change).probes == ()


def test_members_of_the_pool_by_any_casing() -> None:
    other = node("other", f"{HUB}/subnets/shared", "10.0.1.30", backend_pool_ids=(POOL.upper(),))
    first = snapshot()
    (balance,) = plan(replace(first, nodes=(*first.nodes, other)), {}).balances
    assert "10.0.1.30" in balance.members


def test_probe_takes_interval_and_threshold_from_the_template() -> None:
    def change(changed: dict[str, Any]) -> None:
        properties = changed[LB.lower()]["properties"]["probes"][0]["properties"]
        properties.update(intervalInSeconds=7, numberOfProbes=3)
        del properties["probeThreshold"]

    (probe,) = with_change(change).probes
    assert (probe.interval, probe.threshold, probe.kind, probe.port, probe.path) == (7, 3, "Http", 18099, "/")


@pytest.mark.parametrize("state", ["Pending", "Rejected", "Disconnected"])
def test_only_approved_endpoints_pass(state: str) -> None:
    def change(changed: dict[str, Any]) -> None:
        properties = changed[f"{NETWORK}/privateEndpoints/pep1".lower()]["properties"]
        connection = properties.pop("privateLinkServiceConnections")
        connection[0]["properties"]["privateLinkServiceConnectionState"]["status"] = state
        properties["manualPrivateLinkServiceConnections"] = connection

    assert with_change(change).connections == ()
    assert len(plan(snapshot(), {}).connections) == 1


def test_an_endpoint_may_name_its_service_by_alias() -> None:
    alias = "PL.1111.westeurope.azure.privatelinkservice"

    def change(changed: dict[str, Any]) -> None:
        changed[SERVICE.lower()]["properties"]["alias"] = alias.lower()
        properties = changed[f"{NETWORK}/privateEndpoints/pep1".lower()]["properties"]
        properties["privateLinkServiceConnections"][0]["properties"]["privateLinkServiceId"] = alias

    assert [each.service_id for each in with_change(change).connections] == [SERVICE.lower()]


def test_endpoint_is_seen_from_peers_of_its_network() -> None:
    spoke = f"{NETWORK}/virtualNetworks/vnet-spoke1"

    def change(changed: dict[str, Any]) -> None:
        for one, other in ((spoke, CORP), (CORP, spoke)):
            changed[one.lower()]["properties"]["virtualNetworkPeerings"].append(
                {"properties": {"remoteVirtualNetwork": {"id": other}, "peeringState": "Connected"}}
            )

    fabric = with_change(change)
    networks = by_id(fabric)
    assert {c.network for c in fabric.connections} == {
        networks["vnet-spoke1"].number,
        networks["vnet-corp"].number,
    }
    assert len({c.mark for c in fabric.connections}) == 2


def test_link_service_without_load_balancer_carries_nothing_and_says_so() -> None:
    fabric = with_change(lambda changed: changed.pop(LB.lower()))
    assert fabric.services == fabric.connections == ()
    assert any(SERVICE.lower() in warning.lower() for warning in fabric.warnings)


def test_views_show_linked_zones_only() -> None:
    fabric = plan(snapshot((1, 2)), {})
    networks = {network.number: name for name, network in by_id(fabric).items()}
    shown = {networks[view.network]: [(r.name, r.values) for r in view.records] for view in fabric.views}
    assert shown == {
        "vnet-hub": [],
        "vnet-corp": [],
        "vnet-spoke1": [("onprem-server.corp.internal", ("10.1.17.4",))],
        "vnet-spoke2": [("onprem-server.corp.internal", ("10.2.17.4",))],
    }


def test_the_most_specific_zone_answers_even_if_it_does_not_know_the_name() -> None:
    zone = f"{NETWORK}/privateDnsZones/onprem-server.corp.internal"

    def change(changed: dict[str, Any]) -> None:
        link = f"{zone}/virtualNetworkLinks/l"
        network = {"virtualNetwork": {"id": f"{NETWORK}/virtualNetworks/vnet-spoke1"}}
        kind = "Microsoft.Network/privateDnsZones"
        changed[zone.lower()] = {"id": zone, "type": kind, "properties": {}}
        changed[link.lower()] = {"id": link, "type": f"{kind}/virtualNetworkLinks", "properties": network}

    fabric = with_change(change)
    number = by_id(fabric)["vnet-spoke1"].number
    (view,) = (each for each in fabric.views if each.network == number)
    assert set(view.zones) == {"corp.internal", "onprem-server.corp.internal"}
    assert view.records == ()


def test_what_is_not_honoured_is_named() -> None:
    def change(changed: dict[str, Any]) -> None:
        changed[LB.lower()]["properties"]["inboundNatRules"] = [{"name": "ssh"}]

    warnings = "\n".join(with_change(change).warnings)
    assert "inboundNatRules" in warnings


def test_equal_snapshots_give_equal_plans() -> None:
    assert plan(snapshot((1, 2)), up("10.0.1.6")) == plan(snapshot((1, 2), revision=9), up("10.0.1.6"))


def group(**rule: Any) -> Fabric:
    name = f"{NETWORK}/networkSecurityGroups/nsg"

    def change(changed: dict[str, Any]) -> None:
        changed[name.lower()] = {
            "id": name,
            "type": "Microsoft.Network/networkSecurityGroups",
            "properties": {"securityRules": [{"name": "own", "properties": rule}]},
        }
        changed[HUB.lower()]["properties"]["subnets"][0]["properties"]["networkSecurityGroup"] = {"id": name}

    return with_change(change)


def test_security_rules_stand_in_priority_order_with_the_defaults() -> None:
    fabric = group(
        priority=200,
        direction="Inbound",
        access="Deny",
        protocol="Tcp",
        destinationPortRanges=["80", "20-25", "24-30"],
    )
    inbound, outbound = fabric.chains
    assert [rule.name for rule in inbound.rules] == [
        "own",
        "AllowVnetInBound",
        "AllowAzureLoadBalancerInBound",
        "DenyAllInBound",
    ]
    assert inbound.rules[0].destination_ports == ((20, 30), (80, 80))
    assert inbound.rules[0].source == Side()
    assert [rule.name for rule in outbound.rules][-1] == "DenyAllOutBound"
    (interface,) = (i for i in fabric.interfaces if i.node == "fwd000000")
    assert interface.inbound == (inbound.name,)
    (server,) = (i for i in fabric.interfaces if i.node == "onprem65")
    assert server.inbound == ()


@pytest.mark.parametrize(
    ("prefixes", "expected"),
    [
        (["VirtualNetwork"], Side(("10.0.1.0/24", "168.63.129.16/32", "192.168.42.0/24"), negated=False)),
        (["AzureLoadBalancer"], Side(("168.63.129.16/32",), negated=False)),
        (["*"], Side()),
        (["10.0.0.0/8", "10.1.0.0/16"], Side(("10.0.0.0/8",), negated=False)),
        (["AzureCloud"], Side((), negated=False)),
        (["Storage"], Side((), negated=False)),
    ],
)
def test_service_tags(prefixes: list[str], expected: Side) -> None:
    fabric = group(
        priority=100, direction="Inbound", access="Allow", protocol="*", sourceAddressPrefixes=prefixes
    )
    assert fabric.chains[0].rules[0].source == expected
    assert any("service tag" in warning for warning in fabric.warnings) == ("Storage" in prefixes)


def test_internet_is_everything_else() -> None:
    fabric = group(
        priority=100, direction="Outbound", access="Deny", protocol="*", destinationAddressPrefix="Internet"
    )
    (outbound,) = (chain for chain in fabric.chains if "_out_" in chain.name)
    assert outbound.rules[1].destination.negated
    assert "10.0.1.0/24" in outbound.rules[1].destination.prefixes


@pytest.mark.parametrize(
    ("tag", "first"), [("*", ("platform-dns", True)), ("AzurePlatformDNS", ("own", False))]
)
def test_only_a_rule_with_its_tag_refuses_the_platform_s_dns(tag: str, first: tuple[str, bool]) -> None:
    fabric = group(
        priority=100, direction="Outbound", access="Deny", protocol="*", destinationAddressPrefix=tag
    )
    (outbound,) = (chain for chain in fabric.chains if "_out_" in chain.name)
    rule = outbound.rules[0]
    assert (rule.name, rule.allow) == first
    assert (rule.destination.prefixes, rule.destination_ports) == (("168.63.129.16/32",), ((53, 53),))


def routed(hop: str, prefix: str, policies: str = "Disabled") -> tuple[Fabric, list[tuple[str, bool]]]:
    """The first spoke's box behind a route table; what becomes of its packets, in order."""
    table, network = f"{NETWORK}/routeTables/rt", f"{NETWORK}/virtualNetworks/vnet-spoke1"

    def change(changed: dict[str, Any]) -> None:
        route = {"name": "r", "properties": {"addressPrefix": prefix, "nextHopType": hop}}
        changed[table.lower()] = {
            "id": table,
            "type": "Microsoft.Network/routeTables",
            "properties": {"routes": [route]},
        }
        for subnet in changed[network.lower()]["properties"]["subnets"]:
            subnet["properties"] |= {"routeTable": {"id": table}, "privateEndpointNetworkPolicies": policies}

    fabric = with_change(change)
    (chain,) = (chain for chain in fabric.chains if chain.name.startswith("rt_"))
    (box,) = (each for each in fabric.interfaces if each.node == "ci-spoke1")
    assert chain.name in box.outbound
    return fabric, [(rule.destination.prefixes[0], rule.allow) for rule in chain.rules]


@pytest.mark.parametrize(
    ("hop", "prefix", "policies", "lost"),
    [
        ("None", "0.0.0.0/0", "Disabled", False),
        ("None", "10.1.0.0/19", "Disabled", False),
        ("None", "10.1.17.4/32", "Disabled", True),
        ("None", "10.1.0.0/19", "RouteTableEnabled", True),
        ("None", "10.0.0.0/8", "RouteTableEnabled", False),
        ("VirtualAppliance", "10.1.17.0/24", "Enabled", True),
        ("VnetLocal", "10.1.17.4/32", "Disabled", False),
    ],
)
def test_the_most_specific_route_decides_on_an_endpoint(
    hop: str, prefix: str, policies: str, *, lost: bool
) -> None:
    fabric, ordered = routed(hop, prefix, policies)
    holding = [allow for text, allow in ordered if ip_address("10.1.17.4") in ip_network(text)]
    assert holding[0] != lost
    assert any("routeTables/rt" in warning for warning in fabric.warnings) == (hop == "VirtualAppliance")


@pytest.mark.parametrize(
    ("policies", "guarded"), [("Disabled", False), ("NetworkSecurityGroupEnabled", True)]
)
def test_an_endpoint_s_subnet_has_a_say_where_its_policies_are_on(policies: str, *, guarded: bool) -> None:
    name, network = f"{NETWORK}/networkSecurityGroups/nsg", f"{NETWORK}/virtualNetworks/vnet-spoke1"

    def change(changed: dict[str, Any]) -> None:
        changed[name.lower()] = {
            "id": name,
            "type": "Microsoft.Network/networkSecurityGroups",
            "properties": {},
        }
        for subnet in changed[network.lower()]["properties"]["subnets"]:
            subnet["properties"] |= {
                "networkSecurityGroup": {"id": name},
                "privateEndpointNetworkPolicies": policies,
            }

    fabric = with_change(change)
    (connection,) = fabric.connections
    assert bool(connection.inbound) == guarded
    assert set(connection.inbound) <= {chain.name for chain in fabric.chains}
    (lines,) = (lines for key, (_, lines) in compile_rules(fabric).chains.items() if key.startswith("pe_"))
    assert lines[0].startswith("jump nsg_") == guarded
