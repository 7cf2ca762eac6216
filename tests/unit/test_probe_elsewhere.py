"""Evidence about networks of others: what is read is what discovery found, wherever it is."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from fwdctl.deployment import Place, read
from fwdctl.deployment.discover import complete
from fwdctl.probe import hops
from fwdctl.probe.evidence import Evidence
from fwdctl.probe.hops import endpoint, name
from fwdctl.probe.judge import judge
from fwdctl.probe.model import Observation, Options, PathResult, Sample
from fwdctl.probe.once import Once
from support.fake_arm import container_group, fake_arm
from support.foreign_network import OTHER, Foreign, identity
from support.probe_paths import planned

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

RULES = {
    "admin": ("10.0.1.6", "Tcp", 8000),
    "dns": ("10.0.1.5", "Udp", 8000),
    "web": ("10.0.1.5", "Tcp", 8000),
}
SILENT = Sample("bash", connected=False, answered=False, failure="timeout", text="bash: timed out")


def network(**place: str) -> Foreign:
    """A link service on the second of two frontends, and a spoke in some place."""
    foreign = Foreign()
    hub = foreign.network("vnet-hub", "10.0.1.0/24")
    balancer = foreign.balancer(hub, RULES)
    service = foreign.service(hub, f"{balancer}/frontendIPConfigurations/at-10.0.1.5")
    foreign.box(hub, "tools-hub")
    spoke = foreign.network("vnet-spoke", "10.1.0.0/16", **place)
    foreign.box(spoke, "tools-spoke", **place)
    foreign.endpoint(spoke, service, "10.1.17.4", **place)
    foreign.zone("corp.example", spoke, {"server": "10.1.17.4"}, **place)
    return foreign


@contextmanager
def evidence(foreign: Foreign, *, running: bool = True) -> Iterator[tuple[Evidence, Any]]:
    """Evidence of what is discovered in `rg-dev`, and the fake ARM that tells it."""
    with fake_arm() as arm:
        foreign.serve(arm)
        clients = arm.client()
        start = read(Place({"RESOURCE_GROUP_NAME": "rg-dev"}, "--resource-group"))
        boxes: Any = SimpleNamespace(starts=lambda _: running, test=lambda _: [])
        told = Evidence.of(boxes, clients, complete(start, clients), Options("spoke"), lambda _: None)
        yield told, arm


def failed(told: Evidence, observed: Observation) -> PathResult:
    (path,) = planned(told.deployment, "spoke")
    return judge(path, observed)


def test_the_rule_is_that_of_the_frontend_which_the_service_serves() -> None:
    with evidence(network()) as (told, _):
        rule = told.rule(told.deployment.forwards[0])
        assert rule is not None
        assert rule["name"] == "web"


def test_a_box_and_an_endpoint_in_another_subscription() -> None:
    place = {"group": "rg-spoke", "subscription": OTHER}
    with evidence(network(**place)) as (told, arm):
        (spoke,) = told.deployment.spokes
        own = identity("containerGroups", "tools-spoke", namespace="ContainerInstance", **place)
        arm.on("GET", own, container_group("tools-spoke"))
        assert spoke.box is not None
        assert told.group(spoke.box).running
        assert (told.endpoint(spoke) or {})["name"] == "pe"
        arm.fail("GET", identity("privateEndpoints", "pe", **place), 404, "ResourceNotFound")
        later = replace(told, read=Once())
        broken = endpoint.missing(later, failed(told, Observation("getent", 0, ("10.1.17.4",), (SILENT,))))
        assert broken is not None
        assert (broken.code, broken.evidence) == ("PE_MISSING", "private endpoint pe does not exist")


def test_a_name_is_looked_for_where_its_spoke_is() -> None:
    place = {"group": "rg-spoke", "subscription": OTHER}
    with evidence(network(**place)) as (told, arm):
        zone = identity("privateDnsZones", "corp.example", **place)
        arm.on("GET", f"{zone}/ALL", {"value": []})
        broken = name.broken(told, failed(told, Observation("getent", 2)))
        assert broken is not None
        add = "az network private-dns record-set a add-record"
        assert (broken.code, broken.suggestion) == (
            "DNS_NXDOMAIN",
            f"{add} -g rg-spoke -z corp.example -n server -a 10.1.17.4 --subscription {OTHER}",
        )


def test_a_network_without_an_endpoint() -> None:
    foreign = network()
    for each in [e for e in foreign.documents if "privateEndpoints" in e]:
        del foreign.documents[each]
    for each in foreign.documents.values():
        each["properties"].pop("privateEndpointConnections", None)
    with evidence(foreign) as (told, _):
        broken = endpoint.missing(told, failed(told, Observation(samples=(SILENT,))))
        assert broken is not None
        assert broken.code == "PE_MISSING"
        assert broken.evidence == "no private endpoint in network vnet-spoke is connected to link service pl"


def test_a_jump_box_that_runs_is_not_said_to_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is behind the forwarders is not known, whether it runs or not."""
    monkeypatch.setattr(hops, "ORDER", ())
    with evidence(network()) as (told, _):
        (result,) = hops.explain(told, [failed(told, Observation("getent", 0, ("10.1.17.4",), (SILENT,)))])
        assert result.broken is not None
        assert result.broken.evidence.endswith("what is behind the forwarders is not written down")
        assert "does not run" not in result.broken.evidence
