"""Route tables with their routes."""

from __future__ import annotations

from fwdlab.arm.services.base import of_type
from fwdlab.arm.services.embedded import Embedded
from fwdlab.arm.services.network.provider import NetworkProvider
from fwdlab.arm.services.shapes import body, parts, text

TABLE = "Microsoft.Network/routeTables"
_HOPS = ("VirtualNetworkGateway", "VnetLocal", "Internet", "VirtualAppliance", "None")


class RouteTables(NetworkProvider):
    type = TABLE
    carry = ("routes",)
    derived = ("subnets",)
    shape = body(
        routes=parts(
            addressPrefix=text(None, required=True),
            nextHopType=text(None, *_HOPS, required=True),
            nextHopIpAddress=text(),
        )
    )


PROVIDERS = (RouteTables, of_type(Embedded, f"{TABLE}/routes"))
