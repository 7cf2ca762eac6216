"""Resource providers, one file for each resource type."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwdlab.arm.services import inert, records, roles
from fwdlab.arm.services.compute import scale_set_instances, scale_sets, virtual_machines
from fwdlab.arm.services.container_instance import container_groups
from fwdlab.arm.services.key_vault import deleted_vaults, managed_hsms, vaults
from fwdlab.arm.services.network import (
    interfaces,
    load_balancers,
    nat_gateways,
    private_dns_zones,
    private_endpoints,
    private_link_services,
    public_addresses,
    route_tables,
    security_groups,
    virtual_networks,
    watchers,
    zone_groups,
)
from fwdlab.arm.services.resources import groups, tags

if TYPE_CHECKING:
    from types import ModuleType

    from fwdlab.arm.services.base import World

_MODULES: tuple[ModuleType, ...] = (
    groups,
    tags,
    virtual_networks,
    security_groups,
    route_tables,
    public_addresses,
    nat_gateways,
    load_balancers,
    interfaces,
    private_link_services,
    private_endpoints,
    private_dns_zones,
    zone_groups,
    watchers,
    virtual_machines,
    scale_sets,
    scale_set_instances,
    container_groups,
    vaults,
    deleted_vaults,
    managed_hsms,
    inert,
    records,
    roles,
)


def register(world: World) -> None:
    """Make every provider and enter it in the world's table, by lower-case type."""
    for module in _MODULES:
        for provider in module.PROVIDERS:
            world.providers[provider.type.lower()] = provider(world)
