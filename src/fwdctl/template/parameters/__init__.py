"""What a user edits, `infra/main.parameters.json`: read as azd reads it, checked before a deployment."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fwdctl.template.parameters.fields import Field, ParametersError, Problem
from fwdctl.template.parameters.file import read_values
from fwdctl.template.parameters.rules import relate

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Address, IPv4Network
    from pathlib import Path

NAME = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
NAME_RULE = "a name of lower-case letters, digits and hyphens"
ZONE = r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)+"
TARGET_PARTS = 2
HIGHEST_PORT = 65535
READ = (
    "hub",
    "corp",
    "deployOnPremServers",
    "spokes",
    "forwards",
    "dnsZoneName",
    "hostName",
    "forwarder",
    "jump",
)


@dataclass(frozen=True)
class Hub:
    """The network of the forwarders."""

    address_prefix: IPv4Network
    shared_subnet_prefix: IPv4Network
    jump_subnet_prefix: IPv4Network


@dataclass(frozen=True)
class Server:
    """A stand-in for one on-premise server."""

    name: str
    address: IPv4Address
    port: int


@dataclass(frozen=True)
class Corp:
    """The stand-in for the on-premise network, peered with the hub."""

    address_prefix: IPv4Network
    servers: tuple[Server, ...]


@dataclass(frozen=True)
class Spoke:
    """An isolated network whose workloads connect through a private endpoint."""

    name: str
    address_prefix: IPv4Network
    cp_subnet_prefix: IPv4Network
    apps_subnet_prefix: IPv4Network
    jump_subnet_prefix: IPv4Network
    linked_subnet_prefix: IPv4Network
    endpoint_address: IPv4Address
    dns_zone_name: str | None = None


@dataclass(frozen=True)
class Target:
    """Where a forward goes."""

    address: IPv4Address
    port: int

    def __str__(self) -> str:
        return f"{self.address}:{self.port}"


@dataclass(frozen=True)
class Forward:
    """One TCP port that is forwarded."""

    name: str
    port: int
    targets: tuple[Target, ...]
    balance: str = "roundRobin"
    check: str = "tcp"
    check_path: str = "/"

    def to_json(self) -> dict[str, Any]:
        """As in the parameters file, the topology and the agent's configuration; defaults filled in."""
        return {
            "name": self.name,
            "port": self.port,
            "targets": [str(target) for target in self.targets],
            "balance": self.balance,
            "check": self.check,
            "checkPath": self.check_path,
        }


@dataclass(frozen=True)
class Image:
    """A marketplace image."""

    publisher: str
    offer: str
    sku: str
    version: str


@dataclass(frozen=True)
class Forwarder:
    """The forwarder scale set."""

    instance_count: int
    vm_size: str
    image: Image
    health_port: int
    allow_ssh: bool
    automatic_os_upgrade: bool = False


@dataclass(frozen=True)
class Jump:
    """The jump boxes."""

    image: str
    lifetime_seconds: int


@dataclass(frozen=True)
class Parameters:
    """Everything in the parameters file that fwdctl reads; values that only Bicep reads are left to Bicep."""

    hub: Hub
    corp: Corp
    deploy_on_prem_servers: bool
    spokes: tuple[Spoke, ...]
    forwards: tuple[Forward, ...]
    dns_zone_name: str
    host_name: str
    forwarder: Forwarder
    jump: Jump


def load(file: Path, compiled: Path, environment: Mapping[str, str]) -> Parameters:
    """Read and check a parameters file.

    Args:
        file: `infra/main.parameters.json` or one of its shape.
        compiled: `infra/main.json`, whose `defaultValue`s stand in for what the file leaves out.
        environment: the azd environment over the process environment, for `${NAME}`.

    Raises:
        ParametersError: something in it is wrong (exit code 2).
        FwdctlError: a file is missing (3) or not JSON (2).
    """
    problems: list[Problem] = []

    def stop() -> None:
        if problems:
            raise ParametersError(file, tuple(problems))

    values = read_values(file, compiled, READ, environment, problems)
    stop()
    parameters = _parse({name: Field(name, value, problems) for name, value in values.items()})
    stop()
    relate(parameters, problems)
    stop()
    return parameters


def _parse(fields: dict[str, Field]) -> Parameters:
    return Parameters(
        hub=_hub(fields["hub"]),
        corp=_corp(fields["corp"]),
        deploy_on_prem_servers=fields["deployOnPremServers"].boolean(),
        spokes=tuple(_spoke(item) for item in fields["spokes"].items(least=1)),
        forwards=tuple(_forward(item) for item in fields["forwards"].items(least=1)),
        dns_zone_name=fields["dnsZoneName"].text(ZONE, rule="a DNS zone of at least two labels", most=253),
        host_name=fields["hostName"].text(NAME, rule=NAME_RULE, most=63),
        forwarder=_forwarder(fields["forwarder"]),
        jump=_jump(fields["jump"]),
    )


def _hub(field: Field) -> Hub:
    part = field.keys(("addressPrefix", "sharedSubnetPrefix", "jumpSubnetPrefix"))
    return Hub(
        part["addressPrefix"].network(),
        part["sharedSubnetPrefix"].network(),
        part["jumpSubnetPrefix"].network(),
    )


def _corp(field: Field) -> Corp:
    part = field.keys(("addressPrefix", "servers"))
    return Corp(part["addressPrefix"].network(), tuple(_server(item) for item in part["servers"].items()))


def _server(field: Field) -> Server:
    part = field.keys(("name", "address", "port"))
    return Server(
        part["name"].text(NAME, rule=NAME_RULE, most=40),
        part["address"].address(),
        part["port"].integer(1, HIGHEST_PORT),
    )


def _spoke(field: Field) -> Spoke:
    subnets = ("cpSubnetPrefix", "appsSubnetPrefix", "jumpSubnetPrefix", "linkedSubnetPrefix")
    part = field.keys(("name", "addressPrefix", *subnets, "endpointAddress"), ("dnsZoneName",))
    zone = part.get("dnsZoneName")
    return Spoke(
        part["name"].text(NAME, rule=NAME_RULE, most=20),
        part["addressPrefix"].network(),
        part["cpSubnetPrefix"].network(),
        part["appsSubnetPrefix"].network(),
        part["jumpSubnetPrefix"].network(),
        part["linkedSubnetPrefix"].network(),
        part["endpointAddress"].address(),
        zone.text(ZONE, rule="a DNS zone of at least two labels", most=253) if zone else None,
    )


def _forward(field: Field) -> Forward:
    part = field.keys(("name", "port", "targets"), ("balance", "check", "checkPath"))
    return Forward(
        part["name"].text(NAME, rule=NAME_RULE, most=40),
        part["port"].integer(1, HIGHEST_PORT),
        tuple(target for item in part["targets"].items(least=1) if (target := _target(item))),
        part["balance"].choice("roundRobin", "sourceHash") if "balance" in part else "roundRobin",
        part["check"].choice("tcp", "http", "tls", "none") if "check" in part else "tcp",
        part["checkPath"].text(r"/[!-~]*", rule="a path such as /health, without blanks")
        if "checkPath" in part
        else "/",
    )


def _target(field: Field) -> Target | None:
    text = field.text(rule="ADDRESS:PORT such as 192.168.42.65:8000")
    parts = text.rsplit(":", 1)
    if not text:
        return None
    if len(parts) != TARGET_PARTS or not parts[1].isascii() or not parts[1].isdigit():
        field.bad(f"'{text}' is not ADDRESS:PORT", "Write it such as 192.168.42.65:8000.")
        return None
    if re.search(r"[A-Za-z]", parts[0]) and ":" not in parts[0]:
        field.bad(
            f"'{parts[0]}' is a host name; the forwarder's kernel rules know addresses only",
            "Write the server's IPv4 address.",
        )
        return None
    return Target(
        Field(field.path, parts[0], field.problems).address(),
        Field(field.path, int(parts[1]), field.problems).integer(1, HIGHEST_PORT),
    )


def _forwarder(field: Field) -> Forwarder:
    part = field.keys(("instanceCount", "vmSize", "image", "healthPort", "allowSsh"), ("automaticOsUpgrade",))
    image = part["image"].keys(("publisher", "offer", "sku", "version"))
    return Forwarder(
        part["instanceCount"].integer(1, 100),
        part["vmSize"].text(),
        Image(**{name: value.text() for name, value in image.items()}),
        part["healthPort"].integer(1024, HIGHEST_PORT),
        part["allowSsh"].boolean(),
        part["automaticOsUpgrade"].boolean() if "automaticOsUpgrade" in part else False,
    )


def _jump(field: Field) -> Jump:
    part = field.keys(("image", "lifetimeSeconds"))
    return Jump(part["image"].text(), part["lifetimeSeconds"].integer(60, 2_147_483_647))
