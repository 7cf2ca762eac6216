"""Forwarders: which machines there are, which take connections, and whether they run what is deployed."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from fwdctl.azure.networks import Backend
from fwdctl.azure.scale_sets import ScaleSet
from fwdctl.deployment import Deployment, Forward, Hub
from fwdctl.probe.hops import balancer, forwarder, target
from fwdctl.probe.judge import judge
from fwdctl.probe.model import Observation, Path, Sample
from support.probe_azure import SILENT
from support.probe_paths import GOOD, PATH, WEB, observed

WELL = judge(PATH, observed(*[GOOD] * 4))
PROBE = {"name": "web", "properties": {"port": 18099, "requestPath": "/forward/web"}}
SET = "-g rg -n vmss-x"
REIMAGE = f"az vmss update-instances {SET} --instance-ids"


def member(number: int, state: str = "Up", reason: str = "Up_Probe_Success") -> Backend:
    nic = (
        "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Compute/virtualMachineScaleSets/vmss-x"
        f"/virtualMachines/{number}/networkInterfaces/p/ipConfigurations/p"
    )
    return Backend(f"10.0.1.{5 + number}", state, reason, nic)


def evidence(
    health: list[Backend],
    states: dict[str, str],
    *,
    reports: dict[str, Any] | None = None,
    wanted: str = "",
    described: bool = False,
    given: dict[str, Any] | None = None,
) -> Any:
    """A scale set whose machines have power states, behind a load balancer."""
    return SimpleNamespace(
        balancer=dict,
        rule=lambda _: {"name": "web"},
        probe=lambda _: PROBE,
        pool=lambda _: {"name": "all"},
        health=lambda _: health,
        members=lambda _: health,
        scale_set=lambda _: ("rg", "vmss-x"),
        instances=lambda _: list(states),
        power_state=lambda _, number: states[number],
        reports_now=lambda _: reports or {},
        wanted_hash=lambda _: wanted,
        deployment=Deployment("rg", None, Hub(None), (), (), "x", described=described, options=("-e", "dev")),
        given=lambda _: given or {},
    )


def told(reports: dict[str, Any], forward: Forward) -> forwarder.Told:
    return forwarder.Told(Deployment("rg", None, Hub(None), (), (), "x"), forward, reports, [])


OFF = {"0": "deallocated", "1": "stopped"}


@pytest.mark.parametrize(
    ("facts", "text", "typed"),
    [
        (evidence([], {}), "scale set vmss-x has no instance", f"az vmss scale {SET} --new-capacity 2"),
        (evidence([], OFF), "no instance of scale set vmss-x is on: 0 deallocated, 1 stopped", f"az vmss start {SET}"),
        (evidence([], {"0": "deallocated", "1": "running"}), "", ""),
        (evidence([], {"0": ""}), "", ""),  # not told is not off
        (evidence([member(0)], OFF), "", ""),
    ],
)  # fmt: skip
def test_a_scale_set_without_machines(facts: Any, text: str, typed: str) -> None:
    found = forwarder.absent(facts, WELL)
    if text:
        assert found is not None
        assert (found.code, found.evidence, found.suggestion) == ("FWD_NO_INSTANCES", text, typed)
    else:
        assert found is None


def test_forwarders_that_take_no_connections_are_named_with_what_helps() -> None:
    health = [member(0), member(1, "Down", "Down_Probe_HttpNoResponse")]
    found = forwarder.unwell(evidence(health, {"0": "running", "1": "running", "2": "deallocated"}), WEB)
    assert [(each.code, each.evidence) for each in found] == [
        ("FWD_UNHEALTHY", "forwarder 10.0.1.6 takes no connection: Down_Probe_HttpNoResponse"),
        ("FWD_UNHEALTHY", "instance 2 of scale set vmss-x takes no connection: it is deallocated"),
    ]
    assert found[0].suggestion.startswith(f"{REIMAGE} 1")
    assert found[1].suggestion == f"az vmss start {SET} --instance-ids 2"
    assert forwarder.unwell(evidence([member(0)], {"0": "running"}), WEB) == []


def report(port: int = 8000, *targets: str, config: str = "a") -> dict[str, Any]:
    listed = [{"address": target} for target in targets or WEB.targets]
    return {"hash": config, "forwards": [{"name": "web", "port": port, "targets": listed}]}


@pytest.mark.parametrize(
    ("reports", "runs"),
    [
        ({"10.0.1.5": report(), "10.0.1.6": None}, ""),
        ({"10.0.1.5": report(8000, *reversed(WEB.targets))}, ""),
        ({"10.0.1.5": report(8001)}, "port 8001 to 192.168.42.65:8000, 192.168.42.66:8000 (10.0.1.5)"),
        ({"10.0.1.5": report(8000, "10.9.9.9:1")}, "port 8000 to 10.9.9.9:1 (10.0.1.5)"),
        ({"10.0.1.5": {"forwards": []}}, "nothing of it (10.0.1.5)"),
        (
            {"10.0.1.5": report(config="a"), "10.0.1.6": report(config="b")},
            "configuration a (10.0.1.5); configuration b (10.0.1.6)",
        ),
    ],
)
def test_what_is_deployed_and_what_runs_are_compared(reports: dict[str, Any], runs: str) -> None:
    health = [member(0), member(1)]
    found = forwarder.drift(evidence(health, {"0": "running"}, reports=reports), WEB)
    assert [each.evidence.partition("but the forwarders run ")[2] for each in found] == (
        [runs] if runs else []
    )
    assert all(each.suggestion.startswith(f"{REIMAGE} 0") for each in found)


def test_agents_that_agree_with_one_another_are_compared_with_what_the_scale_set_asks_for() -> None:
    reports = {"10.0.1.5": report(config="a"), "10.0.1.6": report(config="a")}
    health, states = [member(0), member(1)], {"0": "running", "1": "running"}
    assert forwarder.drift(evidence(health, states, reports=reports, wanted="a"), WEB) == []
    [found] = forwarder.drift(evidence(health, states, reports=reports, wanted="b", described=True), WEB)
    assert found.evidence == (
        "forward 'web' is configuration b, but the forwarders run configuration a (10.0.1.5, 10.0.1.6)"
    )
    assert found.suggestion == "fwdctl forwarder rollout -e dev"
    other = {"10.0.1.5": report(8000, "10.9.9.9:1", config="b")}
    [found] = forwarder.drift(evidence(health, states, reports=other, wanted="b", described=True), WEB)
    assert found.suggestion == "azd provision --no-state -e dev"  # the scale set asks for it
    one = {**reports, "10.0.1.6": report(config="b")}
    [found] = forwarder.drift(evidence(health, states, reports=one, wanted="b"), WEB)
    assert found.evidence.endswith("run configuration a (10.0.1.5)")
    assert found.suggestion.startswith(f"{REIMAGE} 0")


def test_targets_with_names_and_forwards_that_nobody_described_are_not_compared() -> None:
    named = replace(WEB, targets=("server.corp.example:8000",))
    for forward in (named, Forward("web", 8000)):
        assert forwarder.drifted(told({"10.0.1.5": report()}, forward)) is None


def test_what_azure_has_given_them_counts_where_no_agent_can_be_asked() -> None:
    """Not that a model is newer: other forwards make it so, and reach the machines without it."""
    health, states = [member(0), member(1)], {"0": "", "1": ""}
    given = {"10.0.1.5": report(), "10.0.1.6": report(8000, WEB.targets[0])}
    (found,) = forwarder.drift(evidence(health, states, given=given), WEB)
    assert found.code == "FWD_CONFIG_DRIFT"
    assert found.evidence.endswith("but the forwarders run port 8000 to 192.168.42.65:8000 (10.0.1.6)")
    assert forwarder.drift(evidence(health, states, given={"10.0.1.5": report()}), WEB) == []


def test_rules_that_an_agent_takes_away_meanwhile_are_not_missing() -> None:
    """It has just found its targets dead: between its report and the test of its port."""

    def told(state: str) -> dict[str, Any]:
        targets = [{"address": target, "state": state, "lastError": "timed out"} for target in WEB.targets]
        return {
            "forwarding": True,
            "hash": "a",
            "forwards": [{"name": "web", "port": 8000, "rulesInPlace": True, "targets": targets}],
        }

    path = Path("hub/web/10.0.1.5", "forwarder", PATH.box, WEB, "10.0.1.5", 8000)
    refused = replace(SILENT, failure="refused")
    facts = evidence([member(0)], {"0": ""}, reports={"10.0.1.5": told("up")}, wanted="a")
    facts.reports = lambda _: {"10.0.1.5": told("down")}
    facts.targets = lambda _: [WELL]
    facts.through_each_forwarder = lambda _: [judge(path, observed(refused))]
    found = forwarder.broken(facts, judge(PATH, observed(*[SILENT] * 4)))
    assert found is not None
    assert (found.code, "the forwarders reach none" in found.evidence) == ("TARGET_DOWN", True)


def test_a_server_that_the_forwarders_do_not_have_is_not_called_down() -> None:
    lacking = judge(replace(PATH, expected=2), observed(*[GOOD] * 4))
    assert lacking.lacks_servers
    direct = [
        judge(replace(PATH, origin="target", address="", host=host, samples=1, expected=0), observed(sample))
        for host, sample in (("10.9.9.1", GOOD), ("10.9.9.2", SILENT))
    ]
    for tests, named in ((direct[:1], []), (direct, ["TARGET_DOWN"])):
        facts: Any = SimpleNamespace(targets=lambda _, tests=tests: tests)
        found = target.missing(facts, lacking, is_explained=True)
        assert [warning.code for warning in found.warnings] == named


def test_a_drained_forwarder_is_not_set_up_anew() -> None:
    facts = evidence(
        [member(0, "Down", "Down_Probe_HttpStatusCodeError")],
        {"0": ""},
        given={"10.0.1.5": {"draining": True}},
    )
    (found,) = forwarder.unwell(facts, WEB)
    assert found.evidence == "forwarder 10.0.1.5 is drained, so that it takes no new connection"
    assert "reimage" not in found.suggestion


@pytest.mark.parametrize(
    ("has", "port", "typed"),
    [
        ({"/status", "/forward/web"}, 18099, ""),
        ({"/status", "/forward/web/8000"}, 18099, "--port 18099 --path /forward/web/8000"),
        ({"/status", "/forward/web"}, 9, "--port 18099 --path /forward/web"),
        ({"/status"}, 18099, ""),  # agents of another kind
        (set(), 9, ""),
    ],
)
def test_a_probe_is_compared_with_what_the_agents_answer(has: set[str], port: int, typed: str) -> None:
    facts = evidence([member(0, "Down", "x")], {"0": "running"})
    facts.probe = lambda _: {"name": "p", "properties": {"port": port, "requestPath": "/forward/web"}}
    facts.balancer = lambda: {"name": "lbi"}
    facts.resource_group = "rg"
    facts.targets = lambda _: [WELL]
    facts.health_port = lambda _: 18099
    facts.command = lambda *words: " ".join(["fwdctl", *words])

    def ask_agents(_: Forward, asked: int, path: str) -> dict[str, Any]:
        answer = {"healthy": False} if path in has else {"error": f"no such path: {path}"}
        return {"10.0.1.5": answer if has and asked == 18099 else None}

    facts.ask_agents = ask_agents
    facts.reports_now = lambda forward: ask_agents(forward, 18099, "/status")
    found = balancer.unhealthy(facts, WELL)
    assert found is not None
    code, suggestion = (
        ("LB_WRONG_PROBE", f"az network lb probe update -g rg --lb-name lbi -n p {typed}")
        if typed
        else ("LB_NO_HEALTHY_BACKEND", "fwdctl jump shell hub")
    )
    assert (found.code, found.suggestion) == (code, suggestion)


def test_power_states_and_interfaces_are_read_from_arm() -> None:
    answers: dict[str, Any] = {
        "virtualMachines/1/instanceView": {
            "statuses": [{"code": "ProvisioningState/succeeded"}, {"code": "PowerState/deallocated"}]
        },
        "networkInterfaces": [
            {
                "properties": {
                    "ipConfigurations": [{"id": "/c", "properties": {"privateIPAddress": "10.0.1.5"}}]
                }
            }
        ],
    }
    clients: Any = SimpleNamespace(
        subscription_id="s",
        request=lambda _, path: answers[path.partition("/v/")[2]],
        list=lambda path: answers[path.partition("/v/")[2]],
    )
    scale_set = ScaleSet(clients, "rg", "v")
    assert scale_set.power_state("1") == "deallocated"
    assert scale_set.members() == [Backend("10.0.1.5", configuration="/c")]


FULL = {"codes": ["FWD_CONNTRACK_FULL"], "conntrack": {"count": 95, "max": 100}}


def test_agents_warn_of_full_connection_tracking_and_of_names_that_do_not_resolve() -> None:
    named = replace(WEB, targets=("db.example:8000", "192.168.42.66:8000"))
    unknown = {"namesFailed": {"db.example": "no such name", "other.example": "of another forward"}}
    reports = {"10.0.1.5": {**report(), **FULL}, "10.0.1.6": {**report(), **unknown}, "10.0.1.7": None}
    facts = evidence([member(0), member(1)], {"0": "running"}, reports=reports)
    crowded, nameless = forwarder.strained(facts, named)
    assert (crowded.code, crowded.suggestion) == (
        "FWD_CONNTRACK_FULL",
        f"az vmss scale {SET} --new-capacity 3 --subscription s",
    )
    assert crowded.evidence == "connection tracking is nearly full on 10.0.1.5 (95 of 100 connections)"
    assert (nameless.code, nameless.evidence) == (
        "TARGET_DNS",
        "the name of a target does not resolve: db.example: no such name",
    )
    assert forwarder.strained(evidence([member(0)], {}, reports={"10.0.1.5": report()}), named) == []


def test_both_explain_a_path_that_fails() -> None:
    entry = {"name": "web", "rulesInPlace": True, "targets": [{"address": "192.0.2.1:1", "state": "down"}]}
    named = replace(WEB, targets=("db.example:8000",))
    for more, code in (
        (FULL, "FWD_CONNTRACK_FULL"),
        ({"namesFailed": {"db.example": "no such name"}}, "TARGET_DNS"),
        ({}, "TARGET_DOWN"),
    ):
        reports = {"10.0.1.5": {"hash": "a", "forwards": [entry], **more}}
        found = forwarder.reported(told(reports, named))
        assert found is not None
        assert found.code == code


@pytest.mark.parametrize(("alive", "code"), [(0, "TARGET_DOWN"), (1, "FWD_CONFIG_DRIFT")])
def test_other_targets_are_the_cause_only_where_the_living_ones_are_missing(alive: int, code: str) -> None:
    """The forwarders have one of two targets and do not reach it; it answers the hub, or the other one does."""
    entry = {"name": "web", "targets": [{"address": WEB.targets[0], "state": "down"}], "rulesInPlace": True}
    facts = told({"10.0.1.5": {"hash": "a", "forwards": [entry]}}, WEB)
    found = forwarder.reported(replace(facts, alive=frozenset([WEB.targets[alive]])))
    assert found is not None
    assert found.code == code


def test_a_target_whose_name_the_hub_cannot_resolve() -> None:
    sample = Sample("curl", connected=False, answered=False, failure="name", text="Could not resolve host")
    path = Path("hub/web/db.example:8000", "target", PATH.box, WEB, "db.example", 8000)
    facts = SimpleNamespace(targets=lambda _: [])
    found = target.silent(facts, judge(path, Observation(samples=(sample,))))  # type: ignore[arg-type]
    assert found is not None
    assert found.code == "TARGET_DNS"
