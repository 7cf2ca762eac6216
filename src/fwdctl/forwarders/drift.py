"""What differs between what the scale set asks for and what each forwarder is and does. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fwdctl.probe.agents import configuration

if TYPE_CHECKING:
    from fwdctl.forwarders.fleet import Fleet, Instance
    from fwdctl.forwarders.setup import Setup, What

RENEWAL: frozenset[str] = frozenset({"agent", "image", "size", "model"})
"""What only the scale set's model, applied to the machine, mends."""
SCALE_SET = "scale set"


@dataclass(frozen=True)
class Difference:
    """One thing that differs; `instance` is `SCALE_SET` where the scale set contradicts itself."""

    instance: str
    what: What
    has: str
    wanted: str


def differences(fleet: Fleet) -> list[Difference]:
    """Everything that is known to differ, the scale set first, then by instance."""
    setup, found = fleet.setup, []
    if setup.forwards and setup.forwards != setup.hash:
        found.append(Difference(SCALE_SET, "tag", setup.forwards, setup.hash or "no user data"))
    for instance in fleet.instances:
        found += _of(instance, setup)
    return found


def silent(fleet: Fleet) -> dict[str, str]:
    """Why it is not known what an instance forwards, by instance."""
    return {each.number: _why(fleet, each) for each in fleet.instances if each.report is None}


def _why(fleet: Fleet, instance: Instance) -> str:
    if instance.power not in {"", "running"}:
        return f"it is {instance.power}"
    return fleet.unasked or "its agent does not answer"


def _of(instance: Instance, setup: Setup) -> Iterator[Difference]:
    own, number = instance.setup, instance.number
    if own.user_data != setup.user_data:
        yield Difference(number, "user data", _called(own.user_data), _called(setup.user_data))
    changed = replace(own, programs=instance.programs).older_than(setup)
    for what, (has, wanted) in changed.items():
        yield Difference(number, what, has, wanted)
    if not instance.latest and not changed and own.forwards == setup.forwards:
        # Other forwards make the model newer too; they reach the instance as its own user data (decision 8).
        yield Difference(number, "model", "an earlier one", "the latest one")
    running = instance.told("hash")
    if instance.report is not None and running != setup.hash:
        refused = instance.told("refused")
        yield Difference(number, "running", f"{running} ({refused})" if refused else str(running), setup.hash)


def _called(user_data: str) -> str:
    """User data for people: by its hash."""
    found = configuration(user_data)
    name = str(found.get("hash") or ("another document" if user_data else "none"))
    return f"{name}, drained" if found.get("drain") is True else name
