"""The fault table: what `fwdctl lab break NAME` changes, and how that is undone.

As far as possible a fault is what an operator could do with az, so it goes through the same door as az
(`ArmApi`). Each fault returns how to undo it; healing runs these backwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fwdlab.errors import LabError
from fwdlab.faults import resources, service
from fwdlab.faults.context import Context, Undo

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["FAULTS", "Context", "Fault", "FaultBoard"]


@dataclass(frozen=True)
class Fault:
    """One line of the table.

    Attributes:
        name: as typed.
        summary: what it changes.
        apply: make the change; answers how to undo it.
    """

    name: str
    summary: str
    apply: Callable[[Context], Awaitable[Undo]]


_NO_QUOTA = ("ContainerGroupQuotaReached", "No quota is left.")
_THROTTLED = service.every_third(429, "TooManyRequests", "Too many requests.", Retry_After="1")
_UNAVAILABLE = service.every_third(503, "ServerTimeout", "The request timed out.")

FAULTS = {
    fault.name: fault
    for fault in (
        Fault("target-down", "a server is switched off", resources.target_down),
        Fault("target-refuses", "the service on a server is stopped", resources.target_refuses),
        Fault("rules-missing", "the forwarders' rules are flushed", resources.rules_missing),
        Fault("agents-down", "no forwarder's agent runs; its rules stay", resources.agents_down),
        Fault("no-forwarding", "the forwarders' kernels do not forward", resources.no_forwarding),
        Fault("link-pending", "the endpoint waits for approval", resources.decide("Pending")),
        Fault("link-rejected", "the endpoint is rejected", resources.decide("Rejected")),
        Fault("dns-record-missing", "the name has no record", resources.dns_record_missing),
        Fault("dns-wrong-address", "the name points elsewhere", resources.dns_wrong_address),
        Fault("zone-not-linked", "the spoke does not see the zone", resources.zone_not_linked),
        Fault("nsg-deny", "a security rule blocks the way", resources.nsg_deny),
        Fault("peering-removed", "the hub does not reach the servers", resources.peering_removed),
        Fault(
            "idle-short",
            f"idle connections are forgotten after {resources.IDLE_SECONDS} s",
            resources.idle_short,
        ),
        Fault("jump-slow", "starting a box takes 3 s", service.switch("settings", start_seconds=3.0)),
        Fault("jump-start-fails", "boxes do not start", service.switch("settings", start_error=_NO_QUOTA)),
        Fault("exec-refused", "exec is answered 500", service.switch("exec_faults", refuse=True)),
        Fault(
            "exec-cut", "the exec socket breaks after 60 bytes", service.switch("exec_faults", cut_after=60)
        ),
        Fault(
            "exec-empty-first-message",
            "the exec socket begins with an empty message",
            service.switch("exec_faults", empty_first_message=True),
        ),
        Fault("arm-throttled", "one request in three is answered 429", _THROTTLED),
        Fault("arm-5xx", "one request in three is answered 503", _UNAVAILABLE),
        Fault("token-expired", "every token that is out has expired", service.tokens_expire),
        Fault("arm-forbidden", "only reading is allowed", service.forbidden),
        Fault(
            "resources-slow",
            "a deployment takes 3 s for each resource",
            service.switch("deployments", write_seconds=3.0),
        ),
        Fault(
            "writes-slow",
            "networks and containers go on for 3 s after a write",
            service.switch("settings", change_seconds=3.0),
        ),
        Fault(
            "newer-image",
            "a newer version of every image is published",
            service.switch("settings", newest_image="1.0.1"),
        ),
        Fault("arm-slow", "every request takes a second longer", service.slow),
    )
}


class FaultBoard:
    """The faults that are in force, in order, each with its undo."""

    def __init__(self) -> None:
        self._active: dict[str, Undo] = {}

    @property
    def active(self) -> tuple[str, ...]:
        """Names of the faults in force, oldest first."""
        return tuple(self._active)

    async def cause(self, name: str, context: Context) -> Fault:
        """Bring a fault about.

        Raises:
            LabError: `fault_unknown` or `fault_active`, or why it cannot be caused now.
        """
        fault = FAULTS.get(name)
        if fault is None:
            raise LabError(
                "fault_unknown", f"No fault is called '{name}'.", f"There is: {', '.join(FAULTS)}."
            )
        if name in self._active:
            raise LabError(
                "fault_active", f"The fault '{name}' is in force already.", f"Run `fwdctl lab heal {name}`."
            )
        self._active[name] = await fault.apply(context)
        return fault

    async def heal(self, name: str | None) -> tuple[str, ...]:
        """Undo one fault, or all of them, newest first; the names of those undone.

        Raises:
            LabError: `fault_not_active`.
        """
        if name is not None and name not in self._active:
            raise LabError(
                "fault_not_active", f"The fault '{name}' is not in force.", "See `fwdctl lab status`."
            )
        names = [name] if name is not None else list(reversed(self._active))
        for each in names:
            await self._active[each]()
            del self._active[each]
        return tuple(names)
