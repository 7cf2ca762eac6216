"""Container groups: create, start, stop, restart, logs and the door to exec."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cached_property
from typing import Any

from fwdlab.arm.errors import ArmError
from fwdlab.arm.ids import ResourceId, reference_id
from fwdlab.arm.operations import Operation, Outcome, timestamp
from fwdlab.arm.services.base import Actions, Provider, Views, bad_request, index_of, part_of
from fwdlab.arm.services.compute.machines import new_boot_id, node_name
from fwdlab.arm.services.embedded import Embedded
from fwdlab.arm.services.network.addresses import allocate
from fwdlab.arm.services.shapes import body, decimal, items, named, number, optional, reference, text
from fwdlab.errors import LabError
from fwdlab.model import NodeSpec, Resource

GROUP = "Microsoft.ContainerInstance/containerGroups"
_PORT = optional(port=number(), protocol=text(None, "TCP", "UDP"))
_AMOUNT = optional(cpu=decimal(), memoryInGB=decimal())
_POLICIES = ("Always", "OnFailure", "Never")


class ContainerGroups(Provider):
    """Groups of one container.

    What the service answers to start, stop and restart was recorded from real traffic: start of a stopped
    group 204 with `Azure-AsyncOperation` and no `Retry-After`; start of a running one a bare 204; stop 204
    at once.
    """

    type = GROUP
    transition = "Pending"
    derived = ("instanceView",)
    shape = body(
        sku=text("Standard"),
        osType=text("Linux"),
        restartPolicy=text(
            "Always",
            *_POLICIES,
            code="InvalidRestartPolicy",
            message="The restart policy '{value}' is invalid. It must be one of {choices}.",
        ),
        containers=named(
            image=text(required=True, code="InvalidRequestContent"),
            command=items(text()),
            ports=items(_PORT, default=[]),
            resources=optional(requests=_AMOUNT, limits=_AMOUNT),
            environmentVariables=items(
                optional(name=text(required=True), value=text(), secureValue=text()), default=[]
            ),
        ),
        initContainers=items(optional(), default=[], ignored="init containers have no effect in the lab"),
        volumes=items(optional(), ignored="volumes have no effect in the lab"),
        subnetIds=items(reference(), default=[]),
        ipAddress=optional(type=text(), ports=items(_PORT)),
        diagnostics=optional(logAnalytics=optional(workspaceKey=text())),
    )

    @cached_property
    def actions(self) -> Actions:
        return {"start": self._start, "stop": self._stop, "restart": self._restart}

    def validate(self, resource_id: ResourceId, document: dict[str, Any]) -> None:
        """One container, a subnet."""
        properties = document["properties"]
        count = len(properties["containers"])
        if count != 1:
            raise bad_request(
                "LabOneContainerOnly",
                f"{resource_id} has {count} containers; the lab supports one in a group.",
            )
        if not properties["subnetIds"]:
            raise bad_request(
                "LabContainerGroupNeedsSubnet",
                f"{resource_id} has no subnetIds; the lab has no public container groups.",
            )

    def build(self, document: dict[str, Any], old: Resource | None) -> Resource:
        """Start it; a group whose definition is unchanged keeps running, or stays stopped."""
        _refuse_in_transition(old)
        document["properties"]["isCreatedFromStandbyPool"] = False
        secrets = {"environment": _take_secrets(document["properties"], old)}
        for container in document["properties"]["containers"]:
            container["properties"].pop("instanceView", None)
        group = Resource(document["id"], GROUP, document, secrets)
        if old is None or _definition(old) != _definition(group):
            return self._running(group)
        for name in ("instanceView", "ipAddress"):
            document["properties"][name] = copy.deepcopy(old.properties[name])
        before = old.properties["containers"][0]["properties"]["instanceView"]
        document["properties"]["containers"][0]["properties"]["instanceView"] = copy.deepcopy(before)
        return replace(group, node=old.node)

    def _running(self, group: Resource) -> Resource:
        """The group with a fresh boot: a new node, perhaps with another address, as in the service."""
        document = copy.deepcopy(group.document)
        properties = document["properties"]
        subnet = reference_id(properties["subnetIds"][0])
        network = self._delegating(subnet, group.id)
        address = allocate(self.store, subnet, None, group.id, group.id)
        container = properties["containers"][0]["properties"]
        public = properties.get("ipAddress", {})
        ports = public.get("ports") or container["ports"]
        properties["ipAddress"] = {**public, "type": "Private", "ip": address, "ports": ports}
        node = NodeSpec(
            name=node_name(self.store, group.name, group.id),
            kind="container",
            subnet_id=subnet,
            address=address,
            boot_id=new_boot_id(),
            resource_id=group.id,
            command=tuple(container.get("command", ())),
            environment=tuple(
                (one["name"], one.get("value", group.secrets["environment"].get(one["name"], "")))
                for one in container["environmentVariables"]
            ),
            name_servers=tuple(network.properties.get("dhcpOptions", {}).get("dnsServers") or ()),
        )
        return replace(group, document=_in_state(document, "Running"), node=node)

    def _delegating(self, subnet_id: str, user: str) -> Resource:
        """A group's network, whose subnet must be delegated (azure-docs, virtual-network-concepts)."""
        network, subnet = part_of(self.store, "subnets", subnet_id, user)
        delegations = subnet["properties"]["delegations"]
        services = [one["properties"].get("serviceName", "").lower() for one in delegations]
        if GROUP.lower() not in services:
            raise bad_request(
                "SubnetMissingRequiredDelegation",
                f"Subnet {subnet_id} requires the delegation {GROUP} to be used by {user}.",
            )
        return network

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
        self.store.put(replace(group, document=_in_state(group.document, "Pending"), node=None))
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
            document = _in_state(group.document, "Failed")
            _add_event(document, "Failed", "Warning", error.message)
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
            self.store.put(replace(group, document=_in_state(group.document, "Stopped"), node=None))
        return Outcome(204)

    def ended(self, node: str, boot: str, exit_code: int) -> None:
        """The container's own process has ended: restart it or say Succeeded or Failed, by its policy."""
        for group in self.store.list(type=GROUP):
            if group.node is not None and (group.node.name, group.node.boot_id) == (node, boot):
                self.store.put(self._after_end(group, exit_code))

    def _after_end(self, group: Resource, exit_code: int) -> Resource:
        policy = group.properties["restartPolicy"]
        if policy == "Always" or (policy == "OnFailure" and exit_code):
            again = self._running(group)
            again.properties["containers"][0]["properties"]["instanceView"]["restartCount"] += 1
            return again
        state = "Failed" if exit_code else "Succeeded"
        return replace(group, document=_in_state(group.document, state, exit_code), node=None)

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

    def running_node(self, resource_id: ResourceId) -> NodeSpec:
        """The node of a container that can be entered.

        Raises:
            ArmError: 404 without such a container, 409 while its group does not run.
        """
        group = self.store.require(str(resource_id.parent))
        if index_of(group.properties["containers"], resource_id.name) is None:
            raise ArmError(
                404,
                "ContainerNotFound",
                f"Container '{resource_id.name}' does not exist in container group '{group.name}'.",
            )
        _refuse_in_transition(group)
        if group.node is None:
            raise _stopped(group)
        return group.node

    async def _logs(self, resource_id: ResourceId) -> dict[str, Any]:
        node = self.running_node(resource_id)
        try:
            return {"content": await self.world.data_plane.logs(node.name)}
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


def _in_state(document: dict[str, Any], state: str, exit_code: int | None = None) -> dict[str, Any]:
    """A copy of a group's document in another state, its container's view too."""
    document = copy.deepcopy(document)
    document["properties"].setdefault("instanceView", {"events": []})["state"] = state
    now = timestamp()
    (container,) = document["properties"]["containers"]
    view = container["properties"].setdefault("instanceView", {"restartCount": 0, "events": []})
    before = view.get("currentState", {})
    if before.get("state") in {"Running", "Terminated"}:
        view["previousState"] = before
    if state == "Pending":
        view["currentState"] = {"state": "Waiting", "detailStatus": "CreatingContainer"}
    elif state == "Running":
        view["currentState"] = {"state": "Running", "startTime": now, "detailStatus": ""}
        _add_event(document, "Started", "Normal", "Started container")
    else:
        began = {k: v for k, v in before.items() if k == "startTime"}
        view["currentState"] = {
            "state": "Terminated",
            **began,
            "finishTime": now,
            **_ending(state, exit_code),
        }
    if state == "Stopped":
        _add_event(document, "Killing", "Normal", "Killing container")
    return document


def _ending(state: str, exit_code: int | None) -> dict[str, Any]:
    """How a container ended: by itself, or because it was told to (text seen in the service, 2026)."""
    if state == "Stopped":
        return {"detailStatus": "Container stopped per client request"}
    if exit_code is None:
        return {"detailStatus": "Error"}
    return {"detailStatus": "Error" if exit_code else "Completed", "exitCode": exit_code}


def _add_event(document: dict[str, Any], name: str, kind: str, message: str) -> None:
    now = timestamp()
    event = {
        "count": 1,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "name": name,
        "message": message,
        "type": kind,
    }
    view = document["properties"]["containers"][0]["properties"]["instanceView"]
    view["events"] = [*view["events"], event][-20:]


def _take_secrets(properties: dict[str, Any], old: Resource | None) -> dict[str, str]:
    """Move secure environment values out of the document; a PUT without one keeps the one before."""
    known: dict[str, str] = old.secrets["environment"] if old is not None else {}
    found: dict[str, str] = {}
    for variable in properties["containers"][0]["properties"]["environmentVariables"]:
        name, secret = variable["name"], variable.pop("secureValue", None)
        if secret is not None:
            found[name] = secret
        elif "value" not in variable and name in known:
            found[name] = known[name]
    properties.get("diagnostics", {}).get("logAnalytics", {}).pop("workspaceKey", None)
    return found


def _definition(group: Resource) -> tuple[Any, ...]:
    """What makes a group another group: everything but tags and read-only values."""
    derived = ("instanceView", "provisioningState", "ipAddress")
    properties = copy.deepcopy({k: v for k, v in group.properties.items() if k not in derived})
    properties["containers"][0]["properties"].pop("instanceView", None)
    return properties, group.secrets


PROVIDERS = (ContainerGroups, Containers)
