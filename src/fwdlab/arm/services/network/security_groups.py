"""Network security groups with their rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fwdlab.arm.services.base import bad_request, of_type
from fwdlab.arm.services.embedded import Embedded
from fwdlab.arm.services.network.provider import NetworkProvider
from fwdlab.arm.services.shapes import Shape, body, items, number, parts, reference, text

if TYPE_CHECKING:
    from fwdlab.arm.ids import ResourceId
    from fwdlab.model import Resource

NSG = "Microsoft.Network/networkSecurityGroups"
_PORTS = 65_536
_PROTOCOLS = ("Tcp", "Udp", "Icmp", "Esp", "Ah", "*")
# name, priority, direction, source, destination, access: the rules that every group ends with
# (learn.microsoft.com, network-security-groups-overview).
_DEFAULT_RULES = (
    ("AllowVnetInBound", 65000, "Inbound", "VirtualNetwork", "VirtualNetwork", "Allow"),
    ("AllowAzureLoadBalancerInBound", 65001, "Inbound", "AzureLoadBalancer", "*", "Allow"),
    ("DenyAllInBound", 65500, "Inbound", "*", "*", "Deny"),
    ("AllowVnetOutBound", 65000, "Outbound", "VirtualNetwork", "VirtualNetwork", "Allow"),
    ("AllowInternetOutBound", 65001, "Outbound", "*", "Internet", "Allow"),
    ("DenyAllOutBound", 65500, "Outbound", "*", "*", "Deny"),
)
_LISTS = ("sourceAddressPrefixes", "destinationAddressPrefixes", "sourcePortRanges", "destinationPortRanges")


def default_rules(group_id: str) -> list[dict[str, Any]]:
    """The `defaultSecurityRules` of a group."""
    return [
        {
            "name": name,
            "id": f"{group_id}/defaultSecurityRules/{name}",
            "type": f"{NSG}/defaultSecurityRules",
            "properties": {
                "provisioningState": "Succeeded",
                "protocol": "*",
                "sourcePortRange": "*",
                "destinationPortRange": "*",
                "sourceAddressPrefix": source,
                "destinationAddressPrefix": destination,
                "access": access,
                "priority": priority,
                "direction": direction,
                **{name: [] for name in _LISTS},
            },
        }
        for name, priority, direction, source, destination, access in _DEFAULT_RULES
    ]


def _choice(*choices: str) -> Shape:
    return text(None, *choices, required=True, code="SecurityRuleInvalid")


class SecurityGroups(NetworkProvider):
    type = NSG
    carry = ("securityRules",)
    derived = ("subnets", "networkInterfaces")
    shape = body(
        securityRules=parts(
            access=_choice("Allow", "Deny"),
            direction=_choice("Inbound", "Outbound"),
            protocol=_choice(*_PROTOCOLS),
            priority=number(
                within=range(100, 4097),
                required=True,
                code="SecurityRuleInvalidPriority",
                message="Security rule has invalid Priority. Value provided: {value} Allowed range 100-4096.",
            ),
            description=text(),
            **{
                f"{end}{name}": shape
                for end in ("source", "destination")
                for name, shape in (
                    ("AddressPrefix", text()),
                    ("AddressPrefixes", items(text(), default=[])),
                    ("PortRange", text()),
                    ("PortRanges", items(text(), default=[])),
                    ("ApplicationSecurityGroups", items(reference())),
                )
            },
        )
    )

    def validate(self, _id: ResourceId, document: dict[str, Any]) -> None:
        """No two rules of a direction have one priority."""
        taken: dict[tuple[str, int], str] = {}
        for rule in document["properties"]["securityRules"]:
            _check_ports(rule["properties"])
            key = (rule["properties"]["direction"], rule["properties"]["priority"])
            if key in taken:
                raise bad_request(
                    "SecurityRuleConflict",
                    f"Security rule {rule['name']} conflicts with rule {taken[key]}. Rules cannot have the "
                    "same Priority and Direction.",
                )
            taken[key] = rule["name"]

    def complete(self, document: dict[str, Any], _old: Resource | None) -> None:
        document["properties"]["defaultSecurityRules"] = default_rules(document["id"])

    def rendered(self, resource: Resource) -> dict[str, Any]:
        document = super().rendered(resource)
        for rule in document["properties"]["defaultSecurityRules"]:
            rule["etag"] = document["etag"]
        return document


def _check_ports(rule: dict[str, Any]) -> None:
    """Ports are `*`, a number or a range of numbers."""
    for name in ("sourcePortRange", "destinationPortRange"):
        for value in (rule.get(name), *rule.get(f"{name}s", [])):
            ends = str(value).split("-")
            known = all(end.isdecimal() and int(end) < _PORTS for end in ends) and len(ends) <= 2  # noqa: PLR2004
            if value not in (None, "*") and not known:
                raise bad_request(
                    "SecurityRuleInvalidPortRange",
                    f"Security rule has invalid Port range. Value provided: {value}. Value should be an "
                    "integer OR integer range with '-' delimiter. Valid range 0-65535.",
                )


PROVIDERS = (SecurityGroups, of_type(Embedded, f"{NSG}/securityRules"))
