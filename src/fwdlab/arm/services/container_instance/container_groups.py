"""Container groups: create, start, stop, restart, logs and the door to exec.

The containers of a group share a node: its network, as in Azure, and its files, as only the lab does it.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fwdlab.arm.errors import ArmError
from fwdlab.arm.ids import ResourceId, reference_id
from fwdlab.arm.operations import Operation, Outcome
from fwdlab.arm.services.base import Actions, Provider, Views, bad_request, index_of, part_of
from fwdlab.arm.services.compute.machines import new_boot_id, node_name
from fwdlab.arm.services.container_instance.secure_values import take_secrets
from fwdlab.arm.services.container_instance.views import add_event, end, in_state, is_running, restarted
from fwdlab.arm.services.embedded import Embedded
from fwdlab.arm.services.network.addresses import allocate, name_servers
from fwdlab.arm.services.network.public_addresses import free_address
from fwdlab.arm.services.shapes import body, decimal, items, named, number, optional, reference, secret, text
from fwdlab.errors import LabError
from fwdlab.model import PLATFORM_ADDRESS, ContainerSpec, NodeSpec, Resource

if TYPE_CHECKING:
    from collections.abc import Iterator

GROUP = "Microsoft.ContainerInstance/containerGroups"
_PORT = optional(port=number(), protocol=text(None, "TCP", "UDP"))
_AMOUNT = optional(cpu=decimal(), memoryInGB=decimal())
_POLICIES = ("Always", "OnFailure", "Never")


class ContainerGroups(Provider):
    """Groups of containers.

    What the service answers to start, stop and restart was recorded from real traffic: start of a stopped
    group 204 with `Azure-AsyncOperation` and no `Retry-After`; start of a running one a bare 204; stop 204
    at once.
    """

    type = GROUP
    transition = "Pending"
    derived = ("instanceView",)
    shape = body(
        sku=text("Standard"),
        osType=text(
            "Linux", "Linux", code="LabOsTypeNotSupported", message="{place}: the lab has no '{value}'."
        ),
        restartPolicy=text(
            "Always",
            *_POLICIES,
            code="InvalidRestartPolicy",
            message="The restart policy '{value}' is invalid. It must be one of {choices}.",
        ),
        dnsConfig=optional(nameServers=items(text())),
        containers=named(
            image=text(required=True, code="InvalidRequestContent"),
            command=items(text()),
            ports=items(_PORT, default=[]),
            resources=optional(requests=_AMOUNT, limits=_AMOUNT),
            environmentVariables=items(
                optional(name=text(required=True), value=text(), secureValue=text()), default=[]
            ),
        ),
        initContainers=items(
            optional(properties=optional(environmentVariables=items(optional(secureValue=secret())))),
            default=[],
            ignored="init containers have no effect in the lab",
        ),
        volumes=items(
            optional(azureFile=optional(storageAccountKey=secret()), secret=optional()),
            ignored="volumes have no effect in the lab",
        ),
        subnetIds=items(reference(), default=[]),
        ipAddress=optional(type=text(None, "Public", "Private"), ports=items(_PORT), dnsNameLabel=text()),
        networkProfile=optional(),
        diagnostics=optional(logAnalytics=optional(workspaceKey=secret())),
        imageRegistryCredentials=items(optional(password=secret())),
    )

    @cached_property
    def actions(self) -> Actions:
        return {"start": self._start, "stop": self._stop, "restart": self._restart}

    def validate(self, resource_id: ResourceId, document: dict[str, Any]) -> None:
        """At least one container, each with a name of its own; a subnet for a private address."""
        properties = document["properties"]
        names = [container["name"] for container in properties["containers"]]
        if not names or len(set(names)) < len(names):
            raise bad_request(
                "LabContainersNotValid", f"{resource_id} must have containers with names of their own."
            )
        if "networkProfile" in properties:
            raise bad_request(
                "LabNetworkProfileNotSupported",
                f"{resource_id} has a networkProfile, which Azure has replaced. Give it `subnetIds` instead.",
            )
        if properties.get("ipAddress", {}).get("type") == "Private" and not properties["subnetIds"]:
            raise bad_request(
                "LabPrivateAddressNeedsSubnet", f"{resource_id} has a private address and no subnetIds."
            )

    def not_honoured(self, document: dict[str, Any]) -> Iterator[str]:
        yield from super().not_honoured(document)
        if document["properties"].get("ipAddress", {}).get("type") == "Public":
            yield f"{document['id']}: there is no internet in the lab, so its public address leads nowhere"

    def build(self, document: dict[str, Any], old: Resource | None) -> Resource:
        """Start it; a group whose definition is unchanged keeps running, or stays as it ended.

        Azure updates no group that has ended by itself, and moves none (azure-docs,
        container-instances-update; the codes are the lab's own).
        """
        _refuse_in_transition(old)
        document["properties"]["isCreatedFromStandbyPool"] = False
        secrets = {"environment": take_secrets(document["properties"], old)}
        for container in document["properties"]["containers"]:
            container["properties"].pop("instanceView", None)
        group = Resource(document["id"], GROUP, document, secrets)
        if old is None or _definition(old) != _definition(group):
            _refuse_update(old, group)
            return self._running(group)
        for name in ("instanceView", "ipAddress"):
            if name in old.properties:
                document["properties"][name] = copy.deepcopy(old.properties[name])
        for container, before in zip(
            document["properties"]["containers"], old.properties["containers"], strict=True
        ):
            container["properties"]["instanceView"] = copy.deepcopy(before["properties"]["instanceView"])
        return replace(group, node=old.node)

    def _running(self, group: Resource) -> Resource:
        """The group with a fresh boot: a new node, perhaps with another address, as in the service."""
        document = copy.deepcopy(group.document)
        properties = document["properties"]
        subnet, address = "", ""
        if properties["subnetIds"]:
            subnet = reference_id(properties["subnetIds"][0])
            self._check_delegated(subnet, group.id)
            address = allocate(self.store, subnet, None, group.id, group.id)
        self._give_address(document, address)
        node = NodeSpec(
            name=node_name(self.store, group.name, group.id),
            kind="container",
            subnet_id=subnet,
            address=address,
            boot_id=new_boot_id(),
            resource_id=group.id,
            containers=tuple(_containers(group)),
            name_servers=self._name_servers(properties, subnet),
        )
        return replace(group, document=in_state(document, "Running"), node=node)

    def _give_address(self, document: dict[str, Any], address: str) -> None:
        """Let a group show its address: the one in its subnet, or a public one where it asks for that."""
        properties = document["properties"]
        shown = properties.get("ipAddress", {})
        exposed = [port for one in properties["containers"] for port in one["properties"]["ports"]]
        ports = shown.get("ports") or exposed
        if address:
            properties["ipAddress"] = {**shown, "type": "Private", "ip": address, "ports": ports}
        elif shown:
            properties["ipAddress"] = {
                **shown,
                "ip": shown.get("ip") or free_address(self.store),
                "ports": ports,
            }
            if "dnsNameLabel" in shown:
                name = f"{shown['dnsNameLabel']}.{document['location']}.azurecontainer.io"
                properties["ipAddress"]["fqdn"] = name

    def _name_servers(self, properties: dict[str, Any], subnet: str) -> tuple[str, ...]:
        """Whom a group asks for names.

        `dnsConfig`, and after it always the platform (azure-docs, container-instances-custom-dns). Without it
        Azure asks the platform alone; the lab asks as the network's machines do: one sees what they see.
        """
        own = (properties.get("dnsConfig") or {}).get("nameServers")
        return (*own, PLATFORM_ADDRESS) if own else name_servers(self.store, subnet)

    def _check_delegated(self, subnet_id: str, user: str) -> None:
        """A group's subnet must be delegated (azure-docs, virtual-network-concepts)."""
        _, subnet = part_of(self.store, "subnets", subnet_id, user)
        delegations = subnet["properties"]["delegations"]
        services = [one["properties"].get("serviceName", "").lower() for one in delegations]
        if GROUP.lower() not in services:
            raise bad_request(
                "SubnetMissingRequiredDelegation",
                f"Subnet {subnet_id} requires the delegation {GROUP} to be used by {user}.",
            )

    def _start(self, resource_id: ResourceId, _body: Any) -> Outcome:
        group = self.store.require(resource_id.text)
        _refuse_in_transition(group)
        return Outcome(204) if _state(group) == "Running" else self._boot(group)

    def _restart(self, resource_id: ResourceId, _body: Any) -> Outcome:
        group = self.store.require(resource_id.text)
        _refuse_in_transition(group)
        if _state(group) != "Running":
            raise _stopped(group)
        return self._boot(group)

    def _boot(self, group: Resource) -> Outcome:
        location = group.document["location"]
        operation = Operation(
            "async",
            f"/subscriptions/{group.id.split('/')[2]}/providers/Microsoft.ContainerInstance/locations/"
            f"{location}/operations",
            status="Pending",
        )
        operation.document = {"id": f"{group.id}/operations/{operation.id}", "properties": {"events": []}}
        self.store.put(replace(group, document=in_state(group.document, "Pending"), node=None))
        seconds = self.world.settings.start_seconds
        self.world.perform(lambda: self._finish_boot(group.id, operation), operation, seconds)
        return Outcome(204, None, operation)

    def _finish_boot(self, group_id: str, operation: Operation) -> None:
        """Bring a pending group up, or to where the fault says; one stopped or deleted meanwhile stays so."""
        group = self.store.get(group_id)
        if group is None or _state(group) != "Pending":
            message = "The container group was changed while it started."
            operation.fail(ArmError(409, "OperationAborted", message))
            return
        try:
            self._refuse_by_fault()
            self.store.put(self._running(group))
        except ArmError as error:
            document = in_state(group.document, "Failed")
            for container in document["properties"]["containers"]:
                add_event(container, "Failed", "Warning", error.message)
            self.store.put(replace(group, document=document, node=None))
            operation.fail(error)

    def _refuse_by_fault(self) -> None:
        if self.world.settings.start_error is not None:
            raise bad_request(*self.world.settings.start_error)

    def _stop(self, resource_id: ResourceId, _body: Any) -> Outcome:
        """Discard the containers; no effect on a group that has ended by itself (azure-docs, stop-start)."""
        group = self.store.require(resource_id.text)
        _refuse_in_transition(group)
        if _state(group) not in {"Succeeded", "Failed"}:
            self.store.put(replace(group, document=in_state(group.document, "Stopped"), node=None))
        return Outcome(204)

    def ended(self, node: str, boot: str, container: ContainerSpec, exit_code: int) -> None:
        """A container's own process has ended: restart it, or let it and perhaps its group be over."""
        for group in self.store.list(type=GROUP):
            known = group.node
            if (
                known is not None
                and (known.name, known.boot_id) == (node, boot)
                and container in known.containers
            ):
                self.store.put(self._after_end(group, known, container, exit_code))

    def _after_end(self, group: Resource, node: NodeSpec, ended: ContainerSpec, exit_code: int) -> Resource:
        """By the group's policy; the node stays while a container runs (azure-docs, restart-policy)."""
        policy, document = group.properties["restartPolicy"], copy.deepcopy(group.document)
        containers = document["properties"]["containers"]
        position = node.containers.index(ended)
        end(containers[position], exit_code)
        if policy == "Always" or (policy == "OnFailure" and exit_code):
            restarted(containers[position])
            again = list(node.containers)
            again[position] = replace(ended, restarts=ended.restarts + 1)
            return replace(group, document=document, node=replace(node, containers=tuple(again)))
        if any(map(is_running, containers)):
            return replace(group, document=document)
        states = [one["properties"]["instanceView"]["currentState"] for one in containers]
        failed = any(state["exitCode"] for state in states)
        return replace(group, document=in_state(document, "Failed" if failed else "Succeeded"), node=None)

    def delete(self, resource_id: ResourceId) -> Outcome:
        """Answer with the last document, as the service does."""
        group = self.store.get(resource_id.text)
        if group is None:
            return Outcome(204)
        self.store.delete(group.id)
        return Outcome(200, self.rendered(group))


class Containers(Embedded):
    """Logs; exec is a web socket and stands in `arm/exec.py`."""

    type = f"{GROUP}/containers"

    @cached_property
    def views(self) -> Views:
        return {"logs": self._logs}

    def running(self, resource_id: ResourceId) -> tuple[NodeSpec, ContainerSpec]:
        """A container that can be entered, and the node that it is on.

        Raises:
            ArmError: 404 without such a container, 409 while it or its group does not run.
        """
        node, container, shown = self._of(resource_id)
        if not is_running(shown):
            message = f"Container '{container.name}' of container group '{node.name}' has ended."
            raise ArmError(409, "LabContainerEnded", message)
        return node, container

    def _of(self, resource_id: ResourceId) -> tuple[NodeSpec, ContainerSpec, dict[str, Any]]:
        group = self.store.require(str(resource_id.parent))
        position = index_of(group.properties["containers"], resource_id.name)
        if position is None:
            raise ArmError(
                404,
                "ContainerNotFound",
                f"Container '{resource_id.name}' does not exist in container group '{group.name}'.",
            )
        _refuse_in_transition(group)
        if group.node is None:
            raise _stopped(group)
        return group.node, group.node.containers[position], group.properties["containers"][position]

    async def _logs(self, resource_id: ResourceId) -> dict[str, Any]:
        group = self.store.require(str(resource_id.parent))
        if _state(group) in {"Succeeded", "Failed"}:
            message = f"Container group '{group.name}' has ended, and the lab keeps no logs of that."
            raise ArmError(404, "LabContainerLogGone", message)
        node, *_ = self._of(resource_id)
        try:
            return {"content": await self.world.data_plane.logs(node.name, resource_id.name)}
        except LabError as error:  # it ended this very moment
            raise ArmError(404, "ContainerLogNotAvailable", error.message) from error

    def put(self, resource_id: ResourceId, _sent: dict[str, Any]) -> Resource:
        raise ArmError(405, "MethodNotAllowed", f"{resource_id} is changed through its container group.")

    def delete(self, resource_id: ResourceId) -> Outcome:
        raise ArmError(405, "MethodNotAllowed", f"{resource_id} is changed through its container group.")


def _stopped(group: Resource) -> ArmError:
    """What exec and restart get from a group that does not run (message: azure-cli#8136)."""
    resource_group = ResourceId.parse(group.id).group
    return ArmError(
        409,
        "ContainerGroupStopped",
        f"Container Group '{group.name}' in resource group '{resource_group}' is stopped.",
    )


def _refuse_in_transition(group: Resource | None) -> None:
    if group is not None and _state(group) == "Pending":
        message = f"The container group '{group.name}' is still transitioning, please retry later."
        raise ArmError(409, "ContainerGroupTransitioning", message)


def _state(group: Resource) -> str:
    state: str = group.properties["instanceView"]["state"]
    return state


def _containers(group: Resource) -> Iterator[ContainerSpec]:
    """What the group's containers run, secrets included."""
    for container in group.properties["containers"]:
        own, secret = container["properties"], group.secrets["environment"].get(container["name"], {})
        variables = own["environmentVariables"]
        environment = tuple((one["name"], one.get("value", secret.get(one["name"], ""))) for one in variables)
        yield ContainerSpec(container["name"], tuple(own.get("command", ())), environment)


def _refuse_update(old: Resource | None, group: Resource) -> None:
    if old is None:
        return
    again = f"container group '{group.name}' cannot be changed. Delete it and create it again."
    before, after = ([reference_id(each).lower() for each in e.properties["subnetIds"]] for e in (old, group))
    if before != after:
        raise bad_request("LabContainerGroupSubnetCannotChange", f"The subnet of {again}")
    if _state(old) in {"Succeeded", "Failed"}:
        raise bad_request("LabContainerGroupEnded", f"An ended {again}")


def _definition(group: Resource) -> tuple[Any, ...]:
    """What makes a group another group: everything but tags and read-only values."""
    derived = ("instanceView", "provisioningState", "ipAddress")
    properties = copy.deepcopy({k: v for k, v in group.properties.items() if k not in derived})
    for container in properties["containers"]:
        container["properties"].pop("instanceView", None)
    return properties, group.secrets


PROVIDERS = (ContainerGroups, Containers)
