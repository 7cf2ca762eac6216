"""Network watchers: they answer what the next hop is. Azure makes one for each region, the lab makes none."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from fwdlab.arm.operations import Outcome
from fwdlab.arm.services.base import Actions, Provider, bad_request
from fwdlab.arm.services.network.effective import next_hop
from fwdlab.arm.services.network.interfaces import interfaces_of
from fwdlab.arm.services.network.provider import NetworkProvider
from fwdlab.arm.services.shapes import identifier, record, text

if TYPE_CHECKING:
    from fwdlab.arm.ids import ResourceId

_ASKED = record(
    targetResourceId=identifier(),
    targetNicResourceId=identifier(""),
    sourceIPAddress=text(""),
    destinationIPAddress=text(""),
)


class NetworkWatchers(Provider):
    type = "Microsoft.Network/networkWatchers"
    etag = NetworkProvider.etag

    @cached_property
    def actions(self) -> Actions:
        return {"nexthop": self._next_hop}

    def _next_hop(self, resource_id: ResourceId, sent: Any) -> Outcome:
        asked = self.asked(resource_id, _ASKED, sent)
        machine = self.store.require(asked.get("targetResourceId", ""))
        if "networkProfile" not in machine.properties:
            raise bad_request("LabOperationNotSupported", f"{machine.id} is no machine.")
        nic = self.store.require(asked["targetNicResourceId"] or interfaces_of(machine)[0])
        return Outcome(200, next_hop(self.store, nic, asked["destinationIPAddress"]))


PROVIDERS = (NetworkWatchers,)
