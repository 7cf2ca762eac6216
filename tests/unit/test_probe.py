"""Probes: plan, script on this machine's own tools, parser, verdicts, explanations, JUnit."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from fwdctl.deployment import Box, Deployment, Forward, Hub, Spoke
from fwdctl.errors import FwdctlError
from fwdctl.probe import evidence, forwarder
from fwdctl.probe.judge import judge, skipped
from fwdctl.probe.junit import junit
from fwdctl.probe.model import Broken, Finding, Path, PathResult, Sample, Sight
from fwdctl.probe.parse import IncompleteError, parse, sample
from fwdctl.probe.plan import plan
from fwdctl.probe.runner import exit_code, lacks_servers
from fwdctl.probe.script import script

if TYPE_CHECKING:
    from collections.abc import Iterator

BOX = Box("spoke", "ci-spoke", "jump")
SPOKE = Spoke("spoke", BOX, "pep", "10.1.17.4", "server.corp.internal", "corp.internal")
WEB = Forward("web", 8000, ("192.168.42.65:8000", "192.168.42.66:8000"), check="http")
PATH = Path("spoke/web", "spoke", BOX, WEB, SPOKE.host_name, 8000, SPOKE.address, 4, 2, spoke=SPOKE)


def answered(tool: str, server: str = "") -> Sample:
    return Sample(tool, connected=True, answered=True, server=server)


GOOD = Sample("curl", connected=True, answered=True, server="a")
OTHER = Sample("curl", connected=True, answered=True, server="b")
REFUSED = Sample("curl", connected=False, answered=False, failure="refused", text="refused")
SICK = Sample("curl", connected=True, answered=False, failure="status", text="HTTP status 503")


def deployment(*forwards: Forward) -> Deployment:
    hub = Hub(Box("hub", "ci-hub"), "lbi", "10.0.1.5")
    return Deployment("rg", None, hub, (SPOKE,), forwards, "x")


def sight(*samples: Sample, addresses: tuple[str, ...] = ("10.1.17.4",), status: int = 0) -> Sight:
    return Sight("getent", status, addresses, samples)


# -- plan


def test_plan_of_everything() -> None:
    paths = plan(deployment(WEB), "all")
    assert [(p.label, p.host, p.samples, p.expected) for p in paths] == [
        ("hub/web/192.168.42.65:8000", "192.168.42.65", 1, 0),
        ("hub/web/192.168.42.66:8000", "192.168.42.66", 1, 0),
        ("hub/web", "10.0.1.5", 4, 2),
        ("spoke/web", "server.corp.internal", 4, 2),
    ]


@pytest.mark.parametrize(
    ("forward", "samples", "made", "expected"),
    [
        (WEB, 9, 9, 2),
        (WEB, 1, 1, 0),
        (Forward("web", 1, ("a:1", "b:1"), "sourceHash", "http"), 0, 4, 0),
        (Forward("db", 1433, ("a:1", "b:1")), 0, 1, 0),
        (Forward("db", 1433, ("a:1", "b:1"), check="none"), 5, 0, 0),
        (Forward("web", 80, check="http"), 0, 1, 0),
    ],
)
def test_samples(forward: Forward, samples: int, made: int, expected: int) -> None:
    (path,) = plan(deployment(forward), "spoke", samples)
    assert (path.samples, path.expected) == (made, expected)


def test_unknown_targets_are_skipped_with_a_reason() -> None:
    paths = plan(deployment(Forward("web", 8000)), "hub")
    assert [(bool(path.skip), path.origin) for path in paths] == [(True, "target"), (False, "balancer")]


def test_nothing_forwarded() -> None:
    with pytest.raises(FwdctlError) as error:
        plan(deployment(), "all")
    assert (error.value.code, error.value.exit_code) == ("no_forwards", 3)


# -- script and parser


class Web(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(503 if self.path == "/sick" else 200)
        self.send_header("X-Fwdctl-Server", "server65")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def web() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Web) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join(5)


@pytest.fixture(scope="module")
def closed() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def run(paths: list[Path], tools: str, tmp_path: Any) -> list[PathResult]:
    for tool in ["sh", *tools.split()]:
        found = shutil.which(tool)
        if tool == "python3":  # a link to a virtual environment's python does not find its library
            found = str(tmp_path / "python3")
            (tmp_path / "python3").write_text(f'#!/bin/sh\nexec {os.path.realpath(sys.executable)} "$@"\n')
            (tmp_path / "python3").chmod(0o755)
        elif found is None:
            pytest.skip(f"{tool} is not installed")
        else:
            (tmp_path / tool).symlink_to(found)
    command = ["/bin/sh", "-c", script(paths, 3, python="python3" in tools)]
    answer = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, check=True, timeout=60)
    assert answer.stderr == b""
    return [judge(p, s) for p, s in zip(paths, parse(answer.stdout.decode(), len(paths)), strict=True)]


@pytest.mark.skipif(os.name != "posix", reason="runs /bin/sh")
@pytest.mark.parametrize("tools", ["curl", "wget", "python3", "curl timeout"])
def test_http_with_each_tool(web: int, closed: int, tools: str, tmp_path: Any) -> None:
    well, sick = Forward("web", web, check="http"), Forward("web", web, check="http", check_path="/sick")
    paths = [
        Path("1", "target", BOX, well, "127.0.0.1", web, samples=3, expected=2),
        Path("2", "target", BOX, sick, "127.0.0.1", web),
        Path("3", "target", BOX, well, "127.0.0.1", closed),
    ]
    good, bad, gone = run(paths, tools, tmp_path)
    assert (good.verdict, good.servers) == ("pass", {"server65": 3})
    assert tools.split(maxsplit=1)[0] in good.findings[0].reason
    assert (bad.verdict, bad.findings[-1].check) == ("fail", "protocol")
    assert "503" in bad.reason
    assert (gone.verdict, gone.findings[-1].check) == ("fail", "tcp")
    assert "refused" in gone.reason


@pytest.mark.skipif(os.name != "posix", reason="runs /bin/sh")
@pytest.mark.parametrize("tools", ["bash", "python3", "curl", "nc"])
def test_tcp_with_each_tool(web: int, closed: int, tools: str, tmp_path: Any) -> None:
    db = Forward("db", web)
    paths = [
        Path("1", "target", BOX, db, "127.0.0.1", web),
        Path("2", "target", BOX, db, "127.0.0.1", closed),
    ]
    assert [result.verdict for result in run(paths, tools, tmp_path)] == ["pass", "fail"]


@pytest.mark.skipif(os.name != "posix", reason="runs /bin/sh")
@pytest.mark.parametrize("tools", ["curl", "python3", "openssl timeout"])
def test_tls_with_each_tool_against_plain_http(web: int, tools: str, tmp_path: Any) -> None:
    (result,) = run(
        [Path("1", "target", BOX, Forward("s", web, check="tls"), "127.0.0.1", web)], tools, tmp_path
    )
    assert [(finding.check, finding.verdict) for finding in result.findings] == [
        ("tcp", "pass"),
        ("protocol", "fail"),
    ]


@pytest.mark.skipif(os.name != "posix", reason="runs /bin/sh")
@pytest.mark.parametrize("tools", ["getent", "python3", "python3 getent timeout"])
def test_names_with_each_tool(tools: str, tmp_path: Any) -> None:
    none = Forward("x", 1, check="none")
    paths = [
        Path("1", "spoke", BOX, none, "localhost", 1, "127.0.0.1", 0),
        Path("2", "spoke", BOX, none, "localhost", 1, "127.0.0.9", 0),
        Path("3", "spoke", BOX, none, "no-such-name.invalid", 1, "127.0.0.1", 0),
    ]
    right, wrong, missing = run(paths, tools, tmp_path)
    assert right.findings[0].verdict == "pass"
    assert wrong.findings[-1].verdict == "fail"
    assert missing.findings[-1].verdict in {"fail", "inconclusive"}  # a resolver may answer "try again"


@pytest.mark.skipif(os.name != "posix", reason="runs /bin/sh")
def test_a_box_without_tools_is_inconclusive(web: int, tmp_path: Any) -> None:
    paths = [PATH, Path("2", "target", BOX, WEB, "127.0.0.1", web)]
    assert [result.verdict for result in run(paths, "", tmp_path)] == ["inconclusive", "inconclusive"]


@pytest.mark.parametrize(
    "text",
    ["", "end", "name 0 getent 0 1.2.3.4,\n", "name 0 getent 0 1.2.3.4,\nen", "end\nname 0 getent 0 x,\n", "what\nend\n",
     "name x getent 0 a,\nend\n", "sample 0 http\nend\n", "sample 0 http curl x\t\nend\n", "odd 0 1\nend\n"],
)  # fmt: skip
def test_an_incomplete_report_is_never_a_verdict(text: str) -> None:
    with pytest.raises(IncompleteError):
        parse(text, 1)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("http curl 0\t@200 0.0001 0.0 10.0.0.1\tserver65\r\t", answered("curl", "server65")),
        ("http curl 28\t@000 0.0 0.0\t\tcurl: (28) Connection timed out", "timeout"),
        ("http curl 52\t@000 0.0001 0.0 10.0.0.1\t\tcurl: (52) Empty reply from server", "reset"),
        ("http curl 6\t@000 0.0 0.0\t\tcurl: (6) Could not resolve host: x", "name"),
        ("http curl 22\t@500 0.1 0.0 10.0.0.1\t\t", "status"),
        ("http none 127\t\t\t", "tool"),
        ("tcp bash 124\t\t\t", "timeout"),
        ("tcp curl 28\t@000 0.0002 0.0 10.0.0.1\t\tcurl: (28) timed out", answered("curl")),
        ("tls curl 60\t@000 0.1 0.2 10.0.0.1\t\t", answered("curl")),
        ("http python3 0\t@404 0.1 0.0 10.0.0.1\ts\t\t0", answered("python3", "s")),
        ("tcp python3 0\t@000 0.0 0.0 \t\t[Errno 113] No route to host\t1", "unreachable"),
    ],
)
def test_what_tools_say(line: str, expected: Sample | str) -> None:
    found = sample(line)
    if isinstance(expected, str):
        assert (found.answered, found.failure) == (False, expected)
    else:
        assert found == expected


# -- verdicts


@pytest.mark.parametrize(
    ("seen", "verdict", "checks"),
    [
        (sight(GOOD, OTHER, GOOD, OTHER), "pass", ["name", "tcp", "protocol", "targets"]),
        (sight(GOOD, REFUSED, GOOD, REFUSED), "pass", ["name", "tcp", "protocol", "targets"]),
        (sight(*[REFUSED] * 4), "fail", ["name", "tcp"]),
        (sight(*[SICK] * 4), "fail", ["name", "tcp", "protocol"]),
        (sight(GOOD, GOOD, GOOD), "inconclusive", ["name", "tcp"]),
        (sight(addresses=(), status=2), "fail", ["name"]),
        (sight(addresses=("10.9.9.9",)), "fail", ["name"]),
        (sight(addresses=("10.1.17.4", "10.9.9.9")), "fail", ["name"]),
        (sight(addresses=(), status=124), "inconclusive", ["name"]),
        (Sight(), "inconclusive", ["name"]),
    ],
)
def test_verdicts_stop_at_the_first_failure(seen: Sight, verdict: str, checks: list[str]) -> None:
    result = judge(PATH, seen)
    assert (result.verdict, [finding.check for finding in result.findings]) == (verdict, checks)
    assert all(finding.reason for finding in result.findings)


def test_failed_connections_are_told_on_a_path_that_passes() -> None:
    result = judge(PATH, sight(GOOD, REFUSED, GOOD, REFUSED))
    assert "1 of 2 servers answered: a; 2 of 4 connections failed" in result.reason
    assert lacks_servers(result)
    assert not lacks_servers(judge(PATH, sight(GOOD, OTHER, GOOD, OTHER)))


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        (["pass"], 0),
        (["pass", "skip"], 0),
        (["pass", "inconclusive"], 5),
        (["inconclusive", "fail"], 4),
        (["skip"], 5),
    ],
)
def test_exit_codes(verdicts: list[Any], code: int) -> None:
    assert exit_code([PathResult(PATH, (Finding("tcp", verdict, "r"),)) for verdict in verdicts]) == code


# -- evidence


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


# -- JUnit


def test_junit() -> None:
    broken = Broken("target", "TARGET_DOWN", "no <answer> \x01", "fwdctl probe hub")
    results = [
        judge(PATH, sight(GOOD, OTHER, GOOD, OTHER)),
        PathResult(PATH, (Finding("tcp", "fail", "it & fails"),), broken=broken),
        skipped(PATH, "cut", "inconclusive"),
        skipped(PATH, "not known"),
    ]
    root = ET.fromstring(junit(results))  # noqa: S314 - our own text
    assert root.attrib == {
        "name": "fwdctl probe",
        "tests": "4",
        "failures": "1",
        "errors": "1",
        "skipped": "1",
    }
    (suite,) = root
    assert [[child.tag for child in case] for case in suite] == [
        ["system-out"], ["failure", "system-out"], ["error", "system-out"], ["skipped", "system-out"],
    ]  # fmt: skip
    failure = suite[1][0]
    assert (failure.get("type"), failure.get("message")) == ("TARGET_DOWN", "it & fails")
    assert "no <answer> ?" in (failure.text or "")


def test_junit_is_ascii_so_that_no_stream_can_spoil_it() -> None:
    text = junit([skipped(PATH, "10 \u2013 20 漢", "inconclusive")])
    (found,) = ET.fromstring(text.encode("ascii")).iter("error")  # noqa: S314 - our own text
    assert found.get("message") == "10 \u2013 20 漢"
