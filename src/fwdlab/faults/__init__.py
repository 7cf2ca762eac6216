"""The fault table: what `fwdctl lab break NAME` changes, and how a probe must end.

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

OK, BROKEN, INCONCLUSIVE = 0, 4, 5


@dataclass(frozen=True)
class Fault:
    """One line of the table.

    Attributes:
        name: as typed.
        summary: what it changes.
        code: what a probe must say: a code of a broken hop, or that of an error; empty where a probe must not
            mind.
        exit_code: how `fwdctl probe spoke` must end.
        apply: make the change; answers how to undo it.
    """

    name: str
    summary: str
    code: str
    apply: Callable[[Context], Awaitable[Undo]]
    exit_code: int = BROKEN


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("target-down", "a server is switched off", "TARGET_DOWN", resources.target_down, OK),
        Fault(
            "target-refuses",
            "the service on a server is stopped",
            "TARGET_REFUSED",
            resources.target_refuses,
            OK,
        ),
        Fault(
            "rules-missing", "the forwarders' rules are flushed", "FWD_RULES_MISSING", resources.rules_missing
        ),
        Fault(
            "no-forwarding",
            "the forwarders' kernels do not forward",
            "FWD_NO_FORWARDING",
            resources.no_forwarding,
        ),
        Fault("link-pending", "the endpoint waits for approval", "PE_PENDING", resources.decide("Pending")),
        Fault("link-rejected", "the endpoint is rejected", "PE_REJECTED", resources.decide("Rejected")),
        Fault("dns-record-missing", "the name has no record", "DNS_NXDOMAIN", resources.dns_record_missing),
        Fault(
            "dns-wrong-address", "the name points elsewhere", "DNS_WRONG_ADDRESS", resources.dns_wrong_address
        ),
        Fault(
            "zone-not-linked",
            "the spoke does not see the zone",
            "DNS_ZONE_NOT_LINKED",
            resources.zone_not_linked,
        ),
        Fault("nsg-deny", "a security rule blocks the way", "NSG_DENIED", resources.nsg_deny),
        Fault(
            "peering-removed",
            "the hub does not reach the servers",
            "ROUTE_NO_PEERING",
            resources.peering_removed,
        ),
        Fault("jump-slow", "starting a box takes 3 s", "", service.switch("settings", start_seconds=3.0), OK),
        Fault(
            "jump-start-fails",
            "boxes do not start",
            "jump_start_failed",
            service.switch("settings", start_error=("ContainerGroupQuotaReached", "No quota is left.")),
            INCONCLUSIVE,
        ),
        Fault(
            "exec-refused",
            "exec is answered 500",
            "arm_unavailable",
            service.switch("exec_faults", refuse=True),
            INCONCLUSIVE,
        ),
        Fault(
            "exec-cut",
            "the exec socket breaks after 60 bytes",
            "",
            service.switch("exec_faults", cut_after=60),
            INCONCLUSIVE,
        ),
        Fault(
            "exec-empty-first-message",
            "the exec socket begins with an empty message",
            "",
            service.switch("exec_faults", empty_first_message=True),
            OK,
        ),
        Fault(
            "arm-throttled",
            "one request in three is answered 429",
            "",
            service.every_third(429, "TooManyRequests", "Too many requests.", Retry_After="1"),
            OK,
        ),
        Fault(
            "arm-5xx",
            "one request in three is answered 503",
            "",
            service.every_third(503, "ServerTimeout", "The request timed out."),
            OK,
        ),
        Fault("token-expired", "every token that is out has expired", "", service.tokens_expire, OK),
        Fault("arm-forbidden", "only reading is allowed", "not_authorized", service.forbidden, 3),
        Fault(
            "resources-slow",
            "a deployment takes 3 s for each resource",
            "",
            service.switch("deployments", write_seconds=3.0),
            OK,
        ),
        Fault("arm-slow", "every request takes a second longer", "", service.slow, OK),
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
            raise LabError("fault_active", f"'{name}' is in force already.", f"Run `fwdctl lab heal {name}`.")
        self._active[name] = await fault.apply(context)
        return fault

    async def heal(self, name: str | None) -> tuple[str, ...]:
        """Undo one fault, or all of them, newest first; the names of those undone.

        Raises:
            LabError: `fault_not_active`.
        """
        if name is not None and name not in self._active:
            raise LabError("fault_not_active", f"'{name}' is not in force.", "See `fwdctl lab status`.")
        names = [name] if name is not None else list(reversed(self._active))
        for each in names:
            await self._active[each]()
            del self._active[each]
        return tuple(names)
