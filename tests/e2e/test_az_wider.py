"""What az is asked for less often: connections of other services, effective rules and routes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.az_program import Az

pytestmark = [
    pytest.mark.az,
    pytest.mark.lab,
    pytest.mark.xdist_group("az-lab"),
    pytest.mark.timeout(180),
]


def test_an_endpoint_of_a_storage_account_for_diagnostics(az: Az) -> None:
    account = az.json("storage", "account", "create", "-n", "fwdlogs01", "--sku", "Standard_LRS")
    assert account["primaryEndpoints"]["blob"] == "https://fwdlogs01.blob.core.windows.net/"
    network = account["id"].partition("/Microsoft.Storage/")[0] + "/Microsoft.Network"
    group = az.lab.arm("GET", f"{network}/networkSecurityGroups")["value"][0]["id"]
    log = '[{"categoryGroup": "allLogs", "enabled": true}]'
    where = ("-n", "all", "--resource", group, "--storage-account", account["id"], "--logs", log)
    made = az.json("monitor", "diagnostic-settings", "create", *where, group=False)
    assert made["storageAccountId"] == account["id"]
    endpoint = f"{network}/privateEndpoints/pep-logs"
    body = az.lab.arm("GET", f"{network}/privateEndpoints")["value"][0]
    asked = {"privateLinkServiceId": account["id"], "groupIds": ["blob"]}
    entry = [{"name": "logs", "properties": asked}]
    own = {"subnet": body["properties"]["subnet"], "manualPrivateLinkServiceConnections": entry}
    az.lab.arm("PUT", endpoint, {"location": body["location"], "properties": own})
    verbs = ("network", "private-endpoint-connection")
    (connection,) = az.json(*verbs, "list", "--id", account["id"], group=False)
    assert connection["properties"]["privateLinkServiceConnectionState"]["status"] == "Pending"
    az(*verbs, "delete", "--id", connection["id"], "--yes", group=False)
    assert "privateEndpointConnections" not in az.lab.arm("GET", account["id"])["properties"]
    az.lab.arm("DELETE", endpoint)


GROUP = """
name: pair
location: westeurope
properties:
  osType: Linux
  restartPolicy: Never
  containers:
    - name: first
      properties: {image: i, command: [sleep, "600"], resources: {requests: {cpu: 1, memoryInGB: 1}}}
    - name: second
      properties:
        image: i
        command: [sh, -c, "echo said by second; sleep 600"]
        environmentVariables: [{name: WHO, value: second}]
        resources: {requests: {cpu: 1, memoryInGB: 1}}
"""


def test_a_group_of_two_containers_without_a_subnet(az: Az) -> None:
    file = az.lab.home / "group.yaml"
    file.write_text(GROUP)
    az("container", "create", "--file", str(file))
    second = ("-n", "pair", "--container-name", "second")
    assert "WHO=second" in az("container", "exec", *second, "--exec-command", "env").stdout
    assert "said by second" in az("container", "logs", *second).stdout
    az("container", "delete", "-n", "pair", "--yes")


def test_effective_rules_routes_and_the_next_hop(az: Az) -> None:
    (server, *_) = az.json("vm", "list")
    nic = ("--ids", server["networkProfile"]["networkInterfaces"][0]["id"])
    groups = az.json("network", "nic", "list-effective-nsg", *nic, group=False)["value"]
    assert "defaultSecurityRules/DenyAllInBound" in [
        one["name"] for one in groups[0]["effectiveSecurityRules"]
    ]
    routes = az.json("network", "nic", "show-effective-route-table", *nic, group=False)["value"]
    assert {"VnetLocal", "VNetPeering", "Internet"} <= {one["nextHopType"] for one in routes}
    watchers = server["id"].partition("/Microsoft.Compute/")[0] + "/Microsoft.Network/networkWatchers"
    az.lab.arm("PUT", f"{watchers}/watcher", {"location": server["location"]})
    way = ("--source-ip", "192.168.42.65", "--dest-ip", az.topology["hub"]["loadBalancer"]["address"])
    hop = az.json("network", "watcher", "show-next-hop", "--vm", server["name"], *way)
    assert (hop["nextHopType"], hop["routeTableId"]) == ("VNetPeering", "System Route")


def test_a_flexible_scale_set_is_made_of_machines(az: Az) -> None:
    server = az.json("vm", "list")[0]["id"]
    providers = server.partition("/Microsoft.Compute/")[0]
    path = f"{providers}/Microsoft.Compute/virtualMachineScaleSets"
    (forwarders,) = az.lab.arm("GET", path)["value"]
    model = {"virtualMachineProfile": forwarders["properties"]["virtualMachineProfile"]}
    properties = {**model, "orchestrationMode": "Flexible"}
    sku = {**forwarders["sku"], "capacity": 1}
    az.lab.arm(
        "PUT", f"{path}/flex", {"location": forwarders["location"], "sku": sku, "properties": properties}
    )
    try:
        (instance,) = az.json("vmss", "list-instances", "-n", "flex")
        assert instance["name"].startswith("flex_")
        assert az.json("vm", "restart", "-n", instance["name"])["status"] == "Succeeded"
        assert instance["name"] in [one["name"] for one in az.json("vm", "list", "-d")]
    finally:
        az.lab.arm("DELETE", f"{path}/flex")
