"""The private routes below `/lab/`, for the commands of `fwdctl lab`."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from fwdlab.arm.http import Answer
from fwdlab.control.hop_counters import hop_counters
from fwdlab.errors import LabError
from fwdlab.faults import Context, FaultBoard

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fwdlab.arm.http import ArmRequest
    from fwdlab.control.lab import Lab
    from fwdlab.process.state import LabState

_CONTAINER_GROUP = "Microsoft.ContainerInstance/containerGroups"
_LONGEST_WAIT = 25.0


class PrivateRoutes:
    """Answers for one lab."""

    def __init__(self, lab: Lab, state: LabState) -> None:
        self.lab = lab
        self.state = state
        self.faults = FaultBoard()

    def register(self) -> None:
        routes: dict[tuple[str, str], Callable[[ArmRequest], Awaitable[Any]]] = {
            ("GET", "/lab/status"): self.status,
            ("GET", "/lab/log"): self.log,
            ("GET", "/lab/way"): self.way,
            ("GET", "/lab/node"): self.node,
            ("POST", "/lab/run"): self.run,
            ("POST", "/lab/token"): self.token,
            ("POST", "/lab/outputs"): self.outputs,
            ("POST", "/lab/break"): self.cause,
            ("POST", "/lab/heal"): self.heal,
        }
        for (method, path), handler in routes.items():
            self.lab.server.add_control_route(method, path, self._answering(handler))

    async def status(self, _request: ArmRequest) -> dict[str, Any]:
        """Nodes with address and health, probe verdicts, faults in force, warnings.

        `warnings` are the network's: it carries less than the documents ask for. `notHonoured` is what has no
        effect in any lab and needs nothing done.
        """
        health = self.lab.data_plane.health()
        verdicts: dict[str, list[str]] = {}
        for each in health:
            verdicts.setdefault(each.address, []).append(f"{each.probe} {each.state}")
        nodes = [
            {**asdict(node), "health": ", ".join(verdicts.get(node.address, [])) or "-"}
            for node in self.lab.data_plane.status()
        ]
        return {
            "name": self.state.name,
            "endpoint": self.state.base_url,
            "nodes": sorted([*nodes, *self._stopped()], key=lambda node: str(node["name"])),
            "health": [asdict(each) for each in health],
            "faults": list(self.faults.active),
            "warnings": list(self.lab.data_plane.warnings),
            "notHonoured": list(self.lab.api.warnings),
        }

    def _stopped(self) -> list[dict[str, Any]]:
        """Container groups that have no node because they are stopped; a start may give another address."""
        return [
            {
                "name": group.name,
                "kind": "container",
                "network": "".join(_network(one["id"]) for one in group.properties["subnetIds"][:1]),
                "address": "",
                "state": "stopped",
                "health": "-",
            }
            for group in self.lab.store.list(type=_CONTAINER_GROUP)
            if group.node is None and group.properties["instanceView"]["state"] == "Stopped"
        ]

    async def log(self, request: ArmRequest) -> dict[str, Any]:
        """Requests past a number; waits for new ones when asked to."""
        after = int(request.query.get("after", "0"))
        seconds = min(float(request.query.get("wait", "0")), _LONGEST_WAIT)
        log = self.lab.requests
        lines = await log.wait(after, seconds) if seconds else log.tail(after=after)
        last = lines[-1]["n"] if lines else after
        shown = [line for line in lines if not line.get("path", "").startswith("/lab/")]
        return {"requests": shown, "last": last}

    async def way(self, _request: ArmRequest) -> dict[str, Any]:
        """What each hop has counted."""
        return {"hops": await hop_counters(self.lab.store.snapshot(), self.lab.data_plane)}

    async def node(self, request: ArmRequest) -> dict[str, Any]:
        """One node, with the process by which its namespaces can be entered."""
        name = request.query.get("name", "")
        return {"name": name, "pid": self.lab.data_plane.node_pid(name)}

    async def run(self, request: ArmRequest) -> dict[str, Any]:
        """Run a program in a node and answer what it printed; null seconds are no limit."""
        limit = request.body.get("seconds", 50)
        done = await self.lab.data_plane.run(request.body["node"], request.body["argv"], seconds=limit)
        return {
            "returncode": done.returncode,
            "stdout": done.stdout.decode("utf-8", "replace"),
            "stderr": done.stderr.decode("utf-8", "replace"),
        }

    async def token(self, _request: ArmRequest) -> dict[str, Any]:
        """A token for the ARM interface."""
        token, _ = self.lab.server.authority.issue(self.state.base_url)
        return {"token": token}

    async def outputs(self, request: ArmRequest) -> dict[str, Any]:
        """Keep the outputs of the deployment that `lab up` made."""
        self.state = replace(self.state, outputs=dict(request.body))
        self.lab.directory.save(self.state)
        return {}

    async def cause(self, request: ArmRequest) -> dict[str, Any]:
        """Bring a fault about."""
        target = str(request.body.get("target", ""))
        lab = self.lab
        context = Context(lab.api, lab.server, lab.deployments.engine, lab.data_plane, target)
        fault = await self.faults.cause(str(request.body["name"]), context)
        await self.lab.api.settle()
        return {"name": fault.name, "summary": fault.summary}

    async def heal(self, request: ArmRequest) -> dict[str, Any]:
        """Undo one fault or all."""
        healed = await self.faults.heal(request.body.get("name"))
        await self.lab.api.settle()
        return {"healed": list(healed)}

    def _answering(
        self, handler: Callable[[ArmRequest], Awaitable[Any]]
    ) -> Callable[[ArmRequest], Awaitable[Answer]]:
        async def answer(request: ArmRequest) -> Answer:
            try:
                return Answer(200, await handler(request))
            except (KeyError, TypeError, ValueError) as error:
                raise LabError("lab_request_invalid", f"{request.path}: {error}.") from error
            except OSError as error:
                raise self.lab.directory.refusal(error, "The lab cannot do that") from error

        return answer


def _network(subnet: str) -> str:
    """Name of the virtual network in a subnet's id."""
    return subnet.rsplit("/subnets/", 1)[0].rsplit("/", 1)[-1]
