"""Security rules and routes on every stretch of the way, at both ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fwdctl.probe.evidence import Evidence
from fwdctl.probe.hops import forwarder, next_hop, route, target
from fwdctl.probe.judge import judge
from fwdctl.probe.model import Broken, Observation, PathResult, Sample
from support.probe_azure import (
    DIRECT,
    FAILED,
    NET,
    OTHER,
    SILENT,
    SPOKE_NET,
    Azure,
    address,
    deny,
    evidence,
    group,
    network,
    peering,
    subnet,
    typed,
    under,
)
from support.probe_paths import GOOD


def told(found: Broken | None) -> str:
    assert found is not None
    assert found.code in {"NSG_DENIED", "ROUTE_NEXT_HOP"}
    return found.evidence


@pytest.mark.parametrize(
    ("policies", "refused"),
    [
        ("Disabled", False),
        ("Enabled", True),
        ("NetworkSecurityGroupEnabled", True),
        ("RouteTableEnabled", False),
    ],
)
def test_the_endpoint_s_subnet_is_asked_where_its_policies_are_on(policies: str, *, refused: bool) -> None:
    shut = group("nsg-linked", deny("no-in"))
    linked = subnet("linked", "10.1.17.0/24", **under(shut), privateEndpointNetworkPolicies=policies)
    own = network("vnet-spoke", "10.1.0.0/19", subnet("jump", "10.1.16.0/24"), linked)
    found = route.box_refused(evidence(Azure(own, shut)), FAILED)
    assert (found is not None) == refused
    if refused:
        assert told(found).startswith(
            "rule no-in of network security group nsg-linked refuses port 8000 from jump box"
        )


def test_the_box_s_subnet_is_asked_about_what_leaves() -> None:
    shut = group("nsg-jump", deny("no-out", "Outbound"), base=OTHER)
    own = network("vnet-spoke", "10.1.0.0/19", subnet("jump", "10.1.16.0/24", **under(shut)), subnet("linked", "10.1.17.0/24"))  # fmt: skip
    found = route.box_refused(evidence(Azure(own, shut)), FAILED)
    assert told(found).startswith("outbound rule no-out of network security group nsg-jump ")
    assert found is not None
    assert typed(found).startswith("az network nsg rule create -g other --nsg-name nsg-jump ")


def hub_and_corp(
    *, shared: dict[str, Any] | None = None, servers: dict[str, Any] | None = None, base: str = NET
) -> tuple[dict[str, Any], dict[str, Any]]:
    corp = network(
        "vnet-corp", "192.168.42.0/24", subnet("servers", "192.168.42.0/24", **(servers or {})), base=OTHER
    )
    subnets = subnet("a", "10.0.1.0/26", **(shared or {})), subnet("jump", "10.0.1.64/26")
    peerings = [peering(corp)]
    return network("vnet-hub", "10.0.1.0/24", *subnets, base=base, virtualNetworkPeerings=peerings), corp


@pytest.mark.parametrize("base", [NET, OTHER])
def test_a_target_s_subnet_is_asked_wherever_its_network_is(base: str) -> None:
    shut = group("nsg-corp", deny("closed"), base=OTHER)
    azure = Azure(SPOKE_NET, shut, *hub_and_corp(servers=under(shut), base=base), hub=base)
    found = route.targets_refused(evidence(azure), FAILED)
    assert told(found) == (
        "rule closed of network security group nsg-corp refuses port 8000 from the forwarders (10.0.1.6, 10.0.1.7) "
        "to the targets (192.168.42.65, 192.168.42.66)"
    )
    tested = route.targets_refused(evidence(azure), judge(DIRECT, Observation(samples=(SILENT,))))
    assert "from the hub's jump box (10.0.1.68) to the target (192.168.42.65)" in told(tested)
    assert found is not None
    assert tested is not None
    assert typed(found) != tested.suggestion
    # One that is reached, or refuses for itself, is not refused by a rule.
    refused = replace(SILENT, failure="refused")
    assert route.targets_refused(evidence(azure), judge(DIRECT, Observation(samples=(refused,)))) is None


def test_a_rule_against_the_hub_s_tests_says_nothing_of_the_targets() -> None:
    """It refuses the hub's jump box only: that box's silence is not the targets'."""
    shut = group("nsg-corp", deny("no-hub", sourceAddressPrefix="10.0.1.64/26"), base=OTHER)
    silent = direct(SILENT)
    open_way = evidence(Azure(SPOKE_NET, *hub_and_corp()), silent)
    found = target.silent(open_way, FAILED)
    assert found is not None
    assert found.code == "TARGET_DOWN"
    assert (
        target.silent(evidence(Azure(SPOKE_NET, shut, *hub_and_corp(servers=under(shut))), silent), FAILED)
        is None
    )


def test_the_forwarders_interfaces_have_groups_of_their_own() -> None:
    shut = group("nsg-nic", deny("no-out", "Outbound", destinationAddressPrefix="192.168.42.65"))
    interfaces = [
        {
            "properties": {
                "networkSecurityGroup": {"id": shut["id"]},
                "ipConfigurations": [address(f"10.0.1.{last}")],
            }
        }
        for last in (6, 7)
    ]
    azure = Azure(SPOKE_NET, shut, *hub_and_corp(), interfaces=interfaces)
    assert told(route.targets_refused(evidence(azure), FAILED)).endswith("to the targets (192.168.42.65)")
    azure.more["interfaces"] = interfaces[:1]  # the other one gets through
    assert route.targets_refused(evidence(azure), FAILED) is None


@pytest.mark.parametrize(("state", "refused"), [("Up", False), ("Down", True)])
def test_probes_that_are_refused_leave_no_forwarder_healthy(state: str, *, refused: bool) -> None:
    shut = group("nsg", deny("no-probes", sourceAddressPrefix="AzureLoadBalancer"))
    azure = Azure(SPOKE_NET, shut, *hub_and_corp(shared=under(shut)), state=state)
    found = route.probes_refused(evidence(azure), FAILED)
    assert (found is not None) == refused
    if refused:
        assert "refuses port 18099 from the platform's health probes" in told(found)


def table(hop: str, prefix: str, **more: Any) -> dict[str, Any]:
    own = {"addressPrefix": prefix, "nextHopType": hop, **more}
    return {
        "id": f"{OTHER}/routeTables/rt",
        "name": "rt",
        "properties": {"routes": [{"name": "r", "properties": own}]},
    }


@pytest.mark.parametrize(
    ("prefix", "policies", "lost"),
    [
        ("10.1.17.4/32", "Disabled", True),
        ("10.1.17.0/24", "Disabled", False),
        ("10.1.17.0/24", "RouteTableEnabled", True),
        ("0.0.0.0/0", "Enabled", False),
    ],
)
def test_an_endpoint_s_own_route_gives_way_to_a_more_specific_one_only(
    prefix: str, policies: str, *, lost: bool
) -> None:
    rt = table("None", prefix)
    own = network(
        "vnet-spoke",
        "10.1.0.0/19",
        subnet("jump", "10.1.16.0/24", routeTable={"id": rt["id"]}),
        subnet("linked", "10.1.17.0/24", privateEndpointNetworkPolicies=policies),
    )
    found = next_hop.dropped(evidence(Azure(own, rt, *hub_and_corp())), FAILED)
    assert (found is not None) == lost
    if lost:
        assert told(found) == (
            "route r of route table rt sends packets from jump box 'spoke' to 10.1.17.4 elsewhere: nowhere"
        )
        assert found is not None
        assert typed(found) == "az network route-table route delete -g other --route-table-name rt -n r"


@pytest.mark.parametrize(
    ("prefix", "taken"), [("0.0.0.0/0", False), ("192.168.0.0/16", False), ("192.168.42.0/24", True)]
)
def test_a_peering_s_route_gives_way_to_one_as_specific(prefix: str, *, taken: bool) -> None:
    rt = table("VirtualAppliance", prefix, nextHopIpAddress="10.0.1.200")
    azure = Azure(SPOKE_NET, rt, *hub_and_corp(shared={"routeTable": {"id": rt["id"]}}))
    found = next_hop.diverted(evidence(azure), FAILED)
    assert (found is not None) == taken
    assert next_hop.dropped(evidence(azure), FAILED) is None


def test_a_route_back_counts_as_well() -> None:
    rt = table("None", "10.0.1.0/24")
    azure = Azure(SPOKE_NET, rt, *hub_and_corp(servers={"routeTable": {"id": rt["id"]}}))
    assert "sends packets from the targets to 10.0.1.6" in told(next_hop.dropped(evidence(azure), FAILED))


def direct(*samples: Sample) -> list[PathResult]:
    return [judge(DIRECT, Observation(samples=(sample,))) for sample in samples]


def test_a_route_to_a_firewall_is_evidence_or_the_cause() -> None:
    """Where the hub reaches what the forwarders do not, it is the cause; else it stands beside the silence."""
    rt = table("VirtualAppliance", "192.168.42.0/24", nextHopIpAddress="10.0.1.200")
    azure = Azure(SPOKE_NET, rt, *hub_and_corp(shared={"routeTable": {"id": rt["id"]}}))
    silent = Broken("target", "TARGET_DOWN", "no target answers", "Look.")
    found = next_hop.with_route(evidence(azure, direct(GOOD)), FAILED, silent)
    assert found.code == "ROUTE_NEXT_HOP"
    assert found.evidence.endswith(
        "to 192.168.42.65 elsewhere: to the appliance 10.0.1.200; no target answers"
    )
    found = next_hop.with_route(evidence(azure, direct(SILENT)), FAILED, silent)
    assert found.code == "TARGET_DOWN"
    assert found.evidence.startswith("no target answers; route r of route table rt ")
    unwell = replace(silent, code="TARGET_UNWELL")
    assert next_hop.with_route(evidence(azure), FAILED, unwell) == unwell


def test_a_peering_that_gives_no_access_is_made_again_without_azd() -> None:
    hub, corp = hub_and_corp()
    corp["id"] = f"{NET}/virtualNetworks/vnet-corp"
    hub["properties"]["virtualNetworkPeerings"] = [peering(corp, allowVirtualNetworkAccess=False)]
    found = route.lacks_peering(evidence(Azure(SPOKE_NET, hub, corp), options=("-g", "rg")), FAILED)
    assert found is not None
    assert found.code == "ROUTE_NO_PEERING"
    verb, to = "az network vnet peering", "--allow-vnet-access"
    assert typed(found).splitlines() == [
        f"{verb} delete -g rg --vnet-name vnet-hub -n to-corp",
        f"{verb} create -g rg --vnet-name vnet-hub -n to-vnet-corp --remote-vnet {corp['id']} {to}",
        f"{verb} create -g rg --vnet-name vnet-corp -n to-vnet-hub --remote-vnet {hub['id']} {to}",
    ]


def test_what_azure_does_not_show_is_no_good_evidence() -> None:
    """A security group of another resource group that may not be read is said to be unread."""
    hidden = group("nsg-hidden", base=OTHER)
    own = network("vnet-spoke", "10.1.0.0/19", subnet("jump", "10.1.16.0/24", **under(hidden)), subnet("linked", "10.1.17.0/24"))  # fmt: skip
    facts = evidence(Azure(own))
    assert route.box_refused(facts, FAILED) is None
    assert facts.hidden == [f"nsg-hidden ({hidden['id']} may not be read)"]


@pytest.mark.parametrize(
    ("inbound", "which", "told"),
    [
        (["10.0.1.0/26", "10.0.1.64/26"], FAILED, ""),
        (["10.0.1.64/26"], FAILED, "of the link service come from 10.0.1.8"),
        (["10.0.1.0/26"], replace(FAILED, path=replace(FAILED.path, spoke=None)), "hub's jump box come from 10.0.1.68"),
        ([], FAILED, ""),  # user data of somebody else's
    ],
)  # fmt: skip
def test_forwarders_that_were_told_other_ranges(
    monkeypatch: pytest.MonkeyPatch, inbound: list[str], which: PathResult, told: str
) -> None:
    hub = network("vnet-hub", "10.0.1.0/24", subnet("a", "10.0.1.0/26"), subnet("jump", "10.0.1.64/26"))
    facts = evidence(Azure(hub))
    monkeypatch.setattr(Evidence, "given", lambda *_: {"10.0.1.6": {"inbound": inbound}, "10.0.1.7": None})
    found = forwarder.closed(facts, which)
    assert (found is not None) == bool(told)
    if found is not None:
        assert found.code == "FWD_SOURCE_REFUSED"
        assert told in found.evidence
        prefix = (
            "10.0.1.64/26 as hub.jumpSubnetPrefix" if "jump" in told else "10.0.1.0/26 as hub.natSubnetPrefix"
        )
        assert found.suggestion.startswith(f"Write {prefix}")
        assert found.suggestion.endswith("then run `azd provision`.")
