"""Which connection is meant, and what is still to be done."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fwdctl.deployment import Deployment, Hub, Spoke
from fwdctl.errors import FwdctlError
from fwdctl.link.model import Connection, connection_of, service_of
from fwdctl.link.plan import APPROVE, REJECT, REMOVE, Decision, Meant, choose, is_done, spoke_of, the_one
from fwdctl.link.request import Wish, body_of, outcome, wish
from support.fake_arm import SUBSCRIPTION
from support.link_services import ALIAS, FAR, OWN, SERVICE, THEIRS, LinkService, connection

SALES = connection_of("pl-x", connection("pep-sales.1", f"{FAR}/pep-sales", "Pending", "please"))
STOCK = connection_of("pl-x", connection("pep-stock.2", f"{FAR}/pep-stock", "Approved", "Auto Approved"))
SHOP = connection_of("pl-x", connection("pep-shop-x.3", OWN, "Approved"))
ALL = (SALES, STOCK, SHOP)


@pytest.mark.parametrize(
    ("meant", "names"),
    [
        (Meant(), ["pep-sales.1", "pep-stock.2", "pep-shop-x.3"]),
        (Meant("pep-sales.1"), ["pep-sales.1"]),
        (Meant("PEP-SALES"), ["pep-sales.1"]),
        (Meant("pep-s*"), ["pep-sales.1", "pep-stock.2", "pep-shop-x.3"]),
        (Meant(f"/subscriptions/{THEIRS}/*"), ["pep-sales.1", "pep-stock.2"]),
        (Meant("sales"), []),
        (Meant("please"), []),
        (Meant("", f"{FAR}/PEP-SALES/"), ["pep-sales.1"]),
        (Meant("", STOCK.id.upper()), ["pep-stock.2"]),
        (Meant("", "pep-sales.1"), []),
    ],
)
def test_what_a_glob_and_an_id_mean(meant: Meant, names: list[str]) -> None:
    assert [each.name for each in meant.matching(ALL)] == names


def test_a_message_is_never_matched() -> None:
    """It is written by whoever asks, and could claim anything."""
    assert Meant("*please*").matching(ALL) == []


def test_an_ambiguous_match_is_refused_and_listed() -> None:
    with pytest.raises(FwdctlError) as refused:
        choose(ALL, APPROVE, Meant("pep-*"))
    assert (refused.value.code, refused.value.exit_code) == ("several_connections", 2)
    assert "means 3 connections: pep-sales.1 (Pending, of 2222" in refused.value.message


@pytest.mark.parametrize("closed", ["Rejected", "Disconnected"])
def test_a_closed_connection_does_not_stand_in_the_way_of_its_successor(closed: str) -> None:
    former = replace(SALES, id=f"{SERVICE}/privateEndpointConnections/old", name="pep-sales.0", state=closed)
    assert choose([former, SALES], APPROVE, Meant("pep-sales*")) == SALES
    assert choose([former], APPROVE, Meant("pep-sales*")) == former
    assert choose([former], APPROVE, Meant("other")) is None


@pytest.mark.parametrize(
    ("decision", "state", "done"),
    [
        (APPROVE, "Pending", False),
        (APPROVE, "Approved", True),
        (REJECT, "Pending", False),
        (REJECT, "Approved", False),
        (REJECT, "Rejected", True),
        (REMOVE, "Pending", False),
        (REMOVE, "Disconnected", False),
        (REMOVE, "Removed", True),
    ],
)
def test_what_is_left_to_do(decision: Decision, state: str, *, done: bool) -> None:
    assert is_done(replace(SALES, state=state), decision) is done


@pytest.mark.parametrize(
    ("decision", "state"), [(APPROVE, "Rejected"), (APPROVE, "Disconnected"), (REJECT, "Disconnected")]
)
def test_there_is_no_way_back(decision: Decision, state: str) -> None:
    with pytest.raises(FwdctlError) as refused:
        is_done(replace(SALES, state=state), decision)
    assert (refused.value.code, refused.value.exit_code) == ("connection_final", 2)
    assert "make a new one" in refused.value.suggestion


def test_several_services_are_named() -> None:
    service = service_of(LinkService().document())
    assert the_one([service]) is service
    with pytest.raises(FwdctlError) as refused:
        the_one([service, replace(service, name="pl-y")])
    assert refused.value.message == "There are 2 private link services: pl-x, pl-y."
    assert refused.value.suggestion == "Name one with --service."


def test_a_service_is_read() -> None:
    service = service_of(LinkService([connection("c", OWN, "Pending", "hi")]).document())
    assert (service.alias, service.visibility, service.nat_addresses) == (ALIAS, ("*",), 1)
    (asking,) = service.connections
    assert asking == Connection(
        f"{SERVICE}/privateEndpointConnections/c", "c", "pl-x", OWN, "Pending", "northeurope", "hi"
    )
    assert (asking.subscription, asking.endpoint_name) == (SUBSCRIPTION, "pep-shop-x")


@pytest.mark.parametrize(
    ("spoke", "endpoint", "found"),
    [
        (Spoke("shop", None, endpoint="PEP-shop-x"), OWN, True),
        (Spoke("shop", None, endpoint="pep-shop-x"), f"{FAR}/pep-shop-x", False),
        (Spoke("shop", None, endpoint="pep", endpoint_id=f"{FAR}/pep"), f"{FAR}/PEP", True),
        (Spoke("shop", None, endpoint="pep-shop-x", endpoint_id=f"{FAR}/pep-shop-x"), OWN, False),
        (Spoke("shop", None), OWN, False),
    ],
)
def test_the_spoke_behind_a_connection(spoke: Spoke, endpoint: str, *, found: bool) -> None:
    deployment = Deployment("rg-dev", None, Hub(None), (spoke,), (), "x")
    assert (spoke_of(deployment, replace(SHOP, endpoint=endpoint)) is not None) is found


SUBNET = f"{OWN.partition('/privateEndpoints')[0]}/virtualNetworks/vnet/subnets/s"


def test_a_request_is_a_manual_connection() -> None:
    wanted = wish("pep-crm", ALIAS, SUBNET, "CRM")
    assert (wanted.group, wanted.subscription, wanted.network) == ("rg-dev", SUBSCRIPTION, SUBNET[:-10])
    assert body_of(wanted, "westeurope") == {
        "location": "westeurope",
        "properties": {
            "subnet": {"id": SUBNET},
            "manualPrivateLinkServiceConnections": [
                {
                    "name": "pep-crm",
                    "properties": {
                        "privateLinkServiceId": ALIAS,
                        "groupIds": [],
                        "requestMessage": "CRM",
                    },
                }
            ],
        },
    }
    assert wish("pep-crm", SERVICE, SUBNET, group="rg-b").group == "rg-b"


@pytest.mark.parametrize(
    ("alias", "subnet", "message", "problem"),
    [
        ("pl-x", SUBNET, "", "'pl-x' is neither the alias nor the id"),
        (f"{SERVICE}/more/x", SUBNET, "", "is neither the alias nor the id"),
        (ALIAS, "subnet", "", "'subnet' is not the id of a subnet"),
        (ALIAS, SUBNET[:-10], "", "is not the id of a subnet"),
        (ALIAS, SUBNET, "x" * 141, "has 141 characters, and Azure takes 140"),
    ],
)
def test_a_request_is_checked_before_azure_is_asked(
    alias: str, subnet: str, message: str, problem: str
) -> None:
    with pytest.raises(FwdctlError) as refused:
        wish("pep", alias, subnet, message)
    assert refused.value.exit_code == 2
    assert problem in refused.value.message


def connected(service: str) -> dict[str, object]:
    connection = {"properties": {"privateLinkServiceId": service}}
    return {"id": OWN, "properties": {"privateLinkServiceConnections": [connection]}}


@pytest.mark.parametrize("service", ["", OWN, f"{SERVICE}y", ALIAS.replace("4444", "5555")])
def test_an_endpoint_of_another_service_is_not_taken_over(service: str) -> None:
    with pytest.raises(FwdctlError) as refused:
        outcome(Wish("pep", ALIAS, SUBNET), connected(service), "", made=False)
    assert refused.value.code == "endpoint_taken"


@pytest.mark.parametrize("service", [SERVICE, ALIAS.upper()])
def test_an_endpoint_may_show_its_service_by_id_or_alias(service: str) -> None:
    for wanted in (ALIAS, service):
        assert outcome(Wish("pep", wanted, SUBNET), connected(service), "", made=False).state == "Pending"
