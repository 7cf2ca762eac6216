"""What a rollout or a restart does, and when it may. Pure: from how the forwarders are, to steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from fwdctl.forwarders.drift import RENEWAL, Difference

if TYPE_CHECKING:
    from fwdctl.forwarders.fleet import Fleet, Instance
    from fwdctl.forwarders.setup import What


class Step(StrEnum):
    """What is done to an instance, as people are told."""

    hand_on = "hand on user data"
    """Give it the scale set's user data."""
    drain = "drain"
    """Let the load balancer send nothing new, and wait for open connections to end."""
    upgrade = "update to the model"
    """Apply the scale set's model."""
    reimage = "reimage"
    """Boot a fresh disk, on which cloud-init writes the model's programs."""
    restart = "restart"
    wait = "wait until healthy"
    """Until it is healthy, does what is wanted and carries connections."""


@dataclass(frozen=True)
class Turn:
    """All that is done to one instance, and why; `drain` is how many seconds a drain may take."""

    instance: str
    why: tuple[str, ...]
    steps: tuple[Step, ...]
    drain: float = 0.0

    @property
    def is_harmless(self) -> bool:
        """Whether no connection can break."""
        return set(self.steps) == {Step.hand_on}


@dataclass(frozen=True)
class Ended:
    """A turn that was carried out.

    Attributes:
        open: connections that were still open when the machine went down; None where nothing went down, or
            its kernel does not list them.
    """

    turn: Turn
    open: int | None = None


def plan_rollout(fleet: Fleet, found: Iterable[Difference], drain: float) -> list[Turn]:
    """User data first, which is harmless; then one instance after the other, those that are unwell first."""
    differs: dict[str, list[What]] = {each.number: [] for each in fleet.instances}
    for each in found:
        differs.get(each.instance, []).append(each.what)
    handed = [number for number, what in differs.items() if "user data" in what]
    turns = [Turn(number, ("user data",), (Step.hand_on,)) for number in handed]
    forwards = served(fleet)
    old = [each for each in fleet.instances if RENEWAL.intersection(differs[each.number])]
    for instance in sorted(old, key=lambda each: not fault(each, forwards)):
        why = [what for what in differs[instance.number] if what in RENEWAL]
        turns.append(Turn(instance.number, tuple(why), _renewal(fleet, instance, why), drain))
    return turns


def _renewal(fleet: Fleet, instance: Instance, why: Sequence[What]) -> tuple[Step, ...]:
    """An update of the model undoes a drain; it is drained for, too, where it may restart the machine."""
    steps: list[Step] = []
    is_applied = instance.latest and instance.setup.programs == fleet.setup.programs and why == ["agent"]
    if not is_applied:
        restarts = why != ["agent"] or fleet.setup.image.endswith(":latest")
        steps += [Step.drain, Step.upgrade] if restarts else [Step.upgrade]
    if "agent" in why:
        steps += [Step.drain, Step.reimage]
    return (*steps, Step.hand_on, Step.wait)


def plan_restart(fleet: Fleet, numbers: Sequence[str], drain: float) -> list[Turn]:
    """Restart some instances, or all of them; those that are unwell first.

    Raises:
        FwdctlError: `unknown_instance` (exit code 2).
    """
    chosen = [fleet.at(number) for number in dict.fromkeys(numbers)] or list(fleet.instances)
    forwards = served(fleet)
    steps = (Step.drain, Step.restart, Step.hand_on, Step.wait)
    return [
        Turn(each.number, ("asked for",), steps, drain)
        for each in sorted(chosen, key=lambda each: not fault(each, forwards))
    ]


def served(fleet: Fleet) -> frozenset[str]:
    """Forwards for which at least one forwarder takes connections: what must not get worse."""
    return frozenset(
        name for instance in fleet.instances for name, state in instance.health.items() if state == "Up"
    )


def fault(instance: Instance, forwards: frozenset[str]) -> str:
    """Why a forwarder takes no connections for some of these forwards; empty where it takes them."""
    if instance.power not in {"", "running"}:
        return f"it is {instance.power}"
    down = sorted(name for name in forwards if instance.health.get(name) != "Up")
    if down:
        return f"it takes no connections for {', '.join(down)}"
    return "it is drained" if instance.told("draining") else ""


def fault_elsewhere(fleet: Fleet, number: str, forwards: frozenset[str]) -> str:
    """Which of the other forwarders is not healthy, and why; empty where all are."""
    for each in fleet.instances:
        why = fault(each, forwards) if each.number != number else ""
        if why:
            return f"forwarder {each.number} is not healthy: {why}"
    return ""


def open_to(instance: Instance, forwards: frozenset[str]) -> str:
    """For which of these forwards the load balancer still sends connections to it."""
    return ", ".join(sorted(name for name in forwards if instance.health.get(name) == "Up"))


def lacking(fleet: Fleet, number: str, forwards: frozenset[str]) -> str:
    """What a forwarder lacks until it does all that is wanted; empty where it does."""
    instance, wanted = fleet.at(number), fleet.setup
    if instance.report is None:
        return "its agent does not answer"
    if instance.told("hash") != wanted.hash:
        refused = instance.told("refused")
        return f"it forwards {instance.told('hash')}, not {wanted.hash}" + (f": {refused}" if refused else "")
    if wanted.programs and instance.programs != wanted.programs:
        return f"it runs the agent {instance.programs}, not {wanted.programs}"
    if not instance.told("forwarding") or not instance.rules_in_place:
        return "its rules are not in place"
    return fault(instance, forwards)
