"""What control plane and data plane share: a stored resource and the node it may stand for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

PLATFORM_ADDRESS = "168.63.129.16"
"""Source of DNS and health probes in Azure (virtual-network/what-is-ip-address-168-63-129-16)."""

METADATA_ADDRESS = "169.254.169.254"
"""Where a machine asks about itself (virtual-machines/instance-metadata-service)."""


@dataclass(frozen=True)
class Nic:
    """One interface of a node.

    Attributes:
        subnet_id: ARM id of its subnet.
        address: its IPv4 address in that subnet.
        backend_pool_ids: ARM ids of the load balancer pools that it is a member of.
        security_group_id: ARM id of its own network security group.
        forwards: may send with addresses that are not its own (enableIPForwarding).
    """

    subnet_id: str
    address: str
    backend_pool_ids: tuple[str, ...] = ()
    security_group_id: str | None = None
    forwards: bool = False


@dataclass(frozen=True)
class ContainerSpec:
    """One container of a group.

    Attributes:
        command: its process; empty for the image's own.
        environment: its variables.
        restarts: how often its restart policy has started it again; one more starts it once more.
    """

    name: str
    command: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    restarts: int = 0


@dataclass(frozen=True)
class NodeSpec:
    """A machine or container that the data plane has to run.

    Two specs with the same `name` and `boot_id` are the same running node: a change of any other field is
    applied to it live. A new `boot_id` discards the node and starts a fresh one (reimage, container start).

    Attributes:
        name: unique in the lab, usable as a host name, e.g. `fwd000002` or `ci-hub-x1`.
        kind: `machine` runs `custom_data` through cloud-init; `container` runs the group's `containers`.
        subnet_id: of its primary interface, as all that `Nic` has; empty for a node without one.
        custom_data: base64 of the machine's customData, empty for none.
        user_data: base64 of the machine's userData, empty for none; the metadata service tells it.
        containers: those of a group, which share the node.
        name_servers: that it asks in the place of the platform's.
        second: a machine's other interface.
        resource_id: ARM id of the resource that it realises.
    """

    name: str
    kind: Literal["machine", "container"]
    subnet_id: str
    address: str
    boot_id: str
    resource_id: str
    custom_data: str = ""
    user_data: str = ""
    containers: tuple[ContainerSpec, ...] = ()
    name_servers: tuple[str, ...] = ()
    backend_pool_ids: tuple[str, ...] = ()
    security_group_id: str | None = None
    forwards: bool = False
    second: Nic | None = None

    @property
    def nics(self) -> tuple[Nic, ...]:
        """Its interfaces, the primary one first."""
        primary = Nic(
            self.subnet_id, self.address, self.backend_pool_ids, self.security_group_id, self.forwards
        )
        return (*((primary,) if self.subnet_id else ()), *((self.second,) if self.second else ()))


@dataclass
class Resource:
    """A resource as the control plane keeps it.

    Attributes:
        id: ARM id in the casing of the first PUT; compared without case.
        type: full type, e.g. `Microsoft.Network/virtualNetworks`.
        document: the ARM JSON that GET answers, read-only properties included.
        secrets: write-only values that GET never answers (customData, userData, secure environment values).
        node: what the data plane runs for it, None for everything that is not a machine or container,
            and while it is stopped.
    """

    id: str
    type: str
    document: dict[str, Any]
    secrets: dict[str, Any] = field(default_factory=dict)
    node: NodeSpec | None = None

    @property
    def name(self) -> str:
        return self.id.rsplit("/", 1)[-1]

    @property
    def properties(self) -> dict[str, Any]:
        """The document's `properties`, never missing."""
        value: dict[str, Any] = self.document.setdefault("properties", {})
        return value


@dataclass(frozen=True)
class Snapshot:
    """The control plane's whole state at one revision, as the data plane reads it.

    Attributes:
        revision: grows with every change.
        documents: every stored ARM document by lower-case id. Children that ARM embeds in their parent
            (subnets, peerings, security rules, load balancer parts, endpoint connections) stand in the parent
            only; DNS records and zone links are documents of their own.
        nodes: every node that should be running.
    """

    revision: int
    documents: dict[str, dict[str, Any]]
    nodes: tuple[NodeSpec, ...]


@dataclass(frozen=True)
class ProbeHealth:
    """What the platform's health probe says of one backend address.

    `state` is `NA` until the first verdict, `reason` Azure's code, e.g. `Down_Probe_HttpStatusCodeError`.
    """

    load_balancer_id: str
    probe: str
    address: str
    state: Literal["Up", "Down", "NA"]
    reason: str
