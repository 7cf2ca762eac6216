"""Security rules and routes on every stretch of the way are named, and the printed commands open it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support.operator import Operator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.programs import RunningLab

pytestmark = [
    pytest.mark.lab,
    pytest.mark.az,
    pytest.mark.xdist_group("deployed-lab"),
    pytest.mark.timeout(240),
]


@pytest.fixture
def operator(lab: RunningLab) -> Iterator[Operator]:
    lab.fwdctl("jump", "start", "all")
    operator = Operator(lab)
    yield operator
    operator.undo()


def group_on(operator: Operator, subnet: str, **more: Any) -> str:
    """A security group of its own on a subnet of the spoke's network."""
    name = f"nsg-spoke-{subnet}"
    operator.put(f"networkSecurityGroups/{name}", {"securityRules": []})
    reference = {"id": f"{operator.base}/networkSecurityGroups/{name}"}
    operator.change_subnet("spoke", subnet, networkSecurityGroup=reference, **more)
    return name


def broken_by(operator: Operator, code: str, *texts: str, which: str = "spoke") -> dict[str, str]:
    """The suggestions of all broken paths, which have one code and name all texts."""
    paths = operator.probe(which, exit_code=4)
    told = {label: path["broken"] for label, path in paths.items() if path["broken"]}
    assert {each["code"] for each in told.values()} == {code}, told
    assert all(text in each["evidence"] for each in told.values() for text in texts), told
    return {label: each["next"] for label, each in told.items()}


def healed(operator: Operator, told: dict[str, str], which: str = "spoke") -> None:
    for suggestion in dict.fromkeys(told.values()):
        operator.follow(suggestion)
    operator.lab.lab("heal")
    operator.until_healed(which)


def test_a_rule_before_the_stand_in(operator: Operator) -> None:
    """The template's own rule is at 100, so that one before it leaves no room: it moves."""
    group = operator.named("networkSecurityGroups", "corp")["name"]
    allow = operator.get(f"networkSecurityGroups/{group}/securityRules/allow-hub")["properties"]
    operator.put(f"networkSecurityGroups/{group}/securityRules/allow-hub", {**allow, "priority": 150})
    operator.shut(group, "closed", 100)
    told = broken_by(
        operator, "NSG_DENIED", f"rule closed of network security group {group} refuses", which="all"
    )
    healed(operator, told, "all")


def test_what_the_box_may_not_send(operator: Operator) -> None:
    group = group_on(operator, "jump")
    operator.shut(group, "no-out", 300, direction="Outbound")
    told = broken_by(operator, "NSG_DENIED", "outbound rule no-out of", "to the private endpoint (10.1.17.4)")
    healed(operator, told)


def test_what_the_endpoint_s_subnet_does_not_take(operator: Operator) -> None:
    group = group_on(operator, "linked", privateEndpointNetworkPolicies="NetworkSecurityGroupEnabled")
    operator.shut(group, "no-in", 300)
    told = broken_by(
        operator, "NSG_DENIED", f"rule no-in of network security group {group}", "jump box 'spoke'"
    )
    healed(operator, told)


def test_every_flow_that_one_rule_refuses_gets_a_rule_of_its_own(operator: Operator) -> None:
    group = operator.named("networkSecurityGroups", "shared")["name"]
    operator.shut(group, "nobody", 105, destinationPortRange="8000")
    told = broken_by(operator, "NSG_DENIED", "rule nobody of", which="all")
    assert set(told) == {"hub/web", "spoke/web"}
    assert len(set(told.values())) == 2
    healed(operator, told, "all")


def test_probes_of_the_platform_that_are_refused(operator: Operator) -> None:
    group = operator.named("networkSecurityGroups", "shared")["name"]
    operator.delete(f"networkSecurityGroups/{group}/securityRules/allow-probes")
    operator.until_broken()
    told = broken_by(operator, "NSG_DENIED", "from the platform's health probes (168.63.129.16)")
    healed(operator, told)


@pytest.mark.parametrize(
    ("hop", "code"), [("None", "ROUTE_NEXT_HOP"), ("VirtualAppliance", "ROUTE_NEXT_HOP")]
)
def test_a_route_that_takes_packets_from_the_forwarders(operator: Operator, hop: str, code: str) -> None:
    where = {"nextHopIpAddress": "10.0.1.62"} if hop == "VirtualAppliance" else {}
    route = {"name": "corp", "properties": {"addressPrefix": "192.168.42.0/24", "nextHopType": hop, **where}}
    operator.put("routeTables/rt", {"routes": [route]})
    operator.change_subnet("hub", "shared", routeTable={"id": f"{operator.base}/routeTables/rt"})
    told = broken_by(
        operator, code, "route corp of route table rt sends packets from the forwarders", which="spoke"
    )
    if hop == "None":
        healed(operator, told)
    else:
        assert told["spoke/web"].startswith("Check what is there (10.0.1.62): ")


def test_a_route_that_takes_packets_from_the_box(operator: Operator) -> None:
    route = {"name": "hole", "properties": {"addressPrefix": "10.1.17.4/32", "nextHopType": "None"}}
    operator.put("routeTables/rt", {"routes": [route]})
    operator.change_subnet("spoke", "jump", routeTable={"id": f"{operator.base}/routeTables/rt"})
    told = broken_by(operator, "ROUTE_NEXT_HOP", "sends packets from jump box 'spoke' to 10.1.17.4")
    healed(operator, told)
