"""Resource providers, one file for each namespace or part of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwdlab.arm.services import (
    compute_vm,
    compute_vmss,
    container_instance,
    inert,
    key_vault,
    network_dns,
    network_lb,
    network_privatelink,
    network_vnet,
    resources,
    tags,
)

if TYPE_CHECKING:
    from fwdlab.arm.services.base import Provider, World

_CLASSES: tuple[type[Provider], ...] = (
    resources.Groups,
    tags.Tags,
    network_vnet.VirtualNetworks,
    network_vnet.Subnets,
    network_vnet.Peerings,
    network_vnet.SecurityGroups,
    network_vnet.SecurityRules,
    network_vnet.PublicAddresses,
    network_lb.LoadBalancers,
    network_lb.Frontends,
    network_lb.Pools,
    network_lb.Rules,
    network_lb.Probes,
    network_lb.InboundNatRules,
    network_lb.OutboundRules,
    network_lb.NetworkInterfaces,
    network_privatelink.PrivateLinkServices,
    network_privatelink.Connections,
    network_privatelink.PrivateEndpoints,
    network_dns.Zones,
    network_dns.Links,
    network_dns.ZoneGroups,
    *network_dns.record_providers(),
    compute_vm.VirtualMachines,
    compute_vm.Extensions,
    compute_vm.ScaleSetExtensions,
    compute_vmss.ScaleSets,
    compute_vmss.Instances,
    compute_vmss.InstanceInterfaces,
    container_instance.ContainerGroups,
    container_instance.Containers,
    inert.Workspaces,
    inert.Identities,
    inert.NatGateways,
    key_vault.Vaults,
    key_vault.AccessPolicies,
    key_vault.VaultSecrets,
    key_vault.DeletedVault,
    key_vault.DeletedVaults,
    key_vault.ManagedHsms,
    key_vault.DeletedManagedHsms,
    *inert.inert_providers(),
)


def register(world: World) -> None:
    """Make every provider and enter it in the world's table, by lower-case type."""
    for made in (cls(world) for cls in _CLASSES):
        world.providers[made.type.lower()] = made
