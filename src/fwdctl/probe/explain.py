"""Why a path fails: evidence for the hops behind the last pass, until one segment is shown to be broken.

Everything here costs extra requests and runs on failures only. Nothing is guessed: where evidence ends, the
explanation says so.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from fwdctl.azure.containers import Containers
from fwdctl.errors import FwdctlError
from fwdctl.jump.boxes import side_by_side
from fwdctl.probe import evidence, forwarder, security
from fwdctl.probe.model import Broken, PathResult
from fwdctl.probe.plan import forwarder_paths, target_paths
from fwdctl.probe.runner import Prober, lacks_servers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwdctl.deployment import Forward
    from fwdctl.probe.model import Path, Sample

MORE_SAMPLES = 6
"""Times the number of targets: connections made before a target is said to be missing."""


def explain(prober: Prober, results: Sequence[PathResult]) -> list[PathResult]:
    """The results with what broke the failed ones."""
    return Explainer(prober).explain_all(results)


class Explainer:
    """Explanations for one probe; evidence is fetched once."""

    def __init__(self, prober: Prober) -> None:
        self._prober = prober
        self._targets: dict[str, list[PathResult]] = {}

    def explain_all(self, results: Sequence[PathResult]) -> list[PathResult]:
        """The results with explanations."""
        for result in results:
            if result.path.origin == "target" and result.sight.samples:
                self._targets.setdefault(result.path.forward.name, []).append(result)
        return side_by_side(self._explain, list(results))

    def _explain(self, result: PathResult) -> PathResult:
        if result.verdict == "fail":
            return replace(result, broken=self._broken(result))
        if lacks_servers(result):
            return self._missing(self._sampled_again(result))
        return result

    # -- a broken path

    def _broken(self, result: PathResult) -> Broken:
        path = result.path
        if path.origin == "target":
            return self._no_way_to(result) or evidence.target(result)
        looks = "everything that can be asked looks right"
        try:
            found = self._name(result) if result.findings[-1].check == "name" else self._way(result)
        except FwdctlError as error:
            found = None
            looks = f"evidence could not be read: {error.message}"
        return found or Broken(
            "unknown",
            "PATH_UNEXPLAINED",
            f"{result.reason}; {looks}",
            "fwdctl probe hub" if path.origin == "spoke" else "fwdctl jump shell hub",
        )

    def _no_way_to(self, result: PathResult) -> Broken | None:
        """Why a target is silent, as far as Azure knows; one that answers in whatever way is reached."""
        silent = not any(s.connected or s.failure == "refused" for s in result.sight.samples)
        if not silent or not self._prober.deployment.hub.load_balancer:
            return None
        try:
            target = f"{result.path.host}:{result.path.port}"
            return evidence.peering(self._virtual_networks, self._balancer, [target])
        except FwdctlError:
            return None

    def _name(self, result: PathResult) -> Broken:
        spoke = result.path.spoke
        if spoke is None:
            raise AssertionError("only spokes are asked for names")
        return evidence.name(self._networks, self._prober.deployment.resource_group, spoke, result)

    def _way(self, result: PathResult) -> Broken | None:
        """The control plane's evidence first, hop by hop; then what the hub's box sees behind it."""
        path = result.path
        group = self._prober.deployment.resource_group
        found = evidence.endpoint(self._networks, group, path.spoke) if path.spoke is not None else None
        if found is not None:
            return found
        rule, missing = evidence.rule(self._balancer, path.forward)
        health = self._networks.rule_health(self._balancer["name"], rule) if rule else []
        return (
            missing
            or evidence.peering(self._virtual_networks, self._balancer, path.forward.targets)
            or self._denied(path, health)
            or self._behind(result, rule, health)
        )

    def _behind(self, result: PathResult, rule: str, health: Sequence[evidence.Document]) -> Broken | None:
        """Targets and forwarders, which can be asked from the hub only."""
        forward = result.path.forward
        targets = self._target_results(forward)
        if targets and all(target.verdict == "fail" for target in targets):
            return evidence.all_targets(targets)
        seen = bool(targets)
        refused = self._denied_to_hub(forward, health) if seen else None
        found = (
            (self._forwarders(forward, rule, health) if seen and refused is None else None)
            or evidence.unhealthy(health, hub_seen=seen)
            or (evidence.protocol(result, hub_seen=seen) if result.findings[-1].check == "protocol" else None)
            or (evidence.not_asked(result, refused) if refused is not None else None)
        )
        if found is None and not seen:
            return evidence.hub_not_seen(result)
        return found

    def _denied(self, path: Path, health: Sequence[evidence.Document]) -> Broken | None:
        """A security rule between where a path's connections come from and the forwarders."""
        if path.spoke is None:
            return self._denied_to_hub(path.forward, health)
        own = self._prober.deployment.hub.link_service.lower()
        sources = [
            str(entry["properties"]["privateIPAddress"])
            for service in self._networks.private_link_services()
            if not own or str(service.get("name", own)).lower() == own
            for entry in service["properties"].get("ipConfigurations") or ()
            if entry["properties"].get("privateIPAddress")
        ]
        return self._refusal("the link service", sources, path.forward, health)

    def _denied_to_hub(self, forward: Forward, health: Sequence[evidence.Document]) -> Broken | None:
        sources = [self._hub_address] if self._hub_address else []
        return self._refusal("the hub's jump box", sources, forward, health)

    def _refusal(
        self, origin: str, sources: Sequence[str], forward: Forward, health: Sequence[evidence.Document]
    ) -> Broken | None:
        backends = tuple(str(entry["ipAddress"]) for entry in health if entry.get("ipAddress"))
        hub = evidence.hub_network(self._virtual_networks, self._balancer)
        networks = [hub] if hub is not None else self._virtual_networks
        flow = security.Flow(origin, tuple(sources), backends, forward.port)
        return security.denied(self._networks.security_groups(), networks, flow)

    def _forwarders(self, forward: Forward, rule: str, health: Sequence[evidence.Document]) -> Broken | None:
        """What the forwarders' agents say to the hub's box, and what happens to packets sent to each."""
        port = evidence.health_port(self._balancer, rule)
        addresses = [str(entry["ipAddress"]) for entry in health if entry.get("ipAddress")]
        box = self._prober.deployment.hub.box
        if not port or not addresses or box is None:
            return None
        text = self._prober.ask(box, forwarder.script(addresses, port))
        told = forwarder.explain(forwarder.parse(text), forward, health)
        if told is not None:
            return told
        return forwarder.judge_direct(self._prober.test(forwarder_paths(box, forward, addresses)), health)

    @cached_property
    def _networks(self) -> evidence.Networks:
        return evidence.Networks(self._prober.arm, self._prober.deployment.resource_group)

    @cached_property
    def _balancer(self) -> evidence.Document:
        return self._networks.load_balancer(self._prober.deployment.hub.load_balancer)

    @cached_property
    def _virtual_networks(self) -> list[evidence.Document]:
        return self._networks.virtual_networks()

    @cached_property
    def _hub_address(self) -> str:
        """Of the hub's jump box, while it runs; empty if there is none."""
        deployment = self._prober.deployment
        if deployment.hub.box is None:
            return ""
        return Containers(self._prober.arm, deployment.resource_group).get(deployment.hub.box.group).address

    def _target_results(self, forward: Forward) -> list[PathResult]:
        """Direct checks from the hub: of this run, or made now if the hub's box runs; else none."""
        if forward.name not in self._targets:
            self._targets[forward.name] = self._ask_hub(forward)
        return self._targets[forward.name]

    def _ask_hub(self, forward: Forward) -> list[PathResult]:
        box = self._prober.deployment.hub.box
        paths = target_paths(box, forward) if box is not None else []
        if not paths:
            return []
        try:
            results = self._prober.test(paths)
        except FwdctlError:
            return []
        return [result for result in results if result.verdict in {"pass", "fail"}]

    # -- a path that works without one of its targets

    def _sampled_again(self, result: PathResult) -> PathResult:
        """More connections before anybody is accused: a few can meet the same server by chance."""
        more = replace(result.path, samples=MORE_SAMPLES * result.path.expected, address="")
        try:
            again = self._prober.test([more])[0]
        except FwdctlError:
            return result
        samples: tuple[Sample, ...] = result.sight.samples + again.sight.samples
        return _with_samples(result, samples)

    def _missing(self, result: PathResult) -> PathResult:
        if not lacks_servers(result):
            return result
        seen = f"{len(result.servers)} of {result.path.expected} servers answer through {result.path.label}"
        direct = [t for t in self._target_results(result.path.forward) if t.verdict == "fail"]
        if direct:
            warnings = tuple(evidence.target(target) for target in direct)
        else:
            try:
                names = evidence.missing_targets(self._networks, result)
            except FwdctlError:
                names = []
            warnings = evidence.unnamed(seen, names)
        return replace(result, warnings=warnings)


def _with_samples(result: PathResult, samples: tuple[Sample, ...]) -> PathResult:
    """The result after more connections; its findings are judged anew."""
    from fwdctl.probe.judge import judge

    path = replace(result.path, samples=len(samples))
    return judge(path, replace(result.sight, samples=samples))
