"""What the forwarders are and do: as Azure says, as the load balancer sees them, as their agents say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from fwdctl.azure.documents import value
from fwdctl.azure.scale_sets import ScaleSet
from fwdctl.errors import FwdctlError, MissingError, UsageError
from fwdctl.forwarders.setup import Setup
from fwdctl.jump.session import Session
from fwdctl.probe import agents
from fwdctl.probe.boxes import BoxClient
from fwdctl.probe.evidence import Evidence
from fwdctl.probe.plan import forwarder_paths
from fwdctl.threads import side_by_side

if TYPE_CHECKING:
    from fwdctl.azure.clients import Clients
    from fwdctl.deployment import Box, Deployment, Forward
    from fwdctl.probe.agents import Report
    from fwdctl.progress import Progress
    from fwdctl.runtime import Runtime

AGENT_SECONDS = 7.0
"""After which an agent has read its user data (every 5 s) and applied it."""
TIMEOUT = 5.0
"""Seconds for a connection through one forwarder."""


@dataclass(frozen=True)
class Instance:
    """A forwarder.

    Attributes:
        number: its instance id.
        power: `running`, `deallocated`, …; empty where not told.
        latest: whether Azure says that it has the scale set's model.
        health: `Up` or `Down` by forward, as the load balancer sees it; without forwards that have no probe.
        report: what its agent says; None where it was not asked or does not answer.
    """

    number: str
    address: str = ""
    zone: str = ""
    power: str = ""
    latest: bool = True
    setup: Setup = field(default_factory=Setup)
    health: Mapping[str, str] = field(default_factory=dict)
    report: Report | None = None

    def told(self, *keys: str) -> Any:
        """What the agent says of something; None where it does not."""
        found: Any = self.report
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        return found

    @property
    def programs(self) -> str:
        """Hash of the programs that run; of the ones that its model has where the agent does not tell."""
        return str(self.told("programs") or self.setup.programs)

    @property
    def targets(self) -> list[dict[str, Any]]:
        return [target for forward in self.told("forwards") or () for target in forward.get("targets") or ()]

    @property
    def targets_up(self) -> int:
        return sum(target.get("state") == "up" for target in self.targets)

    @property
    def rules_in_place(self) -> bool:
        return all(forward.get("rulesInPlace") for forward in self.told("forwards") or ())

    @property
    def open(self) -> int | None:
        """Established connections through it; None where its kernel does not list them."""
        found = self.told("conntrack", "established")
        return int(found) if found is not None else None


@dataclass(frozen=True)
class Fleet:
    """All forwarders at one time.

    Attributes:
        unasked: why their agents could not be asked.
        unseen: why it is not known how the load balancer sees them.
    """

    resource_group: str
    scale_set: str
    setup: Setup
    instances: tuple[Instance, ...]
    unasked: str = ""
    unseen: str = ""

    def require_template(self) -> None:
        """Refuse to change forwarders that are not those of fwdctl's template.

        Raises:
            FwdctlError: `not_of_the_template` (exit code 3).
        """
        if not self.setup.hash:
            raise MissingError(
                "not_of_the_template",
                f"Scale set {self.scale_set} is not of fwdctl's template: its user data holds no forwards.",
                "Change it by the means that made it; `fwdctl forwarder status` only looks.",
            )

    def at(self, number: str) -> Instance:
        """One of them.

        Raises:
            FwdctlError: `unknown_instance` (exit code 2).
        """
        for instance in self.instances:
            if instance.number == number:
                return instance
        known = ", ".join(each.number for each in self.instances) or "none"
        raise UsageError(
            "unknown_instance",
            f"Scale set {self.scale_set} has no instance '{number}'.",
            f"Use one of these: {known}.",
        )


class Watch:
    """Looks at the forwarders, from outside and through the hub's box, which is left as it was found.

    Use as a context manager.

    Raises:
        FwdctlError: the deployment has no scale set, or several of them.
    """

    def __init__(
        self, runtime: Runtime, clients: Clients, deployment: Deployment, progress: Progress
    ) -> None:
        if deployment.others:
            names = ", ".join(part.hub.link_service or part.hub.label for part in deployment.parts)
            raise MissingError(
                "several_hubs",
                f"Resource group '{deployment.resource_group}' has several link services: {names}.",
                "`fwdctl forwarder` works with one hub in a resource group.",
            )
        session = partial(Session, runtime, clients, deployment, progress=progress)
        self._boxes = BoxClient(session, (), TIMEOUT, runtime.sleep)
        self._clients, self._deployment, self._sleep = clients, deployment, runtime.sleep

    def __enter__(self) -> Self:
        self._boxes.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._boxes.__exit__(*error)

    @property
    def _evidence(self) -> Evidence:
        return Evidence.of(self._boxes, self._clients, self._deployment)

    @property
    def scale_set(self) -> ScaleSet:
        """The forwarders' scale set.

        Raises:
            FwdctlError: `no_scale_set` (exit code 3).
        """
        evidence, forwards = self._evidence, self._deployment.forwards
        group, name = evidence.resource_group, self._deployment.hub.scale_set
        if not name and forwards and self._deployment.hub.load_balancer:
            group, name = evidence.scale_set(forwards[0])
        if not name:
            raise MissingError(
                "no_scale_set",
                f"No forwarders were found in resource group '{self._deployment.resource_group}': "
                "nothing names their scale set.",
                "Run `azd provision`, or check the resource group.",
            )
        return ScaleSet(evidence.clients or self._clients, group, name)

    def look(self) -> Fleet:
        """All forwarders as they are now.

        Raises:
            FwdctlError: Azure does not say.
        """
        scale_set, evidence = self.scale_set, self._evidence
        model = scale_set.model()
        machines = {str(each["instanceId"]): each for each in scale_set.machines()}
        addresses = {each.number: each.address for each in scale_set.members() if each.address}
        health, unseen = _health(evidence, self._deployment.forwards)

        def one(number: str) -> Instance:
            listed, document = machines[number], scale_set.machine(number)
            address = addresses.get(number, "")
            return Instance(
                number,
                address,
                next(iter(listed.get("zones") or ()), ""),
                scale_set.power_state(number),
                value(listed, "latestModelApplied") is not False,
                Setup.of(listed, document["properties"]),
                {name: states[address] for name, states in health.items() if address in states},
            )

        found = side_by_side(one, sorted(machines, key=int))
        setup = Setup.of(model, value(model, "virtualMachineProfile") or {})
        fleet = Fleet(scale_set.resource_group, scale_set.name, setup, tuple(found), unseen=unseen)
        return self._with_reports(evidence, fleet)

    def settled(self) -> Fleet:
        """As `look`; where an agent forwards something else, once more after the time that a read takes."""
        fleet = self.look()
        if any(each.report and each.told("hash") != fleet.setup.hash for each in fleet.instances):
            self._sleep(AGENT_SECONDS)
            fleet = self.look()
        return fleet

    def _with_reports(self, evidence: Evidence, fleet: Fleet) -> Fleet:
        port = (
            agents.configuration(fleet.setup.user_data).get("healthPort") or self._deployment.hub.health_port
        )
        forwards = self._deployment.forwards
        try:
            port = port or (evidence.health_port(forwards[0]) if forwards else 0)
            box = self._hub()
            addresses = [each.address for each in fleet.instances if each.address]
            if box is None or not port:
                why = "The hub has no jump box." if box is None else "Their health port is not known."
                return replace(fleet, unasked=why)
            reports = agents.parse(self._boxes.ask(box, agents.script(addresses, int(port))))
        except FwdctlError as error:
            return replace(fleet, unasked=error.message)
        if addresses and not reports:
            return replace(fleet, unasked="The hub's jump box gave no answer.")
        told = tuple(replace(each, report=reports.get(each.address)) for each in fleet.instances)
        return replace(fleet, instances=told)

    def _hub(self) -> Box | None:
        """The hub's box, which may be asked from now on; it is started when needed.

        Raises:
            FwdctlError: it does not start.
        """
        box = self._deployment.hub.box
        if box is not None and not self._boxes.starts(box):
            self._boxes.admit(box)
        return box

    def refused(self, instance: Instance, forwards: frozenset[str]) -> str:
        """Why a forwarder does not carry a connection of the hub's box; empty where it carries one of each.

        Raises:
            FwdctlError: the box cannot be asked.
        """
        box = self._deployment.hub.box
        wanted = [forward for forward in self._deployment.forwards if forward.name in forwards]
        if box is None or not wanted:
            return ""
        paths = [path for each in wanted for path in forwarder_paths(box, each, [instance.address])]
        failed = [result for result in self._boxes.test(paths) if result.verdict != "pass"]
        return "; ".join(f"{result.path.forward.name}: {result.seen}" for result in failed)


def _health(evidence: Evidence, forwards: tuple[Forward, ...]) -> tuple[dict[str, dict[str, str]], str]:
    """State by address, by forward, without forwards that have no probe; why it is not known."""

    def one(forward: Forward) -> dict[str, str]:
        return {each.address: each.state for each in evidence.health(forward)}

    try:
        found = side_by_side(one, forwards)
    except FwdctlError as error:
        return {}, error.message
    return {forward.name: states for forward, states in zip(forwards, found, strict=True) if states}, ""
