"""What a deployment consists of, and its description in FWD_TOPOLOGY."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from fwdctl.azure.documents import name_of, place_of
from fwdctl.errors import FwdctlError, MissingError, UsageError

VERSION = 1
Check = Literal["tcp", "http", "https", "tls", "mssql", "postgres", "banner", "none"]
"""How a target is tested, by the forwarders' agents and by the probe (docs/template.md, "A forward")."""
RESERVED = {"hub", "spoke", "all"}
"""Words that mean jump boxes by what they are for."""


@dataclass(frozen=True)
class Box:
    """A jump box: `hub` or a spoke's name, its container group, the container in it (empty: not known).

    Resource group and subscription are empty where they are the deployment's.
    """

    name: str
    group: str
    container: str = ""
    resource_group: str = ""
    subscription_id: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.group})"


@dataclass(frozen=True)
class Hub:
    """The hub's side of the path; a name or address that is not known is empty.

    Attributes:
        label: how its paths begin.
        resource_group, subscription_id: of the load balancer; empty where they are the deployment's.
    """

    box: Box | None
    load_balancer: str = ""
    address: str = ""
    scale_set: str = ""
    link_service: str = ""
    label: str = "hub"
    resource_group: str = ""
    subscription_id: str = ""
    health_port: int = 0


@dataclass(frozen=True)
class Spoke:
    """A spoke; `host_name` is the full name that workloads use, `address` the private endpoint's.

    Attributes:
        endpoint_id: where it was read from ARM.
        unknown: why it cannot be tested; empty where it can.
    """

    name: str
    box: Box | None
    endpoint: str = ""
    address: str = ""
    host_name: str = ""
    zone: str = ""
    endpoint_id: str = ""
    unknown: str = ""


@dataclass(frozen=True)
class Forward:
    """A port that is forwarded.

    Attributes:
        targets: `ip:port` each, none where nobody has told.
        identity_header: HTTP header in which a server says who it is; empty where servers do not.
        server_name: what TLS asks for; empty for the name that clients connect to.
        host_names: parts that, before a spoke's zone, are its own names there; none for the spoke's one name.
        address: of the load balancer's frontend, where it is not the hub's.
        unknown: why `port` is 0, which stands for ports that have to be named.
        ports: those that are taken for named where nobody names one.
    """

    name: str
    port: int
    targets: tuple[str, ...] = ()
    balance: str = "roundRobin"
    check: str = "tcp"
    check_path: str = "/"
    identity_header: str = ""
    server_name: str = ""
    host_names: tuple[str, ...] = ()
    address: str = ""
    unknown: str = ""
    ports: tuple[int, ...] = ()

    def at(self, ports: Sequence[int]) -> tuple[Forward, ...]:
        """What is left of it when some ports are asked for: one forward each where its own is not known."""
        if self.port:
            return (self,) if not ports or self.port in ports else ()
        named = [replace(self, name=f"{self.name}-{n}", port=n, unknown="") for n in ports or self.ports]
        return tuple(named) or (self,)


@dataclass(frozen=True)
class Deployment:
    """Everything that a command needs to know before it talks to Azure.

    Attributes:
        subscription_id: None for the login's default.
        spokes: in the template's order, as the forwards.
        source: for people, where this was read.
        others: the rest of the resource group, where it has several link services: one for each.
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
    others: tuple[Deployment, ...] = ()
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
        return _distinct((*self.hub_boxes, *self.spoke_boxes))

    @property
    def parts(self) -> tuple[Deployment, ...]:
        """What can be looked at by itself: one link service with its load balancer and its spokes."""
        others = (replace(other, options=self.options) for other in self.others)
        return (replace(self, others=()), *others)

    @property
    def hub_boxes(self) -> tuple[Box, ...]:
        return _distinct(part.hub.box for part in self.parts)

    @property
    def spoke_boxes(self) -> tuple[Box, ...]:
        return _distinct(spoke.box for part in self.parts for spoke in part.spokes)

    def at(self, ports: Sequence[int]) -> Deployment:
        """The deployment with the forwards of some ports only; all of them where none is named.

        Raises:
            FwdctlError: `port_not_forwarded` (exit code 2).
        """
        parts = [replace(part, forwards=_at(part.forwards, ports)) for part in self.parts]
        taken = {forward.port for part in parts for forward in part.forwards}
        strange = [str(port) for port in ports if port not in taken]
        if strange:
            known = sorted({forward.port for part in self.parts for forward in part.forwards})
            raise UsageError(
                "port_not_forwarded",
                f"Port {', '.join(strange)} is not forwarded in resource group '{self.resource_group}'.",
                f"Name one of {', '.join(map(str, known))}, or leave --port out." if known else "",
            )
        return replace(parts[0], others=tuple(parts[1:]))


def _at(forwards: Iterable[Forward], ports: Sequence[int]) -> tuple[Forward, ...]:
    return tuple(left for forward in forwards for left in forward.at(ports))


def _distinct(boxes: Iterable[Box | None]) -> tuple[Box, ...]:
    return tuple(dict.fromkeys(box for box in boxes if box is not None))


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
    named = str(balancer.get("name", ""))
    return Hub(
        _box("hub", entry),
        name_of(named),
        str(balancer.get("address", "")),
        name_of(entry.get("scaleSet", "")),
        name_of(entry.get("privateLinkService", "")),
        health_port=int(entry.get("healthPort") or 0),
        **_place(named),
    )


def _spoke(entry: Mapping[str, Any]) -> Spoke:
    endpoint = entry.get("privateEndpoint") or {}
    name, named = str(entry["name"]), str(endpoint.get("name", ""))
    return Spoke(
        name,
        _box(name, entry),
        name_of(named),
        str(endpoint.get("address", "")),
        str(entry.get("hostName", "")),
        str(entry.get("zone", "")),
        endpoint_id=named if "/" in named else "",
    )


def _box(name: str, entry: Mapping[str, Any]) -> Box | None:
    named = str(entry.get("jump") or "")
    container = str(entry.get("container") or "")
    return Box(name, name_of(named), container, **_place(named)) if named else None


def _place(named: str) -> dict[str, str]:
    """Where a resource is that is named by its id; nothing where only its name is known."""
    subscription, group = place_of(named)
    return {"subscription_id": subscription, "resource_group": group} if group else {}


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
        tuple(str(name) for name in entry.get("hostNames") or ()),
    )


def _invalid(source: str, why: str) -> FwdctlError:
    return MissingError(
        "topology_invalid",
        f"FWD_TOPOLOGY of the {source} cannot be used: {why}.",
        "Run `azd env refresh` (or `azd provision`), or name a --resource-group.",
    )
