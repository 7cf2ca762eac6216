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
    group = az.json("network", "nsg", "list")[0]["id"]
    log = '[{"categoryGroup": "allLogs", "enabled": true}]'
    where = ("-n", "all", "--resource", group, "--storage-account", account["id"], "--logs", log)
    made = az.json("monitor", "diagnostic-settings", "create", *where, group=False)
    assert made["storageAccountId"] == account["id"]
    before = az.json(
        "network", "private-endpoint", "show", "-n", az.topology["spokes"][0]["privateEndpoint"]["name"]
    )
    endpoint = ("network", "private-endpoint", "create", "-n", "pep-logs", "--connection-name", "logs")
    target = ("--private-connection-resource-id", account["id"], "--group-id", "blob")
    az(*endpoint, "--subnet", before["subnet"]["id"], *target, "--manual-request", "true")
    verbs = ("network", "private-endpoint-connection")
    (connection,) = az.json(*verbs, "list", "--id", account["id"], group=False)
    assert connection["properties"]["privateLinkServiceConnectionState"]["status"] == "Pending"
    az(*verbs, "delete", "--id", connection["id"], "--yes", group=False)
    assert az.json(*verbs, "list", "--id", account["id"], group=False) == []
    az("network", "private-endpoint", "delete", "-n", "pep-logs")
