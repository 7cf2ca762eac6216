"""Machines and containers: cloud-init, services, terminals, files, what is left behind."""

from __future__ import annotations

import asyncio
import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from fwdlab.errors import LabError
from fwdlab.fabric.dataplane import DataPlane
from fwdlab.model import ContainerSpec, Nic, NodeSpec, Snapshot
from support.bench import Bench, seed_bench
from support.inside import Scenario, run_inside
from support.seed_topology import CORP, HUB, Source, documents, encoded, node

pytestmark = pytest.mark.lab

CONFIG = """#cloud-config
package_update: true
packages: [nginx]
no_such_module: 1
bootcmd:
  - echo boot > /run/order
write_files:
  - {path: /etc/one, content: "a\\n", permissions: "0600"}
  - {path: /etc/one, content: "b\\n", append: true, permissions: "0600"}
  - {path: /opt/sub/two, encoding: gz+b64, content: H4sIAAAAAAACA0vOzy0oSi0uTk0BAB5LVpcKAAAA}
  - path: /etc/systemd/system/flaky.service
    content: |
      [Service]
      Environment="GREETING=hello world" OTHER=x
      EnvironmentFile=-/etc/default/missing
      ExecStartPre=/bin/sh -c 'echo pre >> /run/starts'
      ExecStart=/bin/sh -c 'echo "$GREETING ${OTHER}"; echo start >> /run/starts; sleep 0.2; exit 1'
      Restart=on-failure
      RestartSec=50ms
      LimitNOFILE=9000
  - {path: /etc/systemd/system/bus.service, content: "[Service]\\nType=dbus\\nExecStart=/bin/true\\n"}
  - path: /etc/systemd/system/once.service
    content: |
      [Service]
      Type=oneshot
      RemainAfterExit=yes
      ExecStart=/bin/sh -c 'exit 0'
runcmd:
  - cd /opt/sub
  - [sh, -c, "pwd > '/run/it''s'"]
  - /bin/false
  - systemctl daemon-reload && systemctl enable --now once && systemctl start flaky.service
  - systemctl start nothing || echo "no such unit $?"
  - systemctl is-enabled once || systemctl start bus || true
  - echo done >> /run/order
"""

# A forwarder as people write it by hand, without an agent.
BY_HAND = """#cloud-config
packages: [iptables-persistent]
write_files:
  - path: /etc/sysctl.conf
    append: true
    content: |
      # added by cloud init
      net.ipv4.ip_forward=1
      net.ipv4.conf.all.route_localnet=1
  - {path: /etc/default/forward, content: "PORT=8000\\nTARGET=192.168.42.65\\n"}
  - path: /usr/local/sbin/forward
    permissions: "0755"
    content: |
      #!/bin/sh -e
      iptables --flush
      iptables -P INPUT DROP
      iptables -A INPUT -i lo -j ACCEPT
      iptables -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
      iptables -t nat -A PREROUTING -p tcp -m tcp --dport $PORT -j DNAT --to-destination $TARGET:$PORT
      iptables -t nat -A POSTROUTING -d 192.168.42.0/24 -j MASQUERADE
      mkdir -p /etc/iptables && iptables-save > /etc/iptables/rules.v4
      iptables -t nat --flush
      iptables-restore < /etc/iptables/rules.v4
  - path: /etc/systemd/system/forward.service
    content: |
      [Service]
      Type=oneshot
      RemainAfterExit=yes
      EnvironmentFile=/etc/default/forward
      ExecStartPre=/bin/sh -c 'echo before >> /run/order'
      ExecStart=/usr/local/sbin/forward
      ExecStartPost=/bin/sh -c 'echo after >> /run/order'
      ExecStop=/bin/sh -c 'echo stopped >> /run/order; iptables -t nat --flush'
  - path: /etc/systemd/system/daemon.service
    content: |
      [Service]
      Type=forking
      PIDFile=/run/daemon.pid
      ExecStart=/bin/sh -c 'sleep 600 & echo $$! > /run/daemon.pid'
runcmd:
  - sysctl -p
  - systemctl enable --now forward daemon
"""


async def _alone(directory: Path, *specs: NodeSpec) -> Bench:
    source = Source(Snapshot(1, documents(()), specs))
    log: list[str] = []
    plane = DataPlane(run_dir=directory / "run", log=log.append)
    bench = Bench(plane, source)
    bench.log = log
    await plane.start(source)
    await plane.settled(1)
    await bench.until_up(0)
    return bench


async def cloud_init(directory: Path) -> None:
    bench = await _alone(
        directory, node("m", f"{CORP}/subnets/servers", "192.168.42.9", custom_data=encoded(CONFIG))
    )
    (status,) = bench.plane.status()
    assert status.cloud_init == "done", status
    assert {
        "packages are not installed: nginx",
        "no_such_module is unknown to the lab's cloud-init",
        "flaky.service: not honoured: LimitNOFILE",
        "systemctl is-enabled is unknown to the lab",
        "bus.service was not started: Type=dbus is not supported in the lab",
    } <= set(status.warnings)
    assert await bench.ok("m", "cat /etc/one; stat -c %a /etc/one") == "a\nb\n600\n"
    assert await bench.ok("m", "cat /opt/sub/two") == "compressed"
    assert await bench.ok("m", "cat /run/its") == "/opt/sub\n"
    assert await bench.ok("m", "cat /run/order") == "boot\ndone\n"
    assert "no such unit 5" in await bench.plane.logs("m")
    await asyncio.sleep(0.6)
    starts = (await bench.ok("m", "cat /run/starts")).split()
    assert starts[:4] == ["pre", "start", "pre", "start"]
    assert "hello world x" in await bench.ok("m", "journalctl -u flaky -n 5 --no-pager")
    assert (await bench.sh("m", "systemctl is-active once")).stdout == b"active\n"
    assert (await bench.sh("m", "systemctl stop flaky; systemctl is-active flaky")).stdout == b"inactive\n"
    before = await bench.ok("m", "cat /run/starts")
    await asyncio.sleep(0.5)
    assert await bench.ok("m", "cat /run/starts") == before
    await bench.plane.close()


async def forwarder_by_hand(directory: Path) -> None:
    spec = node("m", f"{CORP}/subnets/servers", "192.168.42.9", custom_data=encoded(BY_HAND))
    bench = await _alone(directory, spec)
    (status,) = bench.plane.status()
    assert (status.cloud_init, status.error) == ("done", ""), await bench.plane.logs("m")
    assert dict(status.units) == {"forward.service": "active", "daemon.service": "active"}
    assert await bench.ok("m", "cat /proc/sys/net/ipv4/ip_forward") == "1\n"
    assert await bench.ok("m", "cat /proc/sys/net/ipv4/conf/all/route_localnet") == "1\n"
    rules = await bench.ok("m", "iptables-save")
    assert "-A PREROUTING -p tcp -m tcp --dport 8000 -j DNAT --to-destination 192.168.42.65:8000" in rules
    assert ":INPUT DROP" in rules
    assert (await bench.sh("m", "kill -0 $(cat /run/daemon.pid)")).returncode == 0
    await bench.ok("m", "systemctl stop forward daemon")
    assert await bench.ok("m", "cat /run/order") == "before\nafter\nstopped\n"
    assert "DNAT" not in await bench.ok("m", "iptables-save")
    assert (await bench.sh("m", "sleep 0.1; kill -0 $(cat /run/daemon.pid)")).returncode != 0
    await bench.plane.close()


async def broken_custom_data(directory: Path) -> None:
    bad = node("m", f"{CORP}/subnets/servers", "192.168.42.9", custom_data=encoded("#cloud-config\n{"))
    failing = node(
        "n", f"{CORP}/subnets/servers", "192.168.42.10", custom_data=encoded("#!/bin/sh\nexit 4\n")
    )
    bench = await _alone(directory, bad, failing)
    one, two = bench.plane.status()
    assert (one.cloud_init, two.cloud_init) == ("error", "error")
    assert "not YAML" in one.error
    assert "ended with 4" in two.error
    assert (await bench.sh("m", "true")).returncode == 0
    await bench.plane.close()


async def containers(directory: Path) -> None:
    subnet = f"{CORP}/subnets/servers"
    said = node(
        "c", subnet, "192.168.42.9", kind="container", command=("/bin/sh", "-c", "echo $WHO; echo err >&2; exit 7"),
        environment=(("WHO", "me"),),
    )  # fmt: skip
    missing = node("d", subnet, "192.168.42.10", kind="container", command=("no-such-program",))
    bench = await _alone(directory, said, missing)
    await bench.until(lambda: bench.plane.status()[0].state == "exited", "exited")
    ended, failed = bench.plane.status()
    assert ended.exit_code == 7
    assert await bench.plane.logs("c") == "me\nerr\n"
    assert failed.state == "failed"
    assert "no-such-program" in failed.error
    done = await bench.plane.run("c", ["cat"], stdin=b"\0\xff" * 100_000)
    assert done.stdout == b"\0\xff" * 100_000
    with pytest.raises(LabError) as error:
        await bench.plane.run("nobody", ["true"])
    assert error.value.code == "node_not_found"
    with pytest.raises(LabError) as error:
        await bench.plane.run("c", ["sleep", "5"], seconds=0.1)
    assert error.value.code == "command_not_run"
    assert "sleep 5" not in await bench.ok("c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    await bench.plane.close()


async def group_without_a_subnet(directory: Path) -> None:
    """Two containers that share a network with nothing else in it."""
    serve = ContainerSpec("serve", ("python3", "-m", "http.server", "8080", "--bind", "127.0.0.1"))
    retry = "--retry 50 --retry-connrefused --retry-delay 0 --retry-max-time 10"
    ask = f"echo $WHO; curl -s -o /dev/null -w '%{{http_code}}\\n' {retry} http://127.0.0.1:8080/; exit 3"
    asking = ContainerSpec("ask", ("/bin/sh", "-c", ask), (("WHO", "asker"),))
    group = node("g", "", "", kind="container", containers=(serve, asking))
    bench = await _alone(directory, group)
    ended: list[tuple[ContainerSpec, int]] = []
    bench.plane.on_container_end = lambda _node, _boot, container, code: ended.append((container, code))
    await bench.change(nodes=(replace(group, boot_id="2"),))
    await bench.until(lambda: bool(ended), "one ended")
    assert ended == [(asking, 3)]
    assert await bench.plane.logs("g", "ask") == "asker\n200\n"
    assert "GET / " in await bench.plane.logs("g", "serve")
    assert bench.plane.status()[0].state == "running"
    assert await bench.ok("g", "echo $WHO; ls /sys/class/net") == "\nlo\n"
    again = replace(asking, restarts=1)
    await bench.change(nodes=(replace(group, boot_id="2", containers=(serve, again)),))
    await bench.until(lambda: len(ended) == 2, "ended again")
    assert (ended[1], await bench.plane.logs("g", "ask")) == ((again, 3), "asker\n200\n" * 2)
    assert bench.plane.warnings == ()
    await bench.plane.close()


async def two_interfaces(directory: Path) -> None:
    machine = node("m", f"{HUB}/subnets/shared", "10.0.1.30", second=Nic(f"{HUB}/subnets/jump", "10.0.1.80"))
    other, third = (
        node("o", f"{HUB}/subnets/jump", "10.0.1.90"),
        node("t", f"{HUB}/subnets/shared", "10.0.1.31"),
    )
    bench = await _alone(directory, machine, other, third)
    shown = await bench.ok("m", "ip -br -4 addr; ip route")
    assert "eth0@" in shown
    assert "10.0.1.80/26" in shown
    assert shown.count("default") == 1
    assert "default via 10.0.1.1 dev eth0" in shown
    await bench.ok("m", "python3 -m http.server 8080 >/dev/null 2>&1 &")
    ask = "curl -sS -m 3 -o /dev/null -w '%{local_ip} %{remote_ip}' --retry 50 --retry-connrefused --retry-delay 0"
    assert await bench.ok("o", f"{ask} http://10.0.1.80:8080/") == "10.0.1.90 10.0.1.80"
    assert await bench.ok("t", f"{ask} http://10.0.1.30:8080/") == "10.0.1.31 10.0.1.30"
    # The answer would leave by the interface that is nearer, with the address of the other one; Azure drops it too.
    assert (await bench.sh("o", "curl -sS -m 0.5 http://10.0.1.30:8080/")).returncode == 28
    about = "http://169.254.169.254/metadata/instance/network?api-version=2021-02-01"
    interfaces = json.loads(await bench.ok("m", f"curl -sS -m 3 -H Metadata:true '{about}'"))["interface"]
    told = [one["ipv4"]["ipAddress"][0]["privateIpAddress"] for one in interfaces]
    assert told == ["10.0.1.30", "10.0.1.80"]
    await bench.change(nodes=(replace(machine, second=None), other, third))
    assert await bench.ok("m", "ls /sys/class/net") == "eth0\nlo\n"
    await bench.plane.close()


NAME_SERVER = """#cloud-config
write_files:
  - path: /opt/names.py
    content: |
      import socket
      server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
      server.bind(("192.168.42.8", 53))
      while True:
          asked, client = server.recvfrom(512)
          question = asked[12 : asked.index(b"\\0", 12) + 5]
          answer = bytes.fromhex("c00c 0001 0001 0000003c 0004 0a010203")
          server.sendto(asked[:2] + bytes.fromhex("8180 0001 0001 0000 0000") + question + answer, client)
runcmd:
  - python3 /opt/names.py > /dev/null 2>&1 &
"""


async def name_server_of_ones_own(directory: Path) -> None:
    """A machine that serves DNS is asked by those that are told to."""
    subnet, server = f"{CORP}/subnets/servers", "192.168.42.8"
    bench = await _alone(
        directory,
        node("names", subnet, server, custom_data=encoded(NAME_SERVER)),
        node("told", subnet, "192.168.42.9", custom_data="", name_servers=(server,)),
    )
    ask = "for n in $(seq 50); do getent ahostsv4 any.example && break; sleep 0.1; done"
    assert "10.1.2.3" in await bench.ok("told", ask)
    assert (await bench.sh("names", "getent ahostsv4 any.example")).returncode != 0
    await bench.plane.close()


async def terminals(directory: Path) -> None:
    bench = await _alone(directory, node("c", f"{CORP}/subnets/servers", "192.168.42.9", kind="container"))
    terminal = await bench.plane.open_terminal("c", ["/bin/sh"], rows=31, cols=77, environment={"A": "b"})

    async def until(marker: bytes) -> bytes:
        data = b""
        while marker not in data:
            part = await asyncio.wait_for(terminal.read(), 5)
            assert part, data
            data += part
        return data

    await terminal.write(b"stty -echo; stty size; tty; echo $A-$TERM-$((1+1))\n")
    text = await until(b"b-xterm-2")
    assert b"31 77" in text
    assert b"/dev/pts/0" in text
    await terminal.write(b"sleep 100\n")
    await asyncio.sleep(0.2)
    await terminal.write(b"\x03echo $?\n")  # Ctrl-C reaches the foreground program
    await until(b"130")
    await terminal.write(b"sleep 100 & exit 5\n")
    while await asyncio.wait_for(terminal.read(), 5):
        pass
    assert await terminal.wait() == 5
    await terminal.close()
    other = await bench.plane.open_terminal(
        "c", ["sh", "-c", "trap '' HUP; sleep 100"], rows=24, cols=80, environment={}
    )
    await asyncio.sleep(0.1)
    await asyncio.wait_for(other.close(), 5)
    assert await asyncio.wait_for(other.wait(), 5) == 137
    with pytest.raises(LabError, match="cannot be run"):
        await bench.plane.open_terminal("c", ["no-such-program"], rows=24, cols=80, environment={})
    await bench.plane.close()


async def files_stay_inside(directory: Path) -> None:
    os.environ["HTTPS_PROXY"] = "http://proxy.invalid"
    subnet = f"{CORP}/subnets/servers"
    bench = await _alone(directory, node("a", subnet, "192.168.42.9"), node("b", subnet, "192.168.42.10"))
    places = (
        "/etc",
        "/opt",
        "/srv",
        "/var/lib",
        "/var/log",
        "/root",
        "/usr/local/bin",
        "/run",
        "/tmp",
        "/home",
        "/dev/shm",
    )
    for place in places:
        await bench.ok("a", f"echo x > {place}/fwdlab-mark")
    for place in places:
        assert (await bench.sh("b", f"ls {place}/fwdlab-mark")).returncode != 0, place
        assert not Path(place, "fwdlab-mark").exists(), place  # noqa: ASYNC240 - instant
    for place in ("/usr/bin", "/usr/sbin", "/boot", "/"):
        assert "Read-only" in (await bench.sh("a", f"touch {place}/fwdlab-mark")).stderr.decode(), place
    assert await bench.ok("a", "hostname; cat /etc/hostname; id -u; ls /root /home") == (
        "a\na\n0\n/home:\nfwdlab-mark\n\n/root:\nfwdlab-mark\n"
    )
    assert "proxy" not in (await bench.ok("a", "env")).lower()
    assert await bench.ok("a", "ls /sys/class/net") == "eth0\nlo\n"
    # Only the node's own processes are to be seen.
    assert "fwdlab.control.background" not in await bench.ok("a", "cat /proc/[0-9]*/cmdline")
    begin = time.monotonic()
    await bench.plane.close()
    assert time.monotonic() - begin < 1

    def left() -> list[int]:
        return sorted(int(entry) for entry in os.listdir("/proc") if entry.isdigit())  # noqa: PTH208

    await bench.until(lambda: left() == [os.getpid()], "no process left", 3)
    assert os.listdir(directory / "run") == []  # noqa: PTH208 - what counts is the time of the looking


async def dying_node_is_reported(directory: Path) -> None:
    async with seed_bench(directory) as bench:
        pid = bench.plane._running["ci-hub"].node.pid
        os.kill(pid, 9)
        await bench.until(lambda: bench.plane.status()[0].state == "failed", "failed")
        with pytest.raises(LabError):
            await bench.plane.run("ci-hub", ["true"])
        assert "-" not in await bench.servers("ci-spoke1", times=4)
        specs = bench.source.current.nodes
        await bench.change(nodes=tuple(s for s in specs if s.name != "ci-hub"))
        await bench.change(nodes=tuple(replace(s, boot_id="2") if s.name == "ci-hub" else s for s in specs))
        assert "-" not in await bench.servers("ci-hub", "http://10.0.1.5:8000/", 4)


@pytest.mark.parametrize(
    "scenario",
    [
        cloud_init,
        forwarder_by_hand,
        broken_custom_data,
        containers,
        group_without_a_subnet,
        two_interfaces,
        name_server_of_ones_own,
        terminals,
        files_stay_inside,
        dying_node_is_reported,
    ],
    ids=lambda scenario: scenario.__name__,
)
def test_machines(scenario: Scenario) -> None:
    run_inside(scenario)
