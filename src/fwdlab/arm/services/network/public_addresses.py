"""Public addresses: of the documentation range, so that nothing routes them."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any

from fwdlab.arm.ids import refers, same
from fwdlab.arm.services.base import bad_request
from fwdlab.arm.services.network.provider import NetworkProvider
from fwdlab.arm.services.shapes import Shape, body, number, optional, text

if TYPE_CHECKING:
    from fwdlab.arm.store import Store
    from fwdlab.model import Resource

_RANGE = IPv4Network("203.0.113.0/24")  # RFC 5737


class PublicAddresses(NetworkProvider):
    type = "Microsoft.Network/publicIPAddresses"
    derived = ("ipConfiguration",)
    shape = body(
        {"sku": Shape(dict, {"name": "Standard", "tier": "Regional"})},
        publicIPAllocationMethod=text("Static"),
        publicIPAddressVersion=text("IPv4"),
        idleTimeoutInMinutes=number(4),
        dnsSettings=optional(domainNameLabel=text(), fqdn=text()),
    )

    def complete(self, document: dict[str, Any], old: Resource | None) -> None:
        before = old.properties["ipAddress"] if old is not None else None
        document["properties"]["ipAddress"] = before or free_address(self.store)
        names = document["properties"].get("dnsSettings", {})
        if "domainNameLabel" in names:
            names["fqdn"] = f"{names['domainNameLabel']}.{document['location']}.cloudapp.azure.com"
            self._check_label(names["fqdn"], document["id"])

    def rendered(self, resource: Resource) -> dict[str, Any]:
        """With who has it."""
        document = super().rendered(resource)
        for user in self.store.list():
            for name in ("ipConfigurations", "frontendIPConfigurations"):
                for entry in user.properties.get(name) or ():
                    if refers(entry.get("properties", {}).get("publicIPAddress"), resource.id):
                        document["properties"]["ipConfiguration"] = {"id": entry["id"]}
        return document

    def _check_label(self, name: str, own: str) -> None:
        for other in self.store.list(type=self.type):
            if same(other.properties.get("dnsSettings", {}).get("fqdn"), name) and not same(other.id, own):
                raise bad_request(
                    "DnsRecordInUse", f"DNS record {name} is already used by another public IP.", target=own
                )


def free_address(store: Store) -> str:
    """One that neither a public address nor a container group has."""
    shown = [one.properties.get("ipAddress") for one in store.list()]
    taken = {one.get("ip") if isinstance(one, dict) else one for one in shown}
    for address in _RANGE.hosts():
        if str(address) not in taken:
            return str(address)
    raise bad_request("PublicIPCountLimitReached", "The lab has no public address left.")


PROVIDERS = (PublicAddresses,)
