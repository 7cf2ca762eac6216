"""The agent's configuration: read, checked, and remembered for a start without a network."""

from __future__ import annotations

import base64
import http.client
import json
import re
import sys
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

# Microsoft Learn, virtual-machines/user-data: the machine's own, base64, at most 64 KiB.
USER_DATA = "http://169.254.169.254/metadata/instance/compute/userData?api-version=2021-01-01&format=text"
LARGEST = 65_536
LONGEST = 3600.0  # seconds
VERSION = 1
CHECKS = ("tcp", "http", "https", "tls", "mssql", "postgres", "banner", "none")
_HOST = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9])?)*"
)


@dataclass(frozen=True)
class Forward:
    """A forwarded port; targets are HOST:PORT with an IPv4 address or a name."""

    name: str
    port: int
    targets: tuple[str, ...]
    balance: str = "roundRobin"
    check: str = "tcp"
    check_path: str = "/"
    server_name: str = ""


@dataclass(frozen=True)
class Config:
    """The agent's configuration; intervals in seconds, inbound subnets in CIDR notation."""

    hash: str
    health_port: int
    inbound: tuple[str, ...]
    forwards: tuple[Forward, ...]
    interval: float = 5.0
    config_interval: float = 5.0
    drain: bool = False


def _target(value: str, inbound: tuple[IPv4Network, ...]) -> str:
    host, _, port = value.rpartition(":")
    try:
        refuse_address(IPv4Address(host), inbound)
    except AddressValueError:
        if not _HOST.fullmatch(host) or re.fullmatch(r"[0-9.]+", host):
            raise ValueError(f"target {value!r} is not HOST:PORT") from None
    return f"{host}:{_port(int(port))}"


def refuse_address(address: IPv4Address, inbound: tuple[IPv4Network, ...]) -> None:
    """ValueError for an address that no server outside can have; the forwarders are in an inbound subnet."""
    if address.is_loopback or address.is_unspecified or address.is_multicast or address.is_link_local:
        raise ValueError(f"target {address} is not the address of a server")
    if any(address in network for network in inbound):
        raise ValueError(f"target {address} is inside the forwarders' own network")


def _port(value: Any) -> int:
    if type(value) is not int or not 0 < value < 65536:  # noqa: PLR2004 - TCP's own range
        raise ValueError(f"port {value!r} is not between 1 and 65535")
    return value


def _seconds(value: Any, least: float) -> float:
    if not least <= float(value) <= LONGEST:
        raise ValueError(f"an interval of {value} s is not between {least} s and {LONGEST} s")
    return float(value)


def _forward(item: dict[str, Any], inbound: tuple[IPv4Network, ...]) -> Forward:
    balance, check = item.get("balance", "roundRobin"), item.get("check", "tcp")
    if balance not in {"roundRobin", "sourceHash"} or check not in CHECKS:
        raise ValueError(f"forward {item['name']}: balance {balance} or check {check} is unknown")
    targets = tuple(dict.fromkeys(_target(target, inbound) for target in item["targets"]))
    texts = [str(item["name"]), str(item.get("checkPath") or "/"), str(item.get("serverName") or "")]
    if not targets or any(re.search(r"[^!-~]", text) for text in texts):
        raise ValueError(f"forward {item['name']!r} has no targets, or blanks in a name or path")
    return Forward(texts[0], _port(item["port"]), targets, balance, check, texts[1], texts[2])


def parse_config(document: dict[str, Any]) -> Config:
    """The configuration out of its JSON; ValueError, KeyError or TypeError says what is wrong."""
    if document["version"] != VERSION:
        raise ValueError(
            f"version {document['version']} is not {VERSION}; this agent is too old or too new for it"
        )
    inbound = tuple(dict.fromkeys(IPv4Network(prefix) for prefix in document["inbound"]))
    forwards = tuple(_forward(item, inbound) for item in document["forwards"])
    config = Config(
        str(document["hash"]),
        _port(document["healthPort"]),
        tuple(map(str, inbound)),
        forwards,
        _seconds(document.get("checkInterval", 5), 0.1),
        _seconds(document.get("configInterval", 5), 1.0),
        document.get("drain") is True,
    )
    ports = [config.health_port, *(forward.port for forward in forwards)]
    names = [forward.name for forward in forwards]
    if len(set(ports)) < len(ports) or len(set(names)) < len(names):
        raise ValueError(f"two of the ports {ports} or of the names {names} are the same")
    return config


def read(source: str, seconds: float = 3.0) -> str:
    """The text of a file, or user data decoded; OSError or ValueError where there is none."""
    if not source.startswith("http"):
        return Path(source).read_text(encoding="utf-8")
    request = urllib.request.Request(source, headers={"Metadata": "true"})  # noqa: S310 - http only, see above
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=seconds) as answer:
            encoded = answer.read(2 * LARGEST)
    except http.client.HTTPException as error:
        raise OSError(f"{type(error).__name__}: {error}") from error
    if not encoded.strip():
        raise ValueError("the machine has no user data")
    return base64.b64decode(encoded, validate=True).decode("utf-8")


def parse_text(text: str) -> Config:
    """A configuration from its text; ValueError says in a line what is wrong."""
    if len(text.encode()) > LARGEST:
        raise ValueError(f"the configuration is larger than {LARGEST} bytes")
    try:
        document = json.loads(text)
        return parse_config(document)
    except KeyError as error:
        raise ValueError(f"{error} is missing") from error
    except (TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"the configuration has another shape: {error}") from error


def log(message: str) -> None:
    """One line to the journal."""
    sys.stderr.write(message + "\n")
    sys.stderr.flush()


def remember(file: Path, text: str) -> None:
    """Keep a text for the next start, which goes without it where the disk takes nothing."""
    with suppress(OSError):
        new = file.with_suffix(".new")
        new.write_text(text, encoding="utf-8")
        new.replace(file)


def recall(file: Path) -> Any:
    """What was remembered as JSON, None where there is none."""
    with suppress(OSError, ValueError):
        return json.loads(file.read_text(encoding="utf-8"))
    return None
