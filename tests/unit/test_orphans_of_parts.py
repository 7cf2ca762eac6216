"""What a removed forward, zone or subscription leaves behind, while its spoke stays."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from support.fake_arm import CONTAINERS, GROUP, NETWORK, SUBSCRIPTION, FakeArm, container_group
from support.frame import make_runtime, run
from support.left_behind import ENVIRON, SERVICE, TAGS, TOKEN, TOPOLOGY, entry
from support.left_behind import endpoint as endpoint_of

if TYPE_CHECKING:
    from pathlib import Path

    from fwdctl.runtime import Runtime

HUB, NEW = (f"{CONTAINERS}/ci-{name}-{TOKEN}" for name in ("hub", "new"))
OWN, FORMER = (f"{NETWORK}/privateDnsZones/{name}" for name in ("corp.internal", "former.internal"))
LINK = f"{FORMER}/virtualNetworkLinks/vnet-new-{TOKEN}"
THEIRS = OWN.replace("/rg-dev/", "/rg-net/")
ZONES = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Network/privateDnsZones"
OTHER = "22222222-2222-2222-2222-222222222222"


def record(zone: str, name: str, **metadata: str) -> dict[str, Any]:
    properties = {"aRecords": [{"ipv4Address": "10.1.17.4"}], "metadata": metadata}
    return {"id": f"{zone}/A/{name}", "name": name, "properties": properties}


@pytest.fixture
def runtime(tmp_path: Path, arm: FakeArm, monkeypatch: pytest.MonkeyPatch) -> Runtime:
    monkeypatch.setattr("fwdctl.azure.credential.log_in", lambda *_: arm.login())
    spoke = {**TOPOLOGY["spokes"][0], "hostName": "server.corp.internal"}  # type: ignore[index]
    forward = {"name": "db", "port": 1433, "targets": ["192.0.2.1:1433"], "hostNames": ["db"]}
    topology = {**TOPOLOGY, "spokes": [spoke], "forwards": [forward]}
    environ = {**ENVIRON, "FWD_TOPOLOGY": json.dumps(topology)}
    arm.on("GET", SERVICE, {"properties": {}})
    arm.on("GET", f"{GROUP}/resources", {"value": [entry(HUB), entry(NEW), entry(OWN)]})
    for box in (HUB, NEW):
        arm.on("GET", box, container_group(box.rpartition("/")[2], "Stopped"))
    return make_runtime(tmp_path, environ, sleep=lambda _: None)


def found(runtime: Runtime) -> list[dict[str, Any]]:
    ran = run(runtime, "env", "orphans", "-o", "json")
    assert ran.code == 0, ran.stderr
    orphans: list[dict[str, Any]] = ran.envelope["data"]["orphans"]
    return orphans


@pytest.mark.parametrize("zone", [OWN, THEIRS])
def test_the_name_of_a_removed_forward(runtime: Runtime, arm: FakeArm, zone: str) -> None:
    records = [
        record(zone, "server", **TAGS),
        record(zone, "db", **TAGS),
        record(zone, "gone", **TAGS),
        record(zone, "theirs"),
        record(zone, "others", **{"azd-env-name": "prod"}),
    ]
    arm.on("GET", f"{zone}/A", {"value": records})
    named = {zone: "corp.internal", FORMER: "former.internal", f"{THEIRS}x": "privatelink.vault.azure.net"}
    arm.on("GET", ZONES, {"value": [{"id": key, "name": name} for key, name in named.items()]})
    (orphan,) = found(runtime)
    assert (orphan["kind"], orphan["name"], orphan["state"]) == (
        "DNS name",
        "corp.internal/gone",
        "10.1.17.4",
    )
    gone: list[str] = []
    arm.routes["DELETE", f"{zone}/a/gone".lower()] = lambda _: (gone.append("gone"), (200, None, {}))[1]
    arm.fail("GET", f"{zone}/A/gone", 404, "NotFound")
    assert run(runtime, "env", "orphans", "--remove", "--yes").code == 0
    assert gone == ["gone"]


def test_the_zone_that_a_spoke_had_before(runtime: Runtime, arm: FakeArm) -> None:
    arm.on("GET", f"{GROUP}/resources", {"value": [entry(each) for each in (HUB, NEW, OWN, FORMER, LINK)]})
    network = f"{NETWORK}/virtualNetworks/vnet-new-{TOKEN}"
    arm.on("GET", LINK, {"properties": {"virtualNetwork": {"id": network}}})
    arm.on("GET", FORMER, {"properties": {"numberOfRecordSets": 2}})
    assert [(each["kind"], each["name"], each["spoke"]) for each in found(runtime)] == [
        ("zone link", f"former.internal/vnet-new-{TOKEN}", "new"),
        ("DNS zone", "former.internal", "new"),
    ]


@pytest.mark.parametrize(
    ("visible", "left"),
    [([SUBSCRIPTION], True), ([SUBSCRIPTION, OTHER.upper()], False), (["*"], False), ([], False)],
)
def test_the_connection_of_a_removed_subscription(
    runtime: Runtime, arm: FakeArm, visible: list[str], *, left: bool
) -> None:
    def connection(subscription: str) -> dict[str, Any]:
        endpoint = (
            f"/subscriptions/{subscription}/resourceGroups/x/providers/Microsoft.Network/privateEndpoints/p"
        )
        state = {"privateLinkServiceConnectionState": {"status": "Approved"}}
        return {
            "id": f"{SERVICE}/privateEndpointConnections/p.{subscription[0]}",
            "properties": {"privateEndpoint": {"id": endpoint}, **state},
        }

    connections = [connection(SUBSCRIPTION), connection(OTHER)]
    visibility = {"visibility": {"subscriptions": visible}}
    arm.on("GET", SERVICE, {"properties": {"privateEndpointConnections": connections, **visibility}})
    told = [(each["kind"], each["name"], each["spoke"], each["state"]) for each in found(runtime)]
    assert told == [("connection of a removed subscription", "p.2", OTHER, "Approved")][:left]
    ran = run(runtime, "hook", "postprovision")
    assert ("connection of a removed subscription p.2 (Approved" in ran.stderr) == left
    assert ("`fwdctl env orphans --remove`" in ran.stderr) == left


def test_a_removed_spoke_in_an_existing_network(runtime: Runtime, arm: FakeArm) -> None:
    """Its network has no name of the template's, its zone was linked to that, its names may be in another zone."""
    network = f"{NETWORK}/virtualNetworks/theirs".replace("/rg-dev/", "/rg-net/")
    endpoint, box = f"{NETWORK}/privateEndpoints/pep-old-{TOKEN}", f"{CONTAINERS}/ci-old-{TOKEN}"
    link = f"{FORMER}/virtualNetworkLinks/theirs"
    listed = [entry(each) for each in (HUB, NEW, OWN, endpoint, box, FORMER, link)]
    arm.on("GET", f"{GROUP}/resources", {"value": listed})
    arm.on("GET", endpoint, endpoint_of(SERVICE, network))
    arm.on(
        "GET", box, container_group(f"ci-old-{TOKEN}", "Stopped", subnetIds=[{"id": f"{network}/subnets/a"}])
    )
    arm.on("GET", link, {"properties": {"virtualNetwork": {"id": network}}})
    arm.on("GET", FORMER, {"properties": {"numberOfRecordSets": 2}})
    zone = THEIRS.replace("corp", "theirs")
    arm.on("GET", ZONES, {"value": [{"id": zone, "name": "theirs.internal"}]})
    arm.on("GET", f"{zone}/A", {"value": [record(zone, "db", **TAGS), record(zone, "server")]})
    assert [(each["kind"], each["name"]) for each in found(runtime)] == [
        ("private endpoint", f"pep-old-{TOKEN}"),
        ("jump box", f"ci-old-{TOKEN}"),
        ("DNS name", "theirs.internal/db"),
        ("zone link", "former.internal/theirs"),
        ("DNS zone", "former.internal"),
    ]
