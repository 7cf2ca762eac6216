"""A resource group with boxes whose tools answer as told, for whole commands."""

from __future__ import annotations

import copy
import io
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fwdctl.main import main
from fwdctl.runtime import Runtime
from support.fake_arm import CONTAINERS, NETWORK, container_group

if TYPE_CHECKING:
    from pathlib import Path

    from support.aci_exec_server import AciExecServer
    from support.fake_arm import FakeArm


TOPOLOGY: dict[str, Any] = {
    "version": 1,
    "resourceGroup": "rg-dev",
    "hub": {"jump": "ci-hub", "container": "jump", "loadBalancer": {"name": "lbi", "address": "10.0.1.5"}},
    "spokes": [
        {
            "name": "spoke",
            "jump": "ci-spoke",
            "container": "jump",
            "privateEndpoint": {"name": "pep", "address": "10.1.17.4"},
            "hostName": "server.corp.internal",
            "zone": "corp.internal",
        }
    ],
    "forwards": [
        {
            "name": "web",
            "port": 8000,
            "targets": ["192.168.42.65:8000", "192.168.42.66:8000"],
            "check": "http",
            "identityHeader": "X-Served-By",
        }
    ],
}

# Directories count the connections, so that the answers alternate as round robin does; mkdir is atomic between
# processes. One forwarder's agent counts them too, the other one has nothing to do.
CURL = r"""#!/bin/sh
status() {
  t='"address": "192.168.42.6%s:8000", "state": "up", "connections": %s'
  printf "{\"forwards\": [{\"name\": \"web\", \"targets\": [{$t}, {$t}]}]}\n" 5 "$1" 6 "$2"
}
for url; do :; done
n=0; while [ -d "$0.$n" ]; do n=$((n+1)); done
case $url in
  *10.0.1.6:18099/status) status $(((n + SERVERS - 1) / SERVERS)) $((n - (n + SERVERS - 1) / SERVERS)); exit ;;
  *10.0.1.7:18099/status) status 0 0; exit ;;
esac
case $url in *192.168.42.66*) fixed=server66 ;; *192.168.42.65*) fixed=server65 ;; *) fixed= ;; esac
i=0; while ! mkdir "$0.$i" 2>/dev/null; do i=$((i+1)); done
[ $i -ge "${ALIKE:-0}" ] || SERVERS=1
server=server$((65 + i % SERVERS)); [ -z "$fixed" ] || server=$fixed
case $url in *"$DEAD"*) MODE=refused ;; esac
if [ "$MODE" = silent ]; then echo 'curl: (28) timed out'; printf '\n@000 0.0 0.0 '; exit 28; fi
if [ "$MODE" = refused ]; then echo 'curl: (7) Connection refused'; printf '\n@000 0.0 0.0 '; exit 7; fi
printf 'HTTP/1.0 200 OK\r\nX-Served-By: %s\r\n\r\n\n@200 0.001 0.002 10.1.17.4' "$server"
"""

GETENT = "#!/bin/sh\necho '10.1.17.4 STREAM server.corp.internal'\n"


@dataclass
class World:
    arm: FakeArm
    shells: AciExecServer
    out: io.TextIOWrapper
    err: io.TextIOWrapper
    cwd: Path
    stream: type[io.TextIOWrapper] = io.TextIOWrapper
    environ: dict[str, str] = field(default_factory=dict)
    topology: dict[str, Any] = field(default_factory=lambda: copy.deepcopy(TOPOLOGY))

    def run(self, *argv: str, stdin: bytes = b"", encoding: str = "utf-8") -> int:
        self.out, self.err = (
            stream(io.BytesIO(), encoding=encoding, newline="\n")
            for stream in (self.stream, io.TextIOWrapper)
        )
        environ = {**self.environ, "RESOURCE_GROUP_NAME": "rg-dev", "FWD_TOPOLOGY": json.dumps(self.topology)}
        source = io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8")
        runtime = Runtime(
            environ=environ,
            cwd=self.cwd,
            stdin=source,
            stdout=self.out,
            stderr=self.err,
            sleep=lambda _: None,
        )
        return main(list(argv), runtime)

    @staticmethod
    def _text(stream: io.TextIOWrapper) -> bytes:
        stream.flush()
        value: bytes = stream.buffer.getvalue()  # type: ignore[attr-defined]
        return value

    @property
    def stdout(self) -> bytes:
        return self._text(self.out)

    @property
    def stderr(self) -> str:
        return self._text(self.err).decode()

    @property
    def envelope(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.stdout)
        return document


POOL = {"name": "all", "properties": {"backendIPConfigurations": [{"id": "/nic/1"}, {"id": "/nic/2"}]}}


def forwarders(world: World, *health: dict[str, Any], **more: Any) -> None:
    """A load balancer with two forwarders behind it, whose agents listen on port 18099."""
    rule = {
        "name": "web",
        "properties": {
            "frontendPort": 8000,
            "backendPort": 8000,
            "backendAddressPool": {"id": "/p/all"},
            "probe": {"id": "/lb/probes/web"},
        },
    }
    probe = {"name": "web", "properties": {"port": 18099, "requestPath": "/forward/web"}}
    balancer = {"loadBalancingRules": [rule], "probes": [probe], "backendAddressPools": [POOL], **more}
    world.arm.on("GET", f"{NETWORK}/loadBalancers/lbi", {"name": "lbi", "properties": balancer})
    up = [{"ipAddress": f"10.0.1.{last}", "state": "Up"} for last in (6, 7)]
    world.arm.on(
        "POST",
        f"{NETWORK}/loadBalancers/lbi/loadBalancingRules/web/health",
        {"loadBalancerBackendAddresses": list(health) or up},
    )


def without_header(world: World, check: str) -> None:
    """Servers that do not say who they are; TCP is tested with curl, which is told what to say."""
    (world.cwd / "tools" / "bash").unlink()
    (forward,) = world.topology["forwards"]
    forward.update(check=check, identityHeader="")


def hub_stopped(world: World) -> None:
    world.arm.on("GET", f"{CONTAINERS}/ci-hub", container_group("ci-hub", "Stopped"))


def broken(world: World) -> None:
    world.shells.environ["MODE"] = "refused"
    approved = {"privateLinkServiceConnectionState": {"status": "Approved"}}
    endpoint = {"properties": {"privateLinkServiceConnections": [{"properties": approved}]}}
    world.arm.on("GET", f"{NETWORK}/privateEndpoints/pep", endpoint)
    world.arm.on("GET", f"{NETWORK}/virtualNetworks", {"value": []})
    world.arm.on("GET", f"{NETWORK}/networkSecurityGroups", {"value": []})
    world.arm.on("GET", f"{NETWORK}/privateLinkServices", {"value": []})
    rule = {"name": "web", "properties": {"frontendPort": 8000, "backendAddressPool": {"id": "/p/all"}}}
    document = {"name": "lbi", "properties": {"loadBalancingRules": [rule], "backendAddressPools": [POOL]}}
    world.arm.on("GET", f"{NETWORK}/loadBalancers/lbi", document)


def one_dead_target(world: World) -> None:
    """192.168.42.66 does not answer the hub; what the load balancer hands out comes from the other one."""
    world.shells.environ.update(SERVERS="1", DEAD="192.168.42.66")
    for kind in ("virtualNetworks", "networkSecurityGroups", "privateLinkServices"):
        world.arm.on("GET", f"{NETWORK}/{kind}", {"value": []})
