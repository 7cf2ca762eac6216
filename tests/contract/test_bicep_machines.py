"""The machines that the compiled template asks ARM for: zones, image, disks."""

from __future__ import annotations

from typing import Any

import pytest

from support.deployed_template import TEMPLATE, deploy, of_type, topology

FORWARDER = TEMPLATE["parameters"]["forwarder"]["defaultValue"]
UBUNTU = {"publisher": "Canonical", "offer": "ubuntu-24_04-lts", "sku": "server", "version": "latest"}


def profiles(**changes: Any) -> list[dict[str, Any]]:
    """The machine profiles of forwarders and stand-in servers."""
    target, properties = deploy(**changes)
    topology(properties)
    [scale_set] = of_type(target, "virtualMachineScaleSets")
    machines = [each["properties"] for each in of_type(target, "virtualMachines")]
    return [scale_set["properties"]["virtualMachineProfile"], *machines]


@pytest.mark.parametrize(("location", "zones"), [("westeurope", ["1", "2", "3"]), ("northcentralus", [])])
def test_forwarders_and_frontend_spread_over_the_zones_that_a_region_has(
    location: str, zones: list[str]
) -> None:
    target, properties = deploy(location=location)
    topology(properties)
    [scale_set], [balancer] = of_type(target, "virtualMachineScaleSets"), of_type(target, "loadBalancers")
    assert scale_set["zones"] == balancer["properties"]["frontendIPConfigurations"][0]["zones"] == zones


def test_zones_may_be_given() -> None:
    target, _ = deploy(availabilityZones=["2"])
    assert of_type(target, "virtualMachineScaleSets")[0]["zones"] == ["2"]


@pytest.mark.parametrize(
    ("more", "told"), [({"encryptionAtHost": True}, True), ({"encryptionAtHost": False}, None), ({}, None)]
)
def test_hosts_encrypt_disks_when_asked_and_azure_is_not_told_of_it_otherwise(
    more: dict[str, bool], told: object
) -> None:
    for profile in profiles(forwarder={**FORWARDER, **more}):
        security = profile["securityProfile"]
        assert security["securityType"] == "TrustedLaunch"
        assert security.get("encryptionAtHost") is told


@pytest.mark.parametrize("image", [FORWARDER["image"], UBUNTU])
def test_forwarders_and_servers_have_one_image(image: dict[str, str]) -> None:
    found = profiles(forwarder={**FORWARDER, "image": image})
    assert [each["storageProfile"]["imageReference"] for each in found] == [image] * 3
