"""Container groups: create, start, stop, restart, logs and the door to exec."""

from __future__ import annotations

import asyncio
import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fwdlab.arm.errors import ArmError
from fwdlab.arm.ids import ResourceId
from fwdlab.arm.operations import Operation, Outcome, timestamp
from fwdlab.arm.services.addresses import allocate, subnet_of
from fwdlab.arm.services.base import Embedded, Provider, index_of, reference_id
from fwdlab.arm.services.machines import boot_id, node_name
from fwdlab.errors import LabError
from fwdlab.model import NodeSpec, Resource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwdlab.arm.services.base import World

GROUP = "Microsoft.ContainerInstance/containerGroups"
_SECRET = "secureValue"  # noqa: S105 - the name of a field
_DERIVED = ("instanceView", "provisioningState", "ipAddress")
RESTART_POLICIES = ("Always", "OnFailure", "Never")


class ContainerGroups(Provider):
    """`Microsoft.ContainerInstance/containerGroups` with one container.

    What the service answers to start, stop and restart was recorded from real traffic: start of a stopped
    group 204 with `Azure-AsyncOperation` and no `Retry-After`; start of a running one a bare 204; stop 204
    at once.
    """

    type = GROUP

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.actions = {"start": self._start, "stop": self._stop, "restart": self._restart}

    def check(self, resource_id: ResourceId, body: dict[str, Any]) -> None:
        """One container, a subnet, a known restart policy."""
        properties = body.get("properties") or {}
        containers = properties.get("containers") or []
        if len(containers) != 1:
            raise ArmError(
                400,
                "LabOneContainerOnly",
                f"{resource_id} has {len(containers)} containers; the lab supports one in a group.",
            )
        if not containers[0].get("name") or not (containers[0].get("properties") or {}).get("image"):
            raise ArmError(
                400, "InvalidRequestContent", f"{resource_id}: a container needs a name and an image."
            )
        if properties.get("restartPolicy", "Always") not in RESTART_POLICIES:
            raise ArmError(
                400,
                "InvalidRestartPolicy",
                f"The restart policy '{properties['restartPolicy']}' is invalid. It must be one of "
                f"{', '.join(RESTART_POLICIES)}.",
            )
        if not properties.get("subnetIds"):
            raise ArmError(
                400,
                "LabContainerGroupNeedsSubnet",
                f"{resource_id} has no subnetIds; the lab has no public container groups.",
            )

    def build(self, document: dict[str, Any], old: Resource | None) -> Resource:
        """Start it; a group whose definition is unchanged keeps running, or stays stopped."""
        properties = document["properties"]
        for name, default in (("sku", "Standard"), ("osType", "Linux"), ("restartPolicy", "Always")):
            properties.setdefault(name, default)
        properties.setdefault("initContainers", [])
        if old is not None and _state(old) == "Pending":
            raise _transitioning(old)
        secrets = _take_secrets(properties, old)
        if old is not None and _definition(old.document, old.secrets) == _definition(document, secrets):
            for name in ("instanceView", "ipAddress"):
                if name in old.properties:
                    properties[name] = copy.deepcopy(old.properties[name])
            for container, before in zip(properties["containers"], old.properties["containers"], strict=True):
                container["properties"]["instanceView"] = copy.deepcopy(before["properties"]["instanceView"])
            return Resource(document["id"], GROUP, document, secrets, old.node)
        return self._running(Resource(document["id"], GROUP, document, secrets, None))

    def not_honoured(self, document: dict[str, Any]) -> Iterator[str]:
        """Init containers and volumes."""
        if document["properties"]["initContainers"] or document["properties"].get("volumes"):
            yield f"{document['id']}: init containers and volumes have no effect in the lab"

    def _running(self, group: Resource) -> Resource:
        """The group with a fresh boot: a new node, perhaps with another address, as in the service."""
        document = copy.deepcopy(group.document)
        properties = document["properties"]
        subnet = reference_id(properties["subnetIds"][0])
        self._check_delegation(subnet, group.id)
        address = allocate(self.store, subnet, None, group.id, group.id)
        container = properties["containers"][0]
        entry = container["properties"]
        properties["ipAddress"] = {
            **(properties.get("ipAddress") or {}),
            "type": "Private",
            "ip": address,
            "ports": (properties.get("ipAddress") or {}).get("ports") or entry["ports"],
        }
        variables = [
            (v["name"], str(v.get("value", group.secrets["environment"].get(v["name"], ""))))
            for v in entry["environmentVariables"]
        ]
        node = NodeSpec(
            name=node_name(self.store, group.name, group.id),
            kind="container",
            subnet_id=subnet,
            address=address,
            boot_id=boot_id(),
            resource_id=group.id,
            command=tuple(entry.get("command") or ()),
            environment=tuple(variables),
        )
        _set_state(document, "Running")
        return replace(group, document=document, node=node)

    def _check_delegation(self, subnet_id: str, user: str) -> None:
        """A group's subnet must be delegated (azure-docs, container-instances virtual-network-concepts)."""
        subnet = subnet_of(self.store, subnet_id, user)
        services = [
            d.get("properties", {}).get("serviceName", "") for d in subnet["properties"]["delegations"]
        ]
        if GROUP.lower() not in [str(service).lower() for service in services]:
            raise ArmError(
                400,
                "SubnetMissingRequiredDelegation",
                f"Subnet {subnet_id} requires the delegation {GROUP} to be used by {user}.",
            )

    def _start(self, resource_id: ResourceId, _body: Any) -> Outcome:
        group = self.store.require(resource_id.text)
        state = _state(group)
        if state == "Pending":
            raise _transitioning(group)
        if state == "Running":
            return Outcome(204)
        return self._boot(group)

    def _restart(self, resource_id: ResourceId, _body: Any) -> Outcome:
        group = self.store.require(resource_id.text)
        if _state(group) == "Pending":
            raise _transitioning(group)
        if _state(group) != "Running":
            raise stopped(group)
        return self._boot(group)

    def _boot(self, group: Resource) -> Outcome:
        document = copy.deepcopy(group.document)
        _set_state(document, "Pending")
        pending = replace(group, document=document, node=None)
        location = document.get("location", "westeurope")
        operation = Operation(
            "async",
            f"/subscriptions/{self.world.subscription_id}/providers/Microsoft.ContainerInstance/locations/"
            f"{location}/operations",
            status="Pending",
        )
        operation.document = {"id": f"{group.id}/operations/{operation.id}", "properties": {"events": []}}
        self.store.put(pending)
        seconds = self.world.settings.start_seconds
        if seconds <= 0:
            self._finish_boot(group.id, operation)
        else:
            self.world.spawn(self._boot_later(group.id, operation, seconds))
        return Outcome(204, None, operation)

    async def _boot_later(self, group_id: str, operation: Operation, seconds: float) -> None:
        await asyncio.sleep(seconds)
        with self.store.batch():
            self._finish_boot(group_id, operation)
        await self.world.data_plane.settled(self.store.revision)
        if not operation.done:
            operation.succeed()

    def _finish_boot(self, group_id: str, operation: Operation) -> None:
        """Bring a pending group up, or to where the fault says; one stopped or deleted meanwhile stays so."""
        group = self.store.get(group_id)
        if group is None or _state(group) != "Pending":
            operation.fail(
                ArmError(409, "OperationAborted", "The container group was changed while it started.")
            )
            return
        failure = self.world.settings.start_error
        error = ArmError(400, *failure) if failure is not None else None
        if error is None:
            try:
                self.store.put(self._running(group))
            except ArmError as refused:
                error = refused
        if error is not None:
            document = copy.deepcopy(group.document)
            _set_state(document, "Failed")
            _add_event(document, "Failed", "Warning", error.message)
            self.store.put(replace(group, document=document, node=None))
            operation.fail(error)
            return
        if self.world.settings.start_seconds <= 0:
            operation.succeed()

    def _stop(self, resource_id: ResourceId, _body: Any) -> Outcome:
        """Discard the containers; no effect on a group that has ended by itself (azure-docs, stop-start)."""
        group = self.store.require(resource_id.text)
        if _state(group) == "Pending":
            raise _transitioning(group)
        if _state(group) not in {"Succeeded", "Failed"}:
            document = copy.deepcopy(group.document)
            _set_state(document, "Stopped")
            self.store.put(replace(group, document=document, node=None))
        return Outcome(204)

    def ended(self, node: str, boot: str, exit_code: int) -> None:
        """The container's own process has ended: restart it or say Succeeded or Failed, by its policy."""
        group = next(
            (
                r
                for r in self.store.list(type=GROUP)
                if r.node and (r.node.name, r.node.boot_id) == (node, boot)
            ),
            None,
        )
        if group is None:
            return
        policy = group.properties["restartPolicy"]
        if policy == "Always" or (policy == "OnFailure" and exit_code):
            again = self._running(group)
            view = again.properties["containers"][0]["properties"]["instanceView"]
            before = group.properties["containers"][0]["properties"]["instanceView"]
            view["restartCount"] = before["restartCount"] + 1
            self.store.put(again)
            return
        document = copy.deepcopy(group.document)
        _set_state(document, "Failed" if exit_code else "Succeeded", exit_code)
        self.store.put(replace(group, document=document, node=None))

    def delete(self, resource_id: ResourceId) -> Outcome:
        """Answer with the last document, as the service does."""
        group = self.store.get(resource_id.text)
        if group is None:
            return Outcome(204)
        self.store.delete(group.id)
        return Outcome(200, self.rendered(group))


class Containers(Embedded):
    """`…/containers`: logs here; exec is a web socket and stands in `arm/exec.py`."""

    type = f"{GROUP}/containers"
    parent_type = GROUP
    collection = "containers"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.views = {"logs": self._logs}
        self.actions = {"attach": self._attach}

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
        if _state(group) == "Pending":
            raise _transitioning(group)
        if group.node is None:
            raise stopped(group)
        return group.node

    async def _logs(self, resource_id: ResourceId) -> dict[str, Any]:
        """What the container has printed."""
        node = self.running_node(resource_id)
        try:
            return {"content": await self.world.data_plane.logs(node.name)}
        except LabError as error:  # it ended this very moment
            raise ArmError(404, "ContainerLogNotAvailable", error.message) from error

    def _attach(self, resource_id: ResourceId, _body: Any) -> Outcome:
        raise ArmError(400, "LabOperationNotSupported", f"{resource_id}: the lab has no attach, only exec.")

    def put(self, resource_id: ResourceId, body: dict[str, Any]) -> Resource:
        """Containers are no resources of their own."""
        del body
        raise ArmError(405, "MethodNotAllowed", f"{resource_id} is changed through its container group.")

    def delete(self, resource_id: ResourceId) -> Outcome:
        """Containers are no resources of their own."""
        raise ArmError(405, "MethodNotAllowed", f"{resource_id} is changed through its container group.")


def stopped(group: Resource) -> ArmError:
    """What exec and restart get from a group that does not run (message: azure-cli#8136)."""
    resource_group = ResourceId.parse(group.id).group
    return ArmError(
        409,
        "ContainerGroupStopped",
        f"Container Group '{group.name}' in resource group '{resource_group}' is stopped.",
    )


def _transitioning(group: Resource) -> ArmError:
    return ArmError(
        409,
        "ContainerGroupTransitioning",
        f"The container group '{group.name}' is still transitioning, please retry later.",
    )


def _state(group: Resource) -> str:
    state: str = group.properties["instanceView"]["state"]
    return state


def _set_state(document: dict[str, Any], state: str, exit_code: int | None = None) -> None:
    view = document["properties"].setdefault("instanceView", {"events": []})
    view["state"] = state
    now = timestamp()
    for container in document["properties"]["containers"]:
        entry = container["properties"].setdefault("instanceView", {"restartCount": 0, "events": []})
        current: dict[str, Any] = {"state": "Running", "startTime": now, "detailStatus": ""}
        if state == "Pending":
            current = {"state": "Waiting", "detailStatus": "CreatingContainer"}
        elif state != "Running":
            detail = "Completed" if exit_code == 0 else "Error"
            current = {
                "state": "Terminated",
                "finishTime": now,
                "detailStatus": detail,
                "exitCode": exit_code or 0,
            }
            started = entry.get("currentState", {}).get("startTime")
            if started:
                current["startTime"] = started
        entry["currentState"] = current
    names = {"Running": "Started", "Stopped": "Killing"}
    if state in names:
        text = "Started container" if state == "Running" else "Killing container"
        _add_event(document, names[state], "Normal", text)


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
    for container in document["properties"]["containers"]:
        view = container["properties"]["instanceView"]
        view["events"] = [*view.get("events", []), event][-20:]


def _take_secrets(properties: dict[str, Any], old: Resource | None) -> dict[str, Any]:
    """Move secure environment values out of the document; a PUT without one keeps the one before."""
    known: dict[str, str] = old.secrets.get("environment", {}) if old is not None else {}
    found: dict[str, str] = {}
    for container in properties["containers"]:
        container["properties"].setdefault("ports", [])
        for variable in container["properties"].setdefault("environmentVariables", []):
            name = str(variable.get("name"))
            secret = variable.pop(_SECRET, None)
            if secret is not None:
                found[name] = str(secret)
            elif "value" not in variable and name in known:
                found[name] = known[name]
    (properties.get("diagnostics", {}).get("logAnalytics") or {}).pop("workspaceKey", None)
    return {"environment": found}


def _definition(document: dict[str, Any], secrets: dict[str, Any]) -> tuple[Any, ...]:
    """What makes a group another group: everything but tags and read-only values."""
    properties = copy.deepcopy({k: v for k, v in document["properties"].items() if k not in _DERIVED})
    for container in properties.get("containers", []):
        container["properties"].pop("instanceView", None)
    return properties, secrets
