"""Real packets on the seed's topology, without the control plane."""

from __future__ import annotations

import asyncio
import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fwdlab.errors import LabError
from support.bench import BY_NAME, seed_bench
from support.inside import Scenario, run_inside
from support.seed_topology import CORP, HUB, LB, NETWORK, ZONE

if TYPE_CHECKING:
    from pathlib import Path

    from support.bench import Bench

pytestmark = pytest.mark.lab
ENDPOINT = f"{NETWORK}/privateEndpoints/pep1".lower()
HOLD = (
    "import socket,sys,time\n"
    "s=socket.create_connection(('onprem-server.corp.internal',8000),3)\n"
    "f=s.makefile('rb')\n"
    "for i in range(int(sys.argv[1])):\n"
    " s.sendall(b'GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')\n"
    " n=0\n"
    " while (l:=f.readline().strip()):\n"
    "  n=int(l.split()[1]) if l.lower().startswith(b'content-length') else n\n"
    " print(f.read(n).decode().strip(),flush=True)\n"
    " time.sleep(0.3)\n"
)

IDLE = (
    "import socket,sys,time\n"
    "s=socket.create_connection((sys.argv[1],8000),3)\n"
    "s.settimeout(1.5)\n"
    "f=s.makefile('rb')\n"
    "for pause in (0,0.5,4):\n"
    " time.sleep(pause)\n"
    " try:\n"
    "  s.sendall(b'GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')\n"
    "  n=0\n"
    "  while (l:=f.readline().strip()):\n"
    "   n=int(l.split()[1]) if l.lower().startswith(b'content-length') else n\n"
    "  print(len(f.read(n))==n>0)\n"
    " except OSError as e:\n"
    "  print(type(e).__name__)\n"
)


async def idle_flows(directory: Path) -> None:
    async with seed_bench(directory) as bench:
        bench.plane.set_idle(2)
        await bench.change()
        for resets, end in ((False, "TimeoutError"), (True, "ConnectionResetError")):
            documents = copy.deepcopy(bench.source.current.documents)
            (rule,) = documents[LB.lower()]["properties"]["loadBalancingRules"]
            rule["properties"]["enableTcpReset"] = resets
            await bench.change(documents=documents)
            done = await asyncio.gather(
                bench.plane.run("ci-spoke1", ["python3", "-c", IDLE, "10.1.17.4"], seconds=20),
                bench.plane.run("ci-hub", ["python3", "-c", IDLE, "10.0.1.5"], seconds=20),
            )
            assert [one.stdout.decode().split() for one in done] == [["True", "True", end]] * 2, done
        bench.plane.set_idle(None)
        await bench.change()
        done = [await bench.plane.run("ci-spoke1", ["python3", "-c", IDLE, "10.1.17.4"], seconds=20)]
        assert done[0].stdout.decode().split() == ["True"] * 3


async def path_by_name(directory: Path) -> None:
    async with seed_bench(directory) as bench:
        await bench.ok("fwd000000", "iptables -w -t raw -A PREROUTING -p tcp --dport 8000 ! -s 10.0.1.9")
        for name in ("fwd000000", "fwd000001", "fwd000002"):
            await bench.ok(name, "iptables -w -t raw -A PREROUTING -p tcp --dport 8000 -s 10.0.1.9")
        assert set(await bench.servers("ci-spoke1", times=30)) == {"onprem65", "onprem66"}
        clients = {answer["client"] for answer in await bench.fetch("ci-spoke1", times=30)}
        assert clients == {"10.0.1.6", "10.0.1.7", "10.0.1.8"}
        # The forwarder sees the link service's address and no other.
        saved = await bench.ok("fwd000000", "iptables-save -c -t raw | grep PREROUTING")
        assert "[0:0] -A PREROUTING ! -s 10.0.1.9" in saved, saved
        assert "[0:0] -A PREROUTING -s 10.0.1.9" not in saved, saved
        counted = {counter.hop: counter.connections for counter in await bench.plane.counters()}
        assert counted == {"private endpoint pep1": 60, "link service pl": 60, "load balancer rule web": 60}


async def spoke_is_isolated(directory: Path) -> None:
    async with seed_bench(directory) as bench:
        for address in (
            "192.168.42.65:8000",
            "10.0.1.5:8000",
            "10.0.1.6:18099",
            "10.0.1.9:8000",
            "10.1.17.4:22",
        ):
            done = await bench.sh("ci-spoke1", f"curl -sS -m 0.6 http://{address}/")
            assert done.returncode == 28, (address, done)  # timed out: dropped without a word
        assert set(await bench.servers("ci-hub", "http://10.0.1.5:8000/", 20)) == {"onprem65", "onprem66"}
        assert await bench.servers("ci-hub", "http://192.168.42.65:8000/", 2) == {"onprem65": 2}
        assert (await bench.sh("ci-hub", "getent hosts onprem-server.corp.internal")).returncode == 2
        assert (await bench.sh("ci-hub", "curl -sS -m 0.6 http://10.1.17.4:8000/")).returncode == 28


async def overlapping_spokes(directory: Path) -> None:
    async with seed_bench(directory, (1, 1, 2)) as bench:
        for spoke in ("ci-spoke1", "ci-spoke2", "ci-spoke3"):
            assert set(await bench.servers(spoke, times=20)) == {"onprem65", "onprem66"}, spoke
        # Two flows that begin at the same instant may cost one of them its first packet, sent again a second later.
        same_port = "curl -sS -m 5 --local-port 45000 http://10.1.17.4:8000/"
        both = await asyncio.gather(*(bench.sh(f"ci-spoke{n}", same_port) for n in (1, 2)))
        assert [done.returncode for done in both] == [0, 0]


async def dead_backend(directory: Path) -> None:
    async with seed_bench(directory) as bench:
        held = asyncio.create_task(bench.plane.run("ci-spoke1", ["python3", "-c", HOLD, "14"], seconds=30))
        await asyncio.sleep(0.5)
        # Its probe fails, its forwarding goes on: established flows must survive.
        for name in ("fwd000000", "fwd000001"):
            await bench.plane.run(name, ["systemctl", "stop", "answer"])
        await bench.until_up(1)
        reasons = {h.address: h.reason for h in bench.plane.health() if h.state == "Down"}
        assert reasons == dict.fromkeys(("10.0.1.6", "10.0.1.7"), "Down_Probe_HttpEndpointUnreachable")
        clients = {answer["client"] for answer in await bench.fetch("ci-spoke1", times=15)}
        assert clients == {"10.0.1.8"}
        await bench.plane.run("fwd000002", ["systemctl", "stop", "answer"])
        await bench.until_up(0)
        assert await bench.servers("ci-spoke1", times=2) == {"-": 2}
        done = await held
        assert done.returncode == 0, done
        lines = done.stdout.decode().splitlines()
        assert len(lines) == 14, done
        assert len(set(lines)) == 1, done
        await bench.plane.run("fwd000001", ["systemctl", "start", "answer"])
        await bench.until_up(1)
        assert {answer["client"] for answer in await bench.fetch("ci-spoke1", times=5)} == {"10.0.1.7"}


async def resources_change_packets(directory: Path) -> None:
    async with seed_bench(directory) as bench:
        await _rejected_connection(bench)
        await _removed_record(bench)
        await _removed_peering(bench)
        await _denied_by_group(bench)


async def _with(bench: Bench, key: str, change: object) -> dict[str, object]:
    before = bench.source.current.documents
    documents = copy.deepcopy(before)
    if change is None:
        del documents[key]
    else:
        change(documents[key])  # type: ignore[operator]
    await bench.change(documents=documents)
    return before


async def _rejected_connection(bench: Bench) -> None:
    def reject(document: dict) -> None:
        connection = document["properties"]["privateLinkServiceConnections"][0]
        connection["properties"]["privateLinkServiceConnectionState"]["status"] = "Rejected"

    before = await _with(bench, ENDPOINT, reject)
    assert await bench.servers("ci-spoke1", times=1) == {"-": 1}
    await bench.change(documents=before)
    assert "-" not in await bench.servers("ci-spoke1", times=4)


async def _removed_record(bench: Bench) -> None:
    before = await _with(bench, f"{ZONE}/A/onprem-server".lower(), None)
    done = await bench.sh("ci-spoke1", f"curl -sS -m 2 {BY_NAME}")
    assert done.returncode == 6, done  # could not resolve
    await bench.change(documents=before)
    assert "-" not in await bench.servers("ci-spoke1", times=4)


async def _removed_peering(bench: Bench) -> None:
    before = await _with(bench, CORP.lower(), lambda d: d["properties"].update(virtualNetworkPeerings=[]))
    assert await bench.servers("ci-hub", "http://192.168.42.65:8000/", 1) == {"-": 1}
    await bench.change(documents=before)
    assert "-" not in await bench.servers("ci-spoke1", times=4)


async def _denied_by_group(bench: Bench) -> None:
    """A group on the forwarders' subnet sees the link service's address and the port behind the balancer."""
    group = f"{NETWORK}/networkSecurityGroups/nsg"
    rule = {
        "priority": 100, "direction": "Inbound", "access": "Deny", "protocol": "Tcp", "sourceAddressPrefix": "10.0.1.9",
        "sourcePortRange": "*", "destinationAddressPrefix": "10.0.1.6/31", "destinationPortRange": "8000",
    }  # fmt: skip
    documents = copy.deepcopy(bench.source.current.documents)
    documents[group.lower()] = {
        "id": group,
        "type": "Microsoft.Network/networkSecurityGroups",
        "properties": {"securityRules": [{"name": "no", "properties": rule}]},
    }
    documents[HUB.lower()]["properties"]["subnets"][0]["properties"]["networkSecurityGroup"] = {"id": group}
    before = bench.source.current.documents
    await bench.change(documents=documents)
    answers = await bench.fetch("ci-spoke1", times=12)
    assert {answer.get("client") for answer in answers} <= {None, "10.0.1.8"}, answers
    assert {} in answers
    # The hub's own box is another source; the probe's source stays allowed.
    assert "-" not in await bench.servers("ci-hub", "http://10.0.1.5:8000/", 6)
    await bench.change(documents=before)
    assert "-" not in await bench.servers("ci-spoke1", times=6)


async def nodes_come_and_go(directory: Path) -> None:
    async with seed_bench(directory) as bench:
        held = asyncio.create_task(bench.plane.run("ci-spoke1", ["python3", "-c", HOLD, "6"], seconds=30))
        await asyncio.sleep(0.3)
        specs = bench.source.current.nodes
        fresh = replace(specs[0], name="fwd00000z", address="10.0.1.20")
        loop = asyncio.get_running_loop()
        begin = loop.time()
        await bench.change(nodes=(*specs, fresh))
        bench.log.append(f"one more node: {loop.time() - begin:.3f} s")
        await bench.until_up(4)
        clients = {answer["client"] for answer in await bench.fetch("ci-spoke1", times=40)}
        assert clients == {"10.0.1.6", "10.0.1.7", "10.0.1.8", "10.0.1.20"}
        await bench.change(nodes=specs)
        await bench.until_up(3)
        assert "-" not in await bench.servers("ci-spoke1", times=12)
        done = await held
        assert len(set(done.stdout.decode().splitlines())) == 1, done
        # A new boot id is a fresh machine.
        await bench.ok("ci-hub", "touch /tmp/mark")
        again = tuple(replace(s, boot_id="2") if s.name == "ci-hub" else s for s in specs)
        await bench.change(nodes=again)
        assert (await bench.sh("ci-hub", "ls /tmp/mark")).returncode != 0
        assert await bench.servers("ci-hub", "http://192.168.42.65:8000/", 1) == {"onprem65": 1}


async def wrong_documents_do_not_end_the_loop(directory: Path) -> None:
    async with seed_bench(directory) as bench:
        documents = copy.deepcopy(bench.source.current.documents)
        documents[LB.lower()]["properties"]["loadBalancingRules"][0]["properties"]["frontendPort"] = "x"
        before = bench.source.current.documents
        specs = bench.source.current.nodes
        with pytest.raises(LabError, match="invalid literal"):
            await bench.change(documents=documents, nodes=specs[1:])
        assert bench.plane.status()[2].name == specs[0].name  # nothing was changed
        await bench.change(documents=before, nodes=specs)
        assert "-" not in await bench.servers("ci-spoke1", times=4)


PING = """
import socket,struct,sys
s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM,socket.IPPROTO_ICMP); s.settimeout(0.5)
s.sendto(struct.pack('!BBHHH',8,0,0,1,1)+b'x'*8,(sys.argv[1],0)); print(len(s.recv(99)))
"""


async def icmp_and_hairpin(directory: Path) -> None:
    async with seed_bench(directory) as bench:
        for node, address, answers in (
            ("ci-hub", "10.0.1.6", True),
            ("ci-hub", "192.168.42.65", True),
            ("ci-hub", "10.0.1.5", False),
            ("ci-spoke1", "10.1.17.4", False),
            ("ci-spoke1", "10.0.1.6", False),
            ("ci-spoke1", "10.1.16.1", False),
        ):
            done = await bench.plane.run(node, ["python3", "-c", PING, address])
            assert (done.returncode == 0) == answers, (node, address, done)
        # A backend that is sent to itself gets no answer; to another one it does.
        seen = await bench.servers("fwd000000", "http://10.0.1.5:8000/", 12)
        assert seen["-"] > 0, seen
        assert len(seen) > 1, seen


async def every_kind_of_rule(directory: Path) -> None:
    """The kernel accepts every shape of rule that the plan can make."""
    async with seed_bench(directory) as bench:
        documents = copy.deepcopy(bench.source.current.documents)
        balancer = documents[LB.lower()]["properties"]
        (first,) = balancer["loadBalancingRules"]
        balancer["loadBalancingRules"] = []
        shapes = [
            ("Tcp", "SourceIP", 8000),
            ("Udp", "Default", 53),
            ("Tcp", "SourceIPProtocol", 8001),
            ("All", "Default", 0),
        ]
        for protocol, affinity, port in shapes:
            rule = copy.deepcopy(first)
            rule["name"] = f"{protocol}{port}"
            rule["properties"].update(
                protocol=protocol, loadDistribution=affinity, frontendPort=port, backendPort=port
            )
            balancer["loadBalancingRules"].append(rule)
        service = documents[f"{NETWORK}/privateLinkServices/pl".lower()]["properties"]
        second = copy.deepcopy(service["ipConfigurations"][0])
        second["properties"]["privateIPAddress"] = "10.0.1.10"
        service["ipConfigurations"].append(second)
        group = f"{NETWORK}/networkSecurityGroups/nsg"
        rules = [
            {
                "direction": d,
                "protocol": p,
                "access": "Allow",
                "sourceAddressPrefix": t,
                "destinationPortRanges": ["8000", "1-99"],
            }
            for d in ("Inbound", "Outbound")
            for p in ("Tcp", "Udp", "Icmp", "*")
            for t in ("VirtualNetwork", "Internet", "AzureLoadBalancer", "*", "Storage", "10.0.0.0/8")
        ]
        documents[group.lower()] = {
            "id": group,
            "type": "Microsoft.Network/networkSecurityGroups",
            "properties": {
                "securityRules": [
                    {"name": f"r{n}", "properties": {"priority": 100 + n, **r}} for n, r in enumerate(rules)
                ]
            },
        }
        documents[HUB.lower()]["properties"]["subnets"][0]["properties"]["networkSecurityGroup"] = {
            "id": group
        }
        await bench.change(documents=documents)
        await bench.plane.settled(bench.source.current.revision)
        assert not [line for line in bench.log if "nft" in line], bench.log
        clients = {answer["client"] for answer in await bench.fetch("ci-spoke1", times=10)}
        assert len(clients) == 1  # SourceIP: one client, one member
        # An ordinary change afterwards works from this state, too.
        await bench.change(documents=bench.source.current.documents | {LB.lower(): documents[LB.lower()]})
        await bench.change(documents={})
        assert bench.plane.status()


async def damaged_kernel_state(directory: Path) -> None:
    """Somebody took a link and the table away: the next change builds both anew."""
    async with seed_bench(directory) as bench:
        kernel = bench.plane._kernel
        assert kernel is not None
        device = next(i.device for i in bench.plane._fabric.interfaces if i.node == "ci-hub")
        await kernel.node.run(["ip", "link", "del", device])
        await kernel.node.run(["nft", "delete", "table", "ip", "fabric"])
        specs = bench.source.current.nodes
        await bench.change(nodes=tuple(s for s in specs if s.name != "ci-hub"))
        await bench.change(nodes=specs)
        assert any("anew" in line for line in bench.log)
        await bench.until_up()
        assert "-" not in await bench.servers("ci-spoke1", times=8)
        assert "-" not in await bench.servers("ci-hub", "http://10.0.1.5:8000/", 4)


@pytest.mark.parametrize(
    "scenario",
    [
        path_by_name,
        idle_flows,
        spoke_is_isolated,
        overlapping_spokes,
        dead_backend,
        resources_change_packets,
        nodes_come_and_go,
        wrong_documents_do_not_end_the_loop,
        icmp_and_hairpin,
        every_kind_of_rule,
        damaged_kernel_state,
    ],
    ids=lambda scenario: scenario.__name__,
)
def test_packets(scenario: Scenario) -> None:
    run_inside(scenario)
