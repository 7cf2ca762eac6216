from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from conftest import ROOT
from fwdctl.errors import FwdctlError
from fwdctl.template import parameters
from fwdctl.template.parameters import ParametersError

if TYPE_CHECKING:
    from pathlib import Path

FILE = ROOT / "infra" / "main.parameters.json"
COMPILED = ROOT / "infra" / "main.json"
ORIGINAL: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
OTHER = "11111111-1111-1111-1111-111111111111"
FORWARD = {"name": "web", "port": 8000, "targets": ["192.168.42.65:8000"]}


def load(folder: Path, environ: dict[str, str] | None = None, **changes: Any) -> parameters.Parameters:
    document = copy.deepcopy(ORIGINAL)
    for name, value in changes.items():
        if value is None:
            document["parameters"].pop(name, None)
        else:
            document["parameters"][name] = {"value": value}
    file = folder / "main.parameters.json"
    file.write_text(json.dumps(document))
    return parameters.load(file, COMPILED, environ or {})


def original(name: str, **changes: Any) -> Any:
    value = copy.deepcopy(ORIGINAL["parameters"][name]["value"])
    (value[0] if isinstance(value, list) else value).update(changes)
    return value


def other_spoke(**changes: Any) -> dict[str, Any]:
    """A second spoke in the ranges of the first, which may overlap."""
    own = {"name": "two", "dnsZoneName": "two.fwdctl.internal", "endpointAddress": "10.1.17.9"}
    return {**original("spokes")[0], **own, **changes}


NET = "/subscriptions/s/resourceGroups/net/providers/Microsoft.Network"
SUBNET = f"{NET}/virtualNetworks/hub/subnets/fwd"
EXISTING_HUB = original("hub", existing={"subnetId": SUBNET})
EXISTING_SPOKE = {
    "name": "theirs",
    "existing": {"endpointSubnetId": SUBNET, "dnsZoneId": f"{NET}/privateDnsZones/a.internal"},
    "endpointAddress": "10.7.0.9",
    "dnsZoneName": "a.internal",
}


def test_the_templates_own_file_is_right() -> None:
    read = parameters.load(FILE, COMPILED, {})
    assert [str(target) for target in read.forwards[0].targets] == [
        "192.168.42.65:8000",
        "192.168.42.66:8000",
    ]
    assert str(read.spokes[0].endpoint_address) == "10.1.17.4"
    assert read.forwarder.health_port == 18099


def test_defaults_come_from_the_compiled_template(tmp_path: Path) -> None:
    read = load(tmp_path, hub=None, forwarder=None, deployOnPremServers=None)
    assert str(read.hub.address_prefix) == "10.0.1.0/24"
    assert read.forwarder.instance_count == 3
    assert read.deploy_on_prem_servers is True


def test_a_forwards_defaults_are_filled_in(tmp_path: Path) -> None:
    forward = load(tmp_path, forwards=[FORWARD]).forwards[0]
    assert forward.model_dump(mode="json", by_alias=True) == {
        **FORWARD,
        "balance": "roundRobin",
        "check": "tcp",
        "checkPath": "/",
        "identityHeader": None,
        "serverName": None,
        "hostNames": [],
    }


def test_a_forward_may_name_the_header_in_which_servers_say_who_they_are(tmp_path: Path) -> None:
    forward = {**FORWARD, "check": "http", "identityHeader": "X-Served-By"}
    assert load(tmp_path, forwards=[forward]).forwards[0].identity_header == "X-Served-By"


def test_checks_of_tls_may_name_a_server(tmp_path: Path) -> None:
    forward = {**FORWARD, "check": "https", "serverName": "shop.example", "identityHeader": "X-Served-By"}
    assert load(tmp_path, forwards=[forward]).forwards[0].server_name == "shop.example"


@pytest.mark.parametrize(
    ("value", "environ", "expected"),
    [
        ("${HOST}", {"HOST": "a-host"}, "a-host"),
        ("${HOST=b-host}", {}, "b-host"),
        ("${HOST:-b-host}", {"HOST": ""}, "b-host"),
        ("x-${HOST=b}-host", {"HOST": "c"}, "x-c-host"),
        ("${HOST}", {}, "onprem-server"),
    ],
)
def test_values_come_from_the_environment(
    tmp_path: Path, value: str, environ: dict[str, str], expected: str
) -> None:
    assert load(tmp_path, environ, hostName=value).host_name == expected


def test_a_list_may_come_from_the_environment(tmp_path: Path) -> None:
    environ = {"FORWARDS": json.dumps([FORWARD]), "COUNT": "2"}
    read = load(tmp_path, environ, forwards="${FORWARDS}")
    assert read.forwards[0].port == 8000


def test_targets_are_not_limited_where_the_network_is_the_users_own(tmp_path: Path) -> None:
    forwards = [{**FORWARD, "targets": ["172.16.0.9:1433"]}]
    assert load(tmp_path, forwards=forwards, deployOnPremServers=False).forwards[0].targets


def test_spokes_may_share_a_zone_with_one_address_in_it(tmp_path: Path) -> None:
    shared = {"dnsZoneName": "fwdctl.internal", "endpointAddress": "10.1.17.4"}
    assert len(load(tmp_path, spokes=[*original("spokes"), other_spoke(**shared)]).spokes) == 2


@pytest.mark.parametrize("name", ["db.corp.example", "_sql.db_1.corp", "1.2.3.4.example", f"{'a' * 63}.corp"])
def test_a_target_may_be_a_host_name(tmp_path: Path, name: str) -> None:
    (target,) = load(tmp_path, forwards=[{**FORWARD, "targets": [f"{name}:1433"]}]).forwards[0].targets
    assert (str(target), target.port) == (f"{name}:1433", 1433)


def test_networks_may_be_there_already(tmp_path: Path) -> None:
    read = load(tmp_path, hub=EXISTING_HUB, spokes=[EXISTING_SPOKE], deployOnPremServers=False)
    assert read.hub.existing is not None
    assert read.spokes[0].existing is not None
    assert read.spokes[0].subnets == {}


def test_there_may_be_no_spoke_and_everybody_may_see_the_service(tmp_path: Path) -> None:
    service = {
        "visibility": "anyone",
        "autoApproval": [OTHER],
        "natAddresses": 8,
        "fqdns": ["db.example.com"],
    }
    read = load(tmp_path, spokes=[], linkService=service)
    assert (read.spokes, read.link_service.auto_approval) == ((), (OTHER,))


def test_the_highest_port_may_be_a_targets(tmp_path: Path) -> None:
    forward = {**FORWARD, "port": 65534, "targets": ["192.168.42.65:65535"]}
    assert load(tmp_path, forwards=[forward]).forwards[0].targets[0].port == 65535


def test_a_zone_that_hides_a_real_one_is_told(tmp_path: Path) -> None:
    """A target's name is in it, so that it is in use; the hub goes on to see the real one."""
    read = load(
        tmp_path, forwards=[{**FORWARD, "targets": ["db.fwdctl.internal:1433", "db.corp.example:1433"]}]
    )
    (told,) = parameters.hidden_zones(read)
    assert told.startswith(
        "spokes[0].dnsZoneName fwdctl.internal hides a zone that is in use (db.fwdctl.internal):"
    )
    assert list(parameters.hidden_zones(load(tmp_path))) == []


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"hub": original("hub", addressPrefix="10.0.1.0")}, "hub.addressPrefix", "written as Azure asks"),
    ({"hub": original("hub", addressPrefix="10.0.1.7/24")}, "hub.addressPrefix", '"10.0.1.7/24"'),
    ({"hub": original("hub", addressPrefix="10.0.1.0/33")}, "hub.addressPrefix", "not an IPv4 range"),
    ({"hub": original("hub", addressPrefix="10.0.1.0/30")}, "hub.addressPrefix", "wrong size"),
    ({"hub": original("hub", sharedSubnetPrefix="10.0.2.0/26")}, "hub.sharedSubnetPrefix", "outside hub"),
    ({"hub": original("hub", jumpSubnetPrefix="10.0.1.0/27")}, "hub.jumpSubnetPrefix", "overlaps with hub"),
    ({"hub": original("hub", extra=1)}, "hub.extra", "not a known key"),
    ({"hub": original("hub", extraSubnets=[{"name": "x", "addressPrefix": "10.0.2.0/26"}])}, "hub.extraSubnets[0].addressPrefix", "outside hub.addressPrefix"),
    ({"hub": original("hub", extraSubnets=[{"name": "x", "addressPrefix": "10.0.1.32/27"}])}, "hub.extraSubnets[0].addressPrefix", "overlaps with hub.sharedSubnetPrefix"),
    ({"hub": original("hub", extraSubnets=[{"name": "Jump", "addressPrefix": "10.0.1.128/27"}])}, "hub.extraSubnets[0].name", "a subnet 'Jump' already"),
    ({"hub": original("hub", extraSubnets=[{"name": "a b", "addressPrefix": "10.0.1.128/27"}])}, "hub.extraSubnets[0].name", "is not a name"),
    ({"hub": original("hub", dnsServers=["dns.example.com"])}, "hub.dnsServers[0]", "is not an IPv4 address"),
    ({"hub": original("hub", routeTableId="rt-hub")}, "hub.routeTableId", "is not the resource id of a route table"),
    ({"spokes": original("spokes", appsDelegation="environments")}, "spokes[0].appsDelegation", "is not a service such as"),
    ({"hub": {"addressPrefix": "10.0.1.0/24"}}, "hub", "lacks sharedSubnetPrefix, jumpSubnetPrefix"),
    ({"hub": [1]}, "hub", "[1] is not an object"),
    ({"spokes": [{**original("spokes")[0], "name": "hub"}]}, "spokes[0].name", "'hub' is taken"),
    ({"spokes": [{**original("spokes")[0], "name": "all"}]}, "spokes[0].name", "'all' is taken"),
    ({"corp": original("corp", addressPrefix="10.0.0.0/16")}, "corp.addressPrefix", "overlaps with hub"),
    (
        {"corp": {"addressPrefix": "192.168.42.0/24", "servers": [{"name": "s", "address": "192.168.42.300", "port": 1}]}},
        "corp.servers[0].address",
        '"192.168.42.300" is not an IPv4 address',
    ),
    (
        {"corp": {"addressPrefix": "192.168.42.0/24", "servers": [{"name": "s", "address": "192.168.42.3", "port": 1}]}},
        "corp.servers[0].address",
        "Azure keeps",
    ),
    ({"spokes": original("spokes", linkedSubnetPrefix="10.9.0.0/24")}, "spokes[0].linkedSubnetPrefix", "outside spokes[0]"),
    ({"spokes": original("spokes", endpointAddress="10.99.0.4")}, "spokes[0].endpointAddress", "10.99.0.4 lies outside"),
    ({"spokes": original("spokes") * 2}, "spokes[1].name", "already taken by spokes[0]"),
    ({"linkService": {"natAddresses": 9}}, "linkService.natAddresses", "9 is not between 1 and 8"),
    ({"linkService": {"subscriptions": ["prod"]}}, "linkService.subscriptions[0]", "is not the id of a subscription"),
    ({"linkService": {"visibility": "public"}}, "linkService.visibility", '"public" is unknown'),
    ({"linkService": {"visibility": "anyone", "subscriptions": [OTHER]}}, "linkService.subscriptions", 'not with "anyone"'),
    ({"linkService": {"visibility": "rbac", "autoApproval": [OTHER]}}, "linkService.autoApproval[0]", "does not see the link service"),
    ({"linkService": {"subscriptions": [OTHER], "autoApproval": [OTHER.replace("1", "2")]}}, "linkService.autoApproval[0]", "does not list it"),
    ({"alerts": {"email": "on-call"}}, "alerts.email", '"on-call" is not an e-mail address'),
    ({"alerts": {"actionGroupId": "ag"}}, "alerts.actionGroupId", "is not the resource id of an action group"),
    ({"alerts": {"email": "a@b.example", "actionGroupId": NET.replace("Network", "Insights") + "/actionGroups/a"}}, "alerts.email", "of no use with alerts.actionGroupId"),
    ({"linkService": {"fqdns": ["localhost"]}}, "linkService.fqdns[0]", "at least two labels"),
    ({"hub": original("hub", sharedSubnetPrefix="10.0.1.0/29")}, "hub.sharedSubnetPrefix", "need 5"),
    ({"hub": {**EXISTING_HUB, "natSubnetPrefix": "10.0.1.128/29", "existing": {"subnetId": SUBNET, "natSubnetId": SUBNET}}, "deployOnPremServers": False, "linkService": {"natAddresses": 4}}, "hub.natSubnetPrefix", "4 NAT addresses need 4"),
    ({"availabilityZones": ["one"]}, "availabilityZones[0]", "is not the number of a zone"),
    ({"forwards": [FORWARD, {**FORWARD, "port": 1}]}, "forwards[1].name", "already taken by forwards[0]"),
    ({"forwards": [FORWARD, {**FORWARD, "name": "b"}]}, "forwards[1].port", "8000 is already taken by forwards[0]"),
    ({"forwards": [{**FORWARD, "port": 0}]}, "forwards[0].port", "0 is not between 1 and 65534"),
    ({"forwards": [{**FORWARD, "port": 65535}]}, "forwards[0].port", "Azure's load balancer takes 1 to 65534"),
    ({"forwards": [{**FORWARD, "port": 65536}]}, "forwards[0].port", "65536 is not between 1 and 65534"),
    ({"forwards": [{**FORWARD, "targets": ["127.0.0.1:80"]}]}, "forwards[0].targets[0]", "127.0.0.1 cannot be used: 127.0.0.0/8 is a machine's own"),
    ({"forwards": [{**FORWARD, "targets": ["0.0.0.0:80"]}]}, "forwards[0].targets[0]", "0.0.0.0/8 means this machine"),
    ({"forwards": [{**FORWARD, "targets": ["224.0.0.1:80"]}]}, "forwards[0].targets[0]", "multicast"),
    ({"forwards": [{**FORWARD, "targets": ["169.254.169.254:80"]}]}, "forwards[0].targets[0]", "link-local"),
    ({"forwards": [{**FORWARD, "targets": ["255.255.255.255:80"]}]}, "forwards[0].targets[0]", "reserved"),
    ({"forwards": [{**FORWARD, "targets": ["168.63.129.16:80"]}]}, "forwards[0].targets[0]", "Azure's own"),
    ({"forwards": [{**FORWARD, "targets": ["10.0.1.5:80"]}]}, "forwards[0].targets[0]", "lies in hub.sharedSubnetPrefix 10.0.1.0/26"),
    ({"forwards": [{**FORWARD, "targets": ["10.0.1.70:80"]}]}, "forwards[0].targets[0]", "lies in hub.jumpSubnetPrefix"),
    ({"hub": original("hub", addressPrefix="169.254.0.0/24")}, "hub.addressPrefix", "169.254.0.0/24 cannot be used"),
    ({"spokes": [*original("spokes", dnsZoneName="a.internal"), other_spoke(dnsZoneName="a.internal")]}, "spokes[1].dnsZoneName", "cannot be both 10.1.17.4 and 10.1.17.9"),
    ({"spokes": [{key: value for key, value in other_spoke().items() if key != "dnsZoneName"}]}, "spokes[0]", "lacks dnsZoneName"),
    ({"hub": EXISTING_HUB}, "deployOnPremServers", "cannot be true with hub.existing"),
    ({"hub": {**EXISTING_HUB, "egress": "natGateway"}, "deployOnPremServers": False}, "hub.egress", "cannot be natGateway"),
    ({"hub": {**EXISTING_HUB, "routeTableId": f"{NET}/routeTables/rt"}, "deployOnPremServers": False}, "hub.routeTableId", "of no use with hub.existing"),
    ({"hub": original("hub", natSubnetPrefix="10.0.1.128/26")}, "hub.natSubnetPrefix", "go together"),
    ({"hub": original("hub", existing={"subnetId": SUBNET, "natSubnetId": SUBNET}), "deployOnPremServers": False}, "hub.natSubnetPrefix", "go together"),
    ({"hub": {**EXISTING_HUB, "existing": {"subnetId": "fwd"}}}, "hub.existing.subnetId", "is not the resource id of a subnet"),
    ({"spokes": [{**EXISTING_SPOKE, "addressPrefix": "10.1.0.0/19"}]}, "spokes[0].addressPrefix", "of no use with spokes[0].existing"),
    ({"spokes": [{**EXISTING_SPOKE, "dnsZoneName": "b.internal"}]}, "spokes[0].dnsZoneName", "names another zone"),
    ({"spokes": [{**EXISTING_SPOKE, "existing": {"endpointSubnetId": SUBNET, "dnsZoneId": "a.internal"}}]}, "spokes[0].existing.dnsZoneId", "is not the resource id of a private DNS zone"),
    ({"spokes": [{key: value for key, value in original("spokes")[0].items() if key != "cpSubnetPrefix"}]}, "spokes[0]", "lacks cpSubnetPrefix"),
    ({"forwards": [{**FORWARD, "hostNames": ["db", "db"]}]}, "forwards[0].hostNames[1]", "db is listed twice"),
    ({"forwards": [{**FORWARD, "hostNames": ["db.two.internal"]}]}, "forwards[0].hostNames[0]", "is a full name; each spoke has the name in its own zone"),
    ({"hostName": "db.fwdctl.internal"}, "hostName", "is a full name"),
    ({"spokes": [*original("spokes"), other_spoke(dnsZoneName="fwdctl.internal")]}, "spokes[1].dnsZoneName", "the zone fwdctl.internal is that of spokes[0] too"),
    ({"forwards": [{**FORWARD, "port": "80"}]}, "forwards[0].port", '"80" is not a whole number'),
    ({"forwards": [{**FORWARD, "port": True}]}, "forwards[0].port", "true is not a whole number"),
    ({"forwards": [{**FORWARD, "port": 18099}]}, "forwards[0].port", "own health port"),
    ({"forwards": [{**FORWARD, "name": "Web_1"}]}, "forwards[0].name", '"Web_1" is not a name'),
    ({"forwards": [{**FORWARD, "name": "w\n"}]}, "forwards[0].name", "is not a name"),
    ({"forwards": [{**FORWARD, "balance": "random"}]}, "forwards[0].balance", '"random" is unknown'),
    ({"forwards": [{**FORWARD, "balance": {}}]}, "forwards[0].balance", "{} is unknown"),
    ({"forwards": [{**FORWARD, "check": "icmp"}]}, "forwards[0].check", '"icmp" is unknown'),
    ({"forwards": [{**FORWARD, "checkPath": "x y"}]}, "forwards[0].checkPath", "is not a path"),
    ({"forwards": [{**FORWARD, "check": "http", "identityHeader": "X Served"}]}, "forwards[0].identityHeader", '"X Served" is not a header name'),
    ({"forwards": [{**FORWARD, "check": "http", "identityHeader": "é"}]}, "forwards[0].identityHeader", "is not a header name"),
    ({"forwards": [{**FORWARD, "check": "tls", "identityHeader": "Server"}]}, "forwards[0].identityHeader", 'with the checks "http" and "https" only'),
    ({"forwards": [{**FORWARD, "check": "mssql", "serverName": "db.example"}]}, "forwards[0].serverName", 'forwards[0].check is "mssql"'),
    ({"forwards": [{**FORWARD, "check": "tls", "serverName": "Two words"}]}, "forwards[0].serverName", "is not a host name"),
    ({"forwards": [{**FORWARD, "check": "mysql"}]}, "forwards[0].check", '"mysql" is unknown'),
    ({"forwards": [{**FORWARD, "identityHeader": "Server"}]}, "forwards[0].identityHeader", 'forwards[0].check is "tcp"'),
    ({"forwards": [{**FORWARD, "target": []}]}, "forwards[0].target", "not a known key"),
    ({"forwards": [{"port": 1, "target": []}]}, "forwards[0].target", "not a known key"),
    ({"forwards": [{**FORWARD, "name": "w" * 41}]}, "forwards[0].name", "is longer than 40 characters"),
    ({"forwards": {"web": 8000}}, "forwards", '{"web": 8000} is not a list'),
    ({"forwards": [{**FORWARD, "port": 80.0}]}, "forwards[0].port", "80.0 is not a whole number"),
    ({"forwards": [{**FORWARD, "targets": [5]}]}, "forwards[0].targets[0]", "5 is not HOST:PORT"),
    ({"forwards": [{**FORWARD, "targets": ["192.168.42.65:" + "9" * 5000]}]}, "forwards[0].targets[0]", "is not HOST:PORT"),
    ({"spokes": original("spokes", endpointAddress=167841028)}, "spokes[0].endpointAddress", "is not an IPv4 address"),
    ({"deployOnPremServers": "true"}, "deployOnPremServers", "neither true nor false"),
    ({"forwards": [{**FORWARD, "targets": []}]}, "forwards[0].targets", "is empty"),
    ({"forwards": [{**FORWARD, "targets": ["192.168.42.65"]}]}, "forwards[0].targets[0]", "is not HOST:PORT"),
    ({"forwards": [{**FORWARD, "targets": ["db corp:1433"]}]}, "forwards[0].targets[0]", '"db corp" is neither an IPv4 address nor a host name'),
    ({"forwards": [{**FORWARD, "targets": ["db..corp:1433"]}]}, "forwards[0].targets[0]", "nor a host name"),
    ({"forwards": [{**FORWARD, "targets": [f"{'a' * 64}.corp:1433"]}]}, "forwards[0].targets[0]", "nor a host name"),
    ({"forwards": [{**FORWARD, "targets": ["d.c:1", "d.c:1"]}]}, "forwards[0].targets[1]", "listed twice"),
    ({"forwards": [{**FORWARD, "targets": ["D.C:1"]}]}, "forwards[0].targets[0]", "in lower-case letters"),
    ({"forwards": [{**FORWARD, "targets": ["db:1433"]}]}, "forwards[0].targets[0]", "is a name without a domain"),
    ({"forwards": [{**FORWARD, "targets": ["0x7f.1:80"]}]}, "forwards[0].targets[0]", "nor a host name"),
    ({"forwards": [{**FORWARD, "targets": ["db_.corp:80"]}]}, "forwards[0].targets[0]", "nor a host name"),
    ({"forwards": [{**FORWARD, "targets": ["db.corp.:80"]}]}, "forwards[0].targets[0]", "nor a host name"),
    ({"forwards": [{**FORWARD, "targets": [f"{'a.' * 126}aa:80"]}]}, "forwards[0].targets[0]", "nor a host name"),
    ({"forwards": [{**FORWARD, "targets": ["db.localhost:80"]}]}, "forwards[0].targets[0]", "each machine itself"),
    ({"forwards": [{**FORWARD, "targets": ["localhost:80"]}]}, "forwards[0].targets[0]", "each machine itself"),
    ({"forwards": [{**FORWARD, "targets": ["192.168.42.300:80"]}]}, "forwards[0].targets[0]", "is not an IPv4 address"),
    ({"forwards": [{**FORWARD, "targets": ["192.168.42:80"]}]}, "forwards[0].targets[0]", "is not an IPv4 address"),
    ({"forwards": [{**FORWARD, "targets": [":80"]}]}, "forwards[0].targets[0]", "is not an IPv4 address"),
    ({"forwards": [{**FORWARD, "targets": ["[fd00::1]:80"]}]}, "forwards[0].targets[0]", "is neither an IPv4 address"),
    ({"forwards": [{**FORWARD, "targets": ["192.168.42.65:99999"]}]}, "forwards[0].targets[0]", "99999 is not between"),
    ({"forwards": [{**FORWARD, "targets": ["192.168.43.65:80"]}]}, "forwards[0].targets[0]", "outside every network"),
    ({"forwards": [{**FORWARD, "name": f"f{n}", "port": n + 1000, "checkPath": "/" + "x" * 400} for n in range(100)]}, "forwards", "48,000 reach a machine at most"),
    ({"forwards": [{**FORWARD, "targets": FORWARD["targets"] * 2}]}, "forwards[0].targets[1]", "listed twice"),  # type: ignore[operator]
    ({"forwards": [{**FORWARD, "port": 22}], "forwarder": original("forwarder", allowSsh=True)}, "forwards[0].port", "own SSH"),
    ({"forwarder": original("forwarder", allowSsh="no")}, "forwarder.allowSsh", "neither true nor false"),
    ({"forwarder": original("forwarder", image={"publisher": "x"})}, "forwarder.image", "lacks offer, sku, version"),
    ({"forwarder": original("forwarder", image={**original("forwarder")["image"], "version": "3.0.1"})}, "forwarder.image.version", 'must be "latest"'),
    ({"forwarder": original("forwarder", encryptionAtHost=1)}, "forwarder.encryptionAtHost", "neither true nor false"),
    ({"jump": original("jump", unattendedSeconds=60)}, "jump.unattendedSeconds", "60 is not between 300"),
    ({"jump": original("jump", lifetimeSeconds=1)}, "jump.lifetimeSeconds", "1 is not between 60"),
    ({"spokes": original("spokes", dnsZoneName="internal")}, "spokes[0].dnsZoneName", "at least two labels"),
    ({"dnsZoneName": "fwdctl.internal"}, "dnsZoneName", "is not a parameter of the template"),
    ({"hostName": "a b"}, "hostName", "is not a name"),
    ({"hostName": "${HOST^^}"}, "hostName", "not understood"),
    ({"forwards": "${NONSENSE=[}"}, "forwards", "not JSON after"),
    ({"forward": []}, "forward", "is not a parameter of the template"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "path", "text"), BAD, ids=[f"{path}-{text[:20]}" for _, path, text in BAD]
)
def test_bad_values_are_named_with_place_and_suggestion(
    tmp_path: Path, changes: dict[str, Any], path: str, text: str
) -> None:
    with pytest.raises(ParametersError) as caught:
        load(tmp_path, **changes)
    error = caught.value
    assert error.exit_code == 2
    assert error.message.startswith(f"{tmp_path / 'main.parameters.json'}: {path}: ")
    assert text in error.message
    assert error.suggestion.endswith((".", "?"))
    assert "\n" not in error.message + error.suggestion


def test_all_problems_are_collected_and_counted(tmp_path: Path) -> None:
    forwards = [{**FORWARD, "port": 0, "targets": ["x y:1"]}, {**FORWARD, "name": "", "check": "y"}]
    with pytest.raises(ParametersError) as caught:
        load(tmp_path, forwards=forwards)
    assert [problem.path for problem in caught.value.problems] == [
        "forwards[0].port",
        "forwards[0].targets[0]",
        "forwards[1].name",
        "forwards[1].check",
    ]
    assert caught.value.message.endswith("0 is not between 1 and 65534 (and 3 more problems)")


def test_a_misspelt_key_is_told_with_the_one_that_was_meant(tmp_path: Path) -> None:
    with pytest.raises(ParametersError) as caught:
        load(tmp_path, forwards=[{"name": "a", "port": 1, "target": []}])
    assert caught.value.suggestion == "Did you mean 'targets'?"


@pytest.mark.parametrize(
    ("text", "message", "code"),
    [
        ('{\n  "parameters": {,}\n}', "line 2, column 18: not JSON", 2),
        ("", "line 1, column 1: not JSON", 2),
        ('{"parameters": []}', "parameters: is missing or not an object", 2),
        ("[]", "parameters: is missing or not an object", 2),
        ('{"parameters": {"hub": 3}}', "hub: has no 'value'", 2),
        (b"\xff\xfe", "cannot be read", 2),
        ('\ufeff{"parameters": {}}', "line 1, column 1: not JSON: Unexpected UTF-8 BOM", 2),
        (None, "does not exist", 3),
    ],
)
def test_a_file_that_is_no_parameters_file(
    tmp_path: Path, text: str | bytes | None, message: str, code: int
) -> None:
    file = tmp_path / "p.json"
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(FwdctlError) as caught:
        parameters.load(file, COMPILED, {})
    assert caught.value.exit_code == code
    assert str(file) in caught.value.message
    assert message in caught.value.message
