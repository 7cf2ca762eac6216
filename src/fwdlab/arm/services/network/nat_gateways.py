"""NAT gateways: they say which subnets use them; nothing leaves the lab through one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fwdlab.arm.ids import refers
from fwdlab.arm.services.network.provider import NetworkProvider
from fwdlab.arm.services.network.virtual_networks import VNET
from fwdlab.arm.services.shapes import body, items, reference

if TYPE_CHECKING:
    from fwdlab.model import Resource


class NatGateways(NetworkProvider):
    type = "Microsoft.Network/natGateways"
    derived = ("subnets",)
    shape = body(publicIpAddresses=items(reference()))

    def rendered(self, resource: Resource) -> dict[str, Any]:
        document = super().rendered(resource)
        subnets = [
            {"id": subnet["id"]}
            for network in self.store.list(type=VNET)
            for subnet in network.properties["subnets"]
            if refers(subnet["properties"].get("natGateway"), resource.id)
        ]
        if subnets:
            document["properties"]["subnets"] = subnets
        return document


PROVIDERS = (NatGateways,)
