"""Reads of network resources, for discovery and for explaining a broken path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fwdctl.azure.arm import Arm

NETWORK = "2025-05-01"
DNS = "2024-06-01"
HEALTH_TIMEOUT = 30.0


class Networks:
    """The network resources of one resource group, as ARM's documents."""

    def __init__(self, arm: Arm, resource_group: str) -> None:
        self._arm = arm
        self._base = arm.path(resource_group, "/providers/Microsoft.Network")

    def load_balancers(self) -> list[dict[str, Any]]:
        """All load balancers."""
        return list(self._arm.list(f"{self._base}/loadBalancers", NETWORK))

    def load_balancer(self, name: str) -> dict[str, Any]:
        """One load balancer."""
        return self._document(f"{self._base}/loadBalancers/{name}", NETWORK)

    def rule_health(self, load_balancer: str, rule: str) -> list[dict[str, Any]]:
        """What the platform's probes say of each backend address of a rule that has a probe.

        Returns:
            `{"ipAddress", "state": "Up"|"Down", "reason"}` each
            (azure-docs, load-balancer-manage-health-status).
        """
        path = f"{self._base}/loadBalancers/{load_balancer}/loadBalancingRules/{rule}/health"
        answer = self._arm.request("POST", path, NETWORK)
        body = self._arm.wait(answer, timeout=HEALTH_TIMEOUT) or {}
        return list(body.get("loadBalancerBackendAddresses") or ())

    def private_link_services(self) -> list[dict[str, Any]]:
        """All private link services."""
        return list(self._arm.list(f"{self._base}/privateLinkServices", NETWORK))

    def private_endpoints(self) -> list[dict[str, Any]]:
        """All private endpoints."""
        return list(self._arm.list(f"{self._base}/privateEndpoints", NETWORK))

    def private_endpoint(self, name: str) -> dict[str, Any]:
        """One private endpoint."""
        return self._document(f"{self._base}/privateEndpoints/{name}", NETWORK)

    def network_interface(self, resource_id: str) -> dict[str, Any]:
        """One interface by its ARM id."""
        return self._document(resource_id, NETWORK)

    def virtual_networks(self) -> list[dict[str, Any]]:
        """All virtual networks with subnets and peerings."""
        return list(self._arm.list(f"{self._base}/virtualNetworks", NETWORK))

    def security_groups(self) -> list[dict[str, Any]]:
        """All network security groups with their rules."""
        return list(self._arm.list(f"{self._base}/networkSecurityGroups", NETWORK))

    def zones(self) -> list[dict[str, Any]]:
        """All private DNS zones."""
        return list(self._arm.list(f"{self._base}/privateDnsZones", DNS))

    def zone_records(self, zone: str) -> list[dict[str, Any]]:
        """All A record sets of a zone."""
        return list(self._arm.list(f"{self._base}/privateDnsZones/{zone}/A", DNS))

    def zone_links(self, zone: str) -> list[dict[str, Any]]:
        """All virtual network links of a zone."""
        return list(self._arm.list(f"{self._base}/privateDnsZones/{zone}/virtualNetworkLinks", DNS))

    def _document(self, path: str, version: str) -> dict[str, Any]:
        document: dict[str, Any] = self._arm.get(path, version)
        return document
