"""Whatever an operator makes of the name or the endpoint is said, and the printed commands mend it."""

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
    pytest.mark.timeout(180),
]

ZONE, RECORD = "privateDnsZones/corp.internal", "onprem-server"
BEHIND = "; what lies behind the name was not tested"


@pytest.fixture
def operator(lab: RunningLab) -> Iterator[Operator]:
    lab.fwdctl("jump", "start", "all")
    operator = Operator(lab)
    yield operator
    operator.undo()


def told(paths: dict[str, Any], code: str) -> dict[str, str]:
    broken: dict[str, str] = paths["spoke/web"]["broken"]
    assert broken["code"] == code, broken
    return broken


def healed(operator: Operator, suggestion: str) -> None:
    operator.follow(suggestion)
    operator.probe(exit_code=0)


def test_an_alias_in_the_place_of_the_record(operator: Operator) -> None:
    operator.delete(f"{ZONE}/A/{RECORD}")
    operator.put(f"{ZONE}/CNAME/{RECORD}", {"ttl": 60, "cnameRecord": {"cname": "old.corp.internal"}})
    broken = told(operator.probe(exit_code=4), "DNS_WRONG_ADDRESS")
    assert broken["evidence"] == (
        "record 'onprem-server' in zone corp.internal is an alias (CNAME) of old.corp.internal; "
        f"the endpoint is 10.1.17.4{BEHIND}"
    )
    healed(operator, broken["next"])


def test_more_than_one_address_of_either_kind(operator: Operator) -> None:
    addresses = [{"ipv4Address": f"10.1.17.{last}"} for last in (4, 9)]
    operator.put(f"{ZONE}/A/{RECORD}", {"ttl": 300, "aRecords": addresses})
    operator.put(f"{ZONE}/AAAA/{RECORD}", {"ttl": 300, "aaaaRecords": [{"ipv6Address": "fd00::4"}]})
    broken = told(operator.probe(exit_code=4), "DNS_WRONG_ADDRESS")
    assert "holds 10.1.17.4, 10.1.17.9, fd00::4; the endpoint is 10.1.17.4" in broken["evidence"]
    healed(operator, broken["next"])


def test_a_more_specific_zone_that_is_linked_too(operator: Operator) -> None:
    zone = f"privateDnsZones/{RECORD}.corp.internal"
    network = operator.named("virtualNetworks", "spoke")["id"]
    operator.put(zone, {}, location="global")
    link = {"registrationEnabled": False, "virtualNetwork": {"id": network}}
    operator.put(f"{zone}/virtualNetworkLinks/more", link, location="global")
    broken = told(operator.probe(exit_code=4), "DNS_NXDOMAIN")
    assert f"zone {RECORD}.corp.internal (which answers in the place of corp.internal" in broken["evidence"]
    healed(operator, broken["next"])


def test_a_rule_against_the_platform_s_dns(operator: Operator) -> None:
    operator.put("networkSecurityGroups/nsg-spoke-jump", {"securityRules": []})
    operator.shut(
        "nsg-spoke-jump", "no-dns", 200, direction="Outbound", destinationAddressPrefix="AzurePlatformDNS"
    )
    operator.change_subnet("spoke", "jump", networkSecurityGroup={"id": f"{operator.base}/networkSecurityGroups/nsg-spoke-jump"})  # fmt: skip
    broken = told(operator.probe(exit_code=4), "NSG_DENIED")
    assert broken["evidence"].startswith(
        "outbound rule no-dns of network security group nsg-spoke-jump refuses"
    )
    healed(operator, broken["next"])


def endpoint(operator: Operator) -> tuple[str, dict[str, Any]]:
    document = operator.named("privateEndpoints", "spoke")
    return f"privateEndpoints/{document['name']}", document


def made_anew(operator: Operator, address: str) -> None:
    """The endpoint is deleted and made again with another address."""
    path, document = endpoint(operator)
    operator.delete(path)
    properties = document["properties"]
    connection = properties["privateLinkServiceConnections"][0]["properties"]
    configuration = {
        "name": "endpoint",
        "properties": {"groupId": "", "memberName": "", "privateIPAddress": address},
    }
    operator.put(
        path,
        {
            "subnet": properties["subnet"],
            "ipConfigurations": [configuration],
            "privateLinkServiceConnections": [
                {
                    "name": "forwarder",
                    "properties": {
                        "privateLinkServiceId": connection["privateLinkServiceId"],
                        "groupIds": [],
                    },
                }
            ],
        },
    )


def test_an_endpoint_that_is_gone(operator: Operator) -> None:
    path, document = endpoint(operator)
    operator.delete(path)
    broken = told(operator.probe(exit_code=4), "PE_MISSING")
    assert broken["evidence"] == f"private endpoint {document['name']} does not exist"
    assert broken["next"] == "azd provision --no-state"


def test_azure_wins_over_a_remembered_address(operator: Operator) -> None:
    operator.keep(f"{ZONE}/A/{RECORD}")
    made_anew(operator, "10.1.17.23")
    path = operator.probe(exit_code=4)["spoke/web"]
    broken = told({"spoke/web": path}, "DNS_WRONG_ADDRESS")
    assert "holds 10.1.17.4; the endpoint is 10.1.17.23" in broken["evidence"]
    assert [warning["code"] for warning in path["warnings"]] == ["ENV_STALE"]
    operator.follow(broken["next"])
    path = operator.probe(exit_code=0)["spoke/web"]
    assert path["verdict"] == "pass"
    assert [(warning["code"], warning["next"]) for warning in path["warnings"]] == [
        ("ENV_STALE", "azd env refresh")
    ]
    assert [check["verdict"] for check in path["checks"]] == ["pass"] * 4
    table = operator.lab.fwdctl("probe", "spoke").stdout
    assert "(ENV_STALE)" in table.partition("WARNING: spoke/web")[2]
