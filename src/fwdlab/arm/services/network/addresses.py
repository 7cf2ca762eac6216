"""Private addresses: who has which, and the next free one.

Azure keeps the first four addresses and the last one of a subnet and hands out the lowest free one.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Any

from fwdlab.arm.ids import reference_id, same
from fwdlab.arm.services.base import bad_request, index_of, part_of
from fwdlab.arm.services.shapes import Shape, flag, items, reference, text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from fwdlab.arm.store import Store
    from fwdlab.model import Resource

_RESERVED_FIRST = 4
_COLLECTIONS = frozenset({"ipConfigurations", "frontendIPConfigurations"})
IP_CONFIGURATION: Mapping[str, Shape] = {
    "primary": flag(),
    "subnet": reference(),
    "publicIPAddress": reference(),
    "privateIPAddress": text(),
    "privateIPAllocationMethod": text(None, "Dynamic", "Static"),
    "loadBalancerBackendAddressPools": items(reference()),
    "loadBalancerInboundNatRules": items(reference()),
    "applicationSecurityGroups": items(reference()),
}


def prefix_of(subnet: dict[str, Any]) -> IPv4Network:
    properties = subnet["properties"]
    return IPv4Network(properties.get("addressPrefix") or properties["addressPrefixes"][0])


def used_addresses(store: Store, subnet_id: str) -> dict[IPv4Address, str]:
    """Addresses taken in a subnet and the resource that has each."""
    taken: dict[IPv4Address, str] = {}
    wanted = subnet_id.lower()
    for resource in store.list():
        for place, address in _addresses_of(resource):
            if place.lower() == wanted:
                taken.setdefault(IPv4Address(address), resource.id)
    return taken


def ip_configurations(store: Store) -> Iterator[dict[str, Any]]:
    """Those of all interfaces and the frontends of load balancers."""
    for resource in store.list():
        if resource.type.endswith("/networkInterfaces"):
            yield from resource.properties["ipConfigurations"]
        elif resource.type.endswith("/loadBalancers"):
            yield from resource.properties["frontendIPConfigurations"]


def name_servers(store: Store, subnet_id: str) -> tuple[str, ...]:
    """Those that a subnet's network is told to use in the place of the platform's."""
    network = store.get(subnet_id.partition("/subnets/")[0])
    options = network.properties.get("dhcpOptions", {}) if network is not None else {}
    return tuple(options.get("dnsServers") or ())


def _addresses_of(resource: Resource) -> Iterator[tuple[str, str]]:
    """(subnet, address) of each; a link service's interface only repeats what the service has."""
    node = resource.node
    if node is not None and node.kind == "container":
        yield node.subnet_id, node.address
    held = resource.properties
    if not any(
        collection in held for collection in _COLLECTIONS
    ):  # most resources, and this is asked of each
        return
    if not resource.type.startswith("Microsoft.Network/") and "/networkInterfaces" not in resource.type:
        return
    if "privateLinkService" in held:
        return
    for collection in _COLLECTIONS & held.keys():
        for entry in held[collection]:
            properties = entry.get("properties", {})
            subnet = reference_id(properties.get("subnet"))
            if subnet and properties.get("privateIPAddress"):
                yield subnet, properties["privateIPAddress"]


def allocate_all(
    store: Store, entries: list[dict[str, Any]], former: list[dict[str, Any]], owner: str
) -> None:
    """Give every IP configuration of a list its address, in place; static ones choose first.

    Args:
        store: where everything stands.
        entries: IP configurations with id and `properties.subnet`.
        former: the same list as it was, whose dynamic addresses stay.
        owner: id of the resource that the list is part of.

    Raises:
        ArmError: as `allocate`.
    """
    drafted: set[str] = set()
    wishes: list[tuple[dict[str, Any], str | None]] = []
    for entry in entries:
        properties = entry["properties"]
        properties.setdefault("privateIPAddressVersion", "IPv4")
        properties.setdefault("privateIPAllocationMethod", "Dynamic")
        position = index_of(former, entry["name"])
        before = former[position]["properties"] if position is not None else {}
        wishes.append((entry, static_or_former(properties, before)))
    for entry, wanted in sorted(wishes, key=lambda wish: wish[1] is None):
        subnet = reference_id(entry["properties"].get("subnet"))
        address = allocate(store, subnet, wanted, entry["id"], owner, drafted=drafted)
        entry["properties"]["privateIPAddress"] = address
        drafted.add(address)


def static_or_former(properties: dict[str, Any], former: dict[str, Any]) -> str | None:
    """The address to ask for: the static one, or the one that a dynamic configuration has had."""
    if properties["privateIPAllocationMethod"] == "Static":
        wanted: str | None = properties.get("privateIPAddress")
        return wanted
    if same(reference_id(former.get("subnet")), reference_id(properties.get("subnet"))):
        return former.get("privateIPAddress")
    return None


def allocate(
    store: Store,
    subnet_id: str,
    wanted: str | None,
    user: str,
    owner: str,
    *,
    drafted: Collection[str] = (),
) -> str:
    """Check a wanted address, or find the lowest free one.

    Args:
        store: where everything stands.
        subnet_id: the subnet.
        wanted: a static address, None for a dynamic one.
        user: id of the IP configuration, for messages.
        owner: id of the resource it is for, or of one it may share the address with; what that or anything
            below it has already does not count as taken.
        drafted: addresses that the owner's other configurations have just been given.

    Raises:
        ArmError: 400 with the network provider's codes: outside the subnet, reserved, taken, subnet full.
    """
    _, subnet = part_of(store, "subnets", subnet_id, user)
    network = prefix_of(subnet)
    taken = {
        address: holder
        for address, holder in used_addresses(store, subnet_id).items()
        if not same(holder, owner) and not holder.lower().startswith(owner.lower() + "/")
    }
    taken.update({IPv4Address(address): owner for address in drafted})
    return _static(network, wanted, taken, user, subnet) if wanted is not None else _lowest(network, taken)


def _lowest(network: IPv4Network, taken: dict[IPv4Address, str]) -> str:
    first = int(network.network_address) + _RESERVED_FIRST
    for number in range(first, int(network.broadcast_address)):
        if (address := IPv4Address(number)) not in taken:
            return str(address)
    raise bad_request(
        "SubnetIsFull",
        f"A subnet with address prefix {network} does not have enough capacity for 1 IP addresses.",
    )


def _static(
    network: IPv4Network, wanted: str, taken: dict[IPv4Address, str], user: str, subnet: dict[str, Any]
) -> str:
    try:
        address = IPv4Address(wanted)
    except ValueError:
        raise bad_request("InvalidIPAddressFormat", f"'{wanted}' of {user} is not an IP address.") from None
    if address not in network:
        raise bad_request(
            "PrivateIPAddressNotInSubnet",
            f"Private static IP address {wanted} does not belong to the range of subnet prefix {network}.",
        )
    offset = int(address) - int(network.network_address)
    if offset < _RESERVED_FIRST or address == network.broadcast_address:
        raise bad_request(
            "PrivateIPAddressInReservedRange",
            f"Private static IP address {wanted} falls within reserved IP range of subnet prefix {network}.",
        )
    if address in taken:
        raise bad_request(
            "PrivateIPAddressIsAllocated",
            f"IP configuration {user} is using the private IP address {wanted} which is already allocated to "
            f"resource {taken[address]}.",
            target=subnet["id"],
        )
    return str(address)
