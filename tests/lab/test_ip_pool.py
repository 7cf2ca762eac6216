"""A load balancer whose pools are lists of addresses: ARM takes any, packets reach its own network's machines.

The pattern's first idea was a pool of the servers' own addresses. azure-docs,
load-balancer/backend-pool-management: "backend resources must be in the same virtual network as the load
balancer"; what the pattern's author saw with others: it deploys, and forwarding does not work.
"""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from fwdctl.progress import Progress
from fwdctl.runtime import Runtime
from fwdlab.cli.client import LabClient
from fwdlab.cli.deploy import azure_of, deploy
from fwdlab.cli.setup import LabDeployment
from fwdlab.process.state import LabDirectory
from support.programs import RunningLab
from support.seed_topology import SERVER

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("ip-pool")]

SCHEMA = "https://schema.management.azure.com/schemas"
PREFIXES = {"hub": "10.0.0.0/24", "corp": "192.168.42.0/24", "far": "172.16.0.0/24"}
MACHINES = {
    "client": ("hub", "10.0.0.9"),
    "inside": ("hub", "10.0.0.10"),
    "server65": ("corp", "192.168.42.65"),
    "stranger": ("far", "172.16.0.10"),
}
# Pool: addresses, the network that they are said to be in, whether its rule has a probe.
POOLS = {
    "inside": (["10.0.0.10"], "hub", True),
    "as-hub": (["192.168.42.65"], "hub", True),
    "as-hub-unprobed": (["192.168.42.65"], "hub", False),
    "as-corp": (["192.168.42.65"], "corp", False),
    "unpeered": (["172.16.0.10"], "far", False),
    "nobody": (["10.0.0.77"], "hub", False),
    "mixed": (["10.0.0.10", "192.168.42.65"], "hub", False),
}
FRONTENDS = {name: f"10.0.0.{100 + number}" for number, name in enumerate(POOLS)}


def resource(kind: str, name: str, properties: dict[str, Any], *depends: str, **extra: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "apiVersion": "2025-05-01",
        "name": name,
        "location": "westeurope",
        "dependsOn": list(depends),
        "properties": properties,
        **extra,
    }


def reference(kind: str, *names: str) -> dict[str, str]:
    quoted = ", ".join(f"'{name}'" for name in (kind, *names))
    return {"id": f"[resourceId({quoted})]"}


VNET, LB = "Microsoft.Network/virtualNetworks", "Microsoft.Network/loadBalancers"
NIC, VM = "Microsoft.Network/networkInterfaces", "Microsoft.Compute/virtualMachines"


def networks() -> Iterator[dict[str, Any]]:
    for name, prefix in PREFIXES.items():
        subnets = [{"name": "s", "properties": {"addressPrefix": prefix}}]
        space = {"addressPrefixes": [prefix]}
        yield resource(VNET, name, {"addressSpace": space, "subnets": subnets})
    for one, other in (("hub", "corp"), ("corp", "hub")):
        properties = {"remoteVirtualNetwork": reference(VNET, other), "allowVirtualNetworkAccess": True}
        both = [f"[resourceId('{VNET}', '{name}')]" for name in (one, other)]
        yield resource(f"{VNET}/virtualNetworkPeerings", f"{one}/{other}", properties, *both)


def machines() -> Iterator[dict[str, Any]]:
    for name, (network, address) in MACHINES.items():
        entry = {
            "privateIPAllocationMethod": "Static",
            "privateIPAddress": address,
            "subnet": reference(f"{VNET}/subnets", network, "s"),
        }
        configurations = {"ipConfigurations": [{"name": "ip", "properties": entry}]}
        yield resource(NIC, name, configurations, f"[resourceId('{VNET}', '{network}')]")
        profile = {
            "hardwareProfile": {"vmSize": "Standard_B2ats_v2"},
            "storageProfile": {
                "imageReference": {
                    "publisher": "Canonical",
                    "offer": "ubuntu-24_04-lts",
                    "sku": "server",
                    "version": "latest",
                }
            },
            "osProfile": {
                "computerName": name,
                "adminUsername": "someone",
                "adminPassword": "Not-used-1",
                "customData": base64.b64encode(SERVER.encode()).decode(),
            },
            "networkProfile": {"networkInterfaces": [reference(NIC, name)]},
        }
        yield resource(VM, name, profile, f"[resourceId('{NIC}', '{name}')]")


def balancer() -> Iterator[dict[str, Any]]:
    rules = []
    for name, (_, _, probed) in POOLS.items():
        rule: dict[str, Any] = {
            "frontendIPConfiguration": reference(f"{LB}/frontendIPConfigurations", "lb", name),
            "backendAddressPool": reference(f"{LB}/backendAddressPools", "lb", name),
            "protocol": "Tcp",
            "frontendPort": 8000,
            "backendPort": 8000,
        }
        if probed:
            rule["probe"] = reference(f"{LB}/probes", "lb", "web")
        rules.append({"name": name, "properties": rule})
    frontends = [
        {
            "name": name,
            "properties": {
                "privateIPAllocationMethod": "Static",
                "privateIPAddress": address,
                "subnet": reference(f"{VNET}/subnets", "hub", "s"),
            },
        }
        for name, address in FRONTENDS.items()
    ]
    probe = {"protocol": "Tcp", "port": 8000, "intervalInSeconds": 5, "probeThreshold": 1}
    properties = {
        "frontendIPConfigurations": frontends,
        "backendAddressPools": [{"name": name} for name in POOLS],
        "probes": [{"name": "web", "properties": probe}],
        "loadBalancingRules": rules,
    }
    yield resource(LB, "lb", properties, f"[resourceId('{VNET}', 'hub')]", sku={"name": "Standard"})
    for name, (addresses, network, _) in POOLS.items():
        listed = [
            {
                "name": f"a{number}",
                "properties": {"ipAddress": address, "virtualNetwork": reference(VNET, network)},
            }
            for number, address in enumerate(addresses)
        ]
        pool = {"loadBalancerBackendAddresses": listed}
        yield resource(f"{LB}/backendAddressPools", f"lb/{name}", pool, f"[resourceId('{LB}', 'lb')]")


def template() -> dict[str, Any]:
    inner = {
        "$schema": f"{SCHEMA}/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": [*networks(), *machines(), *balancer()],
    }
    group = {"type": "Microsoft.Resources/resourceGroups", "apiVersion": "2025-04-01"}
    nested = {
        "type": "Microsoft.Resources/deployments",
        "apiVersion": "2025-04-01",
        "name": "all",
        "resourceGroup": "rg-pools",
        "dependsOn": ["rg-pools"],
        "properties": {
            "mode": "Incremental",
            "expressionEvaluationOptions": {"scope": "inner"},
            "template": inner,
        },
    }
    return {
        "$schema": f"{SCHEMA}/2018-05-01/subscriptionDeploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": [{**group, "name": "rg-pools", "location": "westeurope"}, nested],
    }


class Lab:
    def __init__(self, running: RunningLab) -> None:
        self.running = running
        directory = LabDirectory(running.name, running.base)
        self.bundle = directory.ca_bundle
        self.client = LabClient(directory.load(), self.bundle)
        subscription = running.environ["AZURE_SUBSCRIPTION_ID"]
        self.group = f"/subscriptions/{subscription}/resourceGroups/rg-pools/providers"

    def ask(self, address: str, *, seconds: float = 1) -> str:
        """Which machine answers at an address, asked from the hub; empty when none does in time."""
        argv = ["curl", "-sS", "-m", str(seconds), f"http://{address}:8000/"]
        done = self.client.control("POST", "/lab/run", {"node": "client", "argv": argv})
        return str(json.loads(done["stdout"])["server"]) if done["stdout"] else ""

    def health(self, rule: str) -> list[tuple[str, str, str]]:
        """Address, state and interface of each backend, as the platform's own health operation lists them."""
        token = self.client.control("POST", "/lab/token")["token"]
        path = f"{self.group}/{LB}/lb/loadBalancingRules/{rule}/health"
        answer = requests.post(
            self.client.state.base_url + path,
            headers={"Authorization": f"Bearer {token}"},
            verify=str(self.bundle),
            timeout=10,
        )
        found = self.running.arm("GET", answer.headers["Location"].removeprefix(self.client.state.base_url))
        return [
            (
                entry["ipAddress"],
                entry["state"],
                entry["networkInterfaceIPConfigurationId"]["id"].split("/")[-3],
            )
            for entry in found["loadBalancerBackendAddresses"]
        ]

    def named(self) -> set[str]:
        """The addresses to which nothing is sent, as `lab status` says now."""
        warnings = self.running.lab("status", "-o", "json").json["data"]["warnings"]
        return {word for warning in warnings for word in warning.split() if word.count(".") == 3}

    def until_answered(self, address: str) -> str:
        deadline = time.monotonic() + 20
        while not (found := self.ask(address)):
            assert time.monotonic() < deadline, f"nobody ever answered at {address}"
        return found


@pytest.fixture(scope="module")
def pools(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Lab]:
    running = RunningLab.up(tmp_path_factory.mktemp("pools"), f"pools-{worker_id}", "--empty")
    try:
        lab = Lab(running)
        plan = LabDeployment("pools", "westeurope", template(), {})
        runtime = Runtime(environ=running.base)
        with azure_of(runtime, lab.client) as arm:
            deploy(runtime, arm, plan, Progress(runtime))
        lab.until_answered("192.168.42.65")
        lab.until_answered("10.0.0.10")
        yield lab
    finally:
        running.down()


def test_an_address_of_its_own_network_is_reached(pools: Lab) -> None:
    assert pools.until_answered(FRONTENDS["inside"]) == "inside"
    assert pools.health("inside") == [("10.0.0.10", "Up", "inside")]
    assert pools.health("as-hub") == []


@pytest.mark.parametrize("pool", ["as-hub", "as-hub-unprobed", "as-corp", "unpeered", "nobody"])
def test_any_other_address_is_not(pools: Lab, pool: str) -> None:
    assert pools.ask("192.168.42.65") == "server65"  # by itself the peered one can be reached
    assert pools.ask(FRONTENDS[pool]) == ""


def test_in_a_mixed_pool_only_its_own_network_answers(pools: Lab) -> None:
    assert {pools.ask(FRONTENDS["mixed"]) for _ in range(10)} == {"inside"}


def test_the_addresses_are_kept_and_the_lab_says_what_they_are_worth(pools: Lab) -> None:
    subscription = pools.running.environ["AZURE_SUBSCRIPTION_ID"]
    path = (
        f"/subscriptions/{subscription}/resourceGroups/rg-pools/providers/{LB}/lb/backendAddressPools/mixed"
    )
    pool = pools.running.arm("GET", path)["properties"]
    kept = [entry["properties"]["ipAddress"] for entry in pool["loadBalancerBackendAddresses"]]
    assert kept == ["10.0.0.10", "192.168.42.65"]
    assert pools.named() == {"192.168.42.65", "172.16.0.10", "10.0.0.77"}


def test_a_machine_that_comes_later_is_taken_in(pools: Lab) -> None:
    """What the addresses are meant for (the pattern's third learning)."""
    group = pools.group
    nic = pools.running.arm("GET", f"{group}/{NIC}/inside")
    machine = pools.running.arm("GET", f"{group}/{VM}/inside")
    nic["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"] = "10.0.0.77"
    late = {
        "location": "westeurope",
        "properties": {"ipConfigurations": nic["properties"]["ipConfigurations"]},
    }
    pools.running.arm("PUT", f"{group}/{NIC}/late", late)
    machine["properties"]["networkProfile"]["networkInterfaces"] = [{"id": f"{group}/{NIC}/late"}]
    machine["properties"]["osProfile"] |= {
        "computerName": "late",
        "customData": base64.b64encode(SERVER.encode()).decode(),
    }
    kept = ("hardwareProfile", "storageProfile", "osProfile", "networkProfile")
    properties = {key: machine["properties"][key] for key in kept}
    pools.running.arm("PUT", f"{group}/{VM}/late", {"location": "westeurope", "properties": properties})
    assert pools.until_answered(FRONTENDS["nobody"]) == "late"
    assert pools.named() == {"192.168.42.65", "172.16.0.10"}
