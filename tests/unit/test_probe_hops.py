"""Hops: which segment a failed path is broken at, and the order in which they are asked."""

from __future__ import annotations

import json
import pathlib
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from fwdctl.azure.networks import Backend
from fwdctl.deployment import Box, Deployment, Forward, Hub
from fwdctl.errors import FwdctlError
from fwdctl.probe import agents
from fwdctl.probe.evidence import Evidence
from fwdctl.probe.hops import balancer, endpoint, explain, forwarder, name, route
from fwdctl.probe.judge import judge
from fwdctl.probe.model import Observation, Path, Sample
from support.probe_paths import BOX, PATH, SPOKE, WEB, observed

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Facts:
    """The control plane's answers, as `Networks` gives them; anything not given is unexpected.

    A function is called with the arguments; a list of what there is none of need not be given.
    """

    NOTHING = (
        "virtual_networks",
        "security_groups",
        "network_interfaces",
        "all_zones",
        "scale_set_interfaces",
    )

    def __init__(self, **answers: Any) -> None:
        for key, value in {**{key: [] for key in self.NOTHING}, **answers}.items():
            setattr(self, key, value if callable(value) else lambda *_, value=value: value)

    def resource(self, resource_id: str) -> Any:
        raise FwdctlError("resource_not_found", f"{resource_id} was not found.")


HUB = Hub(Box("hub", "ci-hub", "jump"), "lbi", "10.0.1.5")

SILENT = Sample("curl", connected=False, answered=False, failure="timeout", text="timed out")

FAILED = judge(PATH, observed(*[SILENT] * 4))


def evidence(*, hub_runs: bool = False, **answers: Any) -> Evidence:
    answers = {"private_link_services": [], **answers}
    group = SimpleNamespace(running=hub_runs, address="10.0.1.68", subnet_id="")
    boxes = SimpleNamespace(starts=lambda _: False)
    containers = SimpleNamespace(get=lambda _: group)
    deployment = Deployment("rg", None, HUB, (SPOKE,), (WEB,), "x")
    return Evidence(boxes, Facts(**answers), containers, deployment)  # type: ignore[arg-type]


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
    facts = evidence(zones=zones, zone_links=links, zone_records=records, private_endpoint=ENDPOINT)
    found = name.broken(facts, judge(PATH, observed(addresses=seen, status=2)))
    assert found is not None
    assert (found.segment, found.code) == ("name", code)
    assert found.suggestion


ADD, REMOVE = (
    f"az network private-dns record-set a {verb}-record -g rg -z corp.internal -n server -a"
    for verb in ("add", "remove")
)


@pytest.mark.parametrize(
    ("held", "typed"),
    [
        ([], f"{ADD} 10.1.17.4"),
        (["10.1.17.9"], f"{ADD} 10.1.17.4\n{REMOVE} 10.1.17.9"),
        (["10.1.17.4", "10.1.17.9"], f"{REMOVE} 10.1.17.9"),
        (["10.1.17.8", "10.1.17.9"], f"{ADD} 10.1.17.4\n{REMOVE} 10.1.17.8\n{REMOVE} 10.1.17.9"),
    ],
)
def test_a_record_is_corrected_until_it_holds_the_endpoint_only(held: list[str], typed: str) -> None:
    records = [record(*held)] if held else []
    facts = evidence(zones=[ZONE], zone_links=[LINK], zone_records=records, private_endpoint=ENDPOINT)
    found = name.broken(facts, judge(PATH, observed(addresses=tuple(held), status=2)))
    assert found is not None
    assert found.suggestion == typed


def test_a_link_is_called_as_the_template_calls_it() -> None:
    network = "/subscriptions/s/resourceGroups/RG/providers/Microsoft.Network/virtualNetworks/vnet-Spoke-x"
    document = {"properties": {"subnet": {"id": f"{network}/subnets/linked"}}}
    facts = evidence(zones=[ZONE], zone_links=[], zone_records=[], private_endpoint=document)
    found = name.broken(facts, judge(PATH, observed(addresses=(), status=2)))
    assert found is not None
    assert found.suggestion == (
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
    facts = evidence(private_endpoint=document, private_link_services=[])
    found = endpoint.broken(facts, FAILED)
    assert (found.code if found else None) == code
    if code in {"PE_REJECTED", "PE_DISCONNECTED"}:
        assert found is not None
        assert found.suggestion == "az network private-endpoint delete -g rg -n pep\nazd provision --no-state"


def test_the_connection_to_approve_is_named_where_its_owner_asks() -> None:
    state = {"privateLinkServiceConnectionState": {"status": "Pending"}}
    document = {"id": "/pe/A", "properties": {"manualPrivateLinkServiceConnections": [{"properties": state}]}}
    others = {"id": "/pls/c/b", "properties": {"privateEndpoint": {"id": "/pe/b"}}}
    own = {"id": "/pls/c/a", "properties": {"privateEndpoint": {"id": "/PE/a"}}}
    service = {"properties": {"privateEndpointConnections": [others, own]}}
    facts = evidence(private_endpoint=document, private_link_services=[service])
    found = endpoint.broken(facts, FAILED)
    assert found is not None
    assert found.suggestion == "az network private-endpoint-connection approve --id /pls/c/a"


POOL = {"name": "All", "properties": {"backendIPConfigurations": [{"id": "/nic"}]}}


def balancer_document(*, pools: Any = (POOL,), **rule: Any) -> dict[str, Any]:
    """A load balancer whose rule sends to the first pool, changed as told."""
    properties = {
        "frontendPort": 8000,
        "backendPort": 8000,
        "backendAddressPool": {"id": "/lb/pools/all"},
        "probe": {"id": "/lb/probes/P"},
        **rule,
    }
    return {
        "name": "lbi",
        "properties": {
            "loadBalancingRules": [{"name": "web", "properties": properties}],
            "backendAddressPools": list(pools),
            "probes": [{"name": "p", "properties": {"port": 18099, "requestPath": "/forward/web"}}],
        },
    }


UPDATE = "az network lb rule update -g rg --lb-name lbi -n web"


@pytest.mark.parametrize(
    ("change", "code", "typed"),
    [
        ({}, None, ""),
        ({"frontendPort": 0, "backendPort": 0}, None, ""),
        ({"backendPort": 8001}, "LB_WRONG_PORT", f"{UPDATE} --backend-port 8000"),
        ({"backendAddressPool": None}, "LB_NO_POOL", f"{UPDATE} --backend-pool-name All"),
        ({"pools": []}, "LB_NO_POOL", "azd provision --no-state"),
    ],
)
def test_whom_a_rule_sends_to(change: dict[str, Any], code: str | None, typed: str) -> None:
    found = balancer.misled(evidence(load_balancer=balancer_document(**change)), FAILED)
    assert (found.code if found else None) == code
    assert found is None or found.suggestion == typed


def test_another_port_is_no_fault_where_nobody_has_said_what_is_forwarded() -> None:
    plain = replace(FAILED, path=replace(PATH, forward=Forward("web", 8000)))
    assert balancer.misled(evidence(load_balancer=balancer_document(backendPort=9000)), plain) is None


def test_an_empty_pool_has_its_own_words() -> None:
    pool = {"name": "all", "properties": {"backendIPConfigurations": []}}
    found = balancer.empty(evidence(load_balancer=balancer_document(pools=[pool])), FAILED)
    assert found is not None
    assert (found.code, found.evidence) == ("LB_EMPTY_POOL", "backend pool all of load balancer lbi is empty")
    assert balancer.empty(evidence(load_balancer=balancer_document()), FAILED) is None


def test_rules_of_the_load_balancer() -> None:
    facts = evidence(load_balancer=balancer_document())
    assert balancer.misled(facts, FAILED) is None
    assert facts.health_port(WEB) == 18099
    found = balancer.misled(facts, replace(FAILED, path=replace(PATH, forward=Forward("db", 1433))))
    assert found is not None
    assert (found.code, found.suggestion) == ("LB_NO_RULE", "azd provision --no-state")


DOWN = Backend("10.0.1.6", "Down", "Down_Probe_HttpStatusCodeError")


@pytest.mark.parametrize(
    ("health", "words"),
    [
        ([DOWN], "no forwarder is healthy: 10.0.1.6 Down_Probe_HttpStatusCodeError"),
        ([DOWN, Backend("x", "Up")], ""),
        ([], "Azure's health probes report no forwarder at all"),
    ],
)
def test_backends(health: list[Backend], words: str) -> None:
    facts = evidence(load_balancer=balancer_document(), rule_health=health)
    found = balancer.unhealthy(facts, FAILED)
    assert (found.code if found else "") == ("LB_NO_HEALTHY_BACKEND" if words else "")
    if found is not None:
        assert found.evidence == f"{words}; health probe p asks port 18099, path /forward/web"
        assert found.suggestion == "fwdctl probe hub"


@pytest.mark.parametrize(("peered", "code"), [(True, None), (False, "ROUTE_NO_PEERING")])
def test_peering(*, peered: bool, code: str | None) -> None:
    peerings = [{"properties": {"peeringState": "Connected", "remoteVirtualNetwork": {"id": "/NET/corp"}}}]
    networks = [
        {"id": "/net/hub", "name": "hub", "properties": {
            "addressSpace": {"addressPrefixes": ["10.0.1.0/24"]}, "virtualNetworkPeerings": peerings if peered else []}},
        {"id": "/net/corp", "name": "corp", "properties": {"addressSpace": {"addressPrefixes": ["192.168.42.0/24"]}}},
    ]  # fmt: skip
    frontend = {"properties": {"subnet": {"id": "/net/hub/subnets/shared"}}}
    document = {"properties": {"frontendIPConfigurations": [frontend]}}
    found = route.lacks_peering(evidence(load_balancer=document, virtual_networks=networks), FAILED)
    assert (found.code if found else None) == code
    if found is not None:  # azd skips a template that has not changed
        assert found.suggestion == "azd provision --no-state"


def status(**changes: Any) -> dict[str, Any]:
    targets = [{"address": t, "state": "up", "lastError": None} for t in WEB.targets]
    entry = {"name": "web", "rulesInPlace": True, "targets": targets}
    return {"forwarding": True, "forwards": [{**entry, **changes.pop("forward", {})}], **changes}


SCALE_SET = "-g rg -n vmss-x --instance-ids {} --subscription s"

ENTRIES: list[dict[str, Any]] = [
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
HEALTH = [Backend.of(entry) for entry in ENTRIES]


def told(reports: dict[str, Any]) -> forwarder.Told:
    return forwarder.Told(Deployment("rg", None, HUB, (SPOKE,), (WEB,), "x"), WEB, reports, HEALTH)


def set_up_anew(*numbers: str) -> str:
    model = f"az vmss update-instances {SCALE_SET.format(' '.join(numbers))}"
    return "\n".join([model, *(f"az vmss reimage {SCALE_SET.format(number)}" for number in numbers)])


def test_forwarders_are_set_up_anew_one_after_the_other() -> None:
    assert forwarder.reimage(HEALTH, ["10.0.1.6", "10.0.1.8"]) == set_up_anew("0", "2")
    key = "networkInterfaceIPConfigurationId"
    assert [Backend.of({**entry, key: entry[key]["id"]}) for entry in ENTRIES] == HEALTH
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
        (status(forwards=[]), "FWD_CONFIG_DRIFT"),
    ],
)
def test_forwarders_report(report: dict[str, Any], code: str | None) -> None:
    reports = agents.parse(f"10.0.1.6 {json.dumps(report)}\n10.0.1.7 \n")
    assert reports["10.0.1.7"] is None
    found = forwarder.reported(told(reports))
    assert (found.code if found else None) == code
    if code and code.startswith("FWD"):
        assert found is not None
        assert found.suggestion == set_up_anew("0")


def test_a_target_that_one_forwarder_reaches_is_not_down() -> None:
    alive = status()["forwards"][0]["targets"]
    halves = [status(forward={"targets": [DEAD[i], alive[1 - i]]}) for i in (0, 1)]
    assert forwarder.reported(told({"10.0.1.6": halves[0], "10.0.1.7": halves[1]})) is None
    none = status(forward={"targets": DEAD})
    assert forwarder.reported(told({"10.0.1.6": halves[0], "10.0.1.7": none})) is None
    found = forwarder.reported(told({"10.0.1.6": none, "10.0.1.7": none, "10.0.1.8": None}))
    assert found is not None
    assert found.code == "TARGET_DOWN"
    assert all(f"{target}: timed out" in found.evidence for target in WEB.targets)


@pytest.mark.parametrize(
    ("failure", "report", "code"),
    [
        ("refused", None, "FWD_RULES_MISSING"),
        ("timeout", None, "FWD_NO_FORWARDING"),
        ("timeout", status(), "TARGET_DOWN"),  # its agent has not counted enough failures yet
        ("", None, None),
    ],
)
def test_packets_to_a_forwarder(failure: str, report: dict[str, Any] | None, code: str | None) -> None:
    path = Path("hub/web/10.0.1.6", "forwarder", BOX, WEB, "10.0.1.6", 8000)
    seen = Sample("curl", connected=not failure, answered=not failure, failure=failure, text="t")
    found = forwarder.observed(told({"10.0.1.6": report}), [judge(path, Observation(samples=(seen,)))])
    assert (found.code if found else None) == code
    if found is not None and code != "TARGET_DOWN":
        assert found.suggestion == set_up_anew("0")


def test_there_is_one_order_and_its_first_answer_counts() -> None:
    """The endpoint comes before the load balancer, whose state would be an answer as well."""
    rejected = {"privateLinkServiceConnectionState": {"status": "Rejected"}}
    document = {"properties": {"privateLinkServiceConnections": [{"properties": rejected}]}}
    facts = evidence(private_endpoint=document, load_balancer={"name": "lbi"})
    assert [result.broken and result.broken.code for result in explain(facts, [FAILED])] == ["PE_REJECTED"]


def test_evidence_is_asked_once_for_all_paths() -> None:
    asked: list[str] = []

    def private_endpoint(name: str) -> dict[str, Any]:
        asked.append(name)
        state = {"privateLinkServiceConnectionState": {"status": "Rejected"}}
        return {"properties": {"privateLinkServiceConnections": [{"properties": state}]}}

    facts = evidence(load_balancer={})
    facts.networks.private_endpoint = private_endpoint  # type: ignore[method-assign]
    found = explain(facts, [FAILED] * 5)
    assert {result.broken.code for result in found if result.broken} == {"PE_REJECTED"}
    assert asked == ["pep"]


def test_a_failure_to_read_is_not_kept() -> None:
    answers = iter([FwdctlError("arm_unavailable", "Not now."), [ZONE]])

    def zones() -> Any:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    facts = evidence()
    with pytest.raises(FwdctlError):
        facts.read(zones)
    assert facts.read(zones) == facts.read(zones) == [ZONE]


def test_direct_tests_of_this_probe_are_taken_as_they_are() -> None:
    facts = evidence()
    path = Path("hub/web/192.168.42.65:8000", "target", BOX, WEB, "192.168.42.65", 8000)
    direct = judge(path, Observation(samples=(SILENT,)))
    for _ in range(2):  # after the count, and before the explanation
        facts.note([direct, FAILED])
    assert facts.targets(WEB) == [direct]
