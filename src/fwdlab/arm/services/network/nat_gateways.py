"""NAT gateways: they say which subnets use them; nothing leaves the lab through one."""

from __future__ import annotations

from fwdlab.arm.services.network.provider import NetworkProvider
from fwdlab.arm.services.shapes import body, items, reference


class NatGateways(NetworkProvider):
    type = "Microsoft.Network/natGateways"
    derived = ("subnets",)
    shape = body(publicIpAddresses=items(reference()))


PROVIDERS = (NatGateways,)
