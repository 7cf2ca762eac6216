"""What Azure holds of a name and of its endpoint decides, not what is remembered."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from fwdctl.probe.hops import endpoint, explain, name
from fwdctl.probe.judge import judge
from fwdctl.probe.model import Observation, Path, PathResult
from support.probe_azure import BOTH, FAILED, NET, OTHER, SILENT, SPOKE_NET, Azure, evidence, network, typed
from support.probe_paths import PATH, SPOKE, observed

if TYPE_CHECKING:
    from collections.abc import Sequence


def record(**properties: Any) -> dict[str, Any]:
    return {"name": "server", "properties": properties}


RIGHT = {("corp.internal", "rg"): [record(aRecords=[{"ipv4Address": "10.1.17.4"}])]}
UNRESOLVED = judge(PATH, observed(addresses=(), status=2))
RECORD = "az network private-dns record-set"
WHERE = "-g rg -z corp.internal -n server"


@pytest.mark.parametrize(
    ("records", "said", "lines"),
    [
        (
            [record(cnameRecord={"cname": "old.example.org"})],
            "is an alias (CNAME) of old.example.org",
            [f"{RECORD} cname delete {WHERE} -y", f"{RECORD} a add-record {WHERE} -a 10.1.17.4"],
        ),
        (
            [record(aaaaRecords=[{"ipv6Address": "fd00::4"}])],
            "holds fd00::4",
            [
                f"{RECORD} a add-record {WHERE} -a 10.1.17.4",
                f"{RECORD} aaaa remove-record {WHERE} -a fd00::4",
            ],
        ),
        (
            [*RIGHT["corp.internal", "rg"], record(aaaaRecords=[{"ipv6Address": "fd00::4"}])],
            "holds 10.1.17.4, fd00::4",
            [f"{RECORD} aaaa remove-record {WHERE} -a fd00::4"],
        ),
    ],
)
def test_records_of_every_type_are_seen(records: list[Any], said: str, lines: list[str]) -> None:
    azure = Azure(SPOKE_NET, records={("corp.internal", "rg"): records})
    found = name.broken(evidence(azure), UNRESOLVED)
    assert found is not None
    assert found.evidence == (
        f"record 'server' in zone corp.internal {said}; the endpoint is 10.1.17.4; "
        "what lies behind the name was not tested"
    )
    assert typed(found).splitlines() == lines


def test_a_more_specific_zone_of_another_group_is_named() -> None:
    zone = "server.corp.internal"
    azure = Azure(SPOKE_NET, records=RIGHT, zones=[{"id": f"{OTHER}/privateDnsZones/{zone}", "name": zone}])
    found = name.broken(evidence(azure), UNRESOLVED)
    assert found is not None
    assert found.evidence.startswith(f"zone {zone} (which answers in the place of corp.internal")
    assert typed(found) == f"{RECORD} a add-record -g other -z {zone} -n @ -a 10.1.17.4"
    azure.more["unlinked"] = {zone}
    found = name.broken(evidence(azure), UNRESOLVED)
    assert found is not None
    assert found.evidence.startswith("zone, link and record are right, but the box sees nothing")


def test_the_record_of_a_service_of_azure_is_looked_for_in_its_private_zone() -> None:
    zone = "privatelink.vaultcore.azure.net"
    spoke = replace(SPOKE, host_name="kv.vault.azure.net", zone=zone)
    path = replace(PATH, spoke=spoke, host=spoke.host_name)
    azure = Azure(SPOKE_NET, zones=[{"id": f"{NET}/privateDnsZones/{zone}", "name": zone}], records={})
    found = name.broken(evidence(azure), judge(path, observed(addresses=("203.0.113.10",))))
    assert found is not None
    assert found.code == "DNS_WRONG_ADDRESS"
    assert found.evidence.startswith(f"zone {zone} has no A record 'kv'")
    assert typed(found) == f"{RECORD} a add-record -g rg -z {zone} -n kv -a 10.1.17.4"


@pytest.mark.parametrize("unlinked", [(), ("corp.internal",)])
def test_servers_of_the_network_s_own_are_named(unlinked: tuple[str, ...]) -> None:
    """Also before an advice to link the zone: that would change nothing for the network's own servers."""
    own = network("vnet-spoke", "10.1.0.0/19", dhcpOptions={"dnsServers": ["10.9.9.9", "10.9.9.10"]})
    found = name.broken(evidence(Azure(own, records=RIGHT, unlinked=unlinked)), UNRESOLVED)
    assert found is not None
    assert found.code == "DNS_CUSTOM_SERVERS"
    assert "(10.9.9.9, 10.9.9.10)" in found.evidence
    platform = network("vnet-spoke", "10.1.0.0/19", dhcpOptions={"dnsServers": ["168.63.129.16"]})
    found = name.broken(evidence(Azure(platform, records=RIGHT)), UNRESOLVED)
    assert found is not None
    assert found.code == "DNS_NXDOMAIN"


def retest(*addresses: str, good: bool = True) -> Any:
    def test(paths: Sequence[Path]) -> list[PathResult]:
        (path,) = paths
        return [judge(path, observed(*(BOTH if good else [SILENT] * 4), addresses=addresses))]

    return test


def test_a_name_that_leads_to_the_endpoint_s_present_address_passes() -> None:
    azure = Azure(SPOKE_NET, endpoint_address="10.1.17.23", test=retest("10.1.17.23"))
    (found,) = explain(evidence(azure), [judge(PATH, observed(addresses=("10.1.17.23",)))])
    assert (found.verdict, found.broken) == ("pass", None)
    (stale,) = found.warnings
    assert (stale.code, stale.suggestion) == ("ENV_STALE", "azd env refresh")
    assert "has the address 10.1.17.23, and the environment remembers 10.1.17.4" in stale.evidence


def test_a_record_that_still_holds_the_old_address_is_wrong() -> None:
    azure = Azure(
        SPOKE_NET, endpoint_address="10.1.17.23", test=retest("10.1.17.4", good=False), records=RIGHT
    )
    (found,) = explain(evidence(azure), [FAILED])
    assert found.broken is not None
    assert found.broken.code == "DNS_WRONG_ADDRESS"
    assert typed(found.broken).splitlines() == [
        f"{RECORD} a add-record {WHERE} -a 10.1.17.23",
        f"{RECORD} a remove-record {WHERE} -a 10.1.17.4",
    ]
    assert [warning.code for warning in found.warnings] == ["ENV_STALE"]


def test_what_lies_behind_the_true_address_is_tested() -> None:
    azure = Azure(SPOKE_NET, endpoint_address="10.1.17.23", test=retest("10.1.17.23", good=False))
    state = {"privateLinkServiceConnectionState": {"status": "Rejected"}}
    azure.more["endpoint"] = {"privateLinkServiceConnections": [{"properties": state}]}
    (found,) = explain(evidence(azure), [judge(PATH, observed(addresses=("10.1.17.23",)))])
    assert found.broken is not None
    assert found.broken.code == "PE_REJECTED"


def test_a_path_by_address_is_tested_at_the_true_one() -> None:
    seen: list[Path] = []

    def test(paths: Sequence[Path]) -> list[PathResult]:
        seen.extend(paths)
        return [judge(paths[0], Observation(samples=BOTH))]

    path = replace(PATH, host="10.1.17.4", address="")
    azure = Azure(SPOKE_NET, endpoint_address="10.1.17.23", test=test)
    (found,) = explain(evidence(azure), [judge(path, Observation(samples=(SILENT,) * 4))])
    assert found.verdict == "pass"
    assert [(each.host, each.address) for each in seen] == [("10.1.17.23", "")]


def test_a_missing_endpoint_is_named_whatever_the_name_gives() -> None:
    azure = Azure(SPOKE_NET, endpoint_address="", records=RIGHT)
    for result in (FAILED, UNRESOLVED):
        (found,) = explain(evidence(azure), [result])
        assert found.broken is not None
        assert found.broken.code == "PE_MISSING"


def test_without_azd_a_connection_that_is_gone_is_made_again_as_it_was() -> None:
    state = {
        "privateLinkServiceConnectionState": {"status": "Disconnected"},
        "privateLinkServiceId": "/pls/x",
    }
    azure = Azure(
        SPOKE_NET, endpoint={"privateLinkServiceConnections": [{"name": "fwd", "properties": state}]}
    )
    found = endpoint.broken(evidence(azure, options=("-g", "rg")), FAILED)
    assert found is not None
    delete, create = typed(found).splitlines()
    assert delete == "az network private-endpoint delete -g rg -n pep"
    assert create == (
        f"az network private-endpoint create -g rg -n pep --subnet {NET}/virtualNetworks/vnet-spoke/subnets/linked "
        "--connection-name fwd --private-connection-resource-id /pls/x "
        "--ip-config '{name:endpoint,group-id:'\"'\"''\"'\"',member-name:'\"'\"''\"'\"',private-ip-address:10.1.17.4}'"
    )
    fixed = {"properties": {"groupId": "vault", "memberName": "default"}}
    azure.more["endpoint"] |= {"ipConfigurations": [fixed]}
    found = endpoint.broken(evidence(azure, options=("-g", "rg")), FAILED)
    assert found is not None
    assert " --group-id vault --ip-config " in typed(found)
    assert "group-id:'\"'\"'vault'\"'\"',member-name:'\"'\"'default'\"'\"'," in typed(found)
