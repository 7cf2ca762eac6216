"""A control plane without a kernel: for tests of what clients are answered."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import signal
import struct
import termios
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from fwdlab.arm.api import ArmApi
from fwdlab.arm.errors import ArmError
from fwdlab.arm.log import RequestLog
from fwdlab.arm.server import Server
from fwdlab.arm.store import Store
from fwdlab.arm.template.routes import DeploymentRoutes
from fwdlab.clients.certs import Certificates, issue_certificates
from fwdlab.clients.credentials import Credentials, Tenant
from fwdlab.clients.profile import Profile

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping, Sequence
    from pathlib import Path

    from fwdlab.model import ProbeHealth

SUBSCRIPTION = "11111111-1111-1111-1111-111111111111"
SECOND = "33333333-3333-3333-3333-333333333333"
ABROAD = "44444444-4444-4444-4444-444444444444"
TENANT = "22222222-2222-2222-2222-222222222222"
TENANTS = (
    Tenant(TENANT, "", "", {SUBSCRIPTION: "lab", SECOND: "second"}),
    Tenant("other", "", "", {ABROAD: "abroad"}),
)
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-test"
PROVIDERS = f"{GROUP}/providers"
NETWORK = f"{PROVIDERS}/Microsoft.Network"
DELEGATION = {"name": "aci", "properties": {"serviceName": "Microsoft.ContainerInstance/containerGroups"}}


class LocalTerminal:
    """A process with a terminal on this machine."""

    def __init__(self, process: asyncio.subprocess.Process, master: int) -> None:
        self.process = process
        self.master = master
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(master, self._readable)

    def _readable(self) -> None:
        try:
            data = os.read(self.master, 65536)
        except OSError:
            data = b""
        self._chunks.put_nowait(data)
        if not data:
            self._loop.remove_reader(self.master)

    async def read(self) -> bytes:
        return await self._chunks.get()

    async def write(self, data: bytes) -> None:
        os.write(self.master, data)

    async def wait(self) -> int:
        return await self.process.wait()

    async def close(self) -> None:
        self._loop.remove_reader(self.master)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGKILL)  # Process.kill would reap it under asyncio's feet
        await self.wait()
        os.close(self.master)


@dataclass
class FakeDataPlane:
    """Follows nothing; remembers what it was asked, and runs terminals on this machine."""

    verdicts: tuple[ProbeHealth, ...] = ()
    settled_at: list[int] = field(default_factory=list)
    opened: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    terminals: list[LocalTerminal] = field(default_factory=list)
    entered: asyncio.Event = field(default_factory=asyncio.Event)

    async def settled(self, revision: int) -> None:
        self.settled_at.append(revision)

    def health(self) -> tuple[ProbeHealth, ...]:
        return self.verdicts

    async def logs(self, node: str, container: str) -> str:
        return f"log of {container} in {node}\n"

    async def open_terminal(
        self, node: str, argv: Sequence[str], *, rows: int, cols: int, environment: Mapping[str, str]
    ) -> LocalTerminal:
        self.opened.append((node, tuple(argv)))
        environ = {"PATH": os.environ["PATH"], "TERM": "dumb", **environment}
        master, slave = pty.openpty()
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
        try:
            process = await asyncio.create_subprocess_exec(
                *argv, stdin=slave, stdout=slave, stderr=slave, env=environ, start_new_session=True
            )
        except OSError:
            os.close(master)
            raise
        finally:
            os.close(slave)
        self.terminals.append(LocalTerminal(process, master))
        self.entered.set()
        return self.terminals[-1]


def new_api(plane: FakeDataPlane | None = None) -> ArmApi:
    """A control plane without resources."""
    return ArmApi(
        Store(),
        plane or FakeDataPlane(),
        subscription_id=SUBSCRIPTION,
        tenant_id=TENANT,
        tenants=TENANTS,
    )


async def refused(work: Coroutine[Any, Any, Any]) -> ArmError:
    """The error that some work must end in."""
    with pytest.raises(ArmError) as caught:
        await work
    return caught.value


@dataclass
class Endpoint:
    """A served control plane."""

    api: ArmApi
    plane: FakeDataPlane
    server: Server
    credentials: Credentials
    certificates: Certificates
    profile: Profile
    log: RequestLog
    deployments: DeploymentRoutes

    @classmethod
    async def start(cls, home: Path) -> Endpoint:
        """Serve an empty lab; its files stand below `home`."""
        credentials = Credentials.load_or_create(home / "credentials.json")
        certificates = issue_certificates(home / "tls", {})
        plane = FakeDataPlane()
        api = ArmApi(
            Store(),
            plane,
            subscription_id=credentials.subscription_id,
            tenant_id=credentials.tenant_id,
            tenants=credentials.tenants,
        )
        log = RequestLog(home / "requests.jsonl")
        server = Server(api, credentials, certificates, log)
        deployments = DeploymentRoutes(api, locations=("westeurope",))
        server.routes.append(deployments)
        api.group_deleted.append(deployments.forget)
        await server.start()
        profile = Profile(server.base_url, 1, certificates.bundle, home / "azure", home / "azd")
        profile.write(credentials)
        return cls(api, plane, server, credentials, certificates, profile, log, deployments)

    async def stop(self) -> None:
        await self.deployments.close()
        await self.server.stop()
        await self.api.close()
        self.log.close()

    @property
    def group(self) -> str:
        return f"/subscriptions/{self.api.subscription_id}/resourceGroups/rg-test"

    def environ(self) -> dict[str, str]:
        """For the real az."""
        found = self.profile.environment(self.credentials, {})
        for name in ("HTTPS_PROXY", "https_proxy"):
            del found[name]
        return {"PATH": os.environ["PATH"], "HOME": str(self.profile.az_directory), **found}


def vnet(subnets: dict[str, str], space: str, **extra: Any) -> dict[str, Any]:
    """Body of a network; subnets by name."""
    return {
        "location": "westeurope",
        "properties": {
            "addressSpace": {"addressPrefixes": [space]},
            "subnets": [
                {"name": name, "properties": {"addressPrefix": prefix, **extra}}
                for name, prefix in subnets.items()
            ],
        },
    }


async def seed(api: ArmApi, group: str) -> None:
    """A hub with load balancer, forwarders, link service; a spoke with endpoint, zone and jump box."""
    network = f"{group}/providers/Microsoft.Network"
    place = {"location": "westeurope"}
    await api.put(group, {**place, "tags": {"azd-env-name": "test"}})
    hub = vnet({"shared": "10.0.1.0/26"}, "10.0.1.0/24", privateLinkServiceNetworkPolicies="Disabled")
    await api.put(f"{network}/virtualNetworks/hub", hub)
    spoke = vnet({"jump": "10.1.16.0/24", "linked": "10.1.17.0/24"}, "10.1.0.0/19")
    spoke["properties"]["subnets"][0]["properties"]["delegations"] = [DELEGATION]
    await api.put(f"{network}/virtualNetworks/spoke", spoke)
    shared = {"id": f"{network}/virtualNetworks/hub/subnets/shared"}
    balancer = f"{network}/loadBalancers/lb"
    await api.put(balancer, balancer_body(balancer, shared))
    pool = {"id": f"{balancer}/backendAddressPools/forwarders"}
    await api.put(
        f"{group}/providers/Microsoft.Compute/virtualMachineScaleSets/fwd", scale_set_body(shared, pool)
    )
    await api.put(
        f"{network}/privateLinkServices/pls",
        {
            **place,
            "properties": {
                "loadBalancerFrontendIpConfigurations": [{"id": f"{balancer}/frontendIPConfigurations/fe"}],
                "ipConfigurations": [{"name": "nat", "properties": {"subnet": shared}}],
            },
        },
    )
    await api.put(f"{network}/privateEndpoints/pe", endpoint_body(network, "10.1.17.4"))
    zone = f"{network}/privateDnsZones/corp.internal"
    await api.put(zone, {"location": "global"})
    await api.put(
        f"{zone}/A/onprem-server", {"properties": {"ttl": 60, "aRecords": [{"ipv4Address": "10.1.17.4"}]}}
    )
    await api.put(f"{group}/providers/Microsoft.ContainerInstance/containerGroups/jump", box_body(network))


def balancer_body(own: str, subnet: dict[str, str]) -> dict[str, Any]:
    """A Standard load balancer with one rule."""
    return {
        "location": "westeurope",
        "sku": {"name": "Standard"},
        "properties": {
            "frontendIPConfigurations": [{"name": "fe", "properties": {"subnet": subnet}}],
            "backendAddressPools": [{"name": "forwarders"}],
            "probes": [
                {"name": "web", "properties": {"protocol": "Http", "port": 18099, "requestPath": "/f"}}
            ],
            "loadBalancingRules": [
                {
                    "name": "web",
                    "properties": {
                        "frontendIPConfiguration": {"id": f"{own}/frontendIPConfigurations/fe"},
                        "backendAddressPool": {"id": f"{own}/backendAddressPools/forwarders"},
                        "probe": {"id": f"{own}/probes/web"},
                        "protocol": "Tcp",
                        "frontendPort": 8000,
                        "backendPort": 8000,
                    },
                }
            ],
        },
    }


def scale_set_body(subnet: dict[str, str], pool: dict[str, str], capacity: int = 3) -> dict[str, Any]:
    """Forwarders with manual upgrades."""
    address = {"subnet": subnet, "loadBalancerBackendAddressPools": [pool]}
    return {
        "location": "westeurope",
        "zones": ["1", "2", "3"],
        "sku": {"name": "Standard_B2ats_v2", "tier": "Standard", "capacity": capacity},
        "properties": {
            "upgradePolicy": {"mode": "Manual"},
            "virtualMachineProfile": {
                "osProfile": {"computerNamePrefix": "fwd", "customData": "I2Nsb3VkLWNvbmZpZwo="},
                "networkProfile": {
                    "networkInterfaceConfigurations": [
                        {
                            "name": "nic",
                            "properties": {
                                "primary": True,
                                "ipConfigurations": [{"name": "ip", "properties": address}],
                            },
                        }
                    ]
                },
            },
        },
    }


def endpoint_body(network: str, address: str | None = None, *, manual: bool = False) -> dict[str, Any]:
    """An endpoint of the link service `pls` in the subnet `linked`."""
    connection = {
        "name": "to-hub",
        "properties": {
            "privateLinkServiceId": f"{network}/privateLinkServices/pls",
            "requestMessage": "please",
        },
    }
    collection = "manualPrivateLinkServiceConnections" if manual else "privateLinkServiceConnections"
    properties: dict[str, Any] = {
        "subnet": {"id": f"{network}/virtualNetworks/spoke/subnets/linked"},
        collection: [connection],
    }
    if address is not None:
        static = {"groupId": "", "memberName": "", "privateIPAddress": address}
        properties["ipConfigurations"] = [{"name": "ip", "properties": static}]
    return {"location": "westeurope", "properties": properties}


def box_body(network: str) -> dict[str, Any]:
    """A jump box."""
    container = {
        "image": "mcr.microsoft.com/azurelinux/base/python:3.12",
        "command": ["sleep", "3600"],
        "resources": {"requests": {"cpu": 1, "memoryInGB": 1}},
        "environmentVariables": [
            {"name": "PLAIN", "value": "1"},
            {"name": "SECRET", "secureValue": "hidden"},
        ],
    }
    return {
        "location": "westeurope",
        "properties": {
            "osType": "Linux",
            "restartPolicy": "Never",
            "containers": [{"name": "jump", "properties": container}],
            "subnetIds": [{"id": f"{network}/virtualNetworks/spoke/subnets/jump"}],
        },
    }
