"""Azure's own client libraries against the endpoint."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.containerinstance import ContainerInstanceManagementClient
from azure.mgmt.network import NetworkManagementClient

from fwdlab.model import ProbeHealth
from support.arm_clients import with_client

if TYPE_CHECKING:
    from pathlib import Path

    from support.controlplane import Endpoint


def test_container_groups(tmp_path: Path) -> None:
    def scene(client: Any, endpoint: Endpoint) -> None:
        groups = client.container_groups
        assert groups.get("rg-test", "jump").instance_view.state == "Running"
        groups.stop("rg-test", "jump")
        stopped = groups.get("rg-test", "jump")
        assert stopped.instance_view.state == "Stopped"
        assert stopped.containers[0].instance_view.current_state.state == "Terminated"
        with pytest.raises(HttpResponseError) as caught:
            client.containers.execute_command(
                "rg-test", "jump", "jump", {"command": "/bin/sh", "terminalSize": {"rows": 24, "cols": 80}}
            )
        assert caught.value.error.code == "ContainerGroupStopped"
        endpoint.api.settings.start_seconds = 0.1
        started = time.monotonic()
        groups.begin_start("rg-test", "jump").result(timeout=20)
        assert time.monotonic() - started >= 0.1
        running = groups.get("rg-test", "jump")
        assert running.instance_view.state == "Running"
        assert running.ip_address.ip == "10.1.16.4"
        assert [g.name for g in groups.list_by_resource_group("rg-test")] == ["jump"]
        with pytest.raises(ResourceNotFoundError):
            groups.get("rg-test", "none")

    with_client(tmp_path, ContainerInstanceManagementClient, scene)


def test_network(tmp_path: Path) -> None:
    def scene(client: Any, endpoint: Endpoint) -> None:
        balancer = client.load_balancers.get("rg-test", "lb")
        endpoint.plane.verdicts = (ProbeHealth(balancer.id, "web", "10.0.1.5", "Up", "Up_Probe_Success"),)
        health = client.load_balancer_load_balancing_rules.begin_health("rg-test", "lb", "web").result(
            timeout=20
        )
        assert (health.up, health.down) == (1, 0)
        connections = list(client.private_link_services.list_private_endpoint_connections("rg-test", "pls"))
        connection = connections[0]
        connection.private_link_service_connection_state.status = "Rejected"
        client.private_link_services.update_private_endpoint_connection(
            "rg-test", "pls", connection.name, connection
        )
        endpoint_seen = client.private_endpoints.get("rg-test", "pe")
        state = endpoint_seen.private_link_service_connections[0].private_link_service_connection_state
        assert state.status == "Rejected"
        client.private_link_services.begin_delete_private_endpoint_connection(
            "rg-test", "pls", connection.name
        ).result(timeout=20)
        network = client.virtual_networks.get("rg-test", "hub")
        again = client.virtual_networks.begin_create_or_update("rg-test", "hub", network).result(timeout=20)
        assert again.subnets[0].address_prefix == "10.0.1.0/26"
        client.private_endpoints.begin_delete("rg-test", "pe").result(timeout=20)
        assert list(client.private_endpoints.list("rg-test")) == []

    with_client(tmp_path, NetworkManagementClient, scene)
