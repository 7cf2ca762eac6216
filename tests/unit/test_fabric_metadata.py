"""Answers of the instance metadata service."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from fwdlab.fabric.metadata import NEWEST, Limit, RefusedError, answer, machines
from fwdlab.fabric.wanted import Interface
from fwdlab.model import NodeSpec, Snapshot

GROUP = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg-dev"
INSTANCE = f"{GROUP}/providers/Microsoft.Compute/virtualMachineScaleSets/fwd/virtualMachines/0"
MACHINE = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/vm"
DATA = base64.b64encode(b"hello").decode()
ASKED = {"Metadata": "true"}
PATH = "/metadata/instance"


def interface(node: str, network: int) -> Interface:
    return Interface(node, "1", f"v-{network}", "00:0d:3a:01:02:03", network, "10.0.1.5", 26, "10.0.1.1")


def known() -> dict[tuple[int, str], dict[str, Any]]:
    """An instance, a machine with the same address in another network, and a container."""
    specs = (
        NodeSpec("fwd000000", "machine", "s", "10.0.1.5", "1", INSTANCE, user_data=DATA),
        NodeSpec("vm", "machine", "s", "10.0.1.5", "1", MACHINE),
        NodeSpec("box", "container", "s", "10.0.1.5", "1", f"{GROUP}/x"),
    )
    documents = {
        INSTANCE.lower(): {
            "name": "fwd_0",
            "location": "westeurope",
            "zones": ["2"],
            "sku": {"name": "Standard_B2ats_v2"},
            "tags": {"b": "2", "a": "1"},
            "properties": {"vmId": "the-id"},
        },
        MACHINE.lower(): {"name": "vm", "properties": {"hardwareProfile": {"vmSize": "Standard_B1s"}}},
    }
    names = [spec.name for spec in specs]
    return machines(Snapshot(1, documents, specs), [interface(name, 7 + n) for n, name in enumerate(names)])


def ask(path: str, version: str = "2021-02-01", network: int = 7, **query: str) -> Any:
    return answer(known().get((network, "10.0.1.5")), PATH + path, {"api-version": version, **query}, ASKED)


def test_an_instance_is_told_who_it_is() -> None:
    found = ask("")
    assert found["compute"] == {
        "azEnvironment": "AzurePublicCloud",
        "location": "westeurope",
        "name": "fwd_0",
        "osType": "Linux",
        "resourceGroupName": "rg-dev",
        "resourceId": INSTANCE,
        "subscriptionId": "11111111-1111-1111-1111-111111111111",
        "tags": "a:1;b:2",
        "tagsList": [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}],
        "userData": DATA,
        "vmId": "the-id",
        "vmScaleSetName": "fwd",
        "vmSize": "Standard_B2ats_v2",
        "zone": "2",
    }
    assert found["network"]["interface"] == [
        {
            "ipv4": {
                "ipAddress": [{"privateIpAddress": "10.0.1.5", "publicIpAddress": ""}],
                "subnet": [{"address": "10.0.1.0", "prefix": "26"}],
            },
            "ipv6": {"ipAddress": []},
            "macAddress": "000D3A010203",
        }
    ]


def test_network_and_address_together_tell_who_asks() -> None:
    other = ask("/compute", network=8)
    assert (other["name"], other["vmSize"], other["vmScaleSetName"]) == ("vm", "Standard_B1s", "")
    assert ask("/compute/userData", network=8, format="text") == ""


def test_parts_are_asked_for_by_their_path() -> None:
    assert ask("/compute/userData", "2021-01-01", format="text") == DATA
    assert ask("/COMPUTE/Zone/", format="text") == "2"
    assert ask("/network/interface/0/ipv4/ipAddress/0/privateIpAddress", format="text") == "10.0.1.5"
    assert ask("", format="text") == "compute\nnetwork"
    assert ask("/network/interface", format="text") == "0"


@pytest.mark.parametrize(
    ("path", "query", "headers", "status", "words"),
    [
        ("", {}, {}, 400, "Required metadata header not specified"),
        ("", {}, {"Metadata": "yes"}, 400, "Required metadata header not specified"),
        ("", {}, {**ASKED, "X-Forwarded-For": "1.2.3.4"}, 400, "X-Forwarded-For"),
        ("", {"api-version": ""}, ASKED, 400, "api-version"),
        ("", {"api-version": "latest"}, ASKED, 400, "api-version"),
        ("", {"api-version": "2999-01-01"}, ASKED, 400, "api-version"),
        ("/compute/nothing", {}, ASKED, 404, "Not found"),
        ("/network/interface/1", {}, ASKED, 404, "Not found"),
        ("/compute/userData/more", {}, ASKED, 404, "Not found"),
        ("/compute/userData", {"api-version": "2020-12-01", "format": "text"}, ASKED, 404, "Not found"),
        ("/compute/userData", {}, ASKED, 400, "format=text"),
    ],
)
def test_refusals(path: str, query: dict[str, str], headers: dict[str, str], status: int, words: str) -> None:
    with pytest.raises(RefusedError) as caught:
        answer(known()[7, "10.0.1.5"], PATH + path, {"api-version": "2021-02-01", **query}, headers)
    assert caught.value.status == status
    assert words in caught.value.document["error"]
    assert ("newest-versions" in caught.value.document) == (words == "api-version")
    if words == "api-version":
        assert caught.value.document["newest-versions"] == list(NEWEST)


def test_a_container_is_told_nothing() -> None:
    with pytest.raises(RefusedError) as caught:
        ask("", network=9)
    assert caught.value.status == 404


def test_more_than_five_requests_of_a_machine_within_a_second_are_refused() -> None:
    now = 0.0
    limit = Limit(lambda: now)
    here, other = (7, "10.0.1.5"), (8, "10.0.1.5")
    assert [limit.admits(here) for _ in range(7)] == [True] * 5 + [False] * 2
    assert limit.admits(other)
    now = 0.9
    assert not limit.admits(here)
    now = 1.0
    assert [limit.admits(here) for _ in range(6)] == [True] * 5 + [False]
