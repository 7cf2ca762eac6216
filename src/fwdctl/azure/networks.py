"""Reads of network resources, for discovery and for explaining a broken path."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fwdctl.azure.documents import ancestor, name_of, same

if TYPE_CHECKING:
    from fwdctl.azure.clients import Clients

Document = dict[str, Any]

HEALTH_TIMEOUT = 30.0
HEALTH_POLL = 0.5
"""Seconds between two questions for a result, where the service does not say."""


@dataclass(frozen=True)
class Backend:
    """A machine behind a load balancer; what is not told is empty.

    Attributes:
        state: `Up` or `Down`, by the platform's probes.
        configuration: id of its interface's IP configuration.
    """

    address: str
    state: str = ""
    reason: str = ""
    configuration: str = ""

    @classmethod
    def of(cls, entry: Document) -> Backend:
        held = entry.get("networkInterfaceIPConfigurationId") or ""
        return cls(
            str(entry.get("ipAddress") or ""),
            str(entry.get("state") or ""),
            str(entry.get("reason") or ""),
            held if isinstance(held, str) else str(held.get("id") or ""),
        )

    @property
    def interface(self) -> str:
        """Id of its interface."""
        return self.configuration.partition("/ipConfigurations/")[0]

    @property
    def scale_set(self) -> str:
        """Id of the scale set whose machine it is; empty for any other machine."""
        return ancestor(self.configuration, "virtualMachineScaleSets")

    @property
    def number(self) -> str:
        """Its instance id in the scale set."""
        return name_of(ancestor(self.configuration, "virtualMachines")) if self.scale_set else ""


class Networks:
    """The network resources of one resource group, as ARM's documents.

    What a path that works needs is read without the network client, whose import takes 200 ms.
    """

    def __init__(self, clients: Clients, resource_group: str) -> None:
        self._clients = clients
        self._group = resource_group

    @property
    def _base(self) -> str:
        return (
            f"/subscriptions/{self._clients.subscription_id}/resourceGroups/{self._group}"
            "/providers/Microsoft.Network"
        )

    def at(self, subscription_id: str, resource_group: str) -> Networks:
        """Those of another place; these where it is the same or not named."""
        own = (self._clients.subscription_id, self._group)
        if not resource_group or (same(subscription_id, own[0]) and same(resource_group, own[1])):
            return self
        return Networks(self._clients.of(subscription_id), resource_group)

    def load_balancers(self) -> list[Document]:
        return _documents(self._clients.networks.load_balancers.list(self._group))

    def load_balancer(self, name: str) -> Document:
        return self.resource(f"{self._base}/loadBalancers/{name}")

    def rule_health(self, load_balancer: str, rule: str) -> list[Backend]:
        """What the platform's probes say of each backend of a rule that has a probe.

        As azure-docs, load-balancer-manage-health-status, describes it.

        Raises:
            FwdctlError: `operation_timed_out` (exit code 5).
        """
        path = f"{self._base}/loadBalancers/{load_balancer}/loadBalancingRules/{rule}/health"
        poller = self._clients.operation("POST", path, HEALTH_POLL)
        told = self._clients.result(poller, HEALTH_TIMEOUT)
        return [Backend.of(entry) for entry in told.get("loadBalancerBackendAddresses") or ()]

    def private_link_services(self) -> list[Document]:
        return _documents(self._clients.networks.private_link_services.list(self._group))

    def private_endpoints(self) -> list[Document]:
        return _documents(self._clients.networks.private_endpoints.list(self._group))

    def private_endpoint(self, name: str) -> Document:
        return _document(self._clients.networks.private_endpoints.get(self._group, name))

    def virtual_networks(self) -> list[Document]:
        """All virtual networks with subnets and peerings."""
        return _documents(self._clients.networks.virtual_networks.list(self._group))

    def security_groups(self) -> list[Document]:
        """All network security groups with their rules."""
        return _documents(self._clients.networks.network_security_groups.list(self._group))

    def network_interfaces(self) -> list[Document]:
        """All interfaces of machines and endpoints; not those of scale sets."""
        return _documents(self._clients.networks.network_interfaces.list(self._group))

    def resource(self, resource_id: str) -> Document:
        """A network, security group, route table or interface by its ARM id, wherever it is."""
        found: Document = self._clients.request("GET", resource_id)
        return found

    def scale_set_interfaces(self, scale_set_id: str) -> list[Document]:
        """All interfaces of a scale set's machines."""
        return list(self._clients.list(f"{scale_set_id}/networkInterfaces"))

    def all_zones(self) -> list[Document]:
        """The private DNS zones of the whole subscription, so far as the login may see them."""
        return _documents(self._clients.private_dns.private_zones.list())

    def zones(self) -> list[Document]:
        """All private DNS zones."""
        return _documents(self._clients.private_dns.private_zones.list_by_resource_group(self._group))

    def zone_records(self, zone: str, group: str = "") -> list[Document]:
        """All record sets of a zone, of every type; `group` where it is in another resource group."""
        return _documents(self._clients.private_dns.record_sets.list(group or self._group, zone))

    def zone_links(self, zone: str, group: str = "") -> list[Document]:
        """All virtual network links of a zone."""
        return _documents(self._clients.private_dns.virtual_network_links.list(group or self._group, zone))


def _document(model: Any) -> Document:
    found: Document = model.as_dict()
    return found


def _documents(models: Iterable[Any]) -> list[Document]:
    return [_document(model) for model in models]
