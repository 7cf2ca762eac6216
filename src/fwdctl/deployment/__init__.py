"""Where hub, spokes and forwards are: from the azd environment, the process environment, or Azure itself."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fwdctl.errors import ExitCode, FwdctlError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwdctl.azure.arm import Arm
    from fwdctl.runtime import Runtime

VERSION = 1


@dataclass(frozen=True)
class Box:
    """A jump box.

    Attributes:
        name: `hub` or the spoke's name.
        group: its container group.
        container: in the group; empty where it has to be looked up.
    """

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
    """

    name: str
    port: int
    targets: tuple[str, ...] = ()
    balance: str = "roundRobin"
    check: str = "tcp"
    check_path: str = "/"
    identity_header: str = ""


@dataclass(frozen=True)
class Deployment:
    """Everything that a command needs to know before it talks to Azure.

    Attributes:
        resource_group: that holds it all.
        subscription_id: None for the login's default.
        hub: None where no box or load balancer of a hub is known.
        spokes: in the template's order.
        forwards: likewise.
        source: for people, where this was read.
        complete: False while only the jump boxes are known.
    """

    resource_group: str
    subscription_id: str | None
    hub: Hub
    spokes: tuple[Spoke, ...]
    forwards: tuple[Forward, ...]
    source: str
    complete: bool = True

    @property
    def boxes(self) -> tuple[Box, ...]:
        """All jump boxes, the hub's first."""
        found = [self.hub.box, *(spoke.box for spoke in self.spokes)]
        return tuple(box for box in found if box is not None)


@dataclass(frozen=True)
class Place:
    """What locating found: values that name a deployment, and where they stand."""

    values: Mapping[str, str]
    source: str


def locate(runtime: Runtime, *, environment: str | None = None, resource_group: str | None = None) -> Place:
    """Decide which deployment is meant (docs/architecture.md, "Which deployment").

    Raises:
        FwdctlError: there is none: no project, no environment, not provisioned (exit code 3).
    """
    from fwdctl.azd import environment as azd_environment

    process = runtime.environ
    if resource_group:
        return Place({"RESOURCE_GROUP_NAME": resource_group}, "--resource-group")
    if environment:
        chosen = azd_environment.load(runtime, environment)
        chosen.require(["RESOURCE_GROUP_NAME"])
        return Place(chosen.values, f"azd environment '{chosen.name}'")
    try:
        selected = azd_environment.load(runtime)
        own = selected.values.get("AZURE_SUBSCRIPTION_ID", "")
        other = process.get("AZURE_SUBSCRIPTION_ID") or own
        if selected.values.get("RESOURCE_GROUP_NAME") and (not own or own.lower() == other.lower()):
            return Place(selected.values, f"azd environment '{selected.name}'")
        missing = None
    except FwdctlError as error:
        missing = error
    if process.get("RESOURCE_GROUP_NAME"):
        return Place(process, "process environment")
    if missing is not None:
        raise missing
    selected.require(["RESOURCE_GROUP_NAME"])
    raise FwdctlError(
        "subscription_contradicts",
        f"AZURE_SUBSCRIPTION_ID is {other}, but the azd environment '{selected.name}' belongs to {own}.",
        "Unset AZURE_SUBSCRIPTION_ID, or name the environment with --environment.",
        exit_code=ExitCode.NOT_FOUND,
    )


def read(place: Place) -> Deployment:
    """The deployment that values describe, without asking Azure.

    Raises:
        FwdctlError: FWD_TOPOLOGY is not what this version understands (exit code 3).
    """
    values = place.values
    subscription = values.get("AZURE_SUBSCRIPTION_ID") or None
    topology = values.get("FWD_TOPOLOGY")
    if topology:
        return parse(_document(topology, place.source), subscription, place.source)
    hub, spoke = values.get("HUB_JUMP_NAME", ""), values.get("SPOKE_JUMP_NAME", "")
    return Deployment(
        values["RESOURCE_GROUP_NAME"],
        subscription,
        Hub(Box("hub", hub) if hub else None),
        (Spoke("spoke", Box("spoke", spoke)),) if spoke else (),
        (),
        place.source,
        complete=False,
    )


def load(
    runtime: Runtime,
    *,
    environment: str | None = None,
    resource_group: str | None = None,
    announce: bool = True,
) -> tuple[Deployment, Arm]:
    """Locate the deployment, say on stderr which it is, log in, and ask Azure for what is not written down.

    Args:
        runtime: environment and streams.
        environment: name of an azd environment.
        resource_group: wins over everything else.
        announce: False keeps stderr clean for a remote command's own.

    Raises:
        FwdctlError: as `locate`, `read`, `log_in` and `discover`.
    """
    from fwdctl.azure.arm import Arm
    from fwdctl.azure.credential import log_in

    deployment = read(locate(runtime, environment=environment, resource_group=resource_group))
    if announce or runtime.debug:
        runtime.stderr.write(f"Using {deployment.resource_group} ({deployment.source}).\n")
    arm = Arm(log_in(runtime, deployment.subscription_id), runtime)
    return (deployment if deployment.complete else complete(deployment, arm)), arm


def complete(deployment: Deployment, arm: Arm) -> Deployment:
    """Discover what the values did not tell; the boxes that they named keep their roles."""
    from fwdctl.deployment.discover import discover

    named = {box.name: box.group for box in deployment.boxes}
    document = discover(arm, deployment.resource_group, hub_box=named.get("hub", ""))
    found = parse(document, deployment.subscription_id, deployment.source)
    spokes = found.spokes or deployment.spokes
    hub = found.hub if found.hub.box else replace(found.hub, box=deployment.hub.box)
    return replace(found, hub=hub, spokes=spokes)


def _document(text: str, source: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise _invalid(source, f"it is not JSON ({error})") from error
    if not isinstance(document, dict):
        raise _invalid(source, "it is not a JSON object")
    if document.get("version") != VERSION:
        raise _invalid(source, f"version {document.get('version')!r} is not {VERSION}")
    return document


def parse(document: Mapping[str, Any], subscription: str | None, source: str) -> Deployment:
    """A deployment from the document whose shape docs/architecture.md §3 gives.

    Raises:
        FwdctlError: `topology_invalid` (exit code 3).
    """
    try:
        return Deployment(
            str(document["resourceGroup"]),
            subscription,
            _hub(document.get("hub") or {}),
            tuple(_spoke(spoke) for spoke in document.get("spokes") or ()),
            tuple(_forward(forward) for forward in document.get("forwards") or ()),
            source,
        )
    except KeyError as error:
        raise _invalid(source, f"{error} is missing") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise _invalid(source, str(error)) from error


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
    if check not in {"tcp", "http", "tls", "none"}:
        raise ValueError(f"check {check!r} is none of tcp, http, tls, none")
    return Forward(
        str(entry["name"]),
        int(entry["port"]),
        tuple(str(target) for target in entry.get("targets") or ()),
        str(entry.get("balance", "roundRobin")),
        check,
        str(entry.get("checkPath") or "/"),
        str(entry.get("identityHeader") or ""),
    )


def _invalid(source: str, why: str) -> FwdctlError:
    return FwdctlError(
        "topology_invalid",
        f"FWD_TOPOLOGY of the {source} cannot be used: {why}.",
        "Run `azd env refresh` (or `azd provision`), or name a --resource-group.",
        exit_code=ExitCode.NOT_FOUND,
    )
