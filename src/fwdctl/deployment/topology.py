"""What a deployment consists of, and its description in FWD_TOPOLOGY."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from fwdctl.errors import ExitCode, FwdctlError

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = 1
Check = Literal["tcp", "http", "https", "tls", "mssql", "postgres", "banner", "none"]
"""How a target is tested, by the forwarders' agents and by the probe (docs/template.md, "A forward")."""


@dataclass(frozen=True)
class Box:
    """A jump box: `hub` or a spoke's name, its container group, the container in it (empty: not known)."""

    name: str
    group: str
    container: str = ""


@dataclass(frozen=True)
class Hub:
    """The hub's side of the path; a name or address that is not known is empty."""

    box: Box | None
    load_balancer: str = ""
    address: str = ""
    scale_set: str = ""
    link_service: str = ""


@dataclass(frozen=True)
class Spoke:
    """A spoke; `host_name` is the full name that workloads use, `address` the private endpoint's."""

    name: str
    box: Box | None
    endpoint: str = ""
    address: str = ""
    host_name: str = ""
    zone: str = ""


@dataclass(frozen=True)
class Forward:
    """A port that is forwarded.

    Attributes:
        targets: `ip:port` each, none where nobody has told.
        identity_header: HTTP header in which a server says who it is; empty where servers do not.
        server_name: what TLS asks for; empty for the name that clients connect to.
    """

    name: str
    port: int
    targets: tuple[str, ...] = ()
    balance: str = "roundRobin"
    check: str = "tcp"
    check_path: str = "/"
    identity_header: str = ""
    server_name: str = ""


@dataclass(frozen=True)
class Deployment:
    """Everything that a command needs to know before it talks to Azure.

    Attributes:
        subscription_id: None for the login's default.
        spokes: in the template's order, as the forwards.
        source: for people, where this was read.
        complete: False while only the jump boxes are known.
        described: whether FWD_TOPOLOGY says what belongs to it, rather than Azure what is there.
        options: of the command line, with which another command means the same deployment.
    """

    resource_group: str
    subscription_id: str | None
    hub: Hub
    spokes: tuple[Spoke, ...]
    forwards: tuple[Forward, ...]
    source: str
    complete: bool = True
    described: bool = False
    options: tuple[str, ...] = ()

    @property
    def by_azd(self) -> bool:
        """Whether an azd project is in use, as far as this command knows."""
        return "-g" not in self.options

    @property
    def boxes(self) -> tuple[Box, ...]:
        """All jump boxes, the hub's first."""
        found = [self.hub.box, *(spoke.box for spoke in self.spokes)]
        return tuple(box for box in found if box is not None)


def parse(text: str, subscription: str | None, source: str) -> Deployment:
    """A deployment from the JSON whose shape docs/architecture.md §3 gives.

    Raises:
        FwdctlError: `topology_invalid` (exit code 3).
    """
    try:
        return _deployment(json.loads(text), subscription, source)
    except json.JSONDecodeError as error:
        raise _invalid(source, f"it is not JSON ({error})") from error
    except KeyError as error:
        raise _invalid(source, f"{error} is missing") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise _invalid(source, str(error)) from error


def _deployment(document: Any, subscription: str | None, source: str) -> Deployment:
    if not isinstance(document, dict):
        raise TypeError("it is not a JSON object")
    if document.get("version") != VERSION:
        raise ValueError(f"version {document.get('version')!r} is not {VERSION}")
    return Deployment(
        str(document["resourceGroup"]),
        subscription,
        _hub(document.get("hub") or {}),
        tuple(_spoke(spoke) for spoke in document.get("spokes") or ()),
        tuple(_forward(forward) for forward in document.get("forwards") or ()),
        source,
        described=True,
    )


def _hub(entry: Mapping[str, Any]) -> Hub:
    balancer = entry.get("loadBalancer") or {}
    return Hub(
        _box("hub", entry),
        str(balancer.get("name", "")),
        str(balancer.get("address", "")),
        str(entry.get("scaleSet", "")),
        str(entry.get("privateLinkService", "")),
    )


def _spoke(entry: Mapping[str, Any]) -> Spoke:
    endpoint = entry.get("privateEndpoint") or {}
    name = str(entry["name"])
    return Spoke(
        name,
        _box(name, entry),
        str(endpoint.get("name", "")),
        str(endpoint.get("address", "")),
        str(entry.get("hostName", "")),
        str(entry.get("zone", "")),
    )


def _box(name: str, entry: Mapping[str, Any]) -> Box | None:
    group = str(entry.get("jump") or "")
    return Box(name, group, str(entry.get("container") or "")) if group else None


def _forward(entry: Mapping[str, Any]) -> Forward:
    check = str(entry.get("check", "tcp"))
    if check not in get_args(Check):
        raise ValueError(f"check {check!r} is none of {', '.join(get_args(Check))}")
    return Forward(
        str(entry["name"]),
        int(entry["port"]),
        tuple(str(target) for target in entry.get("targets") or ()),
        str(entry.get("balance", "roundRobin")),
        check,
        str(entry.get("checkPath") or "/"),
        str(entry.get("identityHeader") or ""),
        str(entry.get("serverName") or ""),
    )


def _invalid(source: str, why: str) -> FwdctlError:
    return FwdctlError(
        "topology_invalid",
        f"FWD_TOPOLOGY of the {source} cannot be used: {why}.",
        "Run `azd env refresh` (or `azd provision`), or name a --resource-group.",
        exit_code=ExitCode.NOT_FOUND,
    )
