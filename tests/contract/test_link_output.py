"""What `fwdctl link` writes for programs: every key, in every state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support.fake_arm import GROUP, SUBSCRIPTION, FakeArm, fake_arm
from support.frame import make_runtime, run
from support.link_services import ALIAS, ENVIRON, FAR, OWN, SERVICE, THEIRS, LinkService, connection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SALES = {
    "name": "pep-sales.1",
    "id": f"{SERVICE}/privateEndpointConnections/pep-sales.1",
    "service": "pl-x",
    "state": "Pending",
    "endpoint": f"{FAR}/pep-sales",
    "subscription": THEIRS,
    "region": "northeurope",
    "message": "Orders",
    "actionsRequired": None,
    "since": None,
    "spoke": None,
    "orphanOf": None,
}
SHOP = {
    **SALES,
    "name": "pep-shop-x.2",
    "id": f"{SERVICE}/privateEndpointConnections/pep-shop-x.2",
    "state": "Approved",
    "endpoint": OWN,
    "subscription": SUBSCRIPTION,
    "message": None,
    "since": "2026-11-01T08:00:00Z",
    "spoke": "shop",
}
SHOWN = {
    "name": "pl-x",
    "id": SERVICE,
    "region": "westeurope",
    "alias": ALIAS,
    "visibility": ["*"],
    "autoApproval": [SUBSCRIPTION],
    "natAddresses": 1,
}


@pytest.fixture
def arm(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeArm]:
    with fake_arm() as fake:
        monkeypatch.setattr("fwdctl.azure.credential.log_in", lambda *_: fake.login())
        there = [
            connection("pep-shop-x.2", OWN, "Approved"),
            connection("pep-sales.1", f"{FAR}/pep-sales", "Pending", "Orders"),
        ]
        LinkService(there).serve(fake)
        endpoint = {"id": OWN, "name": "pep-shop-x", "type": "Microsoft.Network/privateEndpoints"}
        dated = {**endpoint, "createdTime": "2026-11-01T08:00:00Z"}
        fake.on("GET", f"{GROUP}/resources", {"value": [dated]})
        yield fake


def data(folder: Path, *words: str) -> Any:
    ran = run(make_runtime(folder, ENVIRON), "link", *words, "-o", "json")
    assert (ran.code, ran.envelope["command"], ran.envelope["errors"]) == (0, f"link {words[0]}", [])
    return ran.envelope["data"]


@pytest.mark.usefixtures("arm")
def test_list_and_show(tmp_path: Path) -> None:
    listed = {"resourceGroup": "rg-dev", "services": [SHOWN], "connections": [SALES, SHOP]}
    assert data(tmp_path, "list") == listed
    shown = {"resourceGroup": "rg-dev", "service": SHOWN, "connections": [SHOP]}
    assert data(tmp_path, "show", "--match", "pep-shop*") == shown


@pytest.mark.usefixtures("arm")
def test_decisions(tmp_path: Path) -> None:
    words = ("--match", "pep-sales")
    approved = data(tmp_path, "approve", *words)
    untested = "endpoint is not of a spoke of this deployment, so its paths cannot be tested from inside"
    told = {"state": "Approved", "message": "Approved with fwdctl."}
    assert approved == {
        "connection": {**SALES, **told},
        "outcome": "approved",
        "probe": None,
        "untested": untested,
    }
    rejected = data(tmp_path, "reject", *words, "--description", "no", "--yes")
    assert rejected == {
        "connection": {**SALES, "state": "Rejected", "message": "no"},
        "outcome": "rejected",
        "probe": None,
        "untested": None,
    }
    removed = data(tmp_path, "remove", *words, "--yes")
    assert (removed["outcome"], removed["connection"]["state"]) == ("removed", "Removed")


@pytest.mark.usefixtures("arm")
def test_a_refusal_is_an_error_of_the_envelope(tmp_path: Path) -> None:
    ran = run(make_runtime(tmp_path, ENVIRON), "link", "approve", "--match", "*", "-o", "json")
    assert (ran.code, ran.envelope["data"], ran.envelope["status"]) == (2, None, "failed")
    (error,) = ran.envelope["errors"]
    assert sorted(error) == ["code", "message", "suggestion"]


@pytest.mark.usefixtures("arm")
def test_a_request(tmp_path: Path, arm: FakeArm) -> None:
    state = {"status": "Approved", "description": ""}
    link = {"privateLinkServiceId": ALIAS, "privateLinkServiceConnectionState": state}
    arm.on(
        "GET", OWN, {"id": OWN, "properties": {"manualPrivateLinkServiceConnections": [{"properties": link}]}}
    )
    subnet = f"{GROUP}/providers/Microsoft.Network/virtualNetworks/v/subnets/s"
    asked = data(tmp_path, "request", "--alias", ALIAS, "--subnet", subnet, "--name", "pep-shop-x")
    assert asked == {
        "endpoint": OWN,
        "service": ALIAS,
        "state": "Approved",
        "message": None,
        "address": None,
        "made": False,
        "next": None,
    }
