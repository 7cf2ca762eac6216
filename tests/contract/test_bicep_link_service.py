"""Who may use the private link service that the compiled template asks ARM for, and a hub without any spoke."""

from __future__ import annotations

from typing import Any

import pytest

from support.deployed_template import deploy, of_type, topology
from support.deployment_target import SUBSCRIPTION

OTHER = "22222222-2222-2222-2222-222222222222"


def service(**link_service: Any) -> dict[str, Any]:
    target, properties = deploy(linkService=link_service)
    topology(properties)
    [found] = of_type(target, "privateLinkServices")
    return dict(found["properties"])


@pytest.mark.parametrize(
    ("given", "visible", "approved"),
    [
        ({}, [SUBSCRIPTION], [SUBSCRIPTION]),
        ({"subscriptions": [OTHER]}, [OTHER], []),
        ({"subscriptions": [SUBSCRIPTION, OTHER]}, [SUBSCRIPTION, OTHER], [SUBSCRIPTION]),
        ({"subscriptions": [OTHER], "autoApproval": [OTHER]}, [OTHER], [OTHER]),
        ({"visibility": "anyone"}, ["*"], [SUBSCRIPTION]),
        ({"visibility": "anyone", "autoApproval": []}, ["*"], []),
        ({"visibility": "rbac"}, [], []),
    ],
)
def test_who_sees_the_service_and_who_is_approved_are_two_things(
    given: dict[str, Any], visible: list[str], approved: list[str]
) -> None:
    found = service(**given)
    assert found["visibility"]["subscriptions"] == visible
    assert found["autoApproval"]["subscriptions"] == approved


def test_more_nat_addresses_carry_more_connections() -> None:
    found = service(natAddresses=3, fqdns=["db.example.com"])
    assert [each["name"] for each in found["ipConfigurations"]] == ["nat", "nat1", "nat2"]
    assert [each["properties"]["primary"] for each in found["ipConfigurations"]] == [True, False, False]
    assert found["fqdns"] == ["db.example.com"]
    assert [each["name"] for each in service()["ipConfigurations"]] == ["nat"]


def test_a_hub_may_have_no_spoke_at_all() -> None:
    target, properties = deploy(spokes=[])
    assert topology(properties)["spokes"] == []
    assert properties["outputs"]["SPOKE_JUMP_NAME"]["value"] == ""
    assert of_type(target, "privateEndpoints") == of_type(target, "privateDnsZones") == []
    assert len(of_type(target, "containerGroups")) == 1
    assert len(of_type(target, "virtualNetworks")) == 2
