"""`$expand`: an answer with the whole of what it refers to, on one resource and on lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support.controlplane import NETWORK, PROVIDERS

if TYPE_CHECKING:
    from fwdlab.arm.api import ArmApi

VMSS = f"{PROVIDERS}/Microsoft.Compute/virtualMachineScaleSets/fwd"


async def test_lists_are_expanded_too(api: ArmApi) -> None:
    """`az vmss list-instances --expand instanceView` asks so."""
    shown = (await api.read(f"{VMSS}/virtualMachines", "instanceView"))["value"]
    codes = [one["properties"]["instanceView"]["statuses"][1]["code"] for one in shown]
    assert codes == ["PowerState/running"] * len(shown) != []
    plain = (await api.read(f"{VMSS}/virtualMachines"))["value"]
    assert "instanceView" not in plain[0]["properties"]


@pytest.mark.parametrize(
    ("owner", "expand", "path", "wanted"),
    [
        ("virtualNetworks/hub/subnets/shared", "ipConfigurations", ["ipConfigurations"], "privateIPAddress"),
        ("virtualNetworks/hub", "subnets/ipConfigurations", ["subnets", "ipConfigurations"], "subnet"),
        (
            "loadBalancers/lb",
            "FrontendIPConfigurations/Subnet",
            ["frontendIPConfigurations", "subnet"],
            "addressPrefix",
        ),
        (
            "loadBalancers/lb",
            "backendAddressPools/backendIPConfigurations",
            ["backendAddressPools", "backendIPConfigurations"],
            "privateIPAddress",
        ),
        ("privateEndpoints/pe", "networkInterfaces", ["networkInterfaces"], "macAddress"),
    ],
)
async def test_what_is_referred_to_is_whole(
    api: ArmApi, owner: str, expand: str, path: list[str], wanted: str
) -> None:
    found = at(await api.get(f"{NETWORK}/{owner}", expand), path)
    assert found
    assert all(wanted in one["properties"] and one["name"] for one in found)
    assert all(set(one) == {"id"} for one in at(await api.get(f"{NETWORK}/{owner}"), path))


def at(document: dict[str, Any], path: list[str]) -> list[dict[str, Any]]:
    found = [document]
    for name in path:
        values = [one["properties"][name] for one in found if name in one["properties"]]
        found = [one for value in values for one in (value if isinstance(value, list) else [value])]
    return found


async def test_a_subnets_user_is_shown_by_its_address_alone(api: ArmApi) -> None:
    (subnet, *_) = at(
        await api.get(f"{NETWORK}/virtualNetworks/hub", "subnets/ipConfigurations"), ["subnets"]
    )
    known = {
        "privateIPAddress",
        "privateIPAllocationMethod",
        "subnet",
        "provisioningState",
        "publicIPAddress",
    }
    assert all(set(one["properties"]) <= known for one in subnet["properties"]["ipConfigurations"])


@pytest.mark.parametrize("kind", ["routeTable", "networkSecurityGroup", "natGateway"])
async def test_what_subnets_have_says_which(api: ArmApi, kind: str) -> None:
    own = f"{NETWORK}/{kind}s/x"
    await api.put(own, {"location": "westeurope", "properties": {}})
    assert "subnets" not in (await api.get(own))["properties"]
    subnet = f"{NETWORK}/virtualNetworks/hub/subnets/extra"
    await api.put(subnet, {"properties": {"addressPrefix": "10.0.1.192/26", kind: {"id": own}}})
    assert (await api.get(own))["properties"]["subnets"] == [{"id": subnet}]
    (whole,) = (await api.get(own, "subnets"))["properties"]["subnets"]
    assert whole["properties"]["addressPrefix"] == "10.0.1.192/26"


async def test_a_subnet_says_who_is_in_it(api: ArmApi) -> None:
    """Interfaces of machines, instances, endpoints and the link service, and frontends; no container."""
    (subnet,) = (await api.get(f"{NETWORK}/virtualNetworks/hub"))["properties"]["subnets"]
    users = {one["id"].removeprefix(f"{PROVIDERS}/") for one in subnet["properties"]["ipConfigurations"]}
    assert "Microsoft.Network/loadBalancers/lb/frontendIPConfigurations/fe" in users
    instances = {
        f"Microsoft.Compute/virtualMachineScaleSets/fwd/virtualMachines/{number}/networkInterfaces"
        for number in "01"
    }
    assert instances <= {one.partition("/nic/")[0] for one in users}
    before = await api.get(f"{NETWORK}/virtualNetworks/hub")
    revision = api.store.revision
    await api.put(f"{NETWORK}/virtualNetworks/hub", before)
    assert api.store.revision == revision
