"""The parameters as models: which keys there are, their types and ranges."""

from __future__ import annotations

import re
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    StrictBool,
    StrictInt,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel

from fwdctl.deployment.topology import Check  # noqa: TC001 - pydantic reads annotations at run time
from fwdctl.template.parameters.problems import did_you_mean, shown, wrong

HIGHEST_PORT = 65_535
LONGEST_NAME = 253
HIGHEST_FORWARDED_PORT = 65_534
"""Azure takes 1 to 65534 as a rule's frontend port (azure-mgmt-network, LoadBalancingRule)."""
UNUSABLE = {
    IPv4Network("0.0.0.0/8"): "means this machine",
    IPv4Network("127.0.0.0/8"): "is a machine's own (loopback)",
    IPv4Network("169.254.0.0/16"): "is for link-local addresses",
    IPv4Network("224.0.0.0/4"): "is for multicast",
    IPv4Network("240.0.0.0/4"): "is reserved",
    IPv4Network("168.63.129.16/32"): "is Azure's own (DNS, DHCP, probes)",
}
"""Ranges in which no server and no subnet can be (azure-docs, virtual-networks-faq)."""


def string(**more: Any) -> WithJsonSchema:
    """What a JSON schema says of a text."""
    return WithJsonSchema({"type": "string", **more})


def _port(most: int) -> WithJsonSchema:
    return WithJsonSchema({"type": "integer", "minimum": 1, "maximum": most})


def _text(pattern: str, words: str) -> PlainValidator:
    """A string that matches a pattern as a whole; `words` say what the pattern asks for."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise wrong(f"{shown(value)} is not {words}", f"Write {words}.")
        return value

    return PlainValidator(check)


def _check_range(value: int, least: int, most: int) -> int:
    if not least <= value <= most:
        raise wrong(f"{value} is not between {least} and {most}", f"Write a number from {least} to {most}.")
    return value


def _between(least: int, most: int) -> AfterValidator:
    return AfterValidator(partial(_check_range, least=least, most=most))


def _check_forwarded_port(value: int) -> int:
    if value == HIGHEST_PORT:
        text = f"{value} cannot be forwarded: Azure's load balancer takes 1 to {HIGHEST_FORWARDED_PORT}"
        raise wrong(text, "Choose another port; a target may listen on it.")
    return _check_range(value, 1, HIGHEST_FORWARDED_PORT)


def _check_filled(items: tuple[Any, ...]) -> tuple[Any, ...]:
    # Not by pydantic's min_length, which calls a list empty too when none of its elements is valid.
    if not items:
        raise wrong("is empty", "List at least one.")
    return items


def _no_expression(value: Any) -> Any:
    """None for what only Azure works out: a default that is a function of the template."""
    return None if isinstance(value, str) and value.startswith("[") else value


def _no_full_name(value: Any) -> Any:
    if isinstance(value, str) and "." in value:
        text = f"{shown(value)} is a full name; each spoke has the name in its own zone"
        raise wrong(text, f"Write {shown(value.partition('.')[0])}.")
    return value


def _address(value: Any) -> IPv4Address:
    try:
        return IPv4Address(value if isinstance(value, str) else "")
    except ValueError as error:
        raise wrong(f"{shown(value)} is not an IPv4 address", "Write one such as 192.168.42.65.") from error


def _network(value: Any) -> IPv4Network:
    """An IPv4 range in CIDR notation without host bits, as Azure asks, from /8 to /29."""
    try:
        network = IPv4Network(value if isinstance(value, str) else "", strict=False)
    except ValueError as error:
        raise wrong(f"{shown(value)} is not an IPv4 range", "Write one such as 10.0.1.0/24.") from error
    if str(network) != value:
        raise wrong(f"{shown(value)} is not written as Azure asks", f"Write {network}.")
    if not 8 <= network.prefixlen <= 29:  # noqa: PLR2004 - Azure's limits for a subnet and a private range
        raise wrong(f"{value} has the wrong size", "Azure takes /8 to /29 here.")
    _check_usable(value, network)
    return network


def _check_usable(shown_value: str, network: IPv4Network) -> None:
    for unusable, why in UNUSABLE.items():
        if network.overlaps(unusable):
            text = f"{shown_value} cannot be used: {unusable} {why}"
            raise wrong(text, "Choose another, such as one of 10.0.0.0/8.")


class Target(NamedTuple):
    """Where a forward goes; written `HOST:PORT`, with an IPv4 address or a full DNS name."""

    host: IPv4Address | str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def _target(value: Any) -> Target:
    parts = re.fullmatch(r"(.*):([0-9]{1,9})", value) if isinstance(value, str) else None
    if parts is None:
        raise wrong(f"{shown(value)} is not HOST:PORT", "Write it such as 192.168.42.65:8000.")
    return Target(_host(parts[1]), _check_range(int(parts[2]), 1, HIGHEST_PORT))


def _host(text: str) -> IPv4Address | str:
    if re.fullmatch(r"[0-9.]*", text):
        address = _address(text)
        _check_usable(text, IPv4Network(address))
        return address
    # The top label begins with a letter: resolvers read 0x7f.1 as an address.
    if len(text) > LONGEST_NAME or not re.fullmatch(rf"({_TARGET_LABEL}\.)*(?=[a-z]){_TARGET_LABEL}", text):
        problem = f"{shown(text)} is neither an IPv4 address nor a host name in lower-case letters"
        raise wrong(problem, "Write one such as 192.168.42.65 or db.example.com, then : and the port.")
    if text.rpartition(".")[2] == "localhost":
        raise wrong(f"{text} cannot be used: it is each machine itself", "Write a server's name or address.")
    if "." not in text:
        problem = f"{text} is a name without a domain: what it means depends on each machine's settings"
        raise wrong(problem, f"Write the full name, such as {text}.example.com.")
    return text


_TARGET_LABEL = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?"
_LABEL = "[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?"
_NAME = _text("[a-z0-9]([a-z0-9-]*[a-z0-9])?", "a name of lower-case letters, digits and hyphens")
_ZONE = _text(rf"{_LABEL}(\.{_LABEL})+", "a DNS zone of at least two labels")
_HOST_NAME = _text(rf"{_LABEL}(\.{_LABEL})*", "a host name in lower-case letters")
_PATH = _text("/[!-~]*", "a path such as /health, without blanks")
_HEADER = _text("[A-Za-z0-9-]+", "a header name of letters, digits and hyphens")
_SUBNET_NAME = _text("[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9_])?", "a name such as data")
_TYPE = _text(r"[A-Za-z]+(\.[A-Za-z]+)+/[A-Za-z]+", "a service such as Microsoft.Web/serverFarms")
_NETWORK_ID = "(?i)/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft.Network/"
_ROUTE_TABLE = _text(rf"{_NETWORK_ID}routeTables/[^/]+", "the resource id of a route table")
_ZONE_ID = _text(rf"{_NETWORK_ID}privateDnsZones/[^/]+", "the resource id of a private DNS zone")
_SUBNET_ID = _text(rf"{_NETWORK_ID}virtualNetworks/[^/]+/subnets/[^/]+", "the resource id of a subnet")
_ACTION_GROUP = _text(
    "(?i)/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft.Insights/actionGroups/[^/]+",
    "the resource id of an action group",
)
_EMAIL = _text(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+", "an e-mail address")
_ZONE_NUMBER = _text("[1-9]", 'the number of a zone, such as "1"')
_GUID = _text("(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "the id of a subscription")
_FILLED = AfterValidator(_check_filled)

Text = Annotated[str, _text("(?s).+", "text that is not empty"), string(minLength=1)]
Name = Annotated[str, _NAME, Field(max_length=40)]
Zone = Annotated[str, _ZONE, Field(max_length=LONGEST_NAME)]
HostName = Annotated[str, _HOST_NAME, Field(max_length=LONGEST_NAME), string(format="hostname")]
SubnetId = Annotated[str, _SUBNET_ID]
HostPart = Annotated[str, _NAME, Field(max_length=63), BeforeValidator(_no_full_name)]
Port = Annotated[StrictInt, _between(1, HIGHEST_PORT), _port(HIGHEST_PORT)]
ForwardedPort = Annotated[StrictInt, AfterValidator(_check_forwarded_port), _port(HIGHEST_FORWARDED_PORT)]
Address = Annotated[IPv4Address, PlainValidator(_address), string(format="ipv4")]
Network = Annotated[IPv4Network, PlainValidator(_network)]
TargetText = Annotated[Target, PlainValidator(_target), PlainSerializer(str), string(pattern="^.+:[0-9]+$")]


class Part(BaseModel):
    """An object of the parameters file."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel)

    @model_validator(mode="before")
    @classmethod
    def _check_keys(cls, value: Any) -> Any:
        known = {field.alias or "": field.is_required() for field in cls.model_fields.values()}
        required = [name for name, needed in known.items() if needed]
        if not isinstance(value, dict):
            raise wrong(f"{shown(value)} is not an object", f"Write {{...}} with {', '.join(required)}.")
        if unknown := [name for name in value if name not in known]:
            suggestion = did_you_mean(unknown[0], known, f"Known: {', '.join(known)}.")
            raise wrong("is not a known key", suggestion, unknown[0])
        if missing := ", ".join(name for name in required if name not in value):
            raise wrong(f"lacks {missing}", f"Add {missing}.")
        return value


class ExtraSubnet(Part):
    name: Annotated[str, _SUBNET_NAME, Field(max_length=80)]
    address_prefix: Network
    delegation: Annotated[str, _TYPE] | None = None


class NetworkPart(Part):
    """A network with its subnets."""

    extra_subnets: tuple[ExtraSubnet, ...] = ()
    dns_servers: tuple[Address, ...] = ()
    route_table_id: Annotated[str, _ROUTE_TABLE] | None = None

    @property
    def own_subnets(self) -> dict[str, IPv4Network]:
        """The template's, by their key in the parameters file."""
        names = [name for name in type(self).model_fields if name.endswith("_subnet_prefix")]
        given = {to_camel(name): getattr(self, name) for name in names}
        return {name: prefix for name, prefix in given.items() if prefix is not None}

    @property
    def subnets(self) -> dict[str, IPv4Network]:
        """All of them, by their key."""
        more = {
            f"extraSubnets[{index}].addressPrefix": each.address_prefix
            for index, each in enumerate(self.extra_subnets)
        }
        return self.own_subnets | more


class ExistingHub(Part):
    subnet_id: SubnetId
    jump_subnet_id: SubnetId | None = None
    nat_subnet_id: SubnetId | None = None


class Hub(NetworkPart):
    """The hub; the ranges of an existing one say what it is."""

    existing: ExistingHub | None = None
    egress: Literal["natGateway", "none", "existing"] | None = None
    jump: StrictBool = True
    address_prefix: Network
    shared_subnet_prefix: Network
    jump_subnet_prefix: Network
    nat_subnet_prefix: Network | None = None


class ExistingSpoke(Part):
    endpoint_subnet_id: SubnetId
    jump_subnet_id: SubnetId | None = None
    dns_zone_id: Annotated[str, _ZONE_ID] | None = None


class Spoke(NetworkPart):
    """A spoke; one that the template makes has all ranges, an existing one none."""

    name: Annotated[str, _NAME, Field(max_length=20)]
    existing: ExistingSpoke | None = None
    jump: StrictBool = True
    address_prefix: Network | None = None
    cp_subnet_prefix: Network | None = None
    apps_subnet_prefix: Network | None = None
    apps_delegation: Annotated[str, _TYPE] | None = None
    jump_subnet_prefix: Network | None = None
    linked_subnet_prefix: Network | None = None
    endpoint_address: Address
    dns_zone_name: Zone


class Server(Part):
    name: Name
    address: Address
    port: Port


class Corp(Part):
    address_prefix: Network
    servers: tuple[Server, ...]


class Forward(Part):
    """One TCP port that is forwarded.

    Attributes:
        identity_header: HTTP header in which a server says who it is.
        server_name: what TLS asks for (SNI); the servers choose their certificate by it.
    """

    name: Name
    port: ForwardedPort
    targets: Annotated[tuple[TargetText, ...], _FILLED]
    host_names: tuple[HostPart, ...] = ()
    balance: Literal["roundRobin", "sourceHash"] = "roundRobin"
    check: Check = "tcp"
    check_path: Annotated[str, _PATH] = "/"
    identity_header: Annotated[str, _HEADER] | None = None
    server_name: HostName | None = None


class Image(Part):
    publisher: Text
    offer: Text
    sku: Text
    version: Text


class Forwarder(Part):
    instance_count: Annotated[StrictInt, _between(1, 100)]
    vm_size: Text
    image: Image
    health_port: Annotated[StrictInt, _between(1024, HIGHEST_PORT)]
    allow_ssh: StrictBool
    automatic_os_upgrade: StrictBool = False
    encryption_at_host: StrictBool = False


class LinkService(Part):
    """Who may use the link service; without `subscriptions` the deployment's own one."""

    visibility: Literal["rbac", "subscriptions", "anyone"] = "subscriptions"
    subscriptions: tuple[Annotated[str, _GUID], ...] | None = None
    auto_approval: tuple[Annotated[str, _GUID], ...] | None = None
    nat_addresses: Annotated[StrictInt, _between(1, 8)] = 1
    fqdns: tuple[Zone, ...] = ()


class Alerts(Part):
    """Who is told; nobody without one of them."""

    email: Annotated[str, _EMAIL, Field(max_length=254)] | None = None
    action_group_id: Annotated[str, _ACTION_GROUP] | None = None


class Jump(Part):
    image: Text
    lifetime_seconds: Annotated[StrictInt, _between(60, 2_147_483_647)]
    unattended_seconds: Annotated[StrictInt, _between(300, 2_147_483_647)] = 600


class Parameters(Part):
    """Everything in the parameters file that fwdctl reads; values that only Bicep reads are left to Bicep."""

    hub: Hub
    corp: Corp
    deploy_on_prem_servers: StrictBool
    spokes: tuple[Spoke, ...]
    forwards: Annotated[tuple[Forward, ...], _FILLED]
    host_name: HostPart
    link_service: LinkService
    alerts: Alerts
    forwarder: Forwarder
    jump: Jump
    availability_zones: Annotated[
        tuple[Annotated[str, _ZONE_NUMBER], ...] | None, BeforeValidator(_no_expression)
    ]
    admin_username: Text
