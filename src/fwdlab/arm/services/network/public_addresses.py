"""Public addresses: of the documentation range, so that nothing routes them."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any

from fwdlab.arm.services.base import NetworkProvider, bad_request
from fwdlab.arm.services.shapes import Shape, body, number, text

if TYPE_CHECKING:
    from fwdlab.model import Resource

_RANGE = IPv4Network("203.0.113.0/24")  # RFC 5737


class PublicAddresses(NetworkProvider):
    type = "Microsoft.Network/publicIPAddresses"
    shape = body(
        {"sku": Shape(dict, {"name": "Standard", "tier": "Regional"})},
        publicIPAllocationMethod=text("Static"),
        publicIPAddressVersion=text("IPv4"),
        idleTimeoutInMinutes=number(4),
    )

    def complete(self, document: dict[str, Any], old: Resource | None) -> None:
        before = old.properties["ipAddress"] if old is not None else None
        document["properties"]["ipAddress"] = before or self._free()

    def _free(self) -> str:
        taken = {one.properties["ipAddress"] for one in self.store.list(type=self.type)}
        for address in _RANGE.hosts():
            if str(address) not in taken:
                return str(address)
        raise bad_request("PublicIPCountLimitReached", "The lab has no public address left.")


PROVIDERS = (PublicAddresses,)
