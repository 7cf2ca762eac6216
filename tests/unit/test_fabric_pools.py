"""Who is in a pool: interfaces that name it, machines of the load balancer's network at its addresses."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fwdlab.arm.errors import ArmError
from fwdlab.fabric.pools import members
from fwdlab.model import NodeSpec
from support.controlplane import GROUP, NETWORK, balancer_body, new_api, seed

LB = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/loadBalancers/lb"
POOL = f"{LB}/backendAddressPools/P".lower()
HUB, CORP = "/networks/hub", "/networks/corp"


def node(address: str, network: str = HUB, kind: Any = "machine", *pools: str) -> tuple[NodeSpec, str]:
    spec = NodeSpec(address, kind, f"{network}/subnets/s", address, "1", address, backend_pool_ids=pools)
    return spec, network


def balancer(*addresses: dict[str, Any], **pool: Any) -> dict[str, Any]:
    listed = [{"name": f"a{n}", "properties": properties} for n, properties in enumerate(addresses)]
    properties = {"loadBalancerBackendAddresses": listed, **pool}
    return {"id": LB, "properties": {"backendAddressPools": [{"name": "P", "properties": properties}]}}


def listed(address: str, network: str = HUB) -> dict[str, Any]:
    return {"ipAddress": address, "virtualNetwork": {"id": network.upper()}}


NODES = [node("10.0.0.10"), node("10.0.0.9"), node("10.0.0.12", HUB, "container"), node("192.168.0.5", CORP)]


@pytest.mark.parametrize(
    ("addresses", "found", "named"),
    [
        ([listed("10.0.0.10"), listed("10.0.0.9")], ("10.0.0.9", "10.0.0.10"), []),
        ([listed("192.168.0.5", CORP)], (), ["192.168.0.5"]),  # another network
        ([listed("192.168.0.5")], (), ["192.168.0.5"]),  # said to be in this one
        ([listed("10.0.0.10", CORP)], (), ["10.0.0.10"]),  # said to be in another one
        ([listed("10.0.0.77")], (), ["10.0.0.77"]),  # nobody's
        ([listed("10.0.0.12")], (), ["10.0.0.12"]),  # a container's: not supported by Azure
        ([{"ipAddress": "10.0.0.10"}], (), ["10.0.0.10"]),  # of no network at all
        ([{"ipAddress": "10.0.0.10", "subnet": {"id": f"{HUB}/subnets/s"}}], ("10.0.0.10",), []),
        ([listed("10.0.0.9"), listed("192.168.0.5", CORP)], ("10.0.0.9",), ["192.168.0.5"]),
    ],
)
def test_addresses(addresses: list[dict[str, Any]], found: tuple[str, ...], named: list[str]) -> None:
    warnings: list[str] = []
    assert members(balancer(*addresses), {POOL}, HUB, NODES, warnings) == found
    assert [address for warning in warnings for address in named if f" {address} " in warning] == named
    assert len(warnings) == len(named)


def test_the_pools_own_network_counts_for_its_addresses() -> None:
    document = balancer({"ipAddress": "10.0.0.10"}, virtualNetwork={"id": HUB})
    assert members(document, {POOL}, HUB, NODES, []) == ("10.0.0.10",)


def test_interfaces_that_name_the_pool_are_in_it() -> None:
    nodes = [*NODES, node("10.0.0.20", HUB, "machine", POOL.upper()), node("10.0.0.21", HUB, "machine", "/x")]
    assert members(balancer(), {POOL}, HUB, nodes, []) == ("10.0.0.20",)


def test_other_pools_do_not_count() -> None:
    warnings: list[str] = []
    assert members(balancer(listed("10.0.0.10"), listed("1.1.1.1")), {f"{LB}/x"}, HUB, NODES, warnings) == ()
    assert warnings == []


def test_addresses_outside_are_taken_and_nonsense_is_refused() -> None:
    async def scene() -> None:
        api = new_api()
        await seed(api, GROUP)
        own = f"{NETWORK}/loadBalancers/direct"
        hub = f"{NETWORK}/virtualNetworks/hub"
        balancer = balancer_body(own, {"id": f"{hub}/subnets/shared"})
        await api.put(own, balancer)
        pool = f"{own}/backendAddressPools/forwarders"
        addresses = [
            {"name": address, "properties": {"ipAddress": address, "virtualNetwork": {"id": hub}}}
            for address in ("10.0.1.30", "192.168.42.65")
        ]
        body = {"properties": {"loadBalancerBackendAddresses": addresses}}
        made = await api.put(pool, body)
        assert len(made["properties"]["loadBalancerBackendAddresses"]) == 2
        addresses[0]["properties"]["ipAddress"] = "nonsense"
        with pytest.raises(ArmError, match="nonsense"):
            await api.put(pool, body)
        balancer["properties"]["backendAddressPools"][0].update(body)
        balancer["properties"].update(frontendIPConfigurations=[], loadBalancingRules=[])
        with pytest.raises(ArmError, match="nonsense"):
            await api.put(own, balancer)

    asyncio.run(scene())
