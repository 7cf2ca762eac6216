"""The networks that the compiled template asks ARM for, and what a provision leaves as it is."""

from __future__ import annotations

from typing import Any

from support.deployed_template import SPOKE, TEMPLATE, deploy, of_type, topology

HUB = TEMPLATE["parameters"]["hub"]["defaultValue"]
TABLE = "/subscriptions/s/resourceGroups/net/providers/Microsoft.Network/routeTables/rt"
CONTAINERS = "Microsoft.ContainerInstance/containerGroups"


def subnets(**changes: Any) -> dict[str, dict[str, Any]]:
    """Properties by NETWORK/SUBNET, both without abbreviation and token, in the order of their deployment."""
    target, properties = deploy(**changes)
    topology(properties)
    found = {}
    for key in (each.lower() for each in target.order if "/subnets/" in each):
        network, _, name = key.rpartition("/virtualnetworks/")[2].partition("/subnets/")
        found[f"{network.split('-')[1]}/{name}"] = target.documents[key]["properties"]
    return found


def test_networks_name_no_subnets_so_that_those_of_others_stay() -> None:
    target, _ = deploy()
    for network in of_type(target, "virtualNetworks"):
        assert "subnets" not in network["properties"], network["name"]
    own = [f"app/{name}" for name in ("cp", "apps", "jump", "linked")]
    assert sorted(subnets()) == sorted(["hub/shared", "hub/jump", "corp/servers", *own])


def test_every_subnet_is_private_and_has_a_security_group() -> None:
    for name, subnet in subnets().items():
        assert subnet["defaultOutboundAccess"] is False, name
        assert "/networkSecurityGroups/nsg-" in subnet["networkSecurityGroup"]["id"], name
        assert not subnet.get("routeTable"), name


def test_only_the_shared_subnet_has_a_nat_gateway_and_link_service_policies_off() -> None:
    found = subnets()
    assert [name for name, each in found.items() if each.get("natGateway")] == ["hub/shared"]
    off = [name for name, each in found.items() if each["privateLinkServiceNetworkPolicies"] == "Disabled"]
    assert off == ["hub/shared"]


def test_jump_boxes_have_delegated_subnets_of_their_own_to_which_exec_is_let() -> None:
    target, _ = deploy()
    delegated = {
        name: [each["properties"]["serviceName"] for each in subnet["delegations"]]
        for name, subnet in subnets().items()
        if subnet["delegations"]
    }
    assert delegated == {"hub/jump": [CONTAINERS], "app/jump": [CONTAINERS]}
    rules = [
        (rule["sourceAddressPrefix"], rule["destinationAddressPrefix"], rule["destinationPortRange"])
        for group in of_type(target, "networkSecurityGroups")
        for rule in (each["properties"] for each in group["properties"]["securityRules"])
        if rule.get("destinationPortRange") == "19390"
    ]
    assert rules == [("AzureCloud", "10.0.1.64/26", "19390"), ("AzureCloud", "10.1.16.0/24", "19390")]


def test_what_a_landing_zone_asks_for_is_given_to_every_subnet_and_box() -> None:
    more = {"dnsServers": ["10.9.0.4"], "routeTableId": TABLE}
    extra = {"name": "data", "addressPrefix": "10.0.1.128/27", "delegation": "Microsoft.Web/serverFarms"}
    changes = {
        "hub": {**HUB, **more, "extraSubnets": [extra]},
        "spokes": [{**SPOKE, **more, "appsDelegation": "Microsoft.App/environments"}],
        "tags": {"cost": "42", "azd-env-name": "mine"},
    }
    found = subnets(**changes)
    assert {name for name, each in found.items() if each.get("routeTable") == {"id": TABLE}} == {
        name for name in found if not name.startswith("corp/")
    }
    assert found["hub/data"]["delegations"][0]["properties"] == {"serviceName": "Microsoft.Web/serverFarms"}
    assert found["app/apps"]["delegations"][0]["properties"] == {"serviceName": "Microsoft.App/environments"}
    target, _ = deploy(**changes)
    servers = {
        network["name"].split("-")[1]: network["properties"].get("dhcpOptions", {}).get("dnsServers")
        for network in of_type(target, "virtualNetworks")
    }
    assert servers == {"hub": ["10.9.0.4"], "corp": None, "app": ["10.9.0.4"]}
    for box in of_type(target, "containerGroups"):
        assert box["properties"]["dnsConfig"] == {"nameServers": ["10.9.0.4"]}
    taggable = [document for document in target.documents.values() if "location" in document]
    for document in taggable:
        assert document["tags"]["cost"] == "42", document["id"]
        assert document["tags"]["azd-env-name"] == "dev", document["id"]


def test_a_box_takes_azures_name_servers_unless_its_network_has_others() -> None:
    target, _ = deploy()
    assert all(not box["properties"].get("dnsConfig") for box in of_type(target, "containerGroups"))


def test_nothing_lets_in_the_internet_and_ssh_only_from_the_jump_box_if_asked_for() -> None:
    forwarder = {**TEMPLATE["parameters"]["forwarder"]["defaultValue"], "allowSsh": True}
    target, _ = deploy(forwarder=forwarder)
    allowed = [
        rule["properties"]
        for group in of_type(target, "networkSecurityGroups")
        for rule in group["properties"]["securityRules"]
        if rule["properties"]["access"] == "Allow"
    ]
    assert {rule["sourceAddressPrefix"] for rule in allowed} == {
        "AzureLoadBalancer",  # probes
        "AzureCloud",  # exec, to its one port
        "10.0.1.0/26",
        "10.0.1.64/26",
        "10.0.1.0/24",
    }
    assert {
        rule["destinationPortRange"] for rule in allowed if rule["sourceAddressPrefix"] == "AzureCloud"
    } == {"19390"}
    ssh = [rule for rule in allowed if rule.get("destinationPortRange") == "22"]
    assert [rule["sourceAddressPrefix"] for rule in ssh] == ["10.0.1.64/26"]


def test_the_one_public_address_is_the_nat_gateways() -> None:
    target, _ = deploy()
    (address,) = of_type(target, "publicIPAddresses")
    users = [key for key, each in target.documents.items() if address["id"].lower() in str(each).lower()]
    (gateway,) = of_type(target, "natGateways")
    assert set(users) == {address["id"].lower(), gateway["id"].lower()}
