"""What is found in a resource group that nobody has described, from the link service on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fwdctl.deployment import Box, Deployment, Place, read
from fwdctl.deployment.discover import complete
from fwdctl.errors import FwdctlError
from fwdctl.jump.boxes import select, select_one
from support.fake_arm import fake_arm
from support.foreign_network import OTHER, Foreign, identity
from support.probe_paths import planned

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.fake_arm import FakeArm

WEB = {"web": ("10.0.1.5", "Tcp", 8000)}


def found(foreign: Foreign, prepare: Callable[[FakeArm], None] = lambda _: None, **values: str) -> Deployment:
    """What is discovered in `rg-dev`."""
    with fake_arm() as arm:
        foreign.serve(arm)
        prepare(arm)
        start = read(Place({"RESOURCE_GROUP_NAME": "rg-dev", **values}, "--resource-group"))
        return replace(complete(start, arm.client()), options=("-g", "rg-dev"))


def frontend(balancer: str, address: str = "10.0.1.5", kind: str = "frontendIPConfigurations") -> str:
    return f"{balancer}/{kind}/at-{address}"


def hub(foreign: Foreign, **place: str) -> str:
    """A hub with a box and one link service, whose id it gives."""
    network = foreign.network("vnet-hub", "10.0.1.0/24", **place)
    foreign.box(network, "tools-hub", **place)
    return foreign.service(network, frontend(foreign.balancer(network, WEB, **place)), **place)


def spoke(foreign: Foreign, service: str, name: str = "vnet-spoke", **place: str) -> str:
    """A spoke with box, endpoint and name, whose network's id it gives."""
    network = foreign.network(name, "10.1.0.0/16", **place)
    foreign.box(network, f"tools-{name}", **place)
    foreign.endpoint(network, service, "10.1.17.4", f"pe-{name}", **place)
    foreign.zone(f"{name}.example", network, {"server": "10.1.17.4", "other": "10.9.9.9"}, **place)
    return network


def paths(deployment: Deployment, which: str = "all") -> dict[str, str]:
    """Where each path leads, by label; or why it is skipped."""
    return {path.label: path.skip or f"{path.host}:{path.port}" for path in planned(deployment, which)}


@pytest.mark.parametrize(
    "values", [{}, {"HUB_JUMP_NAME": "tools-hub", "SPOKE_JUMP_NAME": "tools-vnet-spoke"}]
)
def test_the_links_are_followed(values: dict[str, str]) -> None:
    foreign = Foreign()
    spoke(foreign, hub(foreign))
    deployment = found(foreign, **values)
    assert deployment.complete
    assert deployment.others == ()
    assert deployment.boxes == (
        Box("hub", "tools-hub", "tools"),
        Box("vnet-spoke", "tools-vnet-spoke", "tools"),
    )
    assert deployment.hub.link_service == "pl"
    assert (deployment.hub.load_balancer, deployment.hub.address) == ("lb", "10.0.1.5")
    assert (deployment.spokes[0].endpoint, deployment.spokes[0].zone) == (
        "pe-vnet-spoke",
        "vnet-spoke.example",
    )
    assert paths(deployment) == {
        "hub/web/targets": "the targets are not known without FWD_TOPOLOGY",
        "hub/web": "10.0.1.5:8000",
        "vnet-spoke/web": "server.vnet-spoke.example:8000",
    }


@pytest.mark.parametrize("kind", ["frontendIpConfigurations", "FRONTENDIPCONFIGURATIONS"])
def test_an_id_may_be_spelled_in_any_case(kind: str) -> None:
    foreign = Foreign()
    network = foreign.network("vnet-hub", "10.0.1.0/24")
    balancer = foreign.balancer(network, WEB)
    changed = balancer.replace("loadBalancers", "LoadBalancers").replace("resourceGroups", "resourcegroups")
    service = foreign.service(network, frontend(changed, kind=kind))
    own = spoke(foreign, service)
    foreign.documents[identity("privateEndpoints", "pe-vnet-spoke")]["properties"]["subnet"] = {
        "id": f"{own.upper()}/SUBNETS/ALL"
    }
    assert paths(found(foreign), "spoke") == {"VNET-SPOKE/web": "server.vnet-spoke.example:8000"}


def test_only_what_the_service_serves_is_a_path() -> None:
    """Two frontends and a rule for datagrams: the service is on the second one."""
    foreign = Foreign()
    network = foreign.network("vnet-hub", "10.0.1.0/24")
    rules = {"admin": ("10.0.1.6", "Tcp", 22), **WEB, "dns": ("10.0.1.5", "Udp", 53)}
    foreign.box(network, "tools-hub")
    spoke(foreign, foreign.service(network, frontend(foreign.balancer(network, rules))))
    assert paths(found(foreign)) == {
        "hub/web/targets": "the targets are not known without FWD_TOPOLOGY",
        "hub/web": "10.0.1.5:8000",
        "vnet-spoke/web": "server.vnet-spoke.example:8000",
    }


def test_a_service_on_two_frontends() -> None:
    foreign = Foreign()
    network = foreign.network("vnet-hub", "10.0.1.0/24")
    balancer = foreign.balancer(network, {**WEB, "more": ("10.0.1.6", "Tcp", 9000)})
    foreign.box(network, "tools-hub")
    foreign.service(network, frontend(balancer), frontend(balancer, "10.0.1.6"))
    places = paths(found(foreign), "hub")
    assert (places["hub/web"], places["hub/more"]) == ("10.0.1.5:8000", "10.0.1.6:9000")


def every_port(foreign: Foreign, *rules: dict[str, str]) -> str:
    """A hub whose one rule takes every port, behind a security group with some rules."""
    group = foreign.put(
        identity("networkSecurityGroups", "nsg"),
        securityRules=[{"properties": {"access": "Allow", "direction": "Inbound", **rule}} for rule in rules],
    )
    network = foreign.network("vnet-hub", "10.0.1.0/24", group)
    balancer = foreign.balancer(network, {"every": ("10.0.1.5", "All", 0)})
    return foreign.service(network, frontend(balancer))


def test_a_rule_for_every_port_needs_one() -> None:
    foreign = Foreign()
    spoke(foreign, every_port(foreign))
    deployment = found(foreign)
    with pytest.raises(FwdctlError, match="rule every of load balancer lb takes every port") as error:
        planned(deployment, "spoke")
    assert (error.value.exit_code, error.value.suggestion) == (2, "Name it with --port.")
    named = deployment.at([443, 8443])
    assert paths(named, "spoke") == {
        "vnet-spoke/every-443": "server.vnet-spoke.example:443",
        "vnet-spoke/every-8443": "server.vnet-spoke.example:8443",
    }


def test_a_rule_for_every_port_is_meant_for_what_the_security_group_admits() -> None:
    foreign = Foreign()
    service = every_port(
        foreign,
        {"protocol": "Tcp", "destinationPortRange": "8000"},
        {"protocol": "*", "destinationPortRange": "22"},
        {"protocol": "Udp", "destinationPortRange": "53"},
        {"protocol": "Tcp", "destinationPortRange": "18099"},
        {"protocol": "Tcp", "destinationPortRange": "9999", "access": "Deny"},
        {"protocol": "Tcp", "destinationPortRange": "9998", "direction": "Outbound"},
        {"protocol": "*", "destinationPortRange": "*"},
    )
    spoke(foreign, service)
    deployment = found(foreign)
    assert paths(deployment.at([]), "spoke") == {"vnet-spoke/every-8000": "server.vnet-spoke.example:8000"}
    assert list(paths(deployment.at([9]), "spoke")) == ["vnet-spoke/every-9"]


def test_a_port_that_nothing_takes() -> None:
    foreign = Foreign()
    spoke(foreign, hub(foreign))
    deployment = found(foreign)
    assert list(paths(deployment.at([8000]), "spoke")) == ["vnet-spoke/web"]
    with pytest.raises(FwdctlError, match="Port 8001 is not forwarded") as error:
        deployment.at([8000, 8001])
    assert error.value.exit_code == 2


@pytest.mark.parametrize("place", [{"group": "rg-spoke"}, {"group": "rg-spoke", "subscription": OTHER}])
def test_an_endpoint_elsewhere(place: dict[str, str]) -> None:
    foreign = Foreign()
    spoke(foreign, hub(foreign), **place)
    deployment = found(foreign)
    assert paths(deployment, "spoke") == {"vnet-spoke/web": "server.vnet-spoke.example:8000"}
    (box,) = select(deployment, "spoke")
    assert (box.resource_group, box.subscription_id) == ("rg-spoke", place.get("subscription", ""))
    assert select(deployment, "hub") == (Box("hub", "tools-hub", "tools"),)


@pytest.mark.parametrize("place", [{"group": "rg-hub"}, {"group": "rg-hub", "subscription": OTHER}])
def test_a_link_service_elsewhere(place: dict[str, str]) -> None:
    """The group has the endpoint only, and other endpoints of that service are not its own."""
    foreign = Foreign()
    service = hub(foreign, **place)
    spoke(foreign, service)
    spoke(foreign, service, "vnet-strange", group="rg-strange")
    deployment = found(foreign)
    assert paths(deployment) == {
        "hub/web/targets": "the targets are not known without FWD_TOPOLOGY",
        "hub/web": "10.0.1.5:8000",
        "vnet-spoke/web": "server.vnet-spoke.example:8000",
    }
    assert (deployment.hub.resource_group, deployment.hub.subscription_id) == (
        "rg-hub",
        place.get("subscription", ""),
    )


@pytest.mark.parametrize("alias", ["", "pl.11112222.westeurope.azure.privatelinkservice"])
def test_a_link_service_of_others(alias: str) -> None:
    """What it forwards cannot be read, but a port can be named."""
    foreign = Foreign()
    service = identity("privateLinkServices", "pl", group="rg-theirs")
    network = foreign.network("vnet-spoke", "10.1.0.0/16")
    foreign.box(network, "tools")
    foreign.endpoint(network, service, "10.1.17.4", alias=alias)

    def refuse(arm: FakeArm) -> None:
        collection = "providers/Microsoft.ContainerInstance/containerGroups"
        theirs = service.partition("providers/")[0]
        arm.fail("GET", service, 403, "AuthorizationFailed")
        arm.fail("GET", f"{theirs}{collection}", 403, "AuthorizationFailed")
        arm.fail("GET", f"{theirs}providers/Microsoft.Network/privateDnsZones", 403, "AuthorizationFailed")

    deployment = found(foreign, refuse)
    with pytest.raises(FwdctlError, match=r"cannot be read|by its alias") as error:
        planned(deployment, "spoke")
    assert error.value.code == "port_not_known"
    assert list(paths(deployment.at([8000]), "spoke").values()) == ["10.1.17.4:8000"]


def test_an_endpoint_that_cannot_be_read_is_said() -> None:
    foreign = Foreign()
    service = hub(foreign)
    spoke(foreign, service)
    theirs = identity("privateEndpoints", "pe-theirs", subscription=OTHER)
    connections = foreign.documents[service]["properties"]["privateEndpointConnections"]
    connections.append({"name": "x", "properties": {"privateEndpoint": {"id": theirs}}})

    def refuse(arm: FakeArm) -> None:
        group = theirs.partition("/providers/")[0]
        arm.fail("GET", theirs, 404, "SubscriptionNotFound")
        for kind in ("Microsoft.ContainerInstance/containerGroups", "Microsoft.Network/privateDnsZones"):
            arm.fail("GET", f"{group}/providers/{kind}", 404, "SubscriptionNotFound")

    places = paths(found(foreign, refuse), "spoke")
    assert places["vnet-spoke/web"] == "server.vnet-spoke.example:8000"
    assert "endpoint pe-theirs cannot be read" in places["pe-theirs/web"]


def test_each_link_service_is_a_hub() -> None:
    """Two services with a box each, and a third spoke network that is connected to both."""
    foreign = Foreign()
    networks = [foreign.network(f"vnet-{name}", "10.0.1.0/24") for name in ("a", "b")]
    services = []
    for network, name in zip(networks, "ab", strict=True):
        foreign.box(network, f"tools-{name}")
        balancer = foreign.balancer(network, WEB, f"lb-{name}")
        services.append(foreign.service(network, frontend(balancer), name=f"pl-{name}"))
    spoke(foreign, services[0])
    both = foreign.network("vnet-both", "10.2.0.0/16")
    foreign.box(both, "tools-both")
    for service, name in zip(services, "ab", strict=True):
        foreign.endpoint(both, service, f"10.2.0.{len(name)}", f"pe-both-{name}")
    deployment = found(foreign)
    unknown = "the targets are not known without FWD_TOPOLOGY"
    assert paths(deployment) == {
        "hub/pl-a/web/targets": unknown,
        "hub/pl-a/web": "10.0.1.5:8000",
        "vnet-spoke/web": "server.vnet-spoke.example:8000",
        "pe-both-a/web": "10.2.0.1:8000",
        "hub/pl-b/web/targets": unknown,
        "hub/pl-b/web": "10.0.1.5:8000",
        "pe-both-b/web": "10.2.0.1:8000",
    }
    assert [box.name for box in select(deployment, "hub")] == ["vnet-a", "vnet-b"]
    assert [box.name for box in select(deployment, "spoke")] == ["vnet-spoke", "vnet-both"]
    assert list(paths(deployment, "vnet-b")) == ["hub/pl-b/web/targets", "hub/pl-b/web"]
    assert list(paths(deployment, "vnet-both")) == ["pe-both-a/web", "pe-both-b/web"]
    assert [part.hub.load_balancer for part in deployment.parts] == ["lb-a", "lb-b"]


def test_a_box_belongs_to_its_network_without_an_endpoint() -> None:
    """The name is what is left of the endpoint."""
    foreign = Foreign()
    hub(foreign)
    network = foreign.network("vnet-spoke", "10.1.0.0/16")
    foreign.box(network, "tools-spoke")
    foreign.zone("corp.example", network, {"server": "10.1.17.4", "other": "10.9.9.9"})
    bare = foreign.network("vnet-bare", "10.2.0.0/16")
    foreign.box(bare, "tools-bare")
    deployment = found(foreign)
    assert [box.name for box in select(deployment, "all")] == ["hub", "vnet-spoke", "vnet-bare"]
    assert paths(deployment, "spoke") == {
        "vnet-spoke/web": "server.corp.example:8000",
        "vnet-bare/web": "network vnet-bare has no private endpoint to a link service",
    }


def test_the_name_of_a_machine_is_not_that_of_a_lost_endpoint() -> None:
    foreign = Foreign()
    hub(foreign)
    network = foreign.network("vnet-corp", "192.168.42.0/24")
    foreign.box(network, "tools-corp")
    foreign.zone("corp.example", network, {"server65": "192.168.42.65"})
    foreign.put(
        identity("networkInterfaces", "nic-server65"),
        ipConfigurations=[{"properties": {"privateIPAddress": "192.168.42.65"}}],
    )
    assert paths(found(foreign), "spoke") == {
        "vnet-corp/web": "network vnet-corp has no private endpoint to a link service"
    }


def test_a_name_that_leads_to_the_endpoint_of_another_network() -> None:
    foreign = Foreign()
    spoke(foreign, hub(foreign))
    peer = foreign.network("vnet-peer", "10.3.0.0/16")
    foreign.box(peer, "tools-peer")
    foreign.zone("peer.example", peer, {"server": "10.1.17.4"})
    (_, through) = found(foreign).spokes
    assert (through.name, through.endpoint, through.host_name) == (
        "vnet-peer",
        "pe-vnet-spoke",
        "server.peer.example",
    )
    assert through.box == Box("vnet-peer", "tools-peer", "tools")


def test_an_endpoint_without_a_box_is_no_pass() -> None:
    foreign = Foreign()
    service = hub(foreign)
    spoke(foreign, service)
    foreign.endpoint(foreign.network("vnet-bare", "10.2.0.0/16"), service, "10.2.0.4", "pe-bare")
    assert paths(found(foreign), "spoke")["vnet-bare/web"] == "network vnet-bare has no jump box"


def test_the_zone_may_be_in_any_group_of_the_subscription() -> None:
    foreign = Foreign()
    service = hub(foreign)
    network = foreign.network("vnet-spoke", "10.1.0.0/16")
    foreign.box(network, "tools-spoke")
    foreign.endpoint(network, service, "10.1.17.4")
    foreign.zone("corp.example", network, {"@": "10.1.17.4"}, group="rg-names")
    foreign.put(identity("privateDnsZones", "privatelink.blob.core.windows.net", group="rg-names"))
    assert paths(found(foreign), "spoke") == {"vnet-spoke/web": "corp.example:8000"}


def test_names_that_mean_something_else_are_not_taken() -> None:
    foreign = Foreign()
    service = hub(foreign)
    for name in ("spoke", "all", "Hub"):
        spoke(foreign, service, name)
    assert [spoke.name for spoke in found(foreign).spokes] == ["spoke-network", "all-network", "Hub-network"]


def test_one_box_in_the_network_of_hub_and_endpoint() -> None:
    foreign = Foreign()
    service = hub(foreign)
    foreign.endpoint(identity("virtualNetworks", "vnet-hub"), service, "10.0.1.9")
    deployment = found(foreign)
    assert [box.name for box in deployment.boxes] == ["hub"]
    assert list(paths(deployment)) == ["hub/web/targets", "hub/web", "vnet-hub/web"]
    assert list(paths(deployment, "spoke")) == ["vnet-hub/web"]


@pytest.mark.parametrize(
    ("which", "code", "message"),
    [
        ("hub", "no_jump_box", "No jump box of the hub was found in resource group 'rg-dev'."),
        ("spoke", "no_jump_box", "No jump box of a spoke was found in resource group 'rg-dev'."),
        ("all", "no_jump_box", "No jump box was found in resource group 'rg-dev'."),
        ("vnet-spoke", "no_jump_box", "No jump box of spoke 'vnet-spoke' was found in resource group"),
        ("vnet-x", "unknown_box", "There is no jump box 'vnet-x'."),
    ],
)
def test_no_box(which: str, code: str, message: str) -> None:
    foreign = Foreign()
    service = hub(foreign)
    spoke(foreign, service)
    boxes = [each for each in foreign.documents if "containerGroups" in each]
    for box in boxes:
        del foreign.documents[box]
    with pytest.raises(FwdctlError) as error:
        select_one(found(foreign), which)
    assert (error.value.code, error.value.message[: len(message)]) == (code, message)
    assert error.value.exit_code == (2 if code == "unknown_box" else 3)
    assert "azd" not in error.value.suggestion
