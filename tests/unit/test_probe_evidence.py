"""Evidence: which segment a failed path is broken at."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fwdctl.deployment import Forward
from fwdctl.probe import evidence, forwarder
from fwdctl.probe.judge import judge
from fwdctl.probe.model import Path, Sample, Sight
from support.probe_paths import BOX, GOOD, PATH, SPOKE, WEB, sight


class Facts:
    """The control plane's answers, as `Networks` gives them; anything not given is unexpected."""

    def __init__(self, **answers: Any) -> None:
        for name, value in answers.items():
            setattr(self, name, lambda *_, value=value: value)


ENDPOINT = {"properties": {"subnet": {"id": "/net/vnet-spoke/subnets/linked"}}}

ZONE = {"name": "corp.internal"}

LINK = {"properties": {"virtualNetwork": {"id": "/net/VNET-spoke"}}}


def record(*addresses: str) -> dict[str, Any]:
    return {"name": "server", "properties": {"aRecords": [{"ipv4Address": address} for address in addresses]}}


@pytest.mark.parametrize(
    ("zones", "links", "records", "seen", "code"),
    [
        ([], [], [], (), "DNS_NXDOMAIN"),
        ([ZONE], [], [record("10.1.17.4")], (), "DNS_ZONE_NOT_LINKED"),
        ([ZONE], [LINK], [], (), "DNS_NXDOMAIN"),
        ([ZONE], [LINK], [record("10.1.17.9")], ("10.1.17.9",), "DNS_WRONG_ADDRESS"),
        ([ZONE], [LINK], [record("10.1.17.4")], ("10.1.17.9",), "DNS_WRONG_ADDRESS"),
        ([ZONE], [LINK], [record("10.1.17.4")], (), "DNS_NXDOMAIN"),
    ],
)
def test_why_a_name_fails(
    zones: list[Any], links: list[Any], records: list[Any], seen: tuple[str, ...], code: str
) -> None:
    facts = Facts(zones=zones, zone_links=links, zone_records=records, private_endpoint=ENDPOINT)
    found = evidence.name(facts, "rg", SPOKE, judge(PATH, sight(addresses=seen, status=2)))  # type: ignore[arg-type]
    assert (found.segment, found.code) == ("name", code)
    assert found.following


ADD, REMOVE = (
    f"az network private-dns record-set a {verb}-record -g rg -z corp.internal -n server -a"
    for verb in ("add", "remove")
)


@pytest.mark.parametrize(
    ("held", "typed"),
    [
        ([], f"{ADD} 10.1.17.4"),
        (["10.1.17.9"], f"{ADD} 10.1.17.4 && {REMOVE} 10.1.17.9"),
        (["10.1.17.4", "10.1.17.9"], f"{REMOVE} 10.1.17.9"),
        (["10.1.17.8", "10.1.17.9"], f"{ADD} 10.1.17.4 && {REMOVE} 10.1.17.8 && {REMOVE} 10.1.17.9"),
    ],
)
def test_a_record_is_mended_until_it_holds_the_endpoint_only(held: list[str], typed: str) -> None:
    records = [record(*held)] if held else []
    facts = Facts(zones=[ZONE], zone_links=[LINK], zone_records=records, private_endpoint=ENDPOINT)
    found = evidence.name(facts, "rg", SPOKE, judge(PATH, sight(addresses=tuple(held), status=2)))  # type: ignore[arg-type]
    assert found.following == typed


def test_a_link_is_called_as_the_template_calls_it() -> None:
    network = "/subscriptions/s/resourceGroups/RG/providers/Microsoft.Network/virtualNetworks/vnet-Spoke-x"
    endpoint = {"properties": {"subnet": {"id": f"{network}/subnets/linked"}}}
    facts = Facts(zones=[ZONE], zone_links=[], zone_records=[], private_endpoint=endpoint)
    found = evidence.name(facts, "rg", SPOKE, judge(PATH, sight(addresses=(), status=2)))  # type: ignore[arg-type]
    assert found.following == (
        "az network private-dns link vnet create -g rg -z corp.internal -n vnet-Spoke-x "
        f"-v {network} -e false"
    )


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("Pending", "PE_PENDING"),
        ("Rejected", "PE_REJECTED"),
        ("Disconnected", "PE_DISCONNECTED"),
        ("Approved", None),
    ],
)
def test_endpoint_states(status: str, code: str | None) -> None:
    state = {"privateLinkServiceConnectionState": {"status": status, "description": "why"}}
    document = {"id": "/pe/A", "properties": {"manualPrivateLinkServiceConnections": [{"properties": state}]}}
    facts = Facts(private_endpoint=document, private_link_services=[])
    found = evidence.endpoint(facts, "rg", SPOKE)  # type: ignore[arg-type]
    assert (found.code if found else None) == code
    if code == "PE_DISCONNECTED":
        assert found is not None
        assert (
            found.following == "az network private-endpoint delete -g rg -n pep && azd provision --no-state"
        )


def test_the_connection_to_approve_is_named_where_its_owner_asks() -> None:
    state = {"privateLinkServiceConnectionState": {"status": "Pending"}}
    document = {"id": "/pe/A", "properties": {"manualPrivateLinkServiceConnections": [{"properties": state}]}}
    others = {"id": "/pls/c/b", "properties": {"privateEndpoint": {"id": "/pe/b"}}}
    own = {"id": "/pls/c/a", "properties": {"privateEndpoint": {"id": "/PE/a"}}}
    service = {"properties": {"privateEndpointConnections": [others, own]}}
    facts = Facts(private_endpoint=document, private_link_services=[service])
    found = evidence.endpoint(facts, "rg", SPOKE)  # type: ignore[arg-type]
    assert found is not None
    assert found.following == "az network private-endpoint-connection approve --id /pls/c/a"


def test_rules_of_the_load_balancer() -> None:
    rule = {"name": "web", "properties": {"frontendPort": 8000, "probe": {"id": "/lb/probes/P"}}}
    probes = [{"name": "p", "properties": {"port": 18099}}]
    balancer = {"name": "lbi", "properties": {"loadBalancingRules": [rule], "probes": probes}}
    assert evidence.rule(balancer, WEB) == ("web", None)
    assert evidence.health_port(balancer, "web") == 18099
    _, found = evidence.rule(balancer, Forward("db", 1433))
    assert found is not None
    assert (found.code, found.following) == ("LB_NO_RULE", "azd provision --no-state")


def test_backends() -> None:
    down = {"ipAddress": "10.0.1.6", "state": "Down", "reason": "Down_Probe_HttpStatusCodeError"}
    found = evidence.unhealthy([down], hub_seen=False)
    assert found is not None
    assert (found.code, "Down_Probe_HttpStatusCodeError" in found.evidence) == ("LB_NO_HEALTHY_BACKEND", True)
    assert evidence.unhealthy([down, {"ipAddress": "x", "state": "Up"}], hub_seen=True) is None
    assert evidence.unhealthy([], hub_seen=True) is None


@pytest.mark.parametrize(("peered", "code"), [(True, None), (False, "ROUTE_NO_PEERING")])
def test_peering(*, peered: bool, code: str | None) -> None:
    peerings = [{"properties": {"peeringState": "Connected", "remoteVirtualNetwork": {"id": "/NET/corp"}}}]
    networks = [
        {"id": "/net/hub", "name": "hub", "properties": {
            "addressSpace": {"addressPrefixes": ["10.0.1.0/24"]}, "virtualNetworkPeerings": peerings if peered else []}},
        {"id": "/net/corp", "name": "corp", "properties": {"addressSpace": {"addressPrefixes": ["192.168.42.0/24"]}}},
    ]  # fmt: skip
    frontend = {"properties": {"subnet": {"id": "/net/hub/subnets/shared"}}}
    found = evidence.peering(networks, {"properties": {"frontendIPConfigurations": [frontend]}}, WEB.targets)
    assert (found.code if found else None) == code
    if found is not None:  # azd skips a template that has not changed
        assert found.following == "azd provision --no-state"


def test_targets_that_never_answer_are_named_by_their_machines() -> None:
    def nic(machine: str, address: str) -> dict[str, Any]:
        entry = {"properties": {"privateIPAddress": address}}
        return {"properties": {"virtualMachine": {"id": f"/vm/{machine}"}, "ipConfigurations": [entry]}}

    class Machines(Facts):
        def host_name(self, machine_id: str) -> str:
            return machine_id.removeprefix("/vm/vm-")

    machines = Machines(network_interfaces=[nic("vm-A", "192.168.42.65"), nic("vm-b", "192.168.42.66")])
    result = judge(PATH, sight(GOOD, GOOD, GOOD, GOOD))
    assert evidence.missing_targets(machines, result) == ["192.168.42.66:8000"]  # type: ignore[arg-type]
    (warning,) = evidence.unnamed("1 of 2", ["192.168.42.66:8000"])
    assert (warning.code, "192.168.42.66:8000" in warning.evidence) == ("TARGET_DOWN", True)
    stranger = judge(PATH, sight(*[Sample("curl", connected=True, answered=True, server="z")] * 4))
    assert evidence.missing_targets(machines, stranger) == []  # type: ignore[arg-type]
    assert evidence.unnamed("1 of 2", [])[0].code == "TARGET_DOWN"


def status(**changes: Any) -> dict[str, Any]:
    targets = [{"address": t, "state": "up", "lastError": None} for t in WEB.targets]
    entry = {"name": "web", "rulesInPlace": True, "targets": targets}
    return {"forwarding": True, "forwards": [{**entry, **changes.pop("forward", {})}], **changes}


SCALE_SET = "-g rg -n vmss-x --instance-ids"

HEALTH = [
    {
        "ipAddress": f"10.0.1.{6 + number}",
        "state": "Up",
        "networkInterfaceIPConfigurationId": {
            "id": "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Compute/virtualMachineScaleSets/"
            f"vmss-x/virtualMachines/{number}/networkInterfaces/primary/ipConfigurations/primary"
        },
    }
    for number in range(3)
]


def test_forwarders_are_set_up_anew_one_after_the_other() -> None:
    typed = (
        f"az vmss update-instances {SCALE_SET} 0 2 && az vmss reimage {SCALE_SET} 0 "
        f"&& az vmss reimage {SCALE_SET} 2"
    )
    assert forwarder.reimage(HEALTH, ["10.0.1.6", "10.0.1.8"]) == typed
    plain = [
        {**each, "networkInterfaceIPConfigurationId": each["networkInterfaceIPConfigurationId"]["id"]}  # type: ignore[index]
        for each in HEALTH
    ]
    assert forwarder.reimage(plain, ["10.0.1.6", "10.0.1.8"]) == typed
    others = "Set the machines 10.0.1.6, 10.0.1.9 up anew, one at a time."
    assert forwarder.reimage(HEALTH, ["10.0.1.9", "10.0.1.6"]) == others


DEAD = [{"address": target, "state": "down", "lastError": "timed out"} for target in WEB.targets]


@pytest.mark.parametrize(
    ("report", "code"),
    [
        (status(), None),
        (status(forwarding=False), "FWD_NO_FORWARDING"),
        (status(forward={"rulesInPlace": False}), "FWD_RULES_MISSING"),
        (status(forward={"targets": DEAD}), "TARGET_DOWN"),
        (status(forwards=[]), "FWD_RULES_MISSING"),
    ],
)
def test_forwarders_report(report: dict[str, Any], code: str | None) -> None:
    reports = forwarder.parse(f"10.0.1.6 {json.dumps(report)}\n10.0.1.7 \n")
    assert reports["10.0.1.7"] is None
    found = forwarder.explain(reports, WEB, HEALTH)
    assert (found.code if found else None) == code
    if code and code.startswith("FWD"):
        assert found is not None
        assert found.following == f"az vmss update-instances {SCALE_SET} 0 && az vmss reimage {SCALE_SET} 0"


def test_a_target_that_one_forwarder_reaches_is_not_down() -> None:
    alive = status()["forwards"][0]["targets"]
    halves = [status(forward={"targets": [DEAD[i], alive[1 - i]]}) for i in (0, 1)]
    assert forwarder.explain({"10.0.1.6": halves[0], "10.0.1.7": halves[1]}, WEB, HEALTH) is None
    none = status(forward={"targets": DEAD})
    assert forwarder.explain({"10.0.1.6": halves[0], "10.0.1.7": none}, WEB, HEALTH) is None
    found = forwarder.explain({"10.0.1.6": none, "10.0.1.7": none, "10.0.1.8": None}, WEB, HEALTH)
    assert found is not None
    assert found.code == "TARGET_DOWN"
    assert all(f"{target}: timed out" in found.evidence for target in WEB.targets)


@pytest.mark.parametrize(
    ("failure", "code"), [("refused", "FWD_RULES_MISSING"), ("timeout", "FWD_NO_FORWARDING"), ("", None)]
)
def test_packets_to_a_forwarder(failure: str, code: str | None) -> None:
    path = Path("hub/web/10.0.1.6", "forwarder", BOX, WEB, "10.0.1.6", 8000)
    seen = Sample("curl", connected=not failure, answered=not failure, failure=failure, text="t")
    found = forwarder.judge_direct([judge(path, Sight(samples=(seen,)))], HEALTH)
    assert (found.code if found else None) == code
    if found is not None:
        assert found.following == f"az vmss update-instances {SCALE_SET} 0 && az vmss reimage {SCALE_SET} 0"
