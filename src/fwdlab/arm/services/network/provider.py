"""What the types of Microsoft.Network have in common, and what keeps one of them from being deleted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fwdlab.arm.ids import refers
from fwdlab.arm.services.base import Provider, bad_request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fwdlab.arm.ids import ResourceId
    from fwdlab.arm.store import Store
    from fwdlab.model import Resource


@dataclass(frozen=True)
class _InUse:
    """How the service refuses to delete what others refer to.

    Attributes:
        message: `{id}`, `{name}` and the `{user}` are filled in.
        users: type, list of its parts (empty for the resource itself), and the property that refers.
    """

    code: str
    message: str
    users: tuple[tuple[str, str, str], ...]


_INTERFACES = (
    "Microsoft.Network/networkInterfaces",
    "Microsoft.Compute/virtualMachineScaleSets/virtualMachines/networkInterfaces",
)
_SUBNETS = ("Microsoft.Network/virtualNetworks", "subnets")
_IN_USE: Mapping[str, _InUse] = {
    "Microsoft.Network/routeTables": _InUse(
        "InUseRouteTableCannotBeDeleted",
        "Route table {name} is in use and cannot be deleted.",
        ((*_SUBNETS, "routeTable"),),
    ),
    "Microsoft.Network/networkSecurityGroups": _InUse(
        "InUseNetworkSecurityGroupCannotBeDeleted",
        "Network security group {id} cannot be deleted because it is in use by the following resources: "
        "{user}. In order to delete the Network security group, remove the association with the resource(s). "
        "To learn how to do this, see aka.ms/deletensg.",
        ((*_SUBNETS, "networkSecurityGroup"), *((kind, "", "networkSecurityGroup") for kind in _INTERFACES)),
    ),
    "Microsoft.Network/natGateways": _InUse(
        "InUseNatGatewayCannotBeDeleted",
        "Nat gateway {name} is in use by {user} and cannot be deleted.",
        ((*_SUBNETS, "natGateway"),),
    ),
    "Microsoft.Network/publicIPAddresses": _InUse(
        "PublicIPAddressCannotBeDeleted",
        "Public IP address {id} can not be deleted since it is still allocated to resource {user}. In order "
        "to delete the public IP, disassociate/detach the Public IP address from the resource. To learn how "
        "to do this, see aka.ms/deletepublicip.",
        (
            ("Microsoft.Network/natGateways", "", "publicIpAddresses"),
            ("Microsoft.Network/loadBalancers", "frontendIPConfigurations", "publicIPAddress"),
            *((kind, "ipConfigurations", "publicIPAddress") for kind in _INTERFACES),
        ),
    ),
}


class NetworkProvider(Provider):
    transition = "Updating"
    etag = 'W/"{}"'
    has_guid = True

    def rendered(self, resource: Resource) -> dict[str, Any]:
        """With which subnets and interfaces refer to it, where that is worked out."""
        document = super().rendered(resource)
        known = _IN_USE[self.type].users if self.type in _IN_USE else ()
        for name in {"subnets", "networkInterfaces"} & {*self.derived}:
            users = [one for one in known if (one[1] or "networkInterfaces") == name]
            if found := [{"id": user} for user in _users(self.store, users, resource.id)]:
                document["properties"][name] = found
        return document

    def before_delete(self, resource_id: ResourceId) -> None:
        """Refuse while others refer to it, by the table."""
        rule = _IN_USE.get(self.type)
        user = next(_users(self.store, rule.users, resource_id.text), None) if rule is not None else None
        if rule is not None and user is not None:
            message = rule.message.format(id=resource_id, name=resource_id.name, user=user)
            raise bad_request(rule.code, message)


def _users(store: Store, users: Sequence[tuple[str, str, str]], wanted: str) -> Iterator[str]:
    """Ids of what refers to a resource."""
    for kind, collection, name in users:
        for resource in store.list(type=kind):
            parts = resource.properties.get(collection, []) if collection else [resource.document]
            for part in parts:
                found = part.get("properties", {}).get(name) or []
                if any(refers(one, wanted) for one in (found if isinstance(found, list) else [found])):
                    yield part["id"]
