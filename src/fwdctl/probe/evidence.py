"""What Azure and the hub's box say beyond the tests. Everything is asked when it is needed, and once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from fwdctl.azure import deployments
from fwdctl.azure.containers import Containers, Group
from fwdctl.azure.documents import (
    Document,
    addresses_of,
    ancestor,
    entries,
    group_of,
    name_of,
    network_of,
    place_of,
    same,
    tag_of,
    value,
)
from fwdctl.azure.networks import Backend, Networks
from fwdctl.azure.scale_sets import ScaleSet
from fwdctl.errors import FwdctlError
from fwdctl.probe import agents
from fwdctl.probe.model import Options, PathResult
from fwdctl.probe.once import Once
from fwdctl.probe.plan import forwarder_paths, target_paths
from fwdctl.shell import quoted
from fwdctl.threads import side_by_side

if TYPE_CHECKING:
    from fwdctl.azure.clients import Clients
    from fwdctl.azure.deployments import Last
    from fwdctl.deployment import Box, Deployment, Forward, Spoke
    from fwdctl.probe.agents import Report
    from fwdctl.probe.boxes import BoxClient

T = TypeVar("T")
DEFAULT = Options("spoke")


@dataclass(frozen=True, eq=False)
class Evidence:
    """What one probe may ask; methods raise FwdctlError where the answer cannot be read.

    Attributes:
        tell: says a line while the probe goes on.
        unread: what could not be read about paths that work, each once.
        direct: direct tests of a forward's targets, by its name, that this probe has made anyway.
        read: asks a question of `networks` or of this object once.
        hidden: what Azure would not show of the way, in words.
    """

    boxes: BoxClient
    networks: Networks
    containers: Containers
    deployment: Deployment
    options: Options = DEFAULT
    clients: Clients | None = None
    tell: Callable[[str], None] = lambda _: None
    unread: dict[str, FwdctlError] = field(default_factory=dict)
    direct: dict[str, list[PathResult]] = field(default_factory=dict)
    read: Once = field(default_factory=Once)
    hidden: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        boxes: BoxClient,
        clients: Clients,
        deployment: Deployment,
        options: Options = DEFAULT,
        tell: Callable[[str], None] = lambda _: None,
    ) -> Evidence:
        hub = deployment.hub
        containers = Containers(clients, deployment.resource_group)
        own = clients.of(hub.subscription_id)
        networks = Networks(own, hub.resource_group or deployment.resource_group)
        return cls(boxes, networks, containers, deployment, options, own, tell)

    @property
    def resource_group(self) -> str:
        """The load balancer's."""
        return self.deployment.hub.resource_group or self.deployment.resource_group

    def command(self, *words: str) -> str:
        """A command of fwdctl about this deployment."""
        return " ".join(["fwdctl", *words, *map(quoted, self.deployment.options)])

    def ask_hub(self) -> str:
        """The command that tells more from the hub; never the one that runs."""
        with suppress(FwdctlError):
            if self.running_hub() is not None:
                return self.command("jump", "shell", "hub")
        if self.options.which in {"hub", "all"}:
            return self.command("jump", "start", "hub")
        return self.command("probe", "hub")

    def of_spoke(self, spoke: Spoke) -> Evidence:
        """What may be asked where a spoke is: in the resource group of its endpoint."""
        subscription, group = place_of(spoke.endpoint_id)
        networks = self.networks.at(subscription, group) if group else self.networks
        if networks is self.networks:
            return self
        return replace(self, networks=networks, deployment=replace(self.deployment, resource_group=group))

    def note(self, results: Sequence[PathResult]) -> None:
        """Keep the direct tests of targets among the results of this probe."""
        tests = [r for r in results if r.path.origin == "target" and r.observation.samples]
        for name in {test.path.forward.name for test in tests}:
            self.direct[name] = [test for test in tests if test.path.forward.name == name]

    # -- from Azure

    def balancer(self) -> Document:
        """The load balancer; empty where nobody knows which it is."""
        name = self.deployment.hub.load_balancer
        return self.read(self.networks.load_balancer, name) if name else {}

    def rule(self, forward: Forward) -> Document | None:
        """The load balancing rule that takes a forward's port at its frontend."""
        frontends = self._frontends(forward.address)
        for rule in entries(self.balancer(), "loadBalancingRules"):
            frontend = value(rule, "frontendIPConfiguration", "id")
            is_own = not frontends or any(same(frontend, each.get("id")) for each in frontends)
            if (
                is_own
                and value(rule, "frontendPort") in {forward.port, 0}
                and not same(value(rule, "protocol"), "udp")
            ):
                return rule
        return None

    def _frontends(self, address: str = "") -> list[Document]:
        """The load balancer's frontends with an address: a forward's own, or the hub's."""
        wanted = address or self.deployment.hub.address
        frontends = entries(self.balancer(), "frontendIPConfigurations")
        return [each for each in frontends if value(each, "privateIPAddress") == wanted]

    def health(self, forward: Forward) -> list[Backend]:
        """What the platform's probes say of each forwarder; empty where the rule has no probe."""
        rule = self.rule(forward)
        if rule is None or not value(rule, "probe"):
            return []
        return self.read(self.networks.rule_health, self.balancer()["name"], rule["name"])

    def pool(self, forward: Forward) -> Document | None:
        """The pool that a forward's rule sends to."""
        rule = self.rule(forward) or {}
        named = [value(rule, "backendAddressPool"), *(value(rule, "backendAddressPools") or ())]
        wanted = [name_of(pool["id"]) for pool in named if pool and pool.get("id")]
        pools = entries(self.balancer(), "backendAddressPools")
        return next((pool for pool in pools for name in wanted if same(pool["name"], name)), None)

    def scale_set(self, forward: Forward) -> tuple[str, str]:
        """Resource group and name of the forwarders' scale set; empty where they are other machines."""
        members = value(self.pool(forward) or {}, "backendIPConfigurations") or ()
        own = next(
            filter(None, (ancestor(each.get("id"), "virtualMachineScaleSets") for each in members)), ""
        )
        if own:
            return group_of(own), name_of(own)
        named = self.deployment.hub.scale_set
        return (self.resource_group, named) if named else ("", "")

    def _own(self, forward: Forward) -> ScaleSet | None:
        group, name = self.scale_set(forward)
        return self.read(ScaleSet, self.clients, group, name) if self.clients is not None and name else None

    def instances(self, forward: Forward) -> list[str] | None:
        """The ids of the scale set's machines; None where the forwarders are not a scale set's."""
        own = self._own(forward)
        return self.read(own.numbers) if own else None

    def given(self, forward: Forward) -> dict[str, Report | None]:
        """What Azure has given each forwarder to forward, by address, as its agent's report."""
        own = self._own(forward)
        if own is None:
            return {}
        held = {each.number: each.address for each in self.members(forward) if each.number}
        machines = side_by_side(partial(self.read, own.machine), list(held))
        told = [agents.given(str(value(machine, "userData") or "")) for machine in machines]
        return {address: report for address, report in zip(held.values(), told, strict=True) if report}

    def power_state(self, forward: Forward, number: str) -> str:
        own = self._own(forward)
        return self.read(own.power_state, number) if own else ""

    def wanted_hash(self, forward: Forward) -> str:
        """Of what the forwarders shall forward; empty where the scale set does not say."""
        own = self._own(forward)
        return self.read(own.tag, agents.WANTED_TAG) if own else ""

    def failed_deployment(self) -> Last | None:
        """The environment's last deployment, where it failed; nothing where that cannot be read."""
        environment = tag_of(self.balancer(), deployments.TAG)
        if self.clients is None or not environment:
            return None
        try:
            last = self.read(deployments.last, self.clients, environment)
        except FwdctlError:
            return None
        return last if last is not None and last.error else None

    def members(self, forward: Forward) -> list[Backend]:
        """The forwarders as `health` gives them; where the rule has no probe, from their interfaces."""
        if self.probe(forward) is not None or self.clients is None:
            return self.health(forward)
        own = self._own(forward)
        return self.read(own.members) if own else []

    def forwarders(self, forward: Forward) -> list[str]:
        return [each.address for each in self.members(forward) if each.address]

    def probe(self, forward: Forward) -> Document | None:
        """The health probe of a forward's rule."""
        wanted = name_of(value(self.rule(forward) or {}, "probe", "id"))
        return next((each for each in entries(self.balancer(), "probes") if same(each["name"], wanted)), None)

    def health_port(self, forward: Forward) -> int:
        """Where the forwarders' agents listen: as deployed, else as the health probe asks; 0 if unknown."""
        return self.deployment.hub.health_port or int(value(self.probe(forward) or {}, "port") or 0)

    def serve(self, forward: Forward) -> bool:
        """Whether the load balancer's own machines are the servers, so that nothing forwards."""
        servers = {target.rpartition(":")[0] for target in forward.targets}
        return bool(servers) and servers <= set(self.forwarders(forward))

    def all_networks(self) -> list[Document]:
        return list(self.read(self.networks.virtual_networks))

    def resource(self, resource_id: object) -> Document:
        """A network, security group, route table or interface, wherever it is.

        Empty without an id, and where Azure does not show it, which is then among `hidden`.
        """
        return self.read(self._resource, str(resource_id)) if resource_id else {}

    def _resource(self, resource_id: str) -> Document:
        for document in (*self.all_networks(), *self.read(self.networks.security_groups)):
            if same(document.get("id"), resource_id):
                return document
        try:
            return self.networks.resource(resource_id)
        except FwdctlError as error:
            self.hidden.append(f"{name_of(resource_id)} ({error.message.rstrip('.')})")
            return {}

    def hub_network(self) -> Document | None:
        """The network that the load balancer stands in; None where Azure does not show it."""
        frontends = [*self._frontends(), *entries(self.balancer(), "frontendIPConfigurations")]
        subnet = next(filter(None, (value(each, "subnet", "id") for each in frontends)), "")
        return self.resource(network_of(subnet)) or None

    def endpoint(self, spoke: Spoke) -> Document | None:
        """A spoke's private endpoint as it is now; None where there is none any more."""
        return self.read(self._endpoint, spoke.endpoint_id or spoke.endpoint)

    def _endpoint(self, name: str) -> Document | None:
        """By name, or by id where it was read from ARM: it may be in any resource group."""
        try:
            return self.networks.resource(name) if "/" in name else self.networks.private_endpoint(name)
        except FwdctlError as error:
            if error.code not in {"resource_not_found", "resource_group_not_found"}:
                raise
            return None

    def endpoint_address(self, spoke: Spoke) -> str:
        """What the endpoint's interface has now; empty where there is none."""
        document = self.endpoint(spoke) if spoke.endpoint else None
        interface = value(document or {}, "networkInterfaces", 0, "id")
        for holder in (self.resource(interface), document or {}):
            address = value(holder, "ipConfigurations", 0, "properties", "privateIPAddress")
            if address:
                return str(address)
        return ""

    def interfaces(self, forward: Forward) -> dict[str, Document]:
        """The forwarders' interfaces, by address."""
        found: dict[str, Document] = {}
        for each in self.health(forward):
            own = each.scale_set
            documents = self.read(self._interfaces, own) if own else [self.resource(each.interface)]
            found |= {a: document for document in documents for a in addresses_of(document)}
        return found

    def _interfaces(self, scale_set: str) -> list[Document]:
        try:
            return list(self.networks.scale_set_interfaces(scale_set))
        except FwdctlError as error:
            self.hidden.append(f"the interfaces of {name_of(scale_set)} ({error.message.rstrip('.')})")
            return []

    # -- from the hub's jump box

    def group(self, box: Box) -> Group:
        return self.read(self.containers_of(box).get, box.group)

    def containers_of(self, box: Box) -> Containers:
        """The container groups among which a box is."""
        elsewhere = box.resource_group, box.subscription_id
        return self.containers.at(*elsewhere) if box.resource_group else self.containers

    def hub_group(self) -> Group | None:
        box = self.deployment.hub.box
        return self.group(box) if box is not None else None

    def running_hub(self) -> Box | None:
        """The hub's jump box, if it may be asked: it runs, or this probe starts it."""
        box = self.deployment.hub.box
        if box is None or self.boxes.starts(box):
            return box
        group = self.hub_group()
        return box if group is not None and group.running else None

    def wake_hub(self) -> None:
        """Start the hub's jump box, where it may be started and does not run; it is left as it was found.

        Raises:
            FwdctlError: it does not start.
        """
        box = self.deployment.hub.box
        if self.options.hub == "never" or box is None or self.running_hub() is not None:
            return
        self.read(self._start_hub, box)

    def _start_hub(self, box: Box) -> None:
        self.tell(
            "What is behind the load balancer can be asked from the hub only: its jump box is started and "
            "stopped again, which takes about a minute in Azure (`--hub never` leaves it out)."
        )
        self.boxes.admit(box)
        self.read.forget(self.containers_of(box).get, box.group)

    def ask_all(self, forward: Forward) -> None:
        """Ask the hub's box all that may be needed of a forward, side by side; failures show later."""

        def one(ask: Callable[[Forward], object]) -> None:
            with suppress(FwdctlError):
                ask(forward)

        side_by_side(one, [self.targets, self.through_each_forwarder, self.reports_now])

    def targets(self, forward: Forward) -> list[PathResult]:
        """Direct tests of a forward's targets: of this probe, or made now; none where the hub cannot test."""
        return self.direct.get(forward.name) or self._from_hub(self._test_targets, forward) or []

    def through_each_forwarder(self, forward: Forward) -> list[PathResult]:
        """Tests of a forward's port on each forwarder, around the load balancer."""
        return self._from_hub(self._test_forwarders, forward) or []

    def reports_now(self, forward: Forward) -> dict[str, Report | None]:
        """`reports`, asked once."""
        return self._from_hub(self.reports, forward) or {}

    def _from_hub(self, ask: Callable[[Forward], T], forward: Forward) -> T | None:
        return None if self.running_hub() is None else self.read(ask, forward)

    def _test_targets(self, forward: Forward) -> list[PathResult]:
        box = self.running_hub()
        try:
            paths = target_paths(box, forward) if box is not None else []
            results = self.boxes.test(paths, hurry=True) if paths else []
        except FwdctlError:
            return []
        return [result for result in results if result.verdict in {"pass", "fail"}]

    def _test_forwarders(self, forward: Forward) -> list[PathResult]:
        box = self.running_hub()
        paths = forwarder_paths(box, forward, self.forwarders(forward)) if box is not None else []
        return self.boxes.test(paths, hurry=True) if paths else []

    def reports(self, forward: Forward) -> dict[str, Report | None]:
        """What each forwarder's agent says now, by address; None of one that does not answer."""
        return {} if self.serve(forward) else self.ask_agents(forward, self.health_port(forward), "/status")

    def ask_agents(self, forward: Forward, port: int, path: str) -> dict[str, Report | None]:
        """What each forwarder answers on a port to a path, as `reports`."""
        box, addresses = self.running_hub(), self.forwarders(forward)
        if box is None or not addresses or not port:
            return {}
        return agents.parse(self.boxes.ask(box, agents.script(addresses, port, path)))
