"""The ends of a path's stretches, as security groups and route tables know them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fwdctl.azure.documents import Document, addresses_of, entries, network_of, same, value
from fwdctl.azure.routes import peerings
from fwdctl.probe.hops.rules import PLATFORM, PLATFORM_DNS, End

if TYPE_CHECKING:
    from fwdctl.deployment import Box, Forward, Spoke
    from fwdctl.probe.evidence import Evidence

ENDPOINT = "the private endpoint"
PROBES = End("the platform's health probes", (PLATFORM,), guarded=False)
NAME_SERVER = End("the platform's DNS", (PLATFORM_DNS,), guarded=False)


def box(evidence: Evidence, jump: Box, *, guarded: bool = True) -> End:
    """A jump box, with its address if it runs."""
    group = evidence.group(jump)
    hub = evidence.deployment.hub.box
    words = "the hub's jump box" if hub is not None and jump.name == hub.name else f"jump box '{jump.name}'"
    addresses = (group.address,) if group.address else ()
    return End(words, addresses, _networks(evidence, group.subnet_id), guarded)


def endpoint(evidence: Evidence, spoke: Spoke) -> End:
    """A private endpoint; security groups apply where its subnet's network policies say so."""
    document = evidence.endpoint(spoke) or {}
    address = evidence.endpoint_address(spoke)
    subnet_id = value(document, "subnet", "id")
    end = End(ENDPOINT, (address,) if address else (), _networks(evidence, subnet_id))
    policies = str(value(end.place(address)[1], "privateEndpointNetworkPolicies") or "") if address else ""
    return End(
        *(end.words, end.addresses, end.networks),
        guarded=policies in {"Enabled", "NetworkSecurityGroupEnabled"},
        applications={address: _applications(document)},
    )


def link_service(evidence: Evidence) -> End:
    """The link service's NAT addresses; their own subnet's rules do not apply to them."""
    own = evidence.deployment.hub.link_service
    services = [
        service
        for service in evidence.read(evidence.networks.private_link_services)
        if not own or same(service.get("name", own), own)
    ]
    interfaces = [
        evidence.resource(one.get("id")) for s in services for one in entries(s, "networkInterfaces")
    ]
    # The service itself names none but static addresses.
    addresses = tuple(dict.fromkeys(a for holder in (*interfaces, *services) for a in addresses_of(holder)))
    subnets = (value(e, "subnet", "id") for service in services for e in entries(service, "ipConfigurations"))
    networks = next((found for each in subnets if (found := _networks(evidence, each))), _hub(evidence))
    return End("the link service", addresses, networks, guarded=False)


def frontend(evidence: Evidence) -> End:
    address = evidence.deployment.hub.address
    return End("the load balancer", (address,) if address else (), _hub(evidence), guarded=False)


def forwarders(evidence: Evidence, forward: Forward) -> End:
    addresses = tuple(evidence.forwarders(forward))
    return _machines("the forwarders", addresses, _hub(evidence), evidence.interfaces(forward))


def targets(evidence: Evidence, hosts: Sequence[str]) -> End:
    """Servers; in the networks that the hub's is peered with, so far as they are in Azure.

    Where a name leads is not known here: it has no part in this.
    """
    addresses = [host for host in hosts if _is_address(host)]
    networks = tuple(
        network
        for network in (*_hub(evidence), *peered(evidence))
        if any(holds(network, address) for address in addresses)
    )
    interfaces: dict[str, Document] = {}
    if networks:
        ids = [str(network.get("id", "")) for network in networks]
        interfaces = {
            address: interface
            for interface in evidence.read(evidence.networks.network_interfaces)
            if any(same(network_of(_subnet_of(interface)), own) for own in ids)
            for address in addresses_of(interface)
        }
    words = "the target" if len(addresses) == 1 else "the targets"
    return _machines(words, tuple(addresses), networks, interfaces)


def peered(evidence: Evidence) -> list[Document]:
    """The networks that the hub's has a connected peering with."""
    return [
        network
        for hub in _hub(evidence)
        for peering in peerings(hub)
        if (network := evidence.resource(value(peering, "remoteVirtualNetwork", "id")))
    ]


def holds(network: Document, address: str) -> bool:
    """Whether an address is in a network's address space; where a name leads is not known here."""
    if not _is_address(address):
        return False
    whole = {"properties": {"addressPrefixes": value(network, "addressSpace", "addressPrefixes") or ()}}
    return bool(End("", (), ({"properties": {"subnets": [whole]}},)).place(address)[1])


def _is_address(host: str) -> bool:
    return host.rpartition(".")[2].isdigit()


def _machines(
    words: str, addresses: tuple[str, ...], networks: tuple[Document, ...], held: Mapping[str, Document]
) -> End:
    own = {address: held[address] for address in addresses if address in held}
    return End(
        *(words, addresses, networks),
        groups={a: str(value(each, "networkSecurityGroup", "id") or "") for a, each in own.items()},
        applications={a: _applications(each) for a, each in own.items()},
    )


def _applications(interface: Document) -> frozenset[str]:
    """Ids of the application security groups of an interface or a private endpoint, in lower case."""
    holders = [interface, *entries(interface, "ipConfigurations")]
    held = [each for holder in holders for each in value(holder, "applicationSecurityGroups") or ()]
    return frozenset(str(each.get("id", "")).lower() for each in held)


def _subnet_of(interface: Document) -> object:
    return value(interface, "ipConfigurations", 0, "properties", "subnet", "id")


def _networks(evidence: Evidence, subnet_id: object) -> tuple[Document, ...]:
    network = evidence.resource(network_of(subnet_id))
    return (network,) if network else ()


def _hub(evidence: Evidence) -> tuple[Document, ...]:
    hub = evidence.hub_network()
    return (hub,) if hub is not None else ()
